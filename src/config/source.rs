//! Reading: settings from code, trees from files and serde, variables from the environment.
//!
//! All of them end in [`Draft::put`], the only place where a value reaches a field.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::Config;
use super::check::{self, Machine};
use super::error::{ConfigError, Problem, ProblemKind, Problems, Source};
use super::keys::{DISPATCHER, Place, SECTIONS, key_names, nearest};
use super::values::{Data, Mismatch, Node, Value};

/// A configuration while its sources are applied, one after the other.
#[derive(Debug, Default)]
pub(super) struct Draft {
    config: Config,
    locked: BTreeSet<String>,
    problems: Problems,
}

impl Draft {
    /// From now on only code sets `key`.
    pub(super) fn lock(&mut self, key: &str) {
        if Place::of_path(key).is_some() {
            self.locked.insert(key.to_owned());
        } else {
            self.unknown(key, Source::Code);
        }
    }

    /// Sets a key from code, with a value of its type or with text as a variable has it.
    pub(super) fn setting(&mut self, key: &str, given: &Given) {
        let Some(place) = Place::of_path(key) else {
            return self.unknown(key, Source::Code);
        };
        if let Place::Named(name, _) = &place {
            self.dispatcher(name, Source::Code);
        }
        match given {
            Given::Value(value) => {
                self.put(&place, &value.to_string(), Ok(value.clone()), Source::Code);
            }
            Given::Text(text) => {
                let read = place.spec().kind.read_text(text);
                self.put(&place, text, read, Source::Code);
            }
        }
    }

    /// Makes sure that a dispatcher is there, with its defaults until a key says otherwise.
    pub(super) fn dispatcher(&mut self, name: &str, source: Source) {
        if let Err(problem) = check::dispatcher(&self.config, name, source) {
            self.problems.push(problem);
        } else {
            self.config.named_mut(name);
        }
    }

    fn put(&mut self, place: &Place, shown: &str, read: Result<Value, Mismatch>, source: Source) {
        if let Place::Named(name, _) = place
            && !self.config.dispatchers.contains_key(name)
        {
            return; // refused, and reported, where its section begins
        }
        let path = place.path();
        if source != Source::Code && self.locked.contains(&path) {
            let message = "locked by the program: no file and no variable may set it".to_owned();
            let problem = Problem::new(ProblemKind::Locked, &path, source, message);
            return self.problems.push(problem.with_value(shown));
        }
        let kind = &place.spec().kind;
        let checked = read.and_then(|value| kind.check(&value).map(|()| value));
        match checked {
            Ok(value) => {
                place.set(&mut self.config, &value);
                self.config.origins.insert(path, (source, value));
            }
            Err(mismatch) => {
                let problem = check::not_allowed(place, shown, mismatch, source);
                self.problems.push(problem);
            }
        }
    }

    /// Reports a path that is none: the nearest key of its section, or section, is what was meant.
    fn unknown(&mut self, path: &str, source: Source) {
        let section = path.split('.').next().unwrap_or_default();
        let (inner, last) = path.rsplit_once('.').unwrap_or(("", path));
        let mut message = "no such key".to_owned();
        if ["include", "import", "extends"].contains(&last) {
            message += "; a configuration includes no other, give the builder each file";
        } else if !SECTIONS.contains(&section) {
            message = format!("no such section, there are {}", SECTIONS.join(", "));
            if let Some(meant) = nearest(section, SECTIONS) {
                message = format!("no such section, did you mean {meant}?");
            }
        } else if let Some(meant) = nearest(last, key_names(section)) {
            let meant = format!("{inner}.{meant}");
            if Place::of_path(&meant).is_some() {
                message += &format!(", did you mean {meant}?");
            }
        }
        let problem = Problem::new(ProblemKind::UnknownKey, path, source, message);
        self.problems.push(problem);
    }

    fn no_table(&mut self, key: &str, node: &Node, source: Source) {
        let message = "expected a section, that is a table of keys".to_owned();
        let problem = Problem::new(ProblemKind::WrongType, key, source, message);
        self.problems.push(problem.with_value(&node.to_string()));
    }

