//! The promise: a bad configuration is refused on every path with the same words, and all of its
//! problems are named at once.

#![cfg(not(loom))]

use std::time::Duration;

#[cfg(any(feature = "affinity", feature = "config-file"))]
use mainspring::config::Source;
use mainspring::config::{Builder, Config, Pinning, ProblemKind};

const MS: Duration = Duration::from_millis(1);

/// One bad value of one key.
struct Row {
    key: &'static str,
    /// As a variable has it.
    text: String,
    /// As a file has it; `None` when TOML cannot say it.
    #[cfg_attr(not(feature = "config-file"), allow(dead_code))]
    toml: Option<String>,
    /// As code has it, with the value as the error shows it; `None` when types rule it out.
    code: Option<(Builder, String)>,
    kind: ProblemKind,
    message: String,
}

fn expected(row: &Row, shown: &str, source: &str) -> String {
    let shown = if shown.is_empty() { "\"\"" } else { shown };
    format!("{} = {shown} ({source}): {}", row.key, row.message)
}

fn refused(builder: Builder, kind: ProblemKind, text: &str) {
    let error = builder.build().expect_err(text);
    assert_eq!(error.to_string(), text);
    assert_eq!(error.problems().len(), 1);
    assert_eq!(error.problems()[0].kind, kind, "{text}");
}

/// `dispatcher.workers` with the prefix `T`: `T_DISPATCHER_WORKERS`.
fn variable(key: &str) -> String {
    format!("T_{}", key.replace('.', "_").to_uppercase())
}

/// Every path that can say the row's value refuses it.
fn check(row: &Row) {
    let set = Config::builder().set(row.key, &row.text);
    refused(set, row.kind, &expected(row, &row.text, "code"));

    let name = variable(row.key);
    let env = Config::builder().env_vars("T", [(&name, &row.text)]);
    let source = format!("variable {name}");
    refused(env, row.kind, &expected(row, &row.text, &source));

    if let Some((builder, shown)) = &row.code {
        refused(builder.clone(), row.kind, &expected(row, shown, "code"));
    }

    #[cfg(feature = "config-file")]
    if let Some(literal) = &row.toml {
        let (section, key) = row.key.rsplit_once('.').unwrap();
        let text = format!("# comment\n[{section}]\n{key} = {literal}\n");
        let file = Config::builder().toml("app.toml", text.as_str());
        refused(file, row.kind, &expected(row, literal, "app.toml:3"));

        let serde = toml::from_str::<Config>(&text).unwrap_err();
        // serde knows values, not how they were written.
        let shown = match literal.as_str() {
            "nan" => "NaN",
            "1979-05-27" => "a table",
            literal => literal,
        };
        assert_eq!(serde.message(), expected(row, shown, "data"));
    }
}

type SetWhole = fn(Builder, i128) -> Builder;

/// Every whole number: its key, bounds and setter.
fn whole_keys() -> Vec<(&'static str, i128, i128, SetWhole)> {
    macro_rules! keys {
        ($($key:literal $min:literal $max:literal $setter:ident;)*) => {
            vec![$(($key, $min, $max, |b, n| b.$setter(n.try_into().unwrap())),)*]
        };
    }
    keys! {
        "system.memory_ceiling_bytes" 1_048_576 70_368_744_177_664 memory_ceiling_bytes;
        "system.max_actors" 1 16_777_215 max_actors;
        "system.max_asks_in_flight" 1 16_777_216 max_asks_in_flight;
        "system.max_timers" 1 16_777_216 max_timers;
        "system.dead_letter_capacity" 0 1_048_576 dead_letter_capacity;
        "system.names_max" 0 16_777_216 names_max;
        "dispatcher.workers" 1 1_024 workers;
        "dispatcher.throughput" 1 65_536 throughput;
        "dispatcher.lifo_cap" 0 64 lifo_cap;
        "dispatcher.injector_interval" 1 1_024 injector_interval;
        "dispatcher.stack_bytes" 65_536 1_073_741_824 stack_bytes;
        "mailbox.capacity" 1 32_768 mailbox_capacity;
        "mailbox.capacity_bytes" 64 70_368_744_177_664 mailbox_capacity_bytes;
        "compute.threads" 1 1_024 compute_threads;
        "compute.queue_max" 1 16_777_216 compute_queue_max;
    }
}

