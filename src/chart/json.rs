//! A JSON reader that keeps places and the order of keys, so that problems can say where.

use super::model::Place;
use super::value::{Name, Value};

/// Deeper nesting is refused rather than risking the stack.
const DEPTH_MAX: u32 = 200;

/// Up to this many keys are compared one by one; more are hashed.
const FEW: usize = 8;

/// A JSON value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Json {
    pub(crate) place: Place,
    pub(crate) kind: JsonKind,
}

#[derive(Clone, Debug)]
pub(crate) enum JsonKind {
    Null,
    Bool(bool),
    Num(f64),
    Str(String),
    List(Vec<Json>),
    /// In ECMAScript's order: array indices ascending, then the rest as written.
    Map(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn parse(text: &str) -> Result<Self, (Place, String)> {
        let mut reader = Reader {
            text,
            at: 0,
            depth: 0,
        };
        let value = reader.value()?;
        reader.space();
        if reader.at < text.len() {
            return Err(reader.wrong("the end of the text"));
        }
        Ok(value)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.fields()
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v)
            .filter(|v| !matches!(v.kind, JsonKind::Null))
    }

    pub(crate) fn fields(&self) -> &[(String, Self)] {
        match &self.kind {
            JsonKind::Map(fields) => fields,
            _ => &[],
        }
    }

    pub(crate) fn str(&self) -> Option<&str> {
        match &self.kind {
            JsonKind::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The items of a list; anything else is a list of itself.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            JsonKind::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        matches!(self.kind, JsonKind::Bool(true))
    }

    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            JsonKind::Null => Value::Null,
            JsonKind::Bool(b) => Value::Bool(*b),
            JsonKind::Num(n) => Value::Num(*n),
            JsonKind::Str(s) => Value::str(s),
            JsonKind::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            JsonKind::Map(fields) => Value::Map(
                fields
                    .iter()
                    .map(|(k, v)| (Name::from(k.as_str()), v.to_value()))
                    .collect(),
            ),
        }
    }
}

/// Parses JSON text as a value.
pub(crate) fn parse_value(text: &str) -> Result<Value, String> {
    Json::parse(text)
        .map(|json| json.to_value())
        .map_err(|(place, what)| format!("{}:{}: {what}", place.line, place.column))
}

/// Puts the keys that are array indices first, ascending, as ECMAScript does.
fn in_property_order(mut fields: Vec<(String, Json)>) -> Vec<(String, Json)> {
    let index = |key: &str| -> Option<u32> {
        let n: u32 = key.parse().ok()?;
        (n != u32::MAX && n.to_string() == key).then_some(n)
    };
    fields.sort_by_cached_key(|(key, _)| index(key).map_or(u64::MAX, u64::from));
    fields
}

