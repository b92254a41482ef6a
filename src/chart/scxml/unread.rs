//! What a document says that is not read, or can only fail when its turn comes: slips of the pen,
//! most likely.

use roxmltree::Node;

use super::super::check::{Problem, Severity, near};
use super::{Reader, attr, conf, elements, expr, milliseconds, named};

const NAMESPACE: &str = "http://www.w3.org/2005/07/scxml";

/// The elements, each with its attributes.
const ELEMENTS: [(&str, &[&str]); 25] = [
    ("assign", &["attr", "expr", "location", "type"]),
    ("cancel", &["sendid", "sendidexpr"]),
    ("content", &["expr"]),
    ("data", &["expr", "id", "src"]),
    ("datamodel", &[]),
    ("donedata", &[]),
    ("else", &[]),
    ("elseif", &["cond"]),
    ("final", &["id"]),
    ("finalize", &[]),
    ("foreach", &["array", "index", "item"]),
    ("history", &["id", "type"]),
    ("if", &["cond"]),
    ("initial", &[]),
    (
        "invoke",
        &[
            "autoforward",
            "id",
            "idlocation",
            "namelist",
            "src",
            "srcexpr",
            "type",
            "typeexpr",
        ],
    ),
    ("log", &["expr", "label"]),
    ("onentry", &[]),
    ("onexit", &[]),
    ("parallel", &["id"]),
    ("param", &["expr", "location", "name"]),
    ("raise", &["event"]),
    ("script", &["src"]),
    (
        "scxml",
        &[
            "binding",
            "datamodel",
            "exmode",
            "initial",
            "name",
            "version",
        ],
    ),
    (
        "send",
        &[
            "delay",
            "delayexpr",
            "event",
            "eventexpr",
            "id",
            "idlocation",
            "namelist",
            "target",
            "targetexpr",
            "type",
            "typeexpr",
        ],
    ),
    ("state", &["id", "initial"]),
];
const TRANSITION: (&str, &[&str]) = ("transition", &["cond", "event", "target", "type"]);
const EXPRESSIONS: [&str; 9] = [
    "array",
    "cond",
    "delayexpr",
    "eventexpr",
    "expr",
    "sendidexpr",
    "srcexpr",
    "targetexpr",
    "typeexpr",
];

impl Reader<'_> {
    /// Adds a warning for each element and attribute without a meaning, each expression that cannot
    /// be read, and what an element needs and lacks. By a list, as nothing has bounded the depth.
    pub(super) fn unread(&mut self, root: Node<'_, '_>) {
        if root.tag_name().name() != "scxml" {
            return; // which is said, and that nothing else is known of it
        }
        let mut ahead = vec![root];
        while let Some(node) = ahead.pop() {
            let tag = node.tag_name();
            if tag.namespace().is_some_and(|name| name != NAMESPACE) {
                continue; // somebody else's vocabulary
            }
            let all = ELEMENTS.iter().chain([&TRANSITION]);
            let Some((_, attributes)) = all.clone().find(|(name, _)| *name == tag.name()) else {
                let what = format!("the element <{}> is not read", tag.name());
                let meant = near(all.map(|(name, _)| *name), tag.name());
                self.warn(node, "unread", what, &meant_or(meant, "remove it"));
                continue;
            };
            self.attributes(node, attributes);
            self.needs(node);
            if !matches!(
                tag.name(),
                "assign" | "content" | "data" | "param" | "script"
            ) {
                let inside = ahead.len();
                ahead.extend(elements(node));
                ahead[inside..].reverse();
            }
        }
    }

    fn warn(&mut self, at: Node<'_, '_>, kind: &'static str, what: String, instead: &str) {
        let place = self.place(at);
        self.model.problems.push(Problem {
            place,
            severity: Severity::Warning,
            kind,
            what,
            instead: instead.to_owned(),
        });
    }

    fn attributes(&mut self, node: Node<'_, '_>, known: &[&str]) {
        let tag = node.tag_name().name();
        for attribute in node.attributes().filter(|a| a.namespace().is_none()) {
            let (name, text) = (attribute.name(), attribute.value());
            if !known.contains(&name) {
                let what = format!("the attribute {name:?} of <{tag}> is not read");
                let meant = near(known.iter().copied(), name);
                self.warn(node, "unread", what, &meant_or(meant, "remove it"));
                continue;
            }
            let read = match (tag, name) {
                _ if EXPRESSIONS.contains(&name) => {
                    self.with_names(|names| expr::compile(text, names).map(drop))
                }
                ("assign", "location") => self.location(text).map(drop),
                _ => Ok(()),
            };
            if let Err(why) = read {
                let what = format!("{name}={text:?} is not in the small language: {why}");
                let instead = "it fails with error.execution each time";
                self.warn(node, "expression", what, instead);
            }
        }
    }

    /// What can only fail without what is missing.
    fn needs(&mut self, node: Node<'_, '_>) {
        let tag = node.tag_name().name();
        let lacks = |names: &[&str]| names.iter().all(|name| attr(node, name).is_none());
        let missing = match tag {
            "raise" if lacks(&["event"]) => "give it an \"event\"",
            "send"
                if lacks(&["event", "eventexpr"])
                    && named(node, "content").next().is_none()
                    && !conf::is_send(node) =>
            {
                "give it an \"event\" or a <content>"
            }
            "cancel" if lacks(&["sendid", "sendidexpr"]) => "give it a \"sendid\"",
            "foreach" if lacks(&["array"]) => "give it an \"array\" and an \"item\"",
            _ => "",
        };
        if !missing.is_empty() {
            let what = format!("a <{tag}> without what it is about");
            self.warn(node, "missing", what, missing);
        }
        if let Some(delay) = attr(node, "delay")
            && tag == "send"
            && milliseconds(&delay).is_none()
        {
            let what = format!("the delay {delay:?} is no time");
            self.warn(node, "delay", what, "write \"5s\" or \"200ms\"");
        }
        if let Some(name) = attr(node, "datamodel")
            && !matches!(&*name, "ecmascript" | "null" | "")
        {
            let what = format!("the data model {name:?} is unknown and read as the small language");
            self.warn(node, "datamodel", what, "use \"ecmascript\" or \"null\"");
        }
    }
}

