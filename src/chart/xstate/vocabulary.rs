//! A vocabulary of actions and guards as texts, so that a machine's JSON alone says what it does.
//!
//! `inc:n`, `if:gt:n>3?raise:FULL|log:room` and the like: what tests and the command line need in
//! place of host code. Every action writes its own text to the log before it acts.

use hashbrown::HashMap;

use super::super::json::parse_value;
use super::super::loaded::{ActionFn, GuardFn, Loaded};
use super::super::run::Scope;
use super::super::slots::{Slots, Symbols};
use super::super::value::{Effect, Event, Fault, Name, Start, Target, Value};
use super::{DelayFn, Library, Mention, TemplateFn};

type Act = ActionFn<Slots>;
type Test = GuardFn<Slots>;
type Step<'a> = Scope<'a, Loaded<Slots>>;

/// The vocabulary, and the names a case gives a meaning in its terms.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// The machine's variables.
    pub symbols: Symbols,
    /// Named actions: lists of vocabulary actions.
    pub actions: HashMap<String, Vec<Value>>,
    /// Named guards.
    pub guards: HashMap<String, Value>,
    /// Named delays: milliseconds, or a template.
    pub delays: HashMap<String, Value>,
}

impl Library<Slots> for Vocabulary {
    fn action(&mut self, mention: Mention<'_>) -> Option<Act> {
        if let Some(list) = self.actions.get(mention.name).cloned() {
            let upcoming = mention.upcoming;
            let acts: Vec<Act> = list.iter().map(|item| self.item(item, upcoming)).collect();
            return Some(Box::new(move |scope| {
                acts.iter().try_for_each(|act| act(scope))
            }));
        }
        Some(match mention.params {
            Some(params) => self.with_params(mention.name, params),
            None => self.verb(mention.name, mention.upcoming),
        })
    }

    fn guard(&mut self, name: &str, params: Option<&Value>) -> Option<Test> {
        if let Some(meaning) = self.guards.get(name).cloned() {
            return Some(match meaning {
                Value::Bool(b) => Box::new(move |_| Ok(b)),
                Value::Str(text) => self.test(&text),
                other => {
                    let name = other
                        .field("type")
                        .and_then(Value::text)
                        .unwrap_or_default();
                    let params = other.field("params").cloned();
                    return self.guard(name, params.as_ref());
                }
            });
        }
        if let ("gtp", Some(params)) = (name, params) {
            let place = params.field("x").and_then(Value::text).unwrap_or_default();
            let (place, than) = (self.symbols.place(place), params.field("v").cloned());
            return Some(Box::new(move |ask| {
                let left = ask.context.get(place).and_then(Value::num);
                let right = than.as_ref().and_then(Value::num);
                Ok(matches!((left, right), (Some(a), Some(b)) if a > b))
            }));
        }
        Some(self.test(name))
    }

    fn delay(&mut self, name: &str) -> Option<DelayFn<Slots>> {
        let delay = self.delays.get(name).cloned()?;
        let template = self.template(&delay);
        Some(Box::new(move |ask| template(ask, ask.event).num()))
    }

    fn actor(&mut self, _: &str) -> bool {
        true
    }