#[test]
fn a_whole_number_out_of_its_bounds_is_refused_on_every_path() {
    for (key, min, max, set) in whole_keys() {
        let message = format!("expected a whole number from {min} to {max}");
        // Just outside, and far outside.
        for number in [
            min - 1,
            max + 1,
            -1,
            i128::from(i64::MIN),
            i128::from(i64::MAX),
        ] {
            let code = usize::try_from(number).is_ok().then(|| {
                let builder = set(Config::builder(), number);
                (builder, number.to_string())
            });
            check(&Row {
                key,
                text: number.to_string(),
                toml: Some(number.to_string()),
                code,
                kind: ProblemKind::OutOfRange,
                message: message.clone(),
            });
        }
        // The bounds themselves are taken.
        for number in [min, max] {
            let mut builder = set(Config::builder(), number);
            if key == "mailbox.capacity_bytes" {
                builder = builder.memory_ceiling_bytes(1 << 46);
            }
            if key == "system.memory_ceiling_bytes" {
                builder = builder.mailbox_capacity_bytes(64);
            }
            builder.build().unwrap();
        }
    }
}

type SetTime = fn(Builder, Duration) -> Builder;

#[test]
fn a_duration_out_of_its_bounds_is_refused_on_every_path() {
    let day = Duration::from_secs(86_400);
    let rows: [(&str, Duration, Duration, [&str; 2], SetTime); 7] = [
        (
            "system.ask_timeout",
            MS,
            365 * day,
            ["1ms", "365d"],
            Builder::ask_timeout,
        ),
        (
            "system.shutdown_timeout",
            Duration::ZERO,
            day,
            ["0s", "1d"],
            Builder::shutdown_timeout,
        ),
        (
            "system.watchdog_warn",
            MS,
            day / 24,
            ["1ms", "1h"],
            Builder::watchdog_warn,
        ),
        (
            "system.watchdog_stuck",
            MS / 10,
            day / 24,
            ["100us", "1h"],
            Builder::watchdog_stuck,
        ),
        (
            "dispatcher.slice",
            MS / 100,
            MS * 10_000,
            ["10us", "10s"],
            Builder::slice,
        ),
        (
            "dispatcher.spin",
            Duration::ZERO,
            MS * 10,
            ["0s", "10ms"],
            Builder::spin,
        ),
        (
            "mailbox.commit_deadline",
            MS,
            365 * day,
            ["1ms", "365d"],
            Builder::mailbox_commit_deadline,
        ),
    ];
    for (key, min, max, [least, most], set) in rows {
        let message = format!(
            "expected a duration from {least} to {most}, a whole number with ns, us, ms, s, min, h or d"
        );
        let ns = Duration::from_nanos(1);
        let outside = [min.checked_sub(ns), Some(max + ns), Some(Duration::MAX)];
        for time in outside.into_iter().flatten() {
            let text = match time {
                Duration::ZERO => "0s".to_owned(),
                time => format!("{}ns", time.as_nanos()),
            };
            check(&Row {
                key,
                text: text.clone(),
                toml: Some(format!("{text:?}")),
                code: Some((set(Config::builder(), time), text)),
                kind: ProblemKind::OutOfRange,
                message: message.clone(),
            });
        }
        for text in ["-1s", "-5ms", "99999999999999999999999d"] {
            check(&Row {
                key,
                text: text.to_owned(),
                toml: Some(format!("{text:?}")),
                code: None,
                kind: ProblemKind::OutOfRange,
                message: message.clone(),
            });
        }
        for (text, toml) in [
            ("5", "5"),
            ("1.5s", "1.5"),
            ("NaN", "nan"),
            ("inf", "-inf"),
            ("soon", "true"),
            ("", "[]"),
            ("1s2ms", "1979-05-27"),
        ] {
            check(&Row {
                key,
                text: text.to_owned(),
                toml: Some(toml.to_owned()),
                code: None,
                kind: ProblemKind::WrongType,
                message: message.clone(),
            });
        }
        for time in [min, max] {
            let other = 365 * day;
            // An ask and a deadline of the same length contradict nothing.
            set(Config::builder().ask_timeout(other), time)
                .build()
                .unwrap();
        }
    }
}

