//! What actions and guards do, apart from how either format writes it.

use super::super::json::parse_value;
use super::super::model::StateId;
use super::super::scxml::expr::{Token, tokens};
use super::super::value::{Value, number};

/// What vocabulary and small language both count digits modulo.
const DIGITS_MODULO: f64 = 1_000_000_007.0;

/// One thing that a block does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Log(String),
    /// Logs a variable under its own name.
    Show(String),
    Set(String, Value),
    Copy {
        to: String,
        from: String,
    },
    Add(String, f64),
    Multiply(String, f64),
    /// Appends a decimal digit.
    Digit(String, f64),
    Raise(String),
    Send {
        event: String,
        delay_ms: Option<u64>,
        id: Option<String>,
    },
    Cancel(String),
    If {
        test: Test,
        yes: Vec<Act>,
        no: Vec<Act>,
    },
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Op {
    /// The vocabulary's verb and sign, ECMAScript's sign.
    const ALL: [(Self, &'static str, &'static str, &'static str); 6] = [
        (Self::Equal, "eq", "=", "==="),
        (Self::Unequal, "ne", "!=", "!=="),
        (Self::Less, "lt", "<", "<"),
        (Self::AtMost, "le", "<=", "<="),
        (Self::More, "gt", ">", ">"),
        (Self::AtLeast, "ge", ">=", ">="),
    ];

    fn words(self) -> (&'static str, &'static str, &'static str) {
        let found = Self::ALL.into_iter().find(|(op, ..)| *op == self);
        let (_, verb, sign, script) = found.expect("every operator is listed");
        (verb, sign, script)
    }

    /// What holds where this does not, for numbers.
    fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::Unequal,
            Self::Unequal => Self::Equal,
            Self::Less => Self::AtLeast,
            Self::AtLeast => Self::Less,
            Self::More => Self::AtMost,
            Self::AtMost => Self::More,
        }
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Always(bool),
    Compare(String, Op, Value),
    Odd(String),
    In(StateId),
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
}

/// The variables of a chart, and whether all that is ever in them is numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    pub(super) names: Vec<String>,
    pub(super) are_numbers: bool,
}

impl Variables {
    fn known(&self, name: &str) -> Result<String, String> {
        if !is_variable(name) {
            return Err(format!("{name:?} is no variable's name"));
        }
        if self.names.iter().any(|n| n == name) {
            return Ok(name.to_owned());
        }
        Err(format!("the variable {name:?} has no value at the start"))
    }

    fn counting(&self, name: &str) -> Result<String, String> {
        if self.are_numbers {
            return self.known(name);
        }
        Err(format!(
            "{name:?} may be no number, and the formats calculate differently with what is none"
        ))
    }
}

pub(super) fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
        && !matches!(
            name,
            "true" | "false" | "null" | "undefined" | "typeof" | "In" | "NaN" | "in" | "_event"
        )
}

/// A value that is the same text in JSON, in an expression, and inside of an attribute.
pub(super) fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Num(n) => n.is_finite(),
        Value::Str(text) => !text.contains(|c: char| c == '\\' || c == '"' || c.is_control()),
        _ => false,
    }
}

/// An event's name that no other part of a text can be taken for.
pub(super) fn event_name(name: &str) -> Result<String, String> {
    let odd = |c: char| c.is_whitespace() || "@#{}*\\;|?".contains(c);
    if name.is_empty() || name.contains(odd) {
        return Err(format!("{name:?} is an event's name in one format only"));
    }
    for taken in ["error", "done", "xstate"] {
        let rest = name.strip_prefix(taken);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
            return Err(format!("{name:?} is a name of the engine's own events"));
        }
    }
    Ok(name.to_owned())
}

fn constant(text: &str) -> Result<Value, String> {
    let value = parse_value(text).map_err(|_| format!("{text:?} is no JSON"))?;
    if is_plain(&value) {
        return Ok(value);
    }
    Err(format!("{text} is no plain value"))
}

fn num(text: &str) -> Result<f64, String> {
    match constant(text)? {
        Value::Num(n) => Ok(n),
        other => Err(format!("{} is no number", other.to_json())),
    }
}

