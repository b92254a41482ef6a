//! The data of loaded charts: values as JSON and ECMAScript know them, events, faults, effects.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A name that is cheap to copy.
pub type Name = Arc<str>;

/// A JSON value, or none.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Not there at all.
    #[default]
    Undefined,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Num(f64),
    /// A text.
    Str(Name),
    /// A list.
    List(Vec<Value>),
    /// Fields in the order in which they were set.
    Map(Vec<(Name, Value)>),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Num(a), Self::Num(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(k, v)| other.field(k) == Some(v))
            }
            _ => false,
        }
    }
}

impl Value {
    /// A text.
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(text.as_ref().into())
    }

    /// The field called `name`.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.iter().find(|(k, _)| &**k == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Sets the field called `name`; a value that is no map becomes one.
    pub fn set_field(&mut self, name: &str, value: Self) {
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(Vec::new());
        }
        if let Self::Map(fields) = self {
            match fields.iter_mut().find(|(k, _)| &**k == name) {
                Some((_, old)) => *old = value,
                None => fields.push((name.into(), value)),
            }
        }
    }

    /// The number, if it is one.
    pub fn num(&self) -> Option<f64> {
        match self {
            Self::Num(n) => Some(*n),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            _ => None,
        }
    }

    /// Whether it is not there at all.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined)
    }

    /// Itself, or `null` where it is not there.
    pub fn or_null(self) -> Self {
        match self {
            Self::Undefined => Self::Null,
            other => other,
        }
    }

    /// JSON without spaces and with sorted keys; what JSON cannot say is `null`.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Undefined | Self::Null => out.push_str("null"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Num(n) if n.is_finite() => out.push_str(&number(*n)),
            Self::Num(_) => out.push_str("null"),
            Self::Str(s) => quote(s, out),
            Self::List(items) => {
                out.push('[');
                for (nth, item) in items.iter().enumerate() {
                    if nth > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::Map(fields) => {
                let mut sorted: Vec<_> = fields.iter().filter(|(_, v)| !v.is_undefined()).collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                out.push('{');
                for (nth, (key, value)) in sorted.into_iter().enumerate() {
                    if nth > 0 {
                        out.push(',');
                    }
                    quote(key, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

/// A number as ECMAScript writes it, for the magnitudes in which that is plain decimal.
pub(crate) fn number(n: f64) -> String {
    if n.is_nan() {
        "NaN".into()
    } else if n.is_infinite() {
        if n > 0.0 { "Infinity" } else { "-Infinity" }.into()
    } else if n == 0.0 {
        "0".into()
    } else if n.abs() >= 1e21 || n.abs() < 1e-6 {
        let text = format!("{n:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        }
    } else {
        format!("{n}")
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Num(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::str(s)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Undefined | Self::Null => serializer.serialize_unit(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Num(n) if n.fract() == 0.0 && n.abs() < 9e15 => {
                serializer.serialize_i64(*n as i64)
            }
            Self::Num(n) => serializer.serialize_f64(*n),
            Self::Str(s) => serializer.serialize_str(s),
            Self::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Map(fields) => {
                let mut map = serializer.serialize_map(None)?;
                for (key, value) in fields.iter().filter(|(_, v)| !v.is_undefined()) {
                    map.serialize_entry(&**key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
                d.deserialize_any(Self)
            }

            fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
                Ok(Value::Bool(b))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
                Ok(Value::Num(n as f64))
            }

            fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
                Ok(Value::Num(n as f64))
            }

            fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
                Ok(Value::Num(n))
            }

            fn visit_str<E>(self, s: &str) -> Result<Value, E> {
                Ok(Value::str(s))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Value::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut fields: Vec<(Name, Value)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    fields.push((key.into(), value));
                }
                Ok(Value::Map(fields))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What a loaded chart takes and sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// What it is called.
    pub name: Name,
    /// What it carries: for XState its fields, for SCXML `_event.data`.
    pub data: Value,
    /// Where it is from, if anybody should know.
    pub origin: Option<Box<Origin>>,
}

/// SCXML's fields of an event besides name and data.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Origin {
    /// `platform`, `internal` or `external`.
    pub kind: &'static str,
    /// The id of the `<send>` that failed or asked for it.
    #[serde(skip_serializing_if = "Value::is_undefined")]
    pub sendid: Value,
    /// An address that answers.
    #[serde(skip_serializing_if = "Value::is_undefined")]
    pub origin: Value,
    /// The I/O processor behind that address.
    #[serde(skip_serializing_if = "Value::is_undefined")]
    pub origintype: Value,
    /// The invocation it came from.
    #[serde(skip_serializing_if = "Value::is_undefined")]
    pub invokeid: Value,
}

/// An [`Origin`] as it is read: its kind may be any text.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedOrigin {
    kind: String,
    #[serde(default)]
    sendid: Value,
    #[serde(default)]
    origin: Value,
    #[serde(default)]
    origintype: Value,
    #[serde(default)]
    invokeid: Value,
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const KINDS: [&str; 3] = ["platform", "internal", "external"];
        let saved = SavedOrigin::deserialize(deserializer)?;
        let kind = KINDS.into_iter().find(|kind| *kind == saved.kind);
        Ok(Self {
            kind: kind.ok_or_else(|| D::Error::unknown_variant(&saved.kind, &KINDS))?,
            sendid: saved.sendid,
            origin: saved.origin,
            origintype: saved.origintype,
            invokeid: saved.invokeid,
        })
    }
}

impl Event {
    /// An event without data.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            data: Value::Undefined,
            origin: None,
        }
    }

    /// The same with `data`.
    pub fn with(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    /// The same with a field of its data set.
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.data.set_field(name, value);
        self
    }
}

/// Why an action or a guard failed. One pointer wide, so that success stays cheap to return.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault(Box<Failure>);

/// What a [`Fault`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FaultKind,
    /// What was thrown, or the text of the failure.
    pub value: Value,
    /// The `<send>` that failed, if one did.
    pub sendid: Option<Name>,
}

impl std::ops::Deref for Fault {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl std::ops::DerefMut for Fault {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        *fault.0
    }
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An expression or an action failed: `error.execution`.
    Execution,
    /// A message could not be sent: `error.communication`.
    Communication,
    /// An action threw a value of its own.
    Thrown,
}

impl Fault {
    /// A failed expression or action.
    pub fn execution(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::Execution, Value::str(message))
    }

    /// A message that reached nobody.
    pub fn communication(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::Communication, Value::str(message))
    }

    /// An action that throws `value`.
    pub fn thrown(value: Value) -> Self {
        Self::new(FaultKind::Thrown, value)
    }

    fn new(kind: FaultKind, value: Value) -> Self {
        Self::from(Failure {
            kind,
            value,
            sendid: None,
        })
    }

    /// What was thrown, or the text of the failure.
    pub fn into_value(self) -> Value {
        self.0.value
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.value {
            Value::Str(text) => f.write_str(text),
            other => f.write_str(&other.to_json()),
        }
    }
}