    /// Applies a tree; `source` names the place of a line in it.
    pub(super) fn tree(&mut self, root: &Node, source: &dyn Fn(Option<u32>) -> Source) {
        let Data::Table(sections) = &root.data else {
            return self.no_table("", root, source(root.line));
        };
        for (section, node) in sections {
            let here = source(node.line);
            if !SECTIONS.contains(&section.as_str()) {
                self.unknown(section, here);
                continue;
            }
            let Data::Table(entries) = &node.data else {
                self.no_table(section, node, here);
                continue;
            };
            if section != "dispatchers" {
                self.section(section, None, entries, source);
                continue;
            }
            for (name, node) in entries {
                let here = source(node.line);
                let Data::Table(entries) = &node.data else {
                    self.no_table(&format!("dispatchers.{name}"), node, here);
                    continue;
                };
                self.dispatcher(name, here);
                self.section(section, Some(name), entries, source);
            }
        }
    }

    fn section(
        &mut self,
        section: &str,
        name: Option<&str>,
        entries: &[(String, Node)],
        source: &dyn Fn(Option<u32>) -> Source,
    ) {
        for (key, node) in entries {
            let here = source(node.line);
            match Place::find(section, name, key) {
                Some(place) => {
                    let read = place.spec().kind.read_node(node);
                    self.put(&place, &node.to_string(), read, here);
                }
                None => {
                    let name = name.map_or(String::new(), |name| format!("{name}."));
                    let path = format!("{section}.{name}{key}");
                    self.unknown(&path, here);
                }
            }
        }
    }

    /// Applies the variables that begin with `prefix` and `_`, in the order of their names.
    pub(super) fn env(&mut self, prefix: &str, vars: impl Iterator<Item = (OsString, OsString)>) {
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if !prefix.starts_with(|c: char| c.is_ascii_uppercase()) || !prefix.bytes().all(plain) {
            let message = format!(
                "the prefix {prefix:?} of variables is not of A-Z, 0-9 and `_` with a letter first"
            );
            let problem = Problem::new(ProblemKind::Unreadable, "", Source::Code, message);
            return self.problems.push(problem);
        }
        let prefix = format!("{prefix}_");
        let ours = vars.filter_map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            let rest = name.strip_prefix(&prefix)?.to_owned();
            Some((name, rest, value))
        });
        let mut ours: Vec<(String, String, OsString)> = ours.collect();
        ours.sort();
        for (name, rest, value) in ours {
            let shown = value.to_string_lossy().into_owned();
            let source = Source::Env { name };
            let Some(place) = place_of_variable(&rest) else {
                self.unknown_variable(&prefix, &rest, source);
                continue;
            };
            if let Place::Named(name, _) = &place {
                self.dispatcher(name, source.clone());
            }
            match value.to_str() {
                Some(text) => {
                    let read = place.spec().kind.read_text(text);
                    self.put(&place, &shown, read, source);
                }
                None => self.put(&place, &shown, Err(Mismatch::Type), source),
            }
        }
    }

    fn unknown_variable(&mut self, prefix: &str, rest: &str, source: Source) {
        let known = Place::all(&Config::default());
        let known: Vec<String> = known.iter().map(variable).collect();
        let mut message = "no such key".to_owned();
        if let Some(meant) = nearest(rest, known.iter().map(String::as_str)) {
            message += &format!(", did you mean {prefix}{meant}?");
        }
        let key = rest.to_ascii_lowercase();
        let problem = Problem::new(ProblemKind::UnknownKey, &key, source, message);
        self.problems.push(problem);
    }

    /// Applies the text of a TOML file.
    #[cfg(feature = "config-file")]
    pub(super) fn toml(&mut self, path: &std::path::Path, text: &str) {
        let source = |line| Source::File {
            path: path.to_owned(),
            line,
        };
        if text.len() > super::builder::FILE_BYTES_MAX {
            let bytes = super::builder::FILE_BYTES_MAX;
            return self.unreadable(source(None), format!("longer than {bytes} bytes"));
        }
        let lines = Lines::of(text);
        let (root, errors) = toml::de::DeTable::parse_recoverable(text);
        let mut usable = true;
        for error in errors {
            let span = error.span().unwrap_or_default();
            let here = source(Some(lines.line(span.start)));
            if error.message() == "duplicate key" {
                let key = text.get(span).unwrap_or_default();
                let message = "set twice in one file".to_owned();
                let problem = Problem::new(ProblemKind::Duplicate, key, here, message);
                self.problems.push(problem);
            } else {
                usable = false;
                self.unreadable(here, format!("not TOML: {}", error.message()));
            }
        }
        // What a broken text says elsewhere is a guess: only its own errors are reported.
        if usable {
            let line = Some(1);
            let data = toml_table(root.into_inner(), text, &lines);
            self.tree(&Node { data, line }, &source);
        }
    }

    #[cfg(feature = "config-file")]
    pub(super) fn unreadable(&mut self, source: Source, message: String) {
        let problem = Problem::new(ProblemKind::Unreadable, "", source, message);
        self.problems.push(problem);
    }

    /// Checks what the sources made together.
    pub(super) fn finish(mut self, machine: &Machine) -> Result<Config, ConfigError> {
        check::fill_in_threads(&mut self.config);
        check::together(&self.config, machine, &mut self.problems);
        self.problems.into_result()?;
        Ok(self.config)
    }
}