// The vocabulary.

/// Reads an action of the vocabulary; `seq` may be several.
pub(super) fn read_action(text: &str, vars: &Variables) -> Result<Vec<Act>, String> {
    read_nested(text, vars, 0)
}

/// Nested deeper than this an action is refused.
const DEPTH_MAX: u32 = 100;

fn read_nested(text: &str, vars: &Variables, depth: u32) -> Result<Vec<Act>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("nested deeper than {DEPTH_MAX} levels"));
    }
    let (verb, rest) = text.split_once(':').unwrap_or((text, ""));
    let (left, right) = rest.split_once('=').unwrap_or((rest, ""));
    Ok(vec![match verb {
        "log" => Act::Log(rest.to_owned()),
        "show" => Act::Show(vars.known(rest)?),
        "set" => Act::Set(vars.known(left)?, constant(right)?),
        "inc" => Act::Add(vars.counting(rest)?, 1.0),
        "dec" => Act::Add(vars.counting(rest)?, -1.0),
        "add" => Act::Add(vars.counting(left)?, num(right)?),
        "mul" => Act::Multiply(vars.counting(left)?, num(right)?),
        "dig" => Act::Digit(vars.counting(left)?, num(right)?),
        "copy" => Act::Copy {
            to: vars.known(left)?,
            from: vars.known(right)?,
        },
        "raise" | "send" => {
            let (event, delay_ms, id) = read_sent(rest)?;
            match (verb, delay_ms) {
                ("raise", None) => Act::Raise(event),
                _ => Act::Send {
                    event,
                    delay_ms,
                    id,
                },
            }
        }
        "cancel" => Act::Cancel(rest.to_owned()),
        "seq" => return read_actions(rest, vars, depth + 1),
        "if" => {
            let (test, branches) = rest.split_once('?').unwrap_or((rest, ""));
            let (yes, no) = branches.split_once('|').unwrap_or((branches, ""));
            Act::If {
                test: read_guard(test, vars)?,
                yes: read_actions(yes, vars, depth + 1)?,
                no: read_actions(no, vars, depth + 1)?,
            }
        }
        "evt" | "evdata" | "ev" | "sendto" | "parent" | "fwd" | "emit" | "spawn" | "stop"
        | "throw" => return Err("a document has no words for it".to_owned()),
        _ => return Err("what it does is known to its host alone".to_owned()),
    }])
}

fn read_actions(text: &str, vars: &Variables, depth: u32) -> Result<Vec<Act>, String> {
    let mut acts = Vec::new();
    for part in text.split(';').filter(|part| !part.is_empty()) {
        acts.extend(read_nested(part, vars, depth)?);
    }
    Ok(acts)
}

type Sent = (String, Option<u64>, Option<String>);

fn read_sent(text: &str) -> Result<Sent, String> {
    if text.contains(" {") {
        return Err("the event has fields".to_owned());
    }
    let (head, id) = match text.split_once('#') {
        Some((head, id)) => (head, Some(id.to_owned())),
        None => (text, None),
    };
    let (event, delay_ms) = match head.split_once('@') {
        Some((event, delay)) => {
            let ms = delay.parse::<u64>();
            let ms = ms.map_err(|_| format!("the delay {delay:?} is no whole milliseconds"))?;
            if ms == 0 {
                return Err("a delay of nothing is a turn of its own in XState alone".to_owned());
            }
            (event, Some(ms))
        }
        None => (head, None),
    };
    Ok((event_name(event)?, delay_ms, id))
}

/// Reads a guard of the vocabulary.
pub(super) fn read_guard(text: &str, vars: &Variables) -> Result<Test, String> {
    let (verb, rest) = text.split_once(':').unwrap_or((text, ""));
    match verb {
        "true" => return Ok(Test::Always(true)),
        "false" => return Ok(Test::Always(false)),
        "odd" => return Ok(Test::Odd(vars.counting(rest)?)),
        "eveq" | "evgt" | "evtype" | "throwg" => {
            return Err("a document has no words for it".to_owned());
        }
        _ => {}
    }
    let found = Op::ALL.into_iter().find(|(_, v, ..)| *v == verb);
    let Some((op, ..)) = found else {
        return Err("what it asks is known to its host alone".to_owned());
    };
    let at = rest.find(['=', '<', '>', '!']).unwrap_or(rest.len());
    let right = rest[at..].trim_start_matches(['=', '<', '>', '!']);
    compare(vars, &rest[..at], op, constant(right)?)
}

