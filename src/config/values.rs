//! The values a key can hold, and the one rule of each kind: how it is read and what is allowed.
//!
//! ```text
//!   code:  Duration, usize, Pinning … ── Field::to_value ──┐
//!   file:  Node (a tree with lines)   ── Kind::read_node ──┼─▶ Value ── Kind::check ──▶ a field
//!   text:  variables, `set`           ── Kind::read_text ──┘
//! ```

use std::fmt;
use std::time::Duration;

use crate::dispatcher::pinning::CORE_MAX;

/// Which cores a group of threads is bound to. Never outside the process's affinity mask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pinning {
    /// Threads run where the system puts them.
    #[default]
    None,
    /// Neighboring cores first: siblings of one core, then one cache, then one package.
    Compact,
    /// Cores as far apart as possible: packages, then caches, then cores; siblings last.
    Spread,
    /// Thread `i` runs on the `i`-th core listed; one core for each thread.
    Cores(Vec<usize>),
}

impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Compact => f.write_str("compact"),
            Self::Spread => f.write_str("spread"),
            Self::Cores(cores) => {
                for (i, core) in cores.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{core}")?;
                }
                Ok(())
            }
        }
    }
}

/// An enum that is written as one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            pub(super) const WORDS: &'static [&'static str] = &[$($word),*];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl Field for $name {
            fn to_value(&self) -> Value {
                Value::Text(self.word().to_owned())
            }

            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Text(word) => match word.as_str() {
                        $($word => Some(Self::$variant),)*
                        _ => None,
                    },
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// What a send does when the mailbox holds its capacity.
    Overflow {
        /// The send fails and gives the message back.
        #[default]
        Reject = "reject",
        /// The sender waits for room.
        Wait = "wait",
        /// The message sent becomes a dead letter.
        DropNewest = "drop-newest",
        /// The oldest queued message becomes a dead letter.
        DropOldest = "drop-oldest",
    }
}

words! {
    /// What an actor's own plan does when one of its targets has no room.
    WhenFull {
        /// The actor waits for room, at most the commit deadline; its worker does not.
        #[default]
        Wait = "wait",
        /// The turn fails and nothing of its plan happens.
        Refuse = "refuse",
        /// The message becomes a dead letter; the rest of the plan happens.
        Drop = "drop",
    }
}

words! {
    /// What follows where a behavior decides twice on the same message and machine, and not the
    /// same; see [`System::check_decisions`](crate::System::check_decisions).
    HiddenState {
        /// The turn panics, and its actor ends: a failure of its test.
        #[default]
        Panic = "panic",
        /// It is said on the standard error, once for each behavior.
        Warn = "warn",
    }
}

words! {
    /// Whether messages say where they came from.
    Origins {
        /// They don't, and nothing is spent on it.
        #[default]
        Off = "off",
        /// Each has an [`Origin`](crate::Origin).
        On = "on",
    }
}

/// A value on its way to a field, the same for every source.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Whole(i128),
    Time(Duration),
    Text(String),
    Pinning(Pinning),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Time(time) => f.write_str(&duration_text(*time)),
            Self::Text(text) => f.write_str(text),
            Self::Pinning(pinning) => pinning.fmt(f),
        }
    }
}

/// A field's type, to and from [`Value`].
pub(super) trait Field: Sized {
    fn to_value(&self) -> Value;
    /// `None` when the value is none of this type's; a checked one always is.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! whole_field {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn to_value(&self) -> Value {
                // No field is wider than 64 bits.
                Value::Whole(*self as i128)
            }

            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Whole(number) => (*number).try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

whole_field!(usize, u64);

macro_rules! plain_field {
    ($($type:ty => $variant:ident),*) => {$(
        impl Field for $type {
            fn to_value(&self) -> Value {
                Value::$variant(self.clone())
            }

            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$variant(inner) => Some(inner.clone()),
                    _ => None,
                }
            }
        }
    )*};
}

plain_field!(Duration => Time, String => Text, Pinning => Pinning);

/// What a source that is not code says: a tree of plain data.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) data: Data,
    /// The line it stands on, where there is one.
    pub(super) line: Option<u32>,
}

/// The data of a [`Node`].
#[derive(Clone, Debug)]
pub(super) enum Data {
    Whole(i128),
    Text(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    /// A kind that no key takes, as it was written: true, 1.5, a date.
    Other(String),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Data::Whole(number) => number.fmt(f),
            Data::Text(text) => write!(f, "{text:?}"),
            Data::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            Data::Table(_) => f.write_str("a table"),
            Data::Other(text) => f.write_str(text),
        }
    }
}