/// The places of two fields with the same key.
fn twice(fields: &[(String, Json)]) -> Option<[usize; 2]> {
    let mut seen = hashbrown::HashMap::new();
    fields.iter().enumerate().find_map(|(second, (key, _))| {
        let first = match fields.len() {
            0..=FEW => fields[..second].iter().position(|(other, _)| other == key),
            _ => seen.insert(key, second),
        };
        first.map(|first| [first, second])
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

type Read<T> = Result<T, (Place, String)>;

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn place(&self) -> Place {
        place_at(self.text, self.at)
    }

    fn wrong(&self, expected: &str) -> (Place, String) {
        let found = match self.text[self.at..].chars().next() {
            Some(c) => format!("{c:?}"),
            None => "the end".to_owned(),
        };
        (self.place(), format!("expected {expected}, found {found}"))
    }

    fn expect(&mut self, byte: u8, what: &str) -> Read<()> {
        self.space();
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.wrong(what))
        }
    }

    fn value(&mut self) -> Read<Json> {
        self.space();
        if self.depth >= DEPTH_MAX {
            return Err((
                self.place(),
                format!("nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        let start = self.at;
        self.depth += 1;
        let kind = match self.peek() {
            Some(b'{') => self.map()?,
            Some(b'[') => self.list()?,
            Some(b'"') => JsonKind::Str(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        self.depth -= 1;
        // Places are kept as offsets until `Places` turns them into lines.
        Ok(Json {
            place: Place {
                line: 0,
                column: start as u32,
            },
            kind,
        })
    }

    fn map(&mut self) -> Read<JsonKind> {
        self.at += 1;
        let (mut fields, mut starts) = (Vec::new(), Vec::new());
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(JsonKind::Map(fields));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a key in double quotes"));
            }
            starts.push(self.at);
            let key = self.string()?;
            self.expect(b':', "':'")?;
            fields.push((key, self.value()?));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    if let Some([first, second]) = twice(&fields) {
                        let at = |field: usize| place_at(self.text, starts[field]);
                        let (key, line) = (&fields[first].0, at(first).line);
                        let what = format!("the key {key:?} is there twice, first in line {line}");
                        return Err((at(second), what));
                    }
                    return Ok(JsonKind::Map(in_property_order(fields)));
                }
                _ => return Err(self.wrong("',' or '}'")),
            }
        }
    }

    fn list(&mut self) -> Read<JsonKind> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(JsonKind::List(items));
        }
        loop {
            items.push(self.value()?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(JsonKind::List(items));
                }
                _ => return Err(self.wrong("',' or ']'")),
            }
        }
    }

    fn string(&mut self) -> Read<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(c) = rest.chars().next() else {
                return Err(self.wrong("'\"'"));
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => out.push(self.escape()?),
                c if (c as u32) < 0x20 => return Err(self.wrong("no control character in a text")),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let c = self.peek().ok_or_else(|| self.wrong("an escape"))?;
        self.at += 1;
        Ok(match c {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                if (0xD800..0xDC00).contains(&high) && self.text[self.at..].starts_with("\\u") {
                    let back = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xDC00..0xE000).contains(&low) {
                        let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                        return Ok(char::from_u32(code).unwrap_or('\u{FFFD}'));
                    }
                    self.at = back;
                }
                char::from_u32(high).unwrap_or('\u{FFFD}')
            }
            _ => {
                self.at -= 1;
                return Err(self.wrong("an escape"));
            }
        })
    }

    fn hex(&mut self) -> Read<u32> {
        let digits = self.text.get(self.at..self.at + 4);
        match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(n) => {
                self.at += 4;
                Ok(n)
            }
            None => Err(self.wrong("four hexadecimal digits")),
        }
    }

    fn number(&mut self) -> Read<JsonKind> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
        ) {
            self.at += 1;
        }
        match self.text[start..self.at].parse::<f64>() {
            Ok(n) => Ok(JsonKind::Num(n)),
            Err(_) => {
                self.at = start;
                Err(self.wrong("a number"))
            }
        }
    }

    fn word(&mut self) -> Read<JsonKind> {
        for (word, kind) in [
            ("true", JsonKind::Bool(true)),
            ("false", JsonKind::Bool(false)),
            ("null", JsonKind::Null),
        ] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(kind);
            }
        }
        Err(self.wrong("a value"))
    }
}

/// The line and column of a byte offset; counts from 1.
pub(crate) fn place_at(text: &str, offset: usize) -> Place {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|&&b| b == b'\n').count() as u32 + 1;
    let start = before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |n| n + 1);
    Place {
        line,
        column: (before.len() - start) as u32 + 1,
    }
}

/// Turns byte offsets into lines and columns, in O(log lines) each.
pub(crate) struct Places(Vec<usize>);

impl Places {
    pub(crate) fn new(text: &str) -> Self {
        let mut starts = vec![0];
        starts.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(at, _)| at + 1),
        );
        Self(starts)
    }

    pub(crate) fn at(&self, offset: usize) -> Place {
        let line = self.0.partition_point(|&start| start <= offset);
        Place {
            line: line as u32,
            column: (offset - self.0[line - 1]) as u32 + 1,
        }
    }
}
