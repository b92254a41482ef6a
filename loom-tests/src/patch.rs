//! A copy of the sources with one replacement made: what both tools that break the library do.

use std::error::Error;
use std::path::Path;
use std::{fs, io};

/// `text` with `replace` in the one place of `find`. White space counts in neither, nor does a comma
/// before a closing bracket, so that formatting does not move a mutant.
///
/// # Errors
///
/// When `find` is not there exactly once.
pub fn replaced(text: &str, find: &str, replace: &str) -> Result<String, String> {
    let (places, pattern) = (squeeze(text), squeeze(find));
    let bytes =
        |squeezed: &[(usize, u8)]| -> Vec<u8> { squeezed.iter().map(|&(_, byte)| byte).collect() };
    let (haystack, needle) = (bytes(&places), bytes(&pattern));
    let found: Vec<usize> = (0..haystack.len())
        .filter(|&at| !needle.is_empty() && haystack[at..].starts_with(&needle))
        .collect();
    let [at] = found[..] else {
        return Err(format!("expected once, found {} times", found.len()));
    };
    let (begin, last) = (places[at].0, places[at + needle.len() - 1].0);
    Ok(format!("{}{replace}{}", &text[..begin], &text[last + 1..]))
}

/// The bytes of `text` that count, and where they stand: neither white space nor a comma
/// before a closing bracket, so that formatting does not move a mutant.
fn squeeze(text: &str) -> Vec<(usize, u8)> {
    let mut squeezed: Vec<(usize, u8)> = Vec::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        if byte.is_ascii_whitespace() {
            continue;
        }
        if byte == b')' && squeezed.last().is_some_and(|&(_, last)| last == b',') {
            squeezed.pop();
        }
        squeezed.push((place, byte));
    }
    squeezed
}

/// The root manifest, cut down to the library and `members`, quick to build.
///
/// # Errors
///
/// When it can't be read.
pub fn manifest(root: &Path, members: &[&str]) -> Result<String, Box<dyn Error>> {
    let text = fs::read_to_string(root.join("Cargo.toml"))?;
    let mut manifest: toml::Table = toml::from_str(&text)?;
    let workspace = table(&mut manifest, "workspace")?;
    let members: Vec<toml::Value> = members.iter().map(|&member| member.into()).collect();
    workspace.insert("members".into(), members.into());
    workspace.remove("default-members");
    workspace.remove("exclude");
    for part in [
        "dev-dependencies",
        "bench",
        "test",
        "example",
        "bin",
        "profile",
    ] {
        manifest.remove(part);
    }
    // None of the workspace's other crates is needed, and they are not copied.
    let dependencies = table(&mut manifest, "dependencies")?;
    let (own, others): (toml::Table, toml::Table) = std::mem::take(dependencies)
        .into_iter()
        .partition(|(_, what)| what.get("path").is_some());
    *dependencies = others;
    let gone: Vec<String> = own.keys().map(|name| format!("dep:{name}")).collect();
    for (_, parts) in table(&mut manifest, "features")?.iter_mut() {
        if let Some(parts) = parts.as_array_mut() {
            parts.retain(|part| !gone.iter().any(|gone| part.as_str() == Some(gone)));
        }
    }
    let mut release = toml::Table::new();
    release.insert("opt-level".into(), 1.into());
    release.insert("codegen-units".into(), 16.into());
    release.insert("incremental".into(), true.into());
    let mut dev = release.clone();
    dev.insert("debug".into(), 0.into());
    let mut profile = toml::Table::new();
    profile.insert("release".into(), release.into());
    profile.insert("dev".into(), dev.into());
    manifest.insert("profile".into(), profile.into());
    Ok(toml::to_string(&manifest)?)
}

fn table<'a>(
    within: &'a mut toml::Table,
    key: &str,
) -> Result<&'a mut toml::Table, Box<dyn Error>> {
    within
        .get_mut(key)
        .and_then(toml::Value::as_table_mut)
        .ok_or_else(|| format!("Cargo.toml: {key}: expected a table").into())
}

/// Copies a folder with all that is in it.
///
/// # Errors
///
/// When something can't be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
