//! The expression language of SCXML documents: a small part of ECMAScript, compiled to closures.
//!
//! Literals, variables, dotted paths and indices, `typeof ! - +`, arithmetic, comparison, logic,
//! `c ? a : b`, `In('id')`, arrays and objects, `.length`, `.concat`, `.indexOf`. What is outside
//! of it is an error when it is evaluated, as an expression that no engine understands would be.

use super::super::loaded::Loaded;
use super::super::model::StateId;
use super::super::run::{Ask, Scope};
use super::super::slots::{Slots, Symbols};
use super::super::value::{Event, Fault, Name, Value, number};

/// A compiled expression.
pub type Expr = Box<dyn Fn(&Env<'_>) -> Result<Value, Fault> + Send + Sync>;

/// What an expression may look at.
pub struct Env<'a> {
    slots: &'a Slots,
    event: &'a Event,
    view: super::super::run::View<'a>,
}

impl<'a> Env<'a> {
    pub(crate) fn of_ask(ask: &'a Ask<'_, Loaded<Slots>>) -> Self {
        Self {
            slots: ask.context,
            event: ask.event,
            view: ask.view,
        }
    }

    pub(crate) fn of_scope(scope: &'a Scope<'_, Loaded<Slots>>) -> Self {
        Self {
            slots: scope.context,
            event: scope.event,
            view: scope.view,
        }
    }
}

/// What names mean while a document is compiled.
pub struct Names<'a> {
    /// The variables.
    pub symbols: &'a Symbols,
    /// State ids.
    pub states: &'a hashbrown::HashMap<String, StateId>,
    /// The document's name.
    pub document: &'a str,
}

/// Nested deeper than this an expression is refused.
const DEPTH_MAX: u32 = 100;

/// Compiles `text`.
///
/// # Errors
///
/// What is outside of the language, and where.
pub fn compile(text: &str, names: &Names<'_>) -> Result<Expr, String> {
    let mut parser = Parser::new(text, names)?;
    let expr = parser.ternary()?;
    parser.end()?;
    Ok(expr)
}

/// Compiles `text`, or an expression that fails in its place.
pub fn compile_late(text: &str, names: &Names<'_>) -> Expr {
    match compile(text, names) {
        Ok(expr) => expr,
        Err(why) => {
            let why = format!("{text:?}: {why}");
            Box::new(move |_| Err(Fault::execution(&why)))
        }
    }
}

/// A place that can be assigned to.
pub struct Location {
    place: usize,
    path: Vec<Step>,
}

enum Step {
    Field(Name),
    Index(Expr),
}

impl Location {
    /// Compiles `text`.
    ///
    /// # Errors
    ///
    /// Why it is no place.
    pub fn compile(text: &str, names: &Names<'_>) -> Result<Self, String> {
        let mut parser = Parser::new(text, names)?;
        let location = parser.location()?;
        parser.end()?;
        Ok(location)
    }

    pub(crate) fn is_declared(&self, slots: &Slots) -> bool {
        slots.get(self.place).is_some()
    }

    pub(crate) fn declare(&self, slots: &mut Slots) {
        if !self.is_declared(slots) {
            slots.set(self.place, Value::Undefined);
        }
    }

    /// Assigns; the place must exist up to its last step.
    pub(crate) fn assign(
        &self,
        scope: &mut Scope<'_, Loaded<Slots>>,
        value: Value,
    ) -> Result<(), Fault> {
        if !self.is_declared(scope.context) {
            return Err(Fault::execution("assignment to an undeclared variable"));
        }
        let mut keys = Vec::with_capacity(self.path.len());
        for step in &self.path {
            keys.push(match step {
                Step::Field(name) => Value::Str(name.clone()),
                Step::Index(expr) => expr(&Env::of_scope(scope))?,
            });
        }
        let mut at = scope.context.values[self.place].as_mut();
        let last = keys.pop();
        for key in &keys {
            at = at.and_then(|v| inside(v, key));
        }
        let Some(at) = at else {
            return Err(Fault::execution(
                "assignment inside of something that is not there",
            ));
        };
        match last {
            None => *at = value,
            Some(key) => match (at, key) {
                (Value::Map(fields), key) => {
                    let key = text(&key);
                    match fields.iter_mut().find(|(k, _)| **k == *key) {
                        Some((_, old)) => *old = value,
                        None => fields.push((key.into(), value)),
                    }
                }
                (Value::List(items), Value::Num(n)) if n >= 0.0 && n <= items.len() as f64 => {
                    if n as usize == items.len() {
                        items.push(value);
                    } else {
                        items[n as usize] = value;
                    }
                }
                _ => {
                    return Err(Fault::execution(
                        "assignment inside of something without fields",
                    ));
                }
            },
        }
        scope.touch();
        Ok(())
    }
}