fn compare(vars: &Variables, name: &str, op: Op, value: Value) -> Result<Test, String> {
    let strict = matches!(op, Op::Equal | Op::Unequal);
    let name = if strict {
        vars.known(name)?
    } else {
        vars.counting(name)?
    };
    if !strict && !matches!(value, Value::Num(_)) {
        return Err(format!("{} is no number", value.to_json()));
    }
    Ok(Test::Compare(name, op, value))
}

/// Writes an action of the vocabulary.
pub(super) fn write_action(act: &Act, inside: bool) -> Result<String, String> {
    let text = match act {
        Act::Log(text) => format!("log:{text}"),
        Act::Show(name) => format!("show:{name}"),
        Act::Set(name, value) => format!("set:{name}={}", value.to_json()),
        Act::Copy { to, from } => format!("copy:{to}={from}"),
        Act::Add(name, 1.0) => format!("inc:{name}"),
        Act::Add(name, -1.0) => format!("dec:{name}"),
        Act::Add(name, by) => format!("add:{name}={}", number(*by)),
        Act::Multiply(name, by) => format!("mul:{name}={}", number(*by)),
        Act::Digit(name, digit) => format!("dig:{name}={}", number(*digit)),
        Act::Raise(event) => format!("raise:{event}"),
        Act::Send {
            event,
            delay_ms,
            id,
        } => {
            let delay = delay_ms.map_or(String::new(), |ms| format!("@{ms}"));
            let id = id.as_ref().map_or(String::new(), |id| format!("#{id}"));
            format!("send:{event}{delay}{id}")
        }
        Act::Cancel(id) => format!("cancel:{id}"),
        Act::If { .. } if inside => return Err("an if inside of an if".to_owned()),
        Act::If { test, yes, no } => {
            let test = write_atom(test).ok_or("an if with more than one comparison")?;
            if test.contains(['?', '|']) {
                return Err(format!(
                    "{test:?} holds a sign that parts the branches of an if"
                ));
            }
            let branch = |acts: &[Act]| -> Result<String, String> {
                let texts: Result<Vec<_>, _> = acts.iter().map(|a| write_action(a, true)).collect();
                Ok(texts?.join(";"))
            };
            return Ok(format!("if:{test}?{}|{}", branch(yes)?, branch(no)?));
        }
    };
    if inside && text.contains([';', '|', '?']) {
        return Err(format!(
            "{text:?} holds a sign that parts the branches of an if"
        ));
    }
    Ok(text)
}

/// Writes a condition that is one word of the vocabulary.
pub(super) fn write_atom(test: &Test) -> Option<String> {
    Some(match test {
        Test::Always(holds) => holds.to_string(),
        Test::Compare(name, op, value) => {
            let (verb, sign, _) = op.words();
            format!("{verb}:{name}{sign}{}", value.to_json())
        }
        Test::Odd(name) => format!("odd:{name}"),
        Test::Not(inner) => match &**inner {
            Test::Always(holds) => (!holds).to_string(),
            Test::Compare(name, op, value) => {
                let opposite = Test::Compare(name.clone(), op.opposite(), value.clone());
                return write_atom(&opposite);
            }
            Test::Not(inner) => return write_atom(inner),
            _ => return None,
        },
        _ => return None,
    })
}

// The small language.

/// Reads a condition; `state` finds the state that an `In()` names.
pub(super) fn read_condition(
    text: &str,
    vars: &Variables,
    state: &dyn Fn(&str) -> Option<StateId>,
) -> Result<Test, String> {
    let mut reader = Reader {
        tokens: tokens(text)?.into_iter().map(|(token, _)| token).collect(),
        at: 0,
        depth: 0,
        vars,
        state,
    };
    let test = reader.any()?;
    if reader.at < reader.tokens.len() {
        return Err(format!("{text:?} is more than comparisons of a variable"));
    }
    Ok(test)
}

