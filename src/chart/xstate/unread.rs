//! What a machine says in words that are not read: slips of the pen, most likely.

use super::super::check::{Problem, Severity, near};
use super::super::json::{Json, JsonKind, Places};
use super::configs;

const STATE: [&str; 23] = [
    "after",
    "always",
    "context",
    "description",
    "entry",
    "exit",
    "history",
    "id",
    "initial",
    "invoke",
    "key",
    "meta",
    "on",
    "onDone",
    "order",
    "output",
    "route",
    "schemas",
    "states",
    "tags",
    "target",
    "type",
    "version",
];
const TRANSITION: [&str; 7] = [
    "actions",
    "cond",
    "description",
    "guard",
    "meta",
    "reenter",
    "target",
];
const INVOKE: [&str; 9] = [
    "description",
    "id",
    "input",
    "meta",
    "onDone",
    "onError",
    "onSnapshot",
    "src",
    "systemId",
];
/// What XState 4 called it, and what 5 does.
const RENAMED: [(&str, &str); 3] = [("onEntry", "entry"), ("onExit", "exit"), ("data", "output")];

/// A warning for each key that looks like a misspelt one, and for each value of a kind that has no
/// meaning where it stands. O(machine).
pub(super) fn unread(root: &Json, places: &Places) -> Vec<Problem> {
    let mut unread = Unread {
        places,
        problems: Vec::new(),
    };
    unread.state(root);
    unread.problems
}

struct Unread<'a> {
    places: &'a Places,
    problems: Vec<Problem>,
}

impl Unread<'_> {
    fn warn(&mut self, at: &Json, what: String, instead: String) {
        self.problems.push(Problem {
            place: self.places.at(at.place.column as usize),
            severity: Severity::Warning,
            kind: "unread",
            what,
            instead,
        });
    }

    fn state(&mut self, json: &Json) {
        self.keys(json, "a state", &STATE, &RENAMED);
        self.is_text(json, "id");
        self.is_text(json, "type");
        for key in ["always", "onDone"] {
            json.get(key)
                .into_iter()
                .for_each(|list| self.transitions(list));
        }
        for key in ["on", "after"] {
            for (_, list) in self.object(json, key, "{\"EVENT\": \"target\"}") {
                self.transitions(list);
            }
        }
        for invoke in json.get("invoke").map_or(&[][..], Json::items) {
            self.keys(invoke, "an invocation", &INVOKE, &[]);
            for key in ["onDone", "onError", "onSnapshot"] {
                let list = invoke.get(key);
                list.into_iter().for_each(|list| self.transitions(list));
            }
        }
        for (_, child) in self.object(json, "states", "{\"name\": {}}") {
            self.state(child);
        }
    }

    fn keys(&mut self, json: &Json, of: &str, known: &[&str], renamed: &[(&str, &str)]) {
        for (key, value) in json.fields() {
            if known.contains(&key.as_str()) {
                continue;
            }
            let what = format!("the key {key:?} of {of} is not read");
            if let Some((_, now)) = renamed.iter().find(|(old, _)| old == key) {
                self.warn(value, what, format!("XState 5 calls it {now:?}"));
            } else if let Some(name) = near(known.iter().copied(), key) {
                self.warn(value, what, format!("did you mean {name:?}?"));
            }
        }
    }

    fn is_text(&mut self, json: &Json, key: &str) {
        if let Some(value) = json.get(key)
            && value.str().is_none()
        {
            let what = format!("{key:?} is no text and is not read");
            self.warn(value, what, "write it in double quotes".to_owned());
        }
    }

    /// The fields of an object that `key` names.
    fn object<'j>(&mut self, json: &'j Json, key: &str, like: &str) -> &'j [(String, Json)] {
        let Some(value) = json.get(key) else {
            return &[];
        };
        if !matches!(value.kind, JsonKind::Map(_)) {
            let what = format!("{key:?} is no JSON object and is not read");
            self.warn(value, what, format!("write {like}"));
        }
        value.fields()
    }

    fn transitions(&mut self, list: &Json) {
        for config in configs(list) {
            match config.kind {
                JsonKind::Map(_) => self.keys(config, "a transition", &TRANSITION, &[]),
                JsonKind::Bool(_) | JsonKind::Num(_) | JsonKind::List(_) => {
                    let what = "a transition is neither a target nor an object".to_owned();
                    let instead = "write \"target\", or {\"target\": …, \"actions\": …}";
                    self.warn(config, what, instead.to_owned());
                }
                JsonKind::Str(_) | JsonKind::Null => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Machine;

    fn told(text: &str) -> Vec<String> {
        let problems = Machine::parse(text).expect("it is JSON").model().problems;
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelt_key_and_a_value_of_the_wrong_kind_are_told() {
        let told = told(
            "{\"id\": 5, \"initial\": \"a\", \"states\": {\n\
             \"a\": {\"onn\": {}, \"entri\": \"x\", \"on\": {\"GO\": {\"tagret\": \"b\"}}},\n\
             \"b\": {\"onEntry\": \"x\", \"always\": 7, \"after\": [], \"invoke\": {\"src\": \"s\", \"onDon\": \"a\"}},\n\
             \"c\": {\"states\": [\"d\"], \"custom\": 1}}}",
        );
        assert_eq!(
            told,
            [
                "1:8: warning [unread]: \"id\" is no text and is not read; write it in double quotes",
                "2:14: warning [unread]: the key \"onn\" of a state is not read; did you mean \"on\"?",
                "2:27: warning [unread]: the key \"entri\" of a state is not read; did you mean \"entry\"?",
                "2:56: warning [unread]: the key \"tagret\" of a transition is not read; did you mean \"target\"?",
                "3:18: warning [unread]: the key \"onEntry\" of a state is not read; XState 5 calls it \"entry\"",
                "3:33: warning [unread]: a transition is neither a target nor an object; write \"target\", or {\"target\": …, \"actions\": …}",
                "3:45: warning [unread]: \"after\" is no JSON object and is not read; write {\"EVENT\": \"target\"}",
                "3:81: warning [unread]: the key \"onDon\" of an invocation is not read; did you mean \"onDone\"?",
                "4:17: warning [unread]: \"states\" is no JSON object and is not read; write {\"name\": {}}",
            ]
        );
    }

    #[test]
    fn what_has_a_meaning_is_not_told() {
        let told = told(
            r#"{ "id": "m", "initial": "a", "context": {}, "version": "1", "states": {
                "a": { "tags": ["t"], "meta": {}, "entry": "x", "on": { "GO": null, "B": "b", "C": ["b"] },
                       "invoke": { "src": "s", "id": "i", "input": {}, "onError": "b" } },
                "b": { "type": "final", "output": 1, "description": "d", "x": 1 } } }"#,
        );
        assert_eq!(told, Vec::<String>::new());
    }
}