/// Why a value is none for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    Type,
    Range,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Whole { min: i128, max: i128 },
    Time { min: Duration, max: Duration },
    Name { bytes_max: usize },
    Choice(&'static [&'static str]),
    Pinning,
}

impl Kind {
    /// The rule: every value passes here, whatever its source.
    pub(super) fn check(&self, value: &Value) -> Result<(), Mismatch> {
        let fits = match (self, value) {
            (Self::Whole { min, max }, Value::Whole(number)) => (min..=max).contains(&number),
            (Self::Time { min, max }, Value::Time(time)) => (min..=max).contains(&time),
            (Self::Name { bytes_max }, Value::Text(text)) => is_name(text, *bytes_max),
            (Self::Choice(words), Value::Text(text)) => words.contains(&text.as_str()),
            (Self::Pinning, Value::Pinning(Pinning::Cores(cores))) => {
                (1..=CORE_MAX + 1).contains(&cores.len())
                    && cores.iter().all(|core| *core <= CORE_MAX)
            }
            (Self::Pinning, Value::Pinning(_)) => true,
            _ => return Err(Mismatch::Type),
        };
        if fits { Ok(()) } else { Err(Mismatch::Range) }
    }

    /// Reads a text, as a variable holds it.
    pub(super) fn read_text(&self, text: &str) -> Result<Value, Mismatch> {
        let text = text.trim();
        match self {
            Self::Whole { .. } => whole(text).map(Value::Whole),
            Self::Time { .. } => duration(text).map(Value::Time),
            Self::Name { .. } | Self::Choice(_) => Ok(Value::Text(text.to_owned())),
            Self::Pinning => match text {
                "none" => Ok(Value::Pinning(Pinning::None)),
                "compact" => Ok(Value::Pinning(Pinning::Compact)),
                "spread" => Ok(Value::Pinning(Pinning::Spread)),
                list => cores(list.split(',').map(|core| whole(core.trim()))),
            },
        }
    }

    /// Reads a node of a tree; text and numbers are not taken for one another.
    pub(super) fn read_node(&self, node: &Node) -> Result<Value, Mismatch> {
        match (self, &node.data) {
            (Self::Whole { .. }, Data::Whole(number)) => Ok(Value::Whole(*number)),
            (Self::Pinning, Data::List(items)) => cores(items.iter().map(|item| match item.data {
                Data::Whole(number) => Ok(number),
                _ => Err(Mismatch::Type),
            })),
            (Self::Whole { .. }, _) => Err(Mismatch::Type),
            (_, Data::Text(text)) => self.read_text(text),
            _ => Err(Mismatch::Type),
        }
    }
}

/// What is allowed, as errors and the key table say it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Time { min, max } => write!(
                f,
                "a duration from {} to {}, a whole number with ns, us, ms, s, min, h or d",
                duration_text(*min),
                duration_text(*max)
            ),
            Self::Name { bytes_max } => write!(
                f,
                "1 to {bytes_max} of the characters a-z, A-Z, 0-9, `-`, `_` and `.`"
            ),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::Pinning => write!(
                f,
                "none, compact, spread or a list of cores from 0 to {CORE_MAX}"
            ),
        }
    }
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(plain)
}

/// Reads `1024`, `1_024` or `-1`.
fn whole(text: &str) -> Result<i128, Mismatch> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    Ok(sign * natural(digits)?)
}

/// Digits, with single `_` between them. Past `i128` it stays there: no key allows as much.
fn natural(text: &str) -> Result<i128, Mismatch> {
    let mut number: i128 = 0;
    for group in text.split('_') {
        if group.is_empty() {
            return Err(Mismatch::Type);
        }
        for digit in group.bytes() {
            if !digit.is_ascii_digit() {
                return Err(Mismatch::Type);
            }
            let digit = i128::from(digit - b'0');
            number = number.saturating_mul(10).saturating_add(digit);
        }
    }
    Ok(number)
}

fn cores(items: impl Iterator<Item = Result<i128, Mismatch>>) -> Result<Value, Mismatch> {
    let numbers = items.collect::<Result<Vec<i128>, Mismatch>>()?;
    let cores = numbers.into_iter().map(usize::try_from);
    let cores: Result<Vec<usize>, _> = cores.collect();
    let cores = cores.map_err(|_| Mismatch::Range)?;
    Ok(Value::Pinning(Pinning::Cores(cores)))
}