#[test]
fn a_value_of_another_type_or_word_is_refused_on_every_path() {
    use ProblemKind::{OutOfRange, WrongType};
    let workers = "expected a whole number from 1 to 1024";
    let overflow = "expected one of reject, wait, drop-newest, drop-oldest";
    let hidden_state = "expected one of panic, warn";
    let origins = "expected one of off, on";
    let when_full = "expected one of wait, refuse, drop";
    let pinning = "expected none, compact, spread or a list of cores from 0 to 1023";
    let name = "expected 1 to 64 of the characters a-z, A-Z, 0-9, `-`, `_` and `.`";
    let thread = "expected 1 to 10 of the characters a-z, A-Z, 0-9, `-`, `_` and `.`";
    let long = "x".repeat(65);
    let long_quoted = format!("{long:?}");
    let thousand = vec!["0"; 1_025].join(",");
    // key, text, TOML, kind, message
    let rows: Vec<(&'static str, &str, &str, ProblemKind, &str)> = vec![
        ("dispatcher.workers", "four", "\"four\"", WrongType, workers),
        ("dispatcher.workers", "4.0", "4.0", WrongType, workers),
        ("dispatcher.workers", "0x4", "\"4\"", WrongType, workers),
        ("dispatcher.workers", "", "\"\"", WrongType, workers),
        ("dispatcher.workers", "true", "true", WrongType, workers),
        ("dispatcher.workers", "NaN", "nan", WrongType, workers),
        ("dispatcher.workers", "4,4", "[4]", WrongType, workers),
        (
            "dispatcher.workers",
            "1__0",
            "1979-05-27",
            WrongType,
            workers,
        ),
        ("dispatcher.workers", "-0", "0", OutOfRange, workers),
        ("dispatchers.io.workers", "0", "0", OutOfRange, workers),
        (
            "dispatchers.io.workers",
            "many",
            "\"many\"",
            WrongType,
            workers,
        ),
        ("mailbox.overflow", "drop", "\"drop\"", OutOfRange, overflow),
        (
            "mailbox.overflow",
            "Reject",
            "\"Reject\"",
            OutOfRange,
            overflow,
        ),
        (
            "mailbox.overflow",
            "drop_oldest",
            "\"drop_oldest\"",
            OutOfRange,
            overflow,
        ),
        ("mailbox.overflow", "", "\"\"", OutOfRange, overflow),
        (
            "mailbox.when_full",
            "reject",
            "\"reject\"",
            OutOfRange,
            when_full,
        ),
        ("mailbox.when_full", "1", "\"1\"", OutOfRange, when_full),
        (
            "system.hidden_state",
            "off",
            "\"off\"",
            OutOfRange,
            hidden_state,
        ),
        ("system.origins", "yes", "\"yes\"", OutOfRange, origins),
        ("dispatcher.pinning", "wide", "\"wide\"", WrongType, pinning),
        ("dispatcher.pinning", "", "\"\"", WrongType, pinning),
        ("dispatcher.pinning", "0,", "true", WrongType, pinning),
        ("dispatcher.pinning", "0;1", "0", WrongType, pinning),
        ("dispatcher.pinning", "0-3", "\"0-3\"", WrongType, pinning),
        (
            "dispatcher.pinning",
            "0,x",
            "[0, \"x\"]",
            WrongType,
            pinning,
        ),
        (
            "dispatcher.pinning",
            "0,1.5",
            "[0, 1.5]",
            WrongType,
            pinning,
        ),
        (
            "dispatcher.pinning",
            "compact,0",
            "[\"compact\"]",
            WrongType,
            pinning,
        ),
        ("dispatcher.pinning", "-1", "[-1]", OutOfRange, pinning),
        (
            "dispatcher.pinning",
            "0,1024",
            "[0, 1024]",
            OutOfRange,
            pinning,
        ),
        (
            "compute.pinning",
            "9999999999999",
            "[9999999999999]",
            OutOfRange,
            pinning,
        ),
        ("system.name", "", "\"\"", OutOfRange, name),
        (
            "system.name",
            "two words",
            "\"two words\"",
            OutOfRange,
            name,
        ),
        ("system.name", "größe", "\"größe\"", OutOfRange, name),
        ("system.name", &long, &long_quoted, OutOfRange, name),
        (
            "dispatcher.thread_name",
            "elevenbytes",
            "\"elevenbytes\"",
            OutOfRange,
            thread,
        ),
        (
            "dispatchers.io.thread_name",
            "a/b",
            "\"a/b\"",
            OutOfRange,
            thread,
        ),
    ];
    for (key, text, toml, kind, message) in rows {
        check(&Row {
            key,
            text: text.to_owned(),
            toml: Some(toml.to_owned()),
            code: None,
            kind,
            message: message.to_owned(),
        });
    }
    // What is too long for a line is cut.
    let error = Config::builder()
        .set("dispatcher.pinning", &thousand)
        .build();
    let error = error.unwrap_err();
    assert_eq!(error.problems()[0].value.chars().count(), 81);
    assert_eq!(error.problems()[0].kind, OutOfRange);
    let empty = Config::builder().pinning(Pinning::Cores(vec![]));
    let text = format!("dispatcher.pinning = \"\" (code): {pinning}");
    refused(empty, OutOfRange, &text);
    // Control characters do not reach the terminal.
    let error = Config::builder().name("a\u{1b}[2J").build().unwrap_err();
    assert!(!error.to_string().contains('\u{1b}'));
}

