//! The effective configuration as a table: each key, its value, where that came from, what it means.

use std::fmt;

use super::Config;
use super::error::Source;
use super::keys::Place;

/// Every key of a [`Config`]; made by [`Config::explain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    rows: Vec<Row>,
}

/// One key of a [`Config`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its whole name, such as `dispatcher.workers`.
    pub key: String,
    /// Its effective value, as a file would have it without quotes.
    pub value: String,
    /// What the value counts; nothing for words and durations.
    pub unit: &'static str,
    /// What it is when nobody sets it.
    pub default: String,
    /// Where the value came from.
    pub source: Source,
    /// What is allowed.
    pub allowed: String,
    /// What it does, in one line.
    pub meaning: &'static str,
}

impl Explain {
    pub(super) fn of(config: &Config) -> Self {
        let row = |place: &Place| {
            let spec = place.spec();
            let default = || place.default_value().to_string();
            Row {
                key: place.path(),
                value: place.get(config).to_string(),
                unit: spec.unit,
                default: spec.default_note.map_or_else(default, str::to_owned),
                source: config.source_of(place),
                allowed: spec.kind.to_string(),
                meaning: spec.meaning,
            }
        };
        let rows = Place::all(config).iter().map(row).collect();
        Self { rows }
    }

    /// The keys, section by section.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// A line for each key, columns of equal width.
impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["key", "value", "unit", "default", "source", "meaning"];
        let head = head.map(str::to_owned);
        let rows = self.rows.iter().map(|row| {
            let source = row.source.to_string();
            let (unit, meaning) = (row.unit.to_owned(), row.meaning.to_owned());
            let (key, value) = (row.key.clone(), row.value.clone());
            [key, value, unit, row.default.clone(), source, meaning]
        });
        let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| {
            let widths = lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3, 4].map(width);
        for line in &lines {
            for (text, width) in line.iter().zip(widths) {
                write!(f, "{text:width$}  ")?;
            }
            writeln!(f, "{}", line[5])?;
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::fmt::Write;

    const INTRODUCTION: &str = "\
# Configuration

Code sets values with `Config::builder()`. A file and environment variables are read only when the
program asks for them, and then override code, the environment last. A key that the program has
locked is code's alone. Whatever the source, a value passes the same check, and all problems are
reported together, each with its key, value, source and what is allowed. `Config::explain()` shows
what is in force.

- File (feature `config-file`): TOML of at most 256 KiB, with the sections below. An unknown key is
  an error. There is no include.
- Variables: `.env(\"MYAPP\")` reads `MYAPP_SECTION_KEY`, for a named dispatcher
  `MYAPP_DISPATCHERS_NAME_KEY`, in capitals: `MYAPP_DISPATCHER_WORKERS=4`,
  `MYAPP_DISPATCHERS_IO_PINNING=0,2`. A variable with the prefix that is no key is an error. Lists
  are comma separated.
- Durations: a whole number and a unit, such as `50us`, `1ms`, `5s` or `2min`.
- Pinning: a list has a core for each thread, and says how many threads there are when nothing
  else does; a core outside the process's affinity mask is an error. `compact` and `spread` follow
  the mask and go round it when there are more threads than cores.
- Usable cores: those of the affinity mask, fewer under a smaller CPU quota.

This page is made from the key table: `BLESS=1 cargo test --lib the_page_lists_every_key`.
";

    fn page() -> String {
        let mut page = INTRODUCTION.to_owned();
        let mut section = "";
        let explain = Config::default().explain();
        for row in explain.rows() {
            let (here, key) = row.key.split_once('.').unwrap();
            if here != section {
                section = here;
                let also = match here {
                    "dispatcher" => ", and `[dispatchers.NAME]` for each further one",
                    _ => "",
                };
                write!(page, "\n## `[{here}]`{also}\n\n").unwrap();
                page += "| key | default | unit | allowed | meaning |\n|---|---|---|---|---|\n";
            }
            let Row {
                default,
                unit,
                allowed,
                meaning,
                ..
            } = row;
            writeln!(
                page,
                "| `{key}` | {default} | {unit} | {allowed} | {meaning} |"
            )
            .unwrap();
        }
        page
    }

    #[test]
    fn the_page_lists_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(written, page(), "docs/config.md is stale");
    }

    #[test]
    fn a_row_shows_value_default_and_source() {
        let config = Config::builder()
            .throughput(8)
            .env_vars("T", [("T_DISPATCHER_SPIN", "1ms")])
            .build()
            .unwrap();
        let explain = config.explain();
        let row = |key: &str| {
            let mut rows = explain.rows().iter();
            rows.find(|row| row.key == key).unwrap()
        };
        assert_eq!(row("dispatcher.throughput").source, Source::Code);
        assert_eq!(row("dispatcher.throughput").value, "8");
        assert_eq!(row("dispatcher.throughput").default, "64");
        assert_eq!(
            row("dispatcher.spin").source.to_string(),
            "variable T_DISPATCHER_SPIN"
        );
        assert_eq!(row("mailbox.capacity").source, Source::Default);
        let table = explain.to_string();
        let line = table
            .lines()
            .find(|line| line.starts_with("dispatcher.spin"));
        let columns: Vec<&str> = line.unwrap().split_whitespace().take(5).collect();
        assert_eq!(
            columns,
            [
                "dispatcher.spin",
                "1ms",
                "50us",
                "variable",
                "T_DISPATCHER_SPIN"
            ]
        );
        assert_eq!(table.lines().count(), explain.rows().len() + 1);
    }

    #[test]
    fn a_field_changed_in_place_is_code() {
        let mut config = Config::builder()
            .env_vars("T", [("T_DISPATCHER_SPIN", "1ms")])
            .build()
            .unwrap();
        config.dispatcher.spin = std::time::Duration::from_millis(2);
        assert_eq!(config.source("dispatcher.spin"), Some(Source::Code));
        assert_eq!(config.source("dispatcher.spun"), None);
        assert_eq!(config.source("dispatchers.io.spin"), None);
    }
}