/// The units of a duration and their nanoseconds, longest first.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads `50us`, `1 ms`, `2min`: a whole number and a unit.
fn duration(text: &str) -> Result<Duration, Mismatch> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'_');
    let (number, unit) = text.split_at(digits.count());
    let number = natural(number)?.unsigned_abs();
    let unit = unit.trim_start();
    let (_, unit_ns) = *UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(Mismatch::Type)?;
    if negative {
        return Err(Mismatch::Range);
    }
    let ns = number.checked_mul(unit_ns).ok_or(Mismatch::Range)?;
    let secs = u64::try_from(ns / 1_000_000_000).map_err(|_| Mismatch::Range)?;
    Ok(Duration::new(secs, (ns % 1_000_000_000) as u32))
}

/// A duration in the longest unit that leaves a whole number; read back it is the same.
pub(super) fn duration_text(time: Duration) -> String {
    let ns = time.as_nanos();
    if ns == 0 {
        return "0s".to_owned();
    }
    let fits = UNITS
        .iter()
        .find(|(_, unit_ns)| ns.is_multiple_of(*unit_ns));
    let (unit, unit_ns) = fits.expect("every duration is a whole number of nanoseconds");
    format!("{}{unit}", ns / unit_ns)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let rows = [
            ("50us", Ok(Duration::from_micros(50))),
            ("1ms", Ok(Duration::from_millis(1))),
            ("5s", Ok(Duration::from_secs(5))),
            ("2min", Ok(Duration::from_secs(120))),
            ("1 h", Ok(Duration::from_secs(3_600))),
            ("365d", Ok(Duration::from_secs(31_536_000))),
            ("1_000ns", Ok(Duration::from_micros(1))),
            ("0s", Ok(Duration::ZERO)),
            ("-5s", Err(Mismatch::Range)),
            ("-0s", Err(Mismatch::Range)),
            (
                "999999999999999999999999999999999999999d",
                Err(Mismatch::Range),
            ),
            ("18446744073709551616s", Err(Mismatch::Range)),
            ("", Err(Mismatch::Type)),
            ("5", Err(Mismatch::Type)),
            ("s", Err(Mismatch::Type)),
            ("1.5s", Err(Mismatch::Type)),
            ("1e3s", Err(Mismatch::Type)),
            ("NaN", Err(Mismatch::Type)),
            ("inf", Err(Mismatch::Type)),
            ("5 fortnights", Err(Mismatch::Type)),
            ("5S", Err(Mismatch::Type)),
            ("1s 5ms", Err(Mismatch::Type)),
            ("_5s", Err(Mismatch::Type)),
            ("٥s", Err(Mismatch::Type)),
        ];
        for (text, expected) in rows {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_whole_number_may_have_a_sign_and_underscores() {
        let rows = [
            ("0", Ok(0)),
            ("+7", Ok(7)),
            ("-7", Ok(-7)),
            ("65_536", Ok(65_536)),
            ("9".repeat(60).as_str(), Ok(i128::MAX)),
            ("", Err(Mismatch::Type)),
            ("-", Err(Mismatch::Type)),
            ("--1", Err(Mismatch::Type)),
            ("1__0", Err(Mismatch::Type)),
            ("1_", Err(Mismatch::Type)),
            ("0x10", Err(Mismatch::Type)),
            ("4.0", Err(Mismatch::Type)),
            ("1 0", Err(Mismatch::Type)),
        ]
        .map(|(text, expected)| (text.to_owned(), expected));
        for (text, expected) in rows {
            assert_eq!(whole(&text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_read_back_is_the_same(secs in any::<u64>(), ns in 0u32..1_000_000_000) {
            let time = Duration::new(secs, ns);
            prop_assert_eq!(duration(&duration_text(time)), Ok(time));
        }

        #[test]
        fn any_text_is_read_or_refused_by_every_kind(text in ".{0,40}") {
            let kinds = [
                Kind::Whole { min: 0, max: 9 },
                Kind::Time { min: Duration::ZERO, max: Duration::MAX },
                Kind::Name { bytes_max: 8 },
                Kind::Choice(Overflow::WORDS),
                Kind::Pinning,
            ];
            for kind in kinds {
                if let Ok(value) = kind.read_text(&text) {
                    // What is read and fits reads the same from its own text.
                    if kind.check(&value).is_ok() {
                        prop_assert_eq!(kind.read_text(&value.to_string()), Ok(value));
                    }
                }
            }
        }
    }
}