#[cfg(all(feature = "affinity", target_os = "linux"))]
#[test]
fn a_list_of_cores_must_fit_workers_and_mask() {
    use ProblemKind::{Contradiction, Unsupported};
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mask = mask.unwrap().trim();
    let first: usize = mask.split(['-', ',']).next().unwrap().parse().unwrap();

    for key in [
        "dispatcher.pinning",
        "dispatchers.io.pinning",
        "compute.pinning",
    ] {
        let message =
            format!("core 1023 is not one of the cores that this process may use ({mask})");
        check(&Row {
            key,
            text: "1023".to_owned(),
            // Shown as it was understood, so without brackets.
            toml: None,
            code: None,
            kind: Unsupported,
            message,
        });
    }
    let short = Config::builder()
        .workers(2)
        .pinning(Pinning::Cores(vec![first]));
    let text = format!(
        "dispatcher.pinning = {first} (code): cores for 1 of 2 threads, expected one for each"
    );
    refused(short, Contradiction, &text);
    let by_variable = Config::builder()
        .workers(3)
        .env_vars("T", [("T_DISPATCHER_PINNING", first.to_string())]);
    let text = format!(
        "dispatcher.pinning = {first} (variable T_DISPATCHER_PINNING): cores for 1 of 3 threads, expected one for each"
    );
    refused(by_variable, Contradiction, &text);

    // Where nobody says how many workers, the list does.
    let config = Config::builder()
        .pinning(Pinning::Cores(vec![first, first, first]))
        .dispatcher("io", |io| io.pinning(Pinning::Cores(vec![first])))
        .build()
        .unwrap();
    assert_eq!(config.dispatcher.workers, 3);
    assert_eq!(config.dispatchers["io"].workers, 1);
    assert_eq!(config.source("dispatchers.io.workers"), Some(Source::Code));
}

#[cfg(not(feature = "affinity"))]
#[test]
fn without_the_feature_a_request_to_pin_names_it() {
    for text in ["compact", "spread", "0"] {
        for key in [
            "dispatcher.pinning",
            "dispatchers.io.pinning",
            "compute.pinning",
        ] {
            let message = "pinning needs the feature `affinity`, which is off in this build";
            check(&Row {
                key,
                text: text.to_owned(),
                toml: None,
                code: None,
                kind: ProblemKind::Unsupported,
                message: message.to_owned(),
            });
        }
    }
    Config::builder().pinning(Pinning::None).build().unwrap();
}

#[test]
fn a_mailbox_larger_than_the_ceiling_is_a_contradiction() {
    let key = "mailbox.capacity_bytes";
    let message = "more than system.memory_ceiling_bytes = 1073741824";
    check(&Row {
        key,
        text: "1073741825".to_owned(),
        toml: Some("1073741825".to_owned()),
        code: Some((
            Config::builder().mailbox_capacity_bytes((1 << 30) + 1),
            "1073741825".to_owned(),
        )),
        kind: ProblemKind::Contradiction,
        message: message.to_owned(),
    });
    let lowered = Config::builder().env_vars("T", [("T_SYSTEM_MEMORY_CEILING_BYTES", "1048576")]);
    lowered.clone().build().unwrap();
    let text = format!("{key} = 2097152 (code): more than system.memory_ceiling_bytes = 1048576");
    let both = lowered.mailbox_capacity_bytes(2 << 20);
    refused(both, ProblemKind::Contradiction, &text);
}