fn inside<'v>(value: &'v mut Value, key: &Value) -> Option<&'v mut Value> {
    match (value, key) {
        (Value::Map(fields), key) => {
            let key = text(key);
            fields.iter_mut().find(|(k, _)| **k == *key).map(|(_, v)| v)
        }
        (Value::List(items), Value::Num(n)) => items.get_mut(*n as usize),
        _ => None,
    }
}

/// ECMAScript's truth.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Undefined | Value::Null => false,
        Value::Bool(b) => *b,
        Value::Num(n) => *n != 0.0 && !n.is_nan(),
        Value::Str(s) => !s.is_empty(),
        Value::List(_) | Value::Map(_) => true,
    }
}

/// ECMAScript's text of a value.
pub fn text(value: &Value) -> String {
    match value {
        Value::Undefined => "undefined".into(),
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Num(n) => number(*n),
        Value::Str(s) => s.to_string(),
        Value::List(items) => {
            let texts: Vec<String> = items
                .iter()
                .map(|i| match i {
                    Value::Undefined | Value::Null => String::new(),
                    other => text(other),
                })
                .collect();
            texts.join(",")
        }
        Value::Map(_) => "[object Object]".into(),
    }
}

fn to_number(value: &Value) -> f64 {
    match value {
        Value::Undefined | Value::Map(_) => f64::NAN,
        Value::Null => 0.0,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Num(n) => *n,
        Value::Str(s) if s.trim().is_empty() => 0.0,
        Value::Str(s) => s.trim().parse().unwrap_or(f64::NAN),
        Value::List(_) => to_number(&Value::str(text(value))),
    }
}

fn loosely_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Undefined | Value::Null, Value::Undefined | Value::Null) => true,
        (Value::Undefined | Value::Null, _) | (_, Value::Undefined | Value::Null) => false,
        (Value::Str(_), Value::Str(_)) => a == b,
        // Objects are equal to themselves alone; values have no identity here.
        (Value::Map(_) | Value::List(_), Value::Map(_) | Value::List(_)) => a == b,
        (Value::Map(_) | Value::List(_), Value::Str(s)) => text(a) == **s,
        (Value::Str(s), Value::Map(_) | Value::List(_)) => text(b) == **s,
        _ => to_number(a) == to_number(b),
    }
}