    fn template(&mut self, value: &Value) -> TemplateFn<Slots> {
        match value {
            Value::Map(fields) if fields.len() == 1 && fields[0].0.starts_with('$') => {
                let name = fields[0].1.text().unwrap_or_default().to_owned();
                match &*fields[0].0 {
                    "$ctx" => {
                        let place = self.symbols.place(&name);
                        return Box::new(move |ask, _| {
                            ask.context.get(place).cloned().unwrap_or(Value::Null)
                        });
                    }
                    "$event" => {
                        return Box::new(move |_, event| {
                            event.data.field(&name).cloned().unwrap_or(Value::Null)
                        });
                    }
                    "$input" => {
                        return Box::new(move |_, event| {
                            let input = event.data.field("input");
                            input
                                .and_then(|i| i.field(&name))
                                .cloned()
                                .unwrap_or(Value::Null)
                        });
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        match value {
            Value::Map(fields) => {
                let parts: Vec<(Name, TemplateFn<Slots>)> = fields
                    .iter()
                    .map(|(key, part)| (key.clone(), self.template(part)))
                    .collect();
                Box::new(move |ask, event| {
                    let fields = parts
                        .iter()
                        .map(|(key, part)| (key.clone(), part(ask, event)));
                    Value::Map(fields.collect())
                })
            }
            Value::List(items) => {
                let parts: Vec<_> = items.iter().map(|item| self.template(item)).collect();
                Box::new(move |ask, event| {
                    Value::List(parts.iter().map(|part| part(ask, event)).collect())
                })
            }
            constant => {
                let constant = constant.clone();
                Box::new(move |_, _| constant.clone())
            }
        }
    }

    fn begin(&mut self, context: &Value) -> Option<Act> {
        let Value::Map(fields) = context else {
            return None;
        };
        let parts: Vec<(usize, TemplateFn<Slots>)> = fields
            .iter()
            .map(|(key, part)| (self.symbols.place(key), self.template(part)))
            .collect();
        Some(Box::new(move |scope| {
            for (place, part) in &parts {
                let value = part(&scope.ask(), scope.event);
                scope.context.set(*place, value);
            }
            Ok(())
        }))
    }

    fn child(&self) -> fn(&mut Slots, &Name, bool) {
        Slots::note_child
    }
}

fn log(scope: &mut Step<'_>, text: &Name) {
    scope.effect(Effect::Log {
        label: text.clone(),
        value: None,
    });
}

fn say(scope: &mut Step<'_>, text: String) {
    log(scope, &text.into());
}

/// Fails; while the chart starts, XState runs actions after the first macrostep, so that what the
/// chart did by then stands.
fn throw(scope: &mut Step<'_>, value: Value) -> Result<(), Fault> {
    let fault = Fault::thrown(value);
    if scope.is_starting() {
        scope.effect(Effect::Fail(fault));
        return Ok(());
    }
    Err(fault)
}

/// `TYPE[@MS][#ID][ JSON-OBJECT]`
struct Sent {
    event: Event,
    delay: Option<DelayFn<Slots>>,
    id: Option<Name>,
}

impl Vocabulary {
    fn item(&mut self, item: &Value, upcoming: &[Name]) -> Act {
        match item {
            Value::Str(name) => self.known(name, None, upcoming),
            other => {
                let name = other
                    .field("type")
                    .and_then(Value::text)
                    .unwrap_or_default()
                    .to_owned();
                self.known(&name, other.field("params"), upcoming)
            }
        }
    }

    fn known(&mut self, name: &str, params: Option<&Value>, upcoming: &[Name]) -> Act {
        let mention = Mention {
            name,
            params,
            upcoming,
        };
        match self.action(mention) {
            Some(act) => act,
            None => Box::new(|_| Ok(())),
        }
    }

    fn sent(&mut self, text: &str) -> Sent {
        let (head, fields) = match text.find(" {") {
            Some(at) if text.ends_with('}') => (&text[..at], parse_value(&text[at + 1..]).ok()),
            _ => (text, None),
        };
        let (head, id) = match head.split_once('#') {
            Some((head, id)) => (head, Some(Name::from(id))),
            None => (head, None),
        };
        let (name, delay) = match head.split_once('@') {
            Some((name, delay)) => (name, Some(delay)),
            None => (head, None),
        };
        let delay = delay.map(|delay| -> DelayFn<Slots> {
            match delay.parse::<f64>() {
                Ok(ms) => Box::new(move |_| Some(ms)),
                Err(_) => self.delay(delay).unwrap_or_else(|| Box::new(|_| None)),
            }
        });
        let mut event = Event::new(name);
        event.data = fields.unwrap_or_default();
        Sent { event, delay, id }
    }

    fn verb(&mut self, text: &str, upcoming: &[Name]) -> Act {
        let whole: Name = text.into();
        let (verb, rest) = text.split_once(':').unwrap_or((text, ""));
        let (left, right) = rest.split_once('=').unwrap_or((rest, ""));
        let json = |text: &str| parse_value(text).unwrap_or_else(|_| Value::str(text));
        match verb {
            "show" => {
                let place = self.symbols.place(rest);
                Box::new(move |scope| {
                    let value = scope
                        .context
                        .get(place)
                        .map_or("undefined".into(), Value::to_json);
                    say(scope, format!("{whole}={value}"));
                    Ok(())
                })
            }
            "evt" if rest.is_empty() => Box::new(|scope| {
                let name = scope.event.name.clone();
                say(scope, format!("evt={name}"));
                Ok(())
            }),
            "evdata" => {
                let field = rest.to_owned();
                Box::new(move |scope| {
                    let value = scope
                        .event
                        .data
                        .field(&field)
                        .map_or("null".into(), Value::to_json);
                    say(scope, format!("{whole}={value}"));
                    Ok(())
                })
            }
            "set" => {
                let value = json(right);
                self.assign(whole, left, move |_, _| value.clone())
            }
            "inc" => self.arithmetic(whole, rest, |n| n + 1.0),
            "dec" => self.arithmetic(whole, rest, |n| n - 1.0),
            "add" => {
                let by = json(right).num().unwrap_or(f64::NAN);
                self.arithmetic(whole, left, move |n| n + by)
            }
            "mul" => {
                let by = json(right).num().unwrap_or(f64::NAN);
                self.arithmetic(whole, left, move |n| n * by)
            }
            "dig" => {
                let digit = json(right).num().unwrap_or(f64::NAN);
                self.arithmetic(whole, left, move |n| (n * 10.0 + digit) % 1_000_000_007.0)
            }
            "copy" => {
                let from = self.symbols.place(right);
                self.assign(whole, left, move |context, _| {
                    context.get(from).cloned().unwrap_or_default()
                })
            }
            "ev" => {
                let field = right.to_owned();
                self.assign(whole, left, move |_, event| {
                    event.data.field(&field).cloned().unwrap_or(Value::Null)
                })
            }
            "raise" => {
                let sent = self.sent(rest);
                Box::new(move |scope| {
                    log(scope, &whole);
                    let delay = sent.delay.as_ref().and_then(|d| d(&scope.ask()));
                    raise(scope, &sent.event, delay, sent.id.clone());
                    Ok(())
                })
            }
            "send" => {
                let sent = self.sent(rest);
                send(whole, sent, |_| Ok(Target::Myself))
            }
            "parent" => {
                let sent = self.sent(rest);
                send(whole, sent, |_| Ok(Target::Parent))
            }
            "sendto" => {
                let (child, event) = rest.split_once('=').unwrap_or((rest, ""));
                let sent = self.sent(event);
                let (child, upcoming) = (Name::from(child), upcoming.to_vec());
                send(whole, sent, move |scope| {
                    known_child(scope, &child, &upcoming)
                })
            }
            "fwd" => {
                let (child, upcoming) = (Name::from(rest), upcoming.to_vec());
                Box::new(move |scope| {
                    log(scope, &whole);
                    let target = match known_child(scope, &child, &upcoming) {
                        Ok(target) => target,
                        Err(fault) => return throw(scope, fault.into_value()),
                    };
                    scope.effect(Effect::Send {
                        event: scope.event.clone(),
                        target,
                        delay_ms: None,
                        id: None,
                    });
                    Ok(())
                })
            }
            "cancel" => {
                let id = Name::from(rest);
                Box::new(move |scope| {
                    log(scope, &whole);
                    scope.effect(Effect::Cancel(id.clone()));
                    Ok(())
                })
            }
            "emit" => {
                let sent = self.sent(rest);
                Box::new(move |scope| {
                    log(scope, &whole);
                    scope.effect(Effect::Emit(sent.event.clone()));
                    Ok(())
                })
            }
            "spawn" => {
                let (source, id) = rest.rsplit_once('=').unwrap_or((rest, rest));
                let (source, id) = (Name::from(source), Name::from(id));
                Box::new(move |scope| {
                    log(scope, &whole);
                    scope.context.note_child(&id, true);
                    scope.touch();
                    scope.effect(Effect::Start(Start {
                        id: id.clone(),
                        source: source.clone(),
                        embedded: None,
                        input: Value::Undefined,
                        autoforward: false,
                        finalize: None,
                    }));
                    Ok(())
                })
            }
            "stop" => {
                let id = Name::from(rest);
                Box::new(move |scope| {
                    log(scope, &whole);
                    scope.context.note_child(&id, false);
                    scope.touch();
                    scope.effect(Effect::Stop(id.clone()));
                    Ok(())
                })
            }
            "throw" => {
                let value = Value::str(rest);
                Box::new(move |scope| {
                    log(scope, &whole);
                    throw(scope, value.clone())
                })
            }
            "if" => {
                let (guard, branches) = rest.split_once('?').unwrap_or((rest, ""));
                let (yes, no) = branches.split_once('|').unwrap_or((branches, ""));
                let guard = self.test(guard);
                let (yes, no) = (self.sequence(yes, upcoming), self.sequence(no, upcoming));
                Box::new(move |scope| {
                    let branch = if guard(&scope.ask())? { &yes } else { &no };
                    branch.iter().try_for_each(|act| act(scope))
                })
            }
            "seq" => {
                let list = self.sequence(rest, upcoming);
                Box::new(move |scope| list.iter().try_for_each(|act| act(scope)))
            }
            _ => Box::new(move |scope| {
                log(scope, &whole);
                Ok(())
            }),
        }
    }

    fn sequence(&mut self, text: &str, upcoming: &[Name]) -> Vec<Act> {
        let parts = text.split(';').filter(|part| !part.is_empty());
        parts.map(|part| self.known(part, None, upcoming)).collect()
    }

    fn with_params(&mut self, name: &str, params: &Value) -> Act {
        let text: Name = format!("{name} {}", params.to_json()).into();
        match name {
            "setp" => {
                let Value::Map(fields) = params else {
                    return Box::new(|_| Ok(()));
                };
                let fields: Vec<(usize, Value)> = fields
                    .iter()
                    .map(|(key, value)| (self.symbols.place(key), value.clone()))
                    .collect();
                Box::new(move |scope| {
                    log(scope, &text);
                    for (place, value) in &fields {
                        scope.context.set(*place, value.clone());
                    }
                    scope.touch();
                    Ok(())
                })
            }
            "raisep" => {
                let mut sent = match params.field("event") {
                    Some(Value::Str(event)) => self.sent(event),
                    Some(event) => Sent {
                        event: to_event(event),
                        delay: None,
                        id: None,
                    },
                    None => self.sent(""),
                };
                sent.delay = match params.field("delay") {
                    Some(Value::Num(ms)) => {
                        let ms = *ms;
                        Some(Box::new(move |_| Some(ms)))
                    }
                    Some(Value::Str(name)) => self.delay(name),
                    _ => sent.delay,
                };
                if let Some(Value::Str(id)) = params.field("id") {
                    sent.id = Some(id.clone());
                }
                Box::new(move |scope| {
                    log(scope, &text);
                    let delay = sent.delay.as_ref().and_then(|d| d(&scope.ask()));
                    raise(scope, &sent.event, delay, sent.id.clone());
                    Ok(())
                })
            }
            "logp" => Box::new(move |scope| {
                log(scope, &text);
                Ok(())
            }),
            other => self.verb(other, &[]),
        }
    }

    fn assign(
        &mut self,
        text: Name,
        to: &str,
        value: impl Fn(&Slots, &Event) -> Value + Send + Sync + 'static,
    ) -> Act {
        let place = self.symbols.place(to);
        Box::new(move |scope| {
            log(scope, &text);
            let value = value(scope.context, scope.event);
            scope.context.set(place, value);
            scope.touch();
            Ok(())
        })
    }

    fn arithmetic(
        &mut self,
        text: Name,
        on: &str,
        change: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Act {
        let place = self.symbols.place(on);
        self.assign(text, on, move |context, _| {
            let old = match context.get(place) {
                Some(Value::Num(n)) => *n,
                Some(Value::Null) => 0.0,
                _ => f64::NAN,
            };
            Value::Num(change(old))
        })
    }

    fn test(&mut self, text: &str) -> Test {
        let (verb, rest) = text.split_once(':').unwrap_or((text, ""));
        if let Some(meaning) = self.guards.get(text).cloned() {
            match meaning {
                Value::Bool(b) => return Box::new(move |_| Ok(b)),
                Value::Str(other) if &*other != text => return self.test(&other),
                _ => {}
            }
        }
        let at = rest.find(['=', '<', '>', '!']).unwrap_or(rest.len());
        let left = &rest[..at];
        let right = rest[at..].trim_start_matches(['=', '<', '>', '!']);
        let value = parse_value(right).unwrap_or_else(|_| Value::str(right));
        let than = value.num();
        let place = if matches!(verb, "eq" | "ne" | "lt" | "le" | "gt" | "ge") {
            self.symbols.place(left)
        } else {
            0
        };
        let compare = move |fits: fn(f64, f64) -> bool| -> Test {
            Box::new(move |ask| {
                let left = ask.context.get(place).and_then(Value::num);
                Ok(matches!((left, than), (Some(a), Some(b)) if fits(a, b)))
            })
        };
        match verb {
            "true" => Box::new(|_| Ok(true)),
            "eq" => Box::new(move |ask| Ok(ask.context.get(place) == Some(&value))),
            "ne" => Box::new(move |ask| Ok(ask.context.get(place) != Some(&value))),
            "lt" => compare(|a, b| a < b),
            "le" => compare(|a, b| a <= b),
            "gt" => compare(|a, b| a > b),
            "ge" => compare(|a, b| a >= b),
            "odd" => {
                let place = self.symbols.place(rest);
                Box::new(move |ask| {
                    let n = ask.context.get(place).and_then(Value::num);
                    Ok(n.is_some_and(|n| n % 2.0 == 1.0))
                })
            }
            "eveq" => {
                let field = left.to_owned();
                Box::new(move |ask| Ok(ask.event.data.field(&field) == Some(&value)))
            }
            "evgt" => {
                let field = left.to_owned();
                Box::new(move |ask| {
                    let left = ask.event.data.field(&field).and_then(Value::num);
                    Ok(matches!((left, than), (Some(a), Some(b)) if a > b))
                })
            }
            "evtype" => {
                let name = rest.to_owned();
                Box::new(move |ask| Ok(*ask.event.name == *name))
            }
            "throwg" => Box::new(|_| Err(Fault::execution("the guard threw"))),
            _ => Box::new(|_| Ok(false)),
        }
    }
}

/// An event from JSON: `type`, and the other fields as its data.
pub fn to_event(json: &Value) -> Event {
    let mut event = Event::new(json.field("type").and_then(Value::text).unwrap_or_default());
    if let Value::Map(fields) = json {
        let data: Vec<_> = fields
            .iter()
            .filter(|(k, _)| &**k != "type")
            .cloned()
            .collect();
        if !data.is_empty() {
            event.data = Value::Map(data);
        }
    }
    event
}

fn raise(scope: &mut Step<'_>, event: &Event, delay: Option<f64>, id: Option<Name>) {
    match delay {
        None => scope.raise(event.clone()),
        Some(ms) => scope.effect(Effect::Send {
            event: event.clone(),
            target: Target::Myself,
            delay_ms: Some(ms.max(0.0) as u64),
            id,
        }),
    }
}

fn send(
    text: Name,
    sent: Sent,
    target: impl Fn(&Step<'_>) -> Result<Target, Fault> + Send + Sync + 'static,
) -> Act {
    Box::new(move |scope| {
        log(scope, &text);
        let target = match target(scope) {
            Ok(target) => target,
            Err(fault) => return throw(scope, fault.into_value()),
        };
        let delay = sent.delay.as_ref().and_then(|d| d(&scope.ask()));
        scope.effect(Effect::Send {
            event: sent.event.clone(),
            target,
            delay_ms: delay.map(|ms| ms.max(0.0) as u64),
            id: sent.id.clone(),
        });
        Ok(())
    })
}

fn known_child(scope: &Step<'_>, child: &Name, upcoming: &[Name]) -> Result<Target, Fault> {
    if scope.context.children.contains(child) || upcoming.contains(child) {
        return Ok(Target::Child(child.clone()));
    }
    let text = format!("no child {child:?} to send to");
    Err(Fault::execution(text))
}