#[test]
fn a_name_that_is_no_key_is_refused_and_the_nearest_is_named() {
    let set = |key: &str| Config::builder().set(key, "1");
    let rows = [
        (
            "dispatcher.worker",
            "no such key, did you mean dispatcher.workers?",
        ),
        (
            "dispatchers.io.worker",
            "no such key, did you mean dispatchers.io.workers?",
        ),
        (
            "dispatcher.Workers",
            "no such key, did you mean dispatcher.workers?",
        ),
        ("dispatcher.priority", "no such key"),
        ("dispatcher.", "no such key"),
        ("dispatcher", "no such key"),
        ("dispatchers.io", "no such key"),
        ("mailbox.io.capacity", "no such key"),
        ("mailbx.capacity", "no such section, did you mean mailbox?"),
        (
            "listen.address",
            "no such section, there are system, dispatcher, dispatchers, mailbox, compute",
        ),
        (
            "",
            "no such section, there are system, dispatcher, dispatchers, mailbox, compute",
        ),
    ];
    for (key, message) in rows {
        let text = match key {
            "" => format!("code: {message}"),
            key => format!("{key} (code): {message}"),
        };
        refused(set(key), ProblemKind::UnknownKey, &text);
        refused(Config::builder().lock(key), ProblemKind::UnknownKey, &text);
    }
    let rows = [
        (
            "T_DISPATCHER_WORKER",
            "dispatcher_worker",
            "no such key, did you mean T_DISPATCHER_WORKERS?",
        ),
        ("T_WORKERS", "workers", "no such key"),
        ("T_dispatcher_workers", "dispatcher_workers", "no such key"),
        (
            "T_DISPATCHERS_WORKERS",
            "dispatchers_workers",
            "no such key, did you mean T_DISPATCHER_WORKERS?",
        ),
        ("T_", "", "no such key"),
    ];
    for (name, key, message) in rows {
        let text = match key {
            "" => format!("variable {name}: {message}"),
            key => format!("{key} (variable {name}): {message}"),
        };
        let env = Config::builder().env_vars("T", [(name, "1")]);
        refused(env, ProblemKind::UnknownKey, &text);
    }
    // Another program's variables are none of ours.
    let others = [("TT_DISPATCHER_WORKERS", "0"), ("T", "0"), ("PATH", "/bin")];
    Config::builder().env_vars("T", others).build().unwrap();
}

#[test]
fn a_bad_dispatcher_name_is_refused_on_every_path() {
    let rule = "a dispatcher's name is 1 to 32 of the characters a-z, 0-9 and `_`, a letter first, and not `default`";
    let long = "x".repeat(33);
    for name in [
        "default", "IO", "a b", "1st", "_x", "größe", "a.b", "", &long,
    ] {
        let code = Config::builder().dispatcher(name, |d| d.workers(2).spin(MS));
        let text = format!("dispatchers.{name} (code): {rule}");
        refused(code, ProblemKind::OutOfRange, &text);
        #[cfg(feature = "config-file")]
        {
            let file = format!("[dispatchers.{name:?}]\nworkers = 2\n");
            let text = format!("dispatchers.{name} (app.toml:1): {rule}");
            let file = Config::builder().toml("app.toml", file);
            refused(file, ProblemKind::OutOfRange, &text);
        }
    }
    let text = format!("dispatchers.default (variable T_DISPATCHERS_DEFAULT_SPIN): {rule}");
    let env = Config::builder().env_vars("T", [("T_DISPATCHERS_DEFAULT_SPIN", "1ms")]);
    refused(env, ProblemKind::OutOfRange, &text);

    let many = (0..257).fold(Config::builder(), |b, i| {
        b.dispatcher(format!("d{i}"), |d| d)
    });
    let text = "dispatchers.d256 (code): one dispatcher more than the 256 allowed";
    refused(many, ProblemKind::OutOfRange, text);
}