fn less(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        _ => to_number(a).partial_cmp(&to_number(b)),
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Token {
    Num(f64),
    Str(String),
    Word(String),
    Sign(&'static str),
}

const SIGNS: [&str; 33] = [
    "===", "!==", "==", "!=", "<=", ">=", "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "<", ">",
    "+", "-", "*", "/", "%", "!", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "=",
];

pub(super) struct Parser<'a> {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: u32,
    names: &'a Names<'a>,
    length: usize,
}

type Parsed = Result<Expr, String>;

impl<'a> Parser<'a> {
    fn new(source: &str, names: &'a Names<'a>) -> Result<Self, String> {
        Ok(Self {
            tokens: tokens(source)?,
            at: 0,
            depth: 0,
            names,
            length: source.len(),
        })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = match self.peek() {
            Some(Token::Sign(s)) => *s == sign,
            Some(Token::Word(w)) => sign == "in" && w == "in",
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        if self.eat(sign) {
            return Ok(());
        }
        Err(self.wrong(&format!("{sign:?}")))
    }

    fn wrong(&self, expected: &str) -> String {
        let at = self.tokens.get(self.at).map_or(self.length, |(_, at)| *at);
        format!("expected {expected} at offset {at}")
    }

    fn end(&self) -> Result<(), String> {
        if self.at < self.tokens.len() {
            return Err(self.wrong("the end"));
        }
        Ok(())
    }

    fn ternary(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        let test = self.binary(0)?;
        let expr = if self.eat("?") {
            let yes = self.ternary()?;
            self.need(":")?;
            let no = self.ternary()?;
            Box::new(move |env: &Env<'_>| {
                if truth(&test(env)?) {
                    yes(env)
                } else {
                    no(env)
                }
            })
        } else {
            test
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn binary(&mut self, level: usize) -> Parsed {
        const LEVELS: [&[&str]; 6] = [
            &["||"],
            &["&&"],
            &["===", "!==", "==", "!="],
            &["<=", ">=", "<", ">", "in"],
            &["+", "-"],
            &["*", "/", "%"],
        ];
        let Some(signs) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        while let Some(sign) = signs.iter().find(|s| self.eat(s)) {
            let right = self.binary(level + 1)?;
            left = operator(sign, left, right);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        let expr: Expr = if self.eat("!") {
            let inner = self.unary()?;
            Box::new(move |env| Ok(Value::Bool(!truth(&inner(env)?))))
        } else if self.eat("-") {
            let inner = self.unary()?;
            Box::new(move |env| Ok(Value::Num(-to_number(&inner(env)?))))
        } else if self.eat("+") {
            let inner = self.unary()?;
            Box::new(move |env| Ok(Value::Num(to_number(&inner(env)?))))
        } else if self.peek() == Some(&Token::Word("typeof".into())) {
            self.at += 1;
            let inner = self.unary()?;
            Box::new(move |env| {
                let name = match inner(env) {
                    Err(_) | Ok(Value::Undefined) => "undefined",
                    Ok(Value::Bool(_)) => "boolean",
                    Ok(Value::Num(_)) => "number",
                    Ok(Value::Str(_)) => "string",
                    Ok(_) => "object",
                };
                Ok(Value::str(name))
            })
        } else {
            self.postfix()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn postfix(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        loop {
            if self.eat(".") {
                let Some(Token::Word(name)) = self.peek().cloned() else {
                    return Err(self.wrong("a field's name"));
                };
                self.at += 1;
                let of = expr;
                expr = if self.eat("(") {
                    let arguments = self.list(")")?;
                    method(&name, of, arguments)?
                } else {
                    Box::new(move |env| field(&of(env)?, &name))
                };
            } else if self.eat("[") {
                let index = self.ternary()?;
                self.need("]")?;
                let of = expr;
                expr = Box::new(move |env| {
                    let of = of(env)?;
                    match (&of, index(env)?) {
                        (Value::List(items), Value::Num(n)) => {
                            let whole = n >= 0.0 && n.fract() == 0.0;
                            let item = items.get(n as usize).filter(|_| whole);
                            Ok(item.cloned().unwrap_or_default())
                        }
                        (_, key) => field(&of, &text(&key)),
                    }
                });
            } else {
                return Ok(expr);
            }
        }
    }

    fn list(&mut self, close: &str) -> Result<Vec<Expr>, String> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(self.ternary()?);
            if !self.eat(",") {
                self.need(close)?;
                return Ok(items);
            }
            if self.eat(close) {
                return Ok(items);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        if self.eat("(") {
            let inner = self.ternary()?;
            self.need(")")?;
            return Ok(inner);
        }
        if self.eat("[") {
            let items = self.list("]")?;
            return Ok(Box::new(move |env| {
                let items: Result<Vec<Value>, Fault> = items.iter().map(|i| i(env)).collect();
                Ok(Value::List(items?))
            }));
        }
        if self.eat("{") {
            return self.object();
        }
        let Some(token) = self.peek().cloned() else {
            return Err(self.wrong("a value"));
        };
        let word = match token {
            Token::Num(n) => {
                self.at += 1;
                return Ok(Box::new(move |_| Ok(Value::Num(n))));
            }
            Token::Str(s) => {
                self.at += 1;
                let value = Value::str(s);
                return Ok(Box::new(move |_| Ok(value.clone())));
            }
            Token::Sign(_) => return Err(self.wrong("a value")),
            Token::Word(word) => word,
        };
        self.at += 1;
        let constant = match word.as_str() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "null" => Some(Value::Null),
            "undefined" => Some(Value::Undefined),
            "NaN" => Some(Value::Num(f64::NAN)),
            "_name" => Some(Value::str(self.names.document)),
            _ => None,
        };
        if let Some(constant) = constant {
            return Ok(Box::new(move |_| Ok(constant.clone())));
        }
        match word.as_str() {
            "In" => self.in_state(),
            "Math" => self.math(),
            "_event" => Ok(Box::new(|env| event_value(env.event))),
            "_sessionid" => Ok(Box::new(|env| {
                Ok(Value::str(format!("s{}", env.slots.own.session)))
            })),
            "_ioprocessors" => Ok(Box::new(|env| {
                let location = Value::str(format!("#_scxml_s{}", env.slots.own.session));
                let entry = Value::Map(vec![("location".into(), location)]);
                Ok(Value::Map(vec![
                    ("scxml".into(), entry.clone()),
                    (super::PROCESSOR.into(), entry),
                ]))
            })),
            "var" | "function" | "new" | "return" | "this" | "delete" | "void" | "instanceof" => {
                self.at -= 1;
                Err(self.wrong("an expression of the small language"))
            }
            _ => {
                let place = self.names.symbols.place(&word);
                Ok(Box::new(move |env| match env.slots.get(place) {
                    Some(value) => Ok(value.clone()),
                    None => Err(Fault::execution(format!("{word:?} is not declared"))),
                }))
            }
        }
    }

    fn math(&mut self) -> Parsed {
        self.need(".")?;
        let Some(Token::Word(name)) = self.peek().cloned() else {
            return Err(self.wrong("a function of Math"));
        };
        let function: fn(f64, f64) -> f64 = match name.as_str() {
            "pow" => f64::powf,
            "min" => f64::min,
            "max" => f64::max,
            "abs" => |a, _| a.abs(),
            "floor" => |a, _| a.floor(),
            "ceil" => |a, _| a.ceil(),
            "round" => |a, _| (a + 0.5).floor(),
            "sqrt" => |a, _| a.sqrt(),
            _ => return Err(self.wrong("pow, min, max, abs, floor, ceil, round or sqrt")),
        };
        self.at += 1;
        self.need("(")?;
        let arguments = self.list(")")?;
        Ok(Box::new(move |env| {
            let mut numbers = [f64::NAN; 2];
            for (number, argument) in numbers.iter_mut().zip(&arguments) {
                *number = to_number(&argument(env)?);
            }
            Ok(Value::Num(function(numbers[0], numbers[1])))
        }))
    }

    fn in_state(&mut self) -> Parsed {
        self.need("(")?;
        if let (Some(Token::Str(id)), Some((Token::Sign(")"), _))) =
            (self.peek().cloned(), self.tokens.get(self.at + 1))
        {
            self.at += 2;
            let state = self.names.states.get(&id).copied();
            return Ok(Box::new(move |env| {
                Ok(Value::Bool(state.is_some_and(|s| env.view.is_in(s))))
            }));
        }
        let id = self.ternary()?;
        self.need(")")?;
        let states = self.names.states.clone();
        Ok(Box::new(move |env| {
            let state = states.get(&text(&id(env)?)).copied();
            Ok(Value::Bool(state.is_some_and(|s| env.view.is_in(s))))
        }))
    }

    fn object(&mut self) -> Parsed {
        let mut fields: Vec<(Name, Expr)> = Vec::new();
        while !self.eat("}") {
            let key = match self.peek().cloned() {
                Some(Token::Word(w)) => w,
                Some(Token::Str(s)) => s,
                Some(Token::Num(n)) => number(n),
                _ => return Err(self.wrong("a field's name")),
            };
            self.at += 1;
            self.need(":")?;
            fields.push((key.into(), self.ternary()?));
            if !self.eat(",") {
                self.need("}")?;
                break;
            }
        }
        Ok(Box::new(move |env| {
            let mut map = Value::Map(Vec::new());
            for (key, value) in &fields {
                map.set_field(key, value(env)?);
            }
            Ok(map)
        }))
    }

    fn location(&mut self) -> Result<Location, String> {
        let Some(Token::Word(name)) = self.peek().cloned() else {
            return Err(self.wrong("a variable"));
        };
        if name.starts_with('_') || matches!(name.as_str(), "true" | "false" | "null" | "In") {
            return Err(format!("{name:?} cannot be assigned"));
        }
        self.at += 1;
        let place = self.names.symbols.place(&name);
        let mut path = Vec::new();
        loop {
            if self.eat(".") {
                let Some(Token::Word(name)) = self.peek().cloned() else {
                    return Err(self.wrong("a field's name"));
                };
                self.at += 1;
                path.push(Step::Field(name.into()));
            } else if self.eat("[") {
                path.push(Step::Index(self.ternary()?));
                self.need("]")?;
            } else {
                return Ok(Location { place, path });
            }
        }
    }
}

/// A statement of a `<script>`: an assignment, which creates its variable, as in sloppy ECMAScript.
pub struct Statement {
    /// Where to.
    pub to: Location,
    /// What.
    pub value: Expr,
}

/// Compiles the statements of a script: assignments, `var`, `++`, `--`, `+=`, `-=`.
///
/// # Errors
///
/// The first statement that is none of these.
pub fn compile_script(source: &str, names: &Names<'_>) -> Result<Vec<Statement>, String> {
    let mut statements = Vec::new();
    for line in split_statements(source) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (line, declares) = match line.strip_prefix("var ") {
            Some(rest) => (rest.trim(), true),
            None => (line, false),
        };
        let mut parser = Parser::new(line, names)?;
        let start = parser.at;
        let to = parser.location()?;
        let text_of = |p: &Parser<'_>| -> String {
            let end = p.tokens.get(p.at).map_or(line.len(), |(_, at)| *at);
            line[p.tokens[start].1..end].to_owned()
        };
        let left = text_of(&parser);
        let value: Expr = if parser.eat("++") || parser.eat("--") {
            let sign = &parser.tokens[parser.at - 1].0;
            let by = if *sign == Token::Sign("++") {
                1.0
            } else {
                -1.0
            };
            let old = compile(&left, names)?;
            Box::new(move |env| Ok(Value::Num(to_number(&old(env)?) + by)))
        } else if let Some(sign) = ["+=", "-=", "*=", "/="].into_iter().find(|s| parser.eat(s)) {
            let old = compile(&left, names)?;
            let by = parser.ternary()?;
            operator(&sign[..1], old, by)
        } else if parser.eat("=") {
            parser.ternary()?
        } else if declares {
            Box::new(|_| Ok(Value::Undefined))
        } else {
            return Err(parser.wrong("\"=\""));
        };
        parser.end()?;
        statements.push(Statement { to, value });
    }
    Ok(statements)
}

/// Splits at `;` and at line ends outside of quotes and brackets; drops comments.
fn split_statements(source: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut depth = 0i32;
    let mut quote = None;
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        if let Some(q) = quote {
            if c == q {
                quote = None;
            }
        } else {
            match c {
                '\'' | '"' => quote = Some(c),
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                '/' if chars.peek() == Some(&'/') => {
                    while chars.next_if(|c| *c != '\n').is_some() {}
                    continue;
                }
                ';' | '\n' if depth == 0 => {
                    out.push(String::new());
                    continue;
                }
                _ => {}
            }
        }
        out.last_mut().unwrap().push(c);
    }
    out
}

fn operator(sign: &str, a: Expr, b: Expr) -> Expr {
    fn arithmetic(a: Expr, b: Expr, f: fn(f64, f64) -> f64) -> Expr {
        Box::new(move |env| Ok(Value::Num(f(to_number(&a(env)?), to_number(&b(env)?)))))
    }
    fn compare(a: Expr, b: Expr, f: fn(std::cmp::Ordering) -> bool) -> Expr {
        Box::new(move |env| Ok(Value::Bool(less(&a(env)?, &b(env)?).is_some_and(f))))
    }
    match sign {
        "||" => Box::new(move |env| {
            let left = a(env)?;
            if truth(&left) { Ok(left) } else { b(env) }
        }),
        "&&" => Box::new(move |env| {
            let left = a(env)?;
            if truth(&left) { b(env) } else { Ok(left) }
        }),
        "===" => Box::new(move |env| Ok(Value::Bool(a(env)? == b(env)?))),
        "!==" => Box::new(move |env| Ok(Value::Bool(a(env)? != b(env)?))),
        "==" => Box::new(move |env| Ok(Value::Bool(loosely_equal(&a(env)?, &b(env)?)))),
        "!=" => Box::new(move |env| Ok(Value::Bool(!loosely_equal(&a(env)?, &b(env)?)))),
        "in" => Box::new(move |env| {
            let (key, of) = (a(env)?, b(env)?);
            Ok(Value::Bool(of.field(&text(&key)).is_some()))
        }),
        "<" => compare(a, b, |o| o.is_lt()),
        ">" => compare(a, b, |o| o.is_gt()),
        "<=" => compare(a, b, |o| o.is_le()),
        ">=" => compare(a, b, |o| o.is_ge()),
        "-" => arithmetic(a, b, |a, b| a - b),
        "*" => arithmetic(a, b, |a, b| a * b),
        "/" => arithmetic(a, b, |a, b| a / b),
        "%" => arithmetic(a, b, |a, b| a % b),
        _ => Box::new(move |env| {
            let (a, b) = (a(env)?, b(env)?);
            let texts = |v: &Value| matches!(v, Value::Str(_) | Value::List(_) | Value::Map(_));
            Ok(if texts(&a) || texts(&b) {
                Value::str(text(&a) + &text(&b))
            } else {
                Value::Num(to_number(&a) + to_number(&b))
            })
        }),
    }
}

fn field(of: &Value, name: &str) -> Result<Value, Fault> {
    match of {
        Value::Undefined | Value::Null => Err(Fault::execution(format!(
            "field {name:?} of something that is not there"
        ))),
        Value::List(items) if name == "length" => Ok(Value::Num(items.len() as f64)),
        Value::Str(s) if name == "length" => Ok(Value::Num(s.encode_utf16().count() as f64)),
        other => Ok(other.field(name).cloned().unwrap_or_default()),
    }
}

fn method(name: &str, of: Expr, arguments: Vec<Expr>) -> Parsed {
    let values = move |env: &Env<'_>| -> Result<Vec<Value>, Fault> {
        arguments.iter().map(|a| a(env)).collect()
    };
    match name {
        "concat" => Ok(Box::new(move |env| match of(env)? {
            Value::List(mut items) => {
                for value in values(env)? {
                    match value {
                        Value::List(more) => items.extend(more),
                        one => items.push(one),
                    }
                }
                Ok(Value::List(items))
            }
            other => {
                let texts: String = values(env)?.iter().map(text).collect();
                Ok(Value::str(text(&other) + &texts))
            }
        })),
        "indexOf" => Ok(Box::new(move |env| {
            let of = of(env)?;
            let wanted = values(env)?.into_iter().next().unwrap_or_default();
            let found = match &of {
                Value::List(items) => items.iter().position(|i| *i == wanted),
                other => text(other).find(&text(&wanted)),
            };
            Ok(Value::Num(found.map_or(-1.0, |at| at as f64)))
        })),
        other => Err(format!(
            "the method {other:?} is outside of the small language"
        )),
    }
}

fn event_value(event: &Event) -> Result<Value, Fault> {
    if event.name.is_empty() {
        return Ok(Value::Undefined);
    }
    let mut map = Value::Map(vec![
        ("name".into(), Value::Str(event.name.clone())),
        ("data".into(), event.data.clone()),
    ]);
    let none = super::super::value::Origin {
        kind: "external",
        ..Default::default()
    };
    let origin = event.origin.as_deref().unwrap_or(&none);
    map.set_field("type", Value::str(origin.kind));
    for (key, value) in [
        ("sendid", &origin.sendid),
        ("origin", &origin.origin),
        ("origintype", &origin.origintype),
        ("invokeid", &origin.invokeid),
    ] {
        map.set_field(key, value.clone());
    }
    Ok(map)
}

pub(in super::super) fn tokens(source: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut out = Vec::new();
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let c = source[at..].chars().next().unwrap_or(' ');
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let start = at;
        let token = if c.is_ascii_digit()
            || (c == '.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit))
        {
            let hex = source[at..].starts_with("0x");
            at += if hex { 2 } else { 0 };
            while let Some(&b) = bytes.get(at) {
                let exponent = matches!(b, b'+' | b'-') && matches!(bytes[at - 1], b'e' | b'E');
                let fits = if hex {
                    b.is_ascii_hexdigit()
                } else {
                    b.is_ascii_alphanumeric() || b == b'.' || exponent
                };
                if !fits {
                    break;
                }
                at += 1;
            }
            let digits = &source[start..at];
            let n = if hex {
                u64::from_str_radix(&digits[2..], 16).ok().map(|n| n as f64)
            } else {
                digits.parse().ok()
            };
            Token::Num(n.ok_or_else(|| format!("{digits:?} is no number"))?)
        } else if c == '\'' || c == '"' {
            let (text, end) = string(source, at + 1, c)?;
            at = end;
            Token::Str(text)
        } else if c.is_alphabetic() || c == '_' || c == '$' {
            let rest = &source[at..];
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(rest.len());
            at += end;
            Token::Word(rest[..end].to_owned())
        } else {
            let sign = SIGNS.iter().find(|s| source[at..].starts_with(**s));
            let sign = sign
                .ok_or_else(|| format!("{c:?} at offset {at} is outside of the small language"))?;
            at += sign.len();
            Token::Sign(sign)
        };
        out.push((token, start));
    }
    Ok(out)
}

fn string(source: &str, start: usize, quote: char) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut chars = source[start..].char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((out, start + at + c.len_utf8()));
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some((_, 'n')) => out.push('\n'),
            Some((_, 't')) => out.push('\t'),
            Some((_, 'r')) => out.push('\r'),
            Some((_, c)) => out.push(c),
            None => break,
        }
    }
    Err(format!("the text that begins at offset {start} has no end"))
}