struct Reader<'a> {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    vars: &'a Variables,
    state: &'a dyn Fn(&str) -> Option<StateId>,
}

impl Reader<'_> {
    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(s)) if *s == sign);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Test, String> {
        let mut all = vec![self.every()?];
        while self.eat("||") {
            all.push(self.every()?);
        }
        Ok(one_or(all, Test::Or))
    }

    fn every(&mut self) -> Result<Test, String> {
        let mut all = vec![self.single()?];
        while self.eat("&&") {
            all.push(self.single()?);
        }
        Ok(one_or(all, Test::And))
    }

    fn single(&mut self) -> Result<Test, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        let test = if self.eat("!") {
            Test::Not(Box::new(self.single()?))
        } else if self.eat("(") {
            let inner = self.any()?;
            if !self.eat(")") {
                return Err("more than comparisons of a variable".to_owned());
            }
            inner
        } else {
            self.atom()?
        };
        self.depth -= 1;
        Ok(test)
    }

    fn atom(&mut self) -> Result<Test, String> {
        let Some(Token::Word(word)) = self.tokens.get(self.at).cloned() else {
            return Err("a condition that does not begin with a variable".to_owned());
        };
        self.at += 1;
        match word.as_str() {
            "true" => return Ok(Test::Always(true)),
            "false" => return Ok(Test::Always(false)),
            "In" => {
                let id = match self.tokens.get(self.at..self.at + 3) {
                    Some([Token::Sign("("), Token::Str(id), Token::Sign(")")]) => id.clone(),
                    _ => return Err("In() of something else than a state's id".to_owned()),
                };
                self.at += 3;
                let found = (self.state)(&id);
                return found
                    .map(Test::In)
                    .ok_or_else(|| format!("In({id:?}) names no state"));
            }
            _ => {}
        }
        if let Some(
            [
                Token::Sign("%"),
                Token::Num(2.0),
                Token::Sign("==" | "==="),
                Token::Num(1.0),
            ],
        ) = self.tokens.get(self.at..self.at + 4)
        {
            self.at += 4;
            return Ok(Test::Odd(self.vars.counting(&word)?));
        }
        let (op, is_loose) = match self.tokens.get(self.at) {
            Some(Token::Sign("==")) => (Op::Equal, true),
            Some(Token::Sign("!=")) => (Op::Unequal, true),
            Some(Token::Sign(sign)) => {
                let found = Op::ALL.into_iter().find(|(.., script)| script == sign);
                (found.map(|(op, ..)| op).ok_or("no comparison")?, false)
            }
            _ => return Err(format!("the truth of {word:?}")),
        };
        self.at += 1;
        let (value, used) = literal(&self.tokens[self.at..])
            .ok_or_else(|| format!("{word:?} is compared with no literal"))?;
        self.at += used;
        if is_loose && !(self.vars.are_numbers && matches!(value, Value::Num(_))) {
            return Err(format!(
                "{word:?} is compared loosely with what may be no number; === and !== are strict"
            ));
        }
        compare(self.vars, &word, op, value)
    }
}

fn one_or(mut all: Vec<Test>, many: fn(Vec<Test>) -> Test) -> Test {
    if all.len() == 1 {
        all.remove(0)
    } else {
        many(all)
    }
}

/// A literal at the beginning of `tokens`, and how many it took.
fn literal(tokens: &[Token]) -> Option<(Value, usize)> {
    let (value, used) = match tokens {
        [Token::Sign("-"), Token::Num(n), ..] => (Value::Num(-n), 2),
        [Token::Num(n), ..] => (Value::Num(*n), 1),
        [Token::Str(text), ..] => (Value::str(text), 1),
        [Token::Word(word), ..] => match word.as_str() {
            "true" => (Value::Bool(true), 1),
            "false" => (Value::Bool(false), 1),
            "null" => (Value::Null, 1),
            _ => return None,
        },
        _ => return None,
    };
    is_plain(&value).then_some((value, used))
}