/// What code gives for a key.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Value(Value),
    Text(String),
}

/// A variable's name after the prefix: `DISPATCHERS_IO_WORKERS`.
fn variable(place: &Place) -> String {
    place.path().replace('.', "_").to_ascii_uppercase()
}

/// The place that a variable's name after the prefix means.
fn place_of_variable(rest: &str) -> Option<Place> {
    if rest.bytes().any(|b| b.is_ascii_lowercase()) {
        return None;
    }
    let rest = rest.to_ascii_lowercase();
    if let Some(named) = rest.strip_prefix("dispatchers_") {
        // No key ends with another, so one at most fits.
        return DISPATCHER.iter().find_map(|key| {
            let name = named.strip_suffix(key.spec.name)?.strip_suffix('_')?;
            Some(Place::Named(name.to_owned(), key))
        });
    }
    let (section, key) = rest.split_once('_')?;
    Place::find(section, None, key)
}

/// Where the lines of a text begin.
#[cfg(feature = "config-file")]
struct Lines(Vec<usize>);

#[cfg(feature = "config-file")]
impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(breaks.map(|(at, _)| at + 1).collect())
    }

    /// The line of a byte, counted from one.
    fn line(&self, at: usize) -> u32 {
        let before = self.0.partition_point(|start| *start <= at);
        // A file is shorter than 2^32 bytes.
        before as u32 + 1
    }
}

#[cfg(feature = "config-file")]
fn toml_table(table: toml::de::DeTable<'_>, text: &str, lines: &Lines) -> Data {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entries = entries.into_iter().map(|(key, value)| {
        let line = lines.line(key.span().start);
        let node = toml_node(value, line, text, lines);
        (key.into_inner().into_owned(), node)
    });
    Data::Table(entries.collect())
}

/// Depth is bounded by the parser, at 80.
#[cfg(feature = "config-file")]
fn toml_node(
    value: toml::Spanned<toml::de::DeValue<'_>>,
    line: u32,
    text: &str,
    lines: &Lines,
) -> Node {
    use toml::de::DeValue;
    let written = text.get(value.span()).unwrap_or_default().to_owned();
    let data = match value.into_inner() {
        DeValue::String(text) => Data::Text(text.into_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Data::Whole(number),
            // Past 128 bits: no key takes it, and the error shows it as it was written.
            Err(_) => Data::Other(written),
        },
        DeValue::Array(items) => {
            let item = |item: toml::Spanned<DeValue<'_>>| {
                let line = lines.line(item.span().start);
                toml_node(item, line, text, lines)
            };
            Data::List(items.into_iter().map(item).collect())
        }
        DeValue::Table(table) => toml_table(table, text, lines),
        DeValue::Boolean(_) | DeValue::Float(_) | DeValue::Datetime(_) => Data::Other(written),
    };
    let line = Some(line);
    Node { data, line }
}