impl std::error::Error for Fault {}

/// Where a sent event goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The chart's own mailbox.
    Myself,
    /// The chart's internal queue, when a delayed raise falls due.
    Internal,
    /// Who started this chart.
    Parent,
    /// A child by its id.
    Child(Name),
    /// Anything else: an address for the host to resolve.
    Address(Name),
}

/// What a loaded chart asks of its host, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A line for the log.
    Log {
        /// Its label.
        label: Name,
        /// Its value, if it has one.
        value: Option<Value>,
    },
    /// Send an event, now or after a delay.
    Send {
        /// What.
        event: Event,
        /// Where.
        target: Target,
        /// After so many milliseconds; `None` is now.
        delay_ms: Option<u64>,
        /// The name by which it can be cancelled.
        id: Option<Name>,
    },
    /// Cancel the delayed event of that name.
    Cancel(Name),
    /// Start a child.
    Start(Start),
    /// Stop the child of that id.
    Stop(Name),
    /// Tell whoever listens.
    Emit(Event),
    /// The chart is done, with this output.
    Done(Value),
    /// The chart failed while it started; effects from here on are void.
    Fail(Fault),
}

/// A child to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The child's id in its parent.
    pub id: Name,
    /// What to start: a name bound by the host, or an address.
    pub source: Name,
    /// The place of an embedded chart among its parent's, if that is the source.
    pub embedded: Option<u32>,
    /// Its input.
    pub input: Value,
    /// Whether external events of the parent are forwarded to it.
    pub autoforward: bool,
    /// The action to run before the parent sees an event from it.
    pub finalize: Option<u32>,
}