/// Reads a whole text that is one literal.
pub(super) fn read_literal(text: &str) -> Option<Value> {
    let tokens: Vec<Token> = tokens(text).ok()?.into_iter().map(|(t, _)| t).collect();
    let (value, used) = literal(&tokens)?;
    (used == tokens.len()).then_some(value)
}

/// Reads `to := text`.
pub(super) fn read_assign(to: &str, text: &str, vars: &Variables) -> Result<Act, String> {
    if let Some(value) = read_literal(text) {
        return Ok(Act::Set(vars.known(to)?, value));
    }
    let tokens: Vec<Token> = tokens(text)?.into_iter().map(|(token, _)| token).collect();
    match &tokens[..] {
        [Token::Word(from)] => {
            return Ok(Act::Copy {
                to: vars.known(to)?,
                from: vars.known(from)?,
            });
        }
        [Token::Word(from), Token::Sign(sign), Token::Num(n)] if from == to => {
            let to = vars.counting(to)?;
            match *sign {
                "+" => return Ok(Act::Add(to, *n)),
                "-" => return Ok(Act::Add(to, -n)),
                "*" => return Ok(Act::Multiply(to, *n)),
                _ => {}
            }
        }
        [
            Token::Sign("("),
            Token::Word(from),
            Token::Sign("*"),
            Token::Num(10.0),
            Token::Sign("+"),
            Token::Num(digit),
            Token::Sign(")"),
            Token::Sign("%"),
            Token::Num(DIGITS_MODULO),
        ] if from == to => return Ok(Act::Digit(vars.counting(to)?, *digit)),
        _ => {}
    }
    Err(format!("the vocabulary has no words for {to} := {text}"))
}

/// Writes a condition; `id` gives a state's id in the document.
pub(super) fn write_condition(test: &Test, id: &dyn Fn(StateId) -> String) -> String {
    let list = |all: &[Test], sign: &str, none: &str| {
        let texts: Vec<String> = all
            .iter()
            .map(|t| match t {
                Test::And(_) | Test::Or(_) => format!("({})", write_condition(t, id)),
                _ => write_condition(t, id),
            })
            .collect();
        match texts.len() {
            0 => none.to_owned(),
            _ => texts.join(sign),
        }
    };
    match test {
        Test::Always(holds) => holds.to_string(),
        Test::Compare(name, op, value) => {
            format!("{name} {} {}", op.words().2, value.to_json())
        }
        Test::Odd(name) => format!("{name} % 2 === 1"),
        Test::In(state) => format!("In('{}')", id(*state)),
        Test::And(all) => list(all, " && ", "true"),
        Test::Or(all) => list(all, " || ", "false"),
        Test::Not(inner) => format!("!({})", write_condition(inner, id)),
    }
}

/// What `acts` set variables to, raise and send, also inside of ifs.
pub(super) fn each<'a>(acts: &'a [Act], see: &mut dyn FnMut(&'a Act)) {
    for act in acts {
        see(act);
        if let Act::If { yes, no, .. } = act {
            each(yes, see);
            each(no, see);
        }
    }
}

/// The expression of an assignment, and its variable.
pub(super) fn write_assign(act: &Act) -> Option<(&str, String)> {
    let signed = |name: &str, by: f64| {
        let sign = if by < 0.0 { '-' } else { '+' };
        format!("{name} {sign} {}", number(by.abs()))
    };
    Some(match act {
        Act::Set(name, value) => (name, value.to_json()),
        Act::Copy { to, from } => (to, from.clone()),
        Act::Add(name, by) => (name, signed(name, *by)),
        Act::Multiply(name, by) => (name, format!("{name} * {}", number(*by))),
        Act::Digit(name, digit) => {
            let sum = signed(&format!("{name} * 10"), *digit);
            (name, format!("({sum}) % {}", number(DIGITS_MODULO)))
        }
        _ => return None,
    })
}