fn meant_or(meant: Option<&str>, otherwise: &str) -> String {
    meant.map_or(otherwise.to_owned(), |name| {
        format!("did you mean {name:?}?")
    })
}

#[cfg(test)]
mod tests {
    use super::super::model;

    fn told(inside: &str) -> Vec<String> {
        let text = format!(
            "<scxml xmlns=\"{}\" version=\"1.0\">\n{inside}</scxml>",
            super::NAMESPACE
        );
        let problems = model(&text).expect("it is XML").problems;
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_read_and_what_can_only_fail_is_told() {
        let told = told(
            "<datamodel><data id=\"x\" expr=\"1 +\"/></datamodel>\n\
             <state id=\"a\"><onenter/>\n\
             <transition evnt=\"X\" target=\"a\"/>\n\
             <onentry><send/>\n<cancel/>\n<raise/>\n<send event=\"e\" delay=\"5 parsecs\"/>\n<assign location=\"1\" expr=\"1\"/></onentry>\n\
             <other xmlns=\"somebody:else\" odd=\"1\"/></state>",
        );
        let starts = [
            "2:12: warning [expression]: expr=\"1 +\" is not in the small language: ",
            "3:15: warning [unread]: the element <onenter> is not read; did you mean \"onentry\"?",
            "4:1: warning [unread]: the attribute \"evnt\" of <transition> is not read; did you mean \"event\"?",
            "5:10: warning [missing]: a <send> without what it is about; give it an \"event\" or a <content>",
            "6:1: warning [missing]: a <cancel> without what it is about; give it a \"sendid\"",
            "7:1: warning [missing]: a <raise> without what it is about; give it an \"event\"",
            "8:1: warning [delay]: the delay \"5 parsecs\" is no time; write \"5s\" or \"200ms\"",
            "9:1: warning [expression]: location=\"1\" is not in the small language: ",
        ];
        assert_eq!(told.len(), starts.len(), "{told:#?}");
        for (line, start) in told.iter().zip(starts) {
            assert!(line.starts_with(start), "{line} is not {start}");
        }
    }

    #[test]
    fn what_has_a_meaning_is_not_told() {
        let told = told(
            "<datamodel><data id=\"x\" expr=\"1\"/></datamodel><state id=\"a\" initial=\"b\"><state id=\"b\">\
             <onentry><send event=\"e\" delay=\"2s\"/><log label=\"l\" expr=\"x + 1\"/>\
             <if cond=\"x == 1\"><raise event=\"e\"/><else/><assign location=\"x\" expr=\"2\"/></if></onentry>\
             <transition event=\"e\" cond=\"In('a')\" target=\"c\" type=\"internal\"/></state>\
             <history id=\"h\" type=\"deep\"><transition target=\"b\"/></history></state><final id=\"c\"/>",
        );
        assert_eq!(told, Vec::<String>::new());
    }
}