#[test]
fn a_bad_prefix_is_refused() {
    for prefix in ["", "app", "1A", "_A", "A-B", "Ä"] {
        let text = format!(
            "code: the prefix {prefix:?} of variables is not of A-Z, 0-9 and `_` with a letter first"
        );
        let vars: [(&str, &str); 0] = [];
        let builder = Config::builder().env_vars(prefix, vars);
        refused(builder, ProblemKind::Unreadable, &text);
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_unicode_is_refused() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let garbage = OsString::from_vec(vec![b'4', 0xff]);
    let env = Config::builder().env_vars("T", [("T_DISPATCHER_WORKERS", garbage)]);
    refused(
        env,
        ProblemKind::WrongType,
        "dispatcher.workers = 4\u{fffd} (variable T_DISPATCHER_WORKERS): expected a whole number from 1 to 1024",
    );
}

#[test]
fn a_later_source_overrides_and_the_environment_is_last() {
    let builder = Config::builder()
        .throughput(1)
        .slice(MS)
        .spin(MS)
        .workers(1);
    #[cfg(feature = "config-file")]
    let builder = builder
        .toml(
            "one.toml",
            "[dispatcher]\nslice = \"2ms\"\nspin = \"2ms\"\nworkers = 2",
        )
        .toml("two.toml", "[dispatcher]\nspin = \"3ms\"\nworkers = 3");
    let env = [
        ("T_DISPATCHER_WORKERS", "4"),
        ("T_DISPATCHERS_IO_WORKERS", "1"),
    ];
    let config = builder.env_vars("T", env).build().unwrap();
    let source = |key| config.source(key).unwrap().to_string();
    assert_eq!(config.dispatcher.throughput, 1);
    assert_eq!(source("dispatcher.throughput"), "code");
    assert_eq!(config.dispatcher.workers, 4);
    assert_eq!(
        source("dispatcher.workers"),
        "variable T_DISPATCHER_WORKERS"
    );
    assert_eq!(config.dispatchers["io"].workers, 1);
    assert_eq!(config.dispatchers["io"].thread_name, "io");
    assert_eq!(source("mailbox.capacity"), "default");
    #[cfg(feature = "config-file")]
    {
        assert_eq!(config.dispatcher.slice, 2 * MS);
        assert_eq!(source("dispatcher.slice"), "one.toml:2");
        assert_eq!(config.dispatcher.spin, 3 * MS);
        assert_eq!(source("dispatcher.spin"), "two.toml:2");
    }
}

#[test]
fn an_overridden_bad_value_is_still_refused() {
    let env = [("T_DISPATCHER_WORKERS", "4")];
    let builder = Config::builder().workers(0).env_vars("T", env);
    let text = "dispatcher.workers = 0 (code): expected a whole number from 1 to 1024";
    refused(builder, ProblemKind::OutOfRange, text);
}

#[test]
fn a_locked_key_is_codes_alone() {
    let locked = Config::builder().workers(3).lock("dispatcher.workers");
    let config = locked.clone().build().unwrap();
    assert_eq!(config.dispatcher.workers, 3);
    let message = "locked by the program: no file and no variable may set it";
    let env = locked
        .clone()
        .env_vars("T", [("T_DISPATCHER_WORKERS", "4")]);
    let text = format!("dispatcher.workers = 4 (variable T_DISPATCHER_WORKERS): {message}");
    refused(env, ProblemKind::Locked, &text);
    #[cfg(feature = "config-file")]
    {
        let file = locked.toml("app.toml", "[dispatcher]\nspin = \"1us\"\nworkers = 3\n");
        let text = format!("dispatcher.workers = 3 (app.toml:3): {message}");
        refused(file, ProblemKind::Locked, &text);
    }
    let named = Config::builder()
        .lock("dispatchers.io.spin")
        .env_vars("T", [("T_DISPATCHERS_IO_SPIN", "1us")]);
    let text = format!("dispatchers.io.spin = 1us (variable T_DISPATCHERS_IO_SPIN): {message}");
    refused(named, ProblemKind::Locked, &text);
}

#[test]
fn all_problems_of_all_sources_come_together() {
    let builder = Config::builder()
        .workers(0)
        .mailbox_capacity(0)
        .lock("system.nam");
    #[cfg(feature = "config-file")]
    let builder = builder.toml("app.toml", "[dispatcher]\nspin = 5\nslicee = \"1ms\"\n");
    let env = [
        ("T_COMPUTE_THREADS", "x"),
        ("T_SYSTEM_MEMORY_CEILING_BYTES", "1048576"),
    ];
    let builder = builder.mailbox_capacity_bytes(2 << 20).env_vars("T", env);
    let error = builder.build().unwrap_err();
    let mut expected = vec![
        "system.nam (code): no such key, did you mean system.name?",
        "dispatcher.workers = 0 (code): expected a whole number from 1 to 1024",
        "mailbox.capacity = 0 (code): expected a whole number from 1 to 32768",
    ];
    if cfg!(feature = "config-file") {
        expected.extend([
            "dispatcher.spin = 5 (app.toml:2): expected a duration from 0s to 10ms, a whole number with ns, us, ms, s, min, h or d",
            "dispatcher.slicee (app.toml:3): no such key, did you mean dispatcher.slice?",
        ]);
    }
    expected.extend([
        "compute.threads = x (variable T_COMPUTE_THREADS): expected a whole number from 1 to 1024",
        "mailbox.capacity_bytes = 2097152 (code): more than system.memory_ceiling_bytes = 1048576",
    ]);
    let problems = error.problems().iter().map(ToString::to_string);
    assert_eq!(problems.collect::<Vec<_>>(), expected);
    let text = error.to_string();
    let head = format!("{} problems in the configuration\n  ", expected.len());
    assert!(text.starts_with(&head), "{text}");
}

#[test]
fn a_thousand_problems_are_counted_and_a_hundred_shown() {
    let vars = (0..1_000).map(|i| (format!("T_X{i:03}"), "1"));
    let error = Config::builder().env_vars("T", vars).build().unwrap_err();
    assert_eq!((error.problems().len(), error.left_out()), (100, 900));
    assert!(error.to_string().ends_with("\n  and 900 more"));
}

#[test]
fn a_field_changed_in_place_is_checked_again() {
    let mut config = Config::default();
    config.validate().unwrap();
    config.dispatcher.workers = usize::MAX;
    config.system.ask_timeout = Duration::ZERO;
    config
        .dispatchers
        .insert("No".to_owned(), Default::default());
    let error = config.validate().unwrap_err();
    let problems = error
        .problems()
        .iter()
        .map(|problem| (problem.key.as_str(), problem.kind));
    assert_eq!(
        problems.collect::<Vec<_>>(),
        [
            ("dispatchers.No", ProblemKind::OutOfRange),
            ("system.ask_timeout", ProblemKind::OutOfRange),
            ("dispatcher.workers", ProblemKind::OutOfRange),
        ]
    );
}

#[test]
fn configs_are_equal_when_their_values_are() {
    let code = Config::builder().throughput(8).build().unwrap();
    let env = Config::builder().env_vars("T", [("T_DISPATCHER_THROUGHPUT", "8")]);
    assert_eq!(env.build().unwrap(), code);
    assert_ne!(code, Config::default());
    assert_eq!(Config::builder().build().unwrap(), Config::default());
}

#[cfg(feature = "config-file")]
mod file {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_that_breaks_its_language_or_shape_is_refused_with_its_line() {
        use ProblemKind::{Duplicate, UnknownKey, Unreadable, WrongType};
        let section = "expected a section, that is a table of keys";
        let include = "no such key; a configuration includes no other, give the builder each file";
        let none = "no such section, there are system, dispatcher, dispatchers, mailbox, compute";
        let rows: Vec<(&str, ProblemKind, String)> = vec![
            ("[mailbox]\ncapacity = 1\ncapacity = 2\n", Duplicate, "capacity (f:3): set twice in one file".into()),
            ("[mailbox]\n[system]\n[mailbox]\n", Duplicate, "mailbox (f:3): set twice in one file".into()),
            ("mailbox = { capacity = 1, capacity = 1 }", Duplicate, "capacity (f:1): set twice in one file".into()),
            ("include = \"other.toml\"\n", UnknownKey, format!("include (f:1): {include}")),
            ("[system]\ninclude = [\"f\"]\n", UnknownKey, format!("system.include (f:2): {include}")),
            ("\nimport = \"f\"\n", UnknownKey, format!("import (f:2): {include}")),
            ("[extends]\nfile = \"f\"\n", UnknownKey, format!("extends (f:1): {include}")),
            ("workers = 4", UnknownKey, format!("workers (f:1): {none}")),
            ("[dispacher]\nworkers = 4", UnknownKey, "dispacher (f:1): no such section, did you mean dispatcher?".into()),
            ("[dispatcher.io]\nworkers = 4", UnknownKey, "dispatcher.io (f:1): no such key".into()),
            ("[dispatchers.io.deep]\nworkers = 4", UnknownKey, "dispatchers.io.deep (f:1): no such key".into()),
            ("mailbox = 3", WrongType, format!("mailbox = 3 (f:1): {section}")),
            ("[[mailbox]]\ncapacity = 3", WrongType, format!("mailbox = [a table] (f:1): {section}")),
            ("dispatchers = []", WrongType, format!("dispatchers = [] (f:1): {section}")),
            ("[dispatchers]\nworkers = 4", WrongType, format!("dispatchers.workers = 4 (f:2): {section}")),
            (
                "[dispatcher.workers]\nfour = 4",
                WrongType,
                "dispatcher.workers = a table (f:1): expected a whole number from 1 to 1024".into(),
            ),
            (
                "[mailbox]\noverflow = 1",
                WrongType,
                "mailbox.overflow = 1 (f:2): expected one of reject, wait, drop-newest, drop-oldest".into(),
            ),
            (
                "[dispatcher]\nworkers = 999999999999999999999999999999999999999999",
                WrongType,
                "dispatcher.workers = 999999999999999999999999999999999999999999 (f:2): expected a whole number from 1 to 1024".into(),
            ),
            ("[system\n", Unreadable, "f:1: not TOML: unclosed table, expected `]`".into()),
        ];
        for (text, kind, expected) in rows {
            refused(Config::builder().toml("f", text), kind, &expected);
        }
    }

    #[test]
    fn every_broken_line_is_named() {
        let text = "[system]\nname = \n[mailbox]\ncapacity = 1 2\n";
        let error = Config::builder().toml("f", text).build().unwrap_err();
        let sources = error
            .problems()
            .iter()
            .map(|problem| problem.source.to_string());
        let sources: Vec<String> = sources.collect();
        assert!(sources.contains(&"f:2".to_owned()), "{error}");
        assert!(sources.contains(&"f:4".to_owned()), "{error}");
        assert!(
            error
                .problems()
                .iter()
                .all(|p| p.kind == ProblemKind::Unreadable)
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_refused() {
        let folder = std::env::temp_dir().join(format!("mainspring-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let refused_file = |path: &std::path::Path, begins: &str| {
            let error = Config::builder()
                .file(path)
                .build()
                .unwrap_err()
                .to_string();
            let begins = format!("{}: {begins}", path.display());
            assert!(error.starts_with(&begins), "{error}");
        };
        refused_file(&folder.join("missing.toml"), "cannot be read: ");
        refused_file(&folder, "cannot be read: ");
        let garbage = folder.join("garbage.toml");
        std::fs::write(&garbage, [b'#', 0xff, 0xfe]).unwrap();
        refused_file(&garbage, "cannot be read: ");
        let long = folder.join("long.toml");
        std::fs::write(&long, "#".repeat((256 << 10) + 1)).unwrap();
        refused_file(&long, "longer than 262144 bytes");
        if cfg!(target_os = "linux") {
            refused_file("/dev/zero".as_ref(), "longer than 262144 bytes");
        }
        let good = folder.join("good.toml");
        std::fs::write(&good, "[mailbox]\ncapacity = 7\n").unwrap();
        let config = Config::builder().file(&good).build().unwrap();
        assert_eq!(config.mailbox.capacity, 7);
        let (path, line) = (good, Some(2));
        assert_eq!(
            config.source("mailbox.capacity"),
            Some(Source::File { path, line })
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn deep_nesting_and_many_keys_end_in_an_error() {
        let arrays = format!("[dispatcher]\npinning = {}", "[".repeat(100_000));
        Config::builder().toml("f", arrays).build().unwrap_err();
        let tables = format!("[{}]", vec!["a"; 50_000].join("."));
        Config::builder().toml("f", tables).build().unwrap_err();
        let keys: String = (0..20_000).map(|i| format!("x{i}=1\n")).collect();
        let error = Config::builder().toml("f", keys).build().unwrap_err();
        assert_eq!((error.problems().len(), error.left_out()), (100, 19_900));
    }

    #[test]
    fn a_config_written_and_read_back_is_the_same() {
        let config = Config::builder()
            .name("round.trip-1")
            .throughput(7)
            .slice(Duration::from_nanos(12_345_678))
            .memory_ceiling_bytes(1 << 46)
            .mailbox_overflow(mainspring::config::Overflow::DropOldest)
            .mailbox_when_full(mainspring::config::WhenFull::Refuse)
            .dispatcher("io", |io| io.workers(2).lifo_cap(0))
            .dispatcher("a_2", |d| d)
            .build()
            .unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
        let read = Config::builder().toml("f", text).build().unwrap();
        assert_eq!(read, config);
    }

    #[cfg(all(feature = "affinity", target_os = "linux"))]
    #[test]
    fn a_list_of_cores_is_written_as_a_list() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mut lines = status.lines();
        let mask = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let first: usize = mask
            .unwrap()
            .trim()
            .split(['-', ','])
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let config = Config::builder().pinning(Pinning::Cores(vec![first, first]));
        let config = config.build().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert!(
            text.contains(&format!("pinning = [{first}, {first}]")),
            "{text}"
        );
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    proptest! {
        /// Cuts, repeats and swaps of a good file: a config that passes its own check, or an error.
        #[test]
        fn a_mangled_file_never_panics_and_never_slips_by(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        ) {
            let config = Config::builder().dispatcher("io", |io| io).build().unwrap();
            let mut bytes = toml::to_string(&config).unwrap().into_bytes();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                match byte % 4 {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte / 2),
                    2 => { bytes.remove(at); }
                    _ => bytes.swap(at, 0),
                }
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match Config::builder().toml("f", text).build() {
                Ok(config) => prop_assert!(config.validate().is_ok()),
                Err(error) => prop_assert!(!error.problems().is_empty()),
            }
        }
    }
}
