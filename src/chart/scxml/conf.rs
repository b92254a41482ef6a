//! The W3C tests' neutral form: attributes and elements in a `conf:` namespace that stand for parts
//! of a data model, here ours.

use roxmltree::Node;

const NAMESPACE: &str = "http://www.w3.org/2005/scxml-conformance";

fn conf<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes()
        .find(|a| a.namespace() == Some(NAMESPACE) && a.name() == name)
        .map(|a| a.value())
}

fn variable(number: &str) -> String {
    if number.chars().all(|c| c.is_ascii_digit()) {
        format!("Var{number}")
    } else {
        number.to_owned()
    }
}

/// What the plain attribute `name` is, by the neutral ones.
pub(super) fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    if node.has_tag_name((NAMESPACE, "sendToSender")) {
        let own = |key: &str| node.attributes().find(|a| a.name() == key);
        return match name {
            "event" => own("name").map(|a| a.value().to_owned()),
            "targetexpr" => Some("_event.origin".to_owned()),
            "typeexpr" => Some("_event.origintype".to_owned()),
            _ => None,
        };
    }
    if !node.attributes().any(|a| a.namespace() == Some(NAMESPACE)) {
        return None;
    }
    let var = |neutral: &str| conf(node, neutral).map(variable);
    let plain = |neutral: &str| conf(node, neutral).map(str::to_owned);
    match name {
        "target" => conf(node, "targetpass")
            .map(|_| "pass".to_owned())
            .or_else(|| conf(node, "targetfail").map(|_| "fail".to_owned()))
            .or_else(|| conf(node, "illegalTarget").map(|_| "!invalid".to_owned()))
            .or_else(|| conf(node, "unreachableTarget").map(|_| "#_scxml_nobody".to_owned())),
        "id" | "name" | "location" | "item" | "index" | "idlocation" => var(name)
            .or_else(|| {
                (name == "location")
                    .then(|| conf(node, "invalidLocation").map(|_| "_x".to_owned()))?
            })
            .or_else(|| {
                (name == "item").then(|| conf(node, "illegalItem").map(|_| "'no'".to_owned()))?
            }),
        "namelist" => {
            var("namelist").or_else(|| conf(node, "invalidNamelist").map(|_| "\"no".to_owned()))
        }
        "array" => conf(node, "arrayVar")
            .map(variable)
            .or_else(|| conf(node, "illegalArray").map(|_| "7".to_owned())),
        "delayexpr" => conf(node, "delay")
            .map(|v| format!("'{v}s'"))
            .or_else(|| var("delayFromVar")),
        "eventexpr" => var("eventExpr"),
        "targetexpr" => var("targetVar").or_else(|| var("targetExpr")),
        "typeexpr" => var("typeExpr"),
        "sendidexpr" => var("sendIDExpr"),
        "srcexpr" => var("srcExpr"),
        "type" => conf(node, "invalidSendType").map(|_| "27".to_owned()),
        "expr" => plain("expr")
            .or_else(|| conf(node, "quoteExpr").map(|v| format!("'{v}'")))
            .or_else(|| var("varExpr"))
            .or_else(|| var("varChildExpr"))
            .or_else(|| conf(node, "eventField").map(|v| format!("_event.{v}")))
            .or_else(|| conf(node, "eventName").map(|_| "_event.name".to_owned()))
            .or_else(|| conf(node, "eventType").map(|_| "_event.type".to_owned()))
            .or_else(|| conf(node, "eventSendid").map(|_| "_event.sendid".to_owned()))
            .or_else(|| conf(node, "eventDataFieldValue").map(|v| format!("_event.data.{v}")))
            .or_else(|| conf(node, "eventDataParamValue").map(|v| format!("_event.data.{v}")))
            .or_else(|| {
                conf(node, "eventDataNamelistValue").map(|v| format!("_event.data.{}", variable(v)))
            })
            .or_else(|| conf(node, "systemVarExpr").map(str::to_owned))
            .or_else(|| {
                conf(node, "scxmlEventIOLocation")
                    .map(|_| "_ioprocessors['scxml'].location".to_owned())
            })
            .or_else(|| conf(node, "illegalExpr").map(|_| "!".to_owned())),
        "cond" => condition(node),
        _ => None,
    }
}

fn condition(node: Node<'_, '_>) -> Option<String> {
    let get = |name: &str| conf(node, name);
    if get("true").is_some() {
        return Some("true".into());
    }
    if get("false").is_some() {
        return Some("false".into());
    }
    if get("nonBoolean").is_some() {
        return Some("!".into());
    }
    let split = |text: &str| -> Option<(String, String, String)> {
        let at = text.find(['=', '<', '>'])?;
        let rest = &text[at..];
        let (sign, right) = if let Some(r) = rest.strip_prefix("<=") {
            ("<=", r)
        } else if let Some(r) = rest.strip_prefix(">=") {
            (">=", r)
        } else if let Some(r) = rest.strip_prefix('<') {
            ("<", r)
        } else if let Some(r) = rest.strip_prefix('>') {
            (">", r)
        } else {
            ("==", &rest[1..])
        };
        Some((
            variable(text[..at].trim()),
            sign.into(),
            right.trim().into(),
        ))
    };
    if let Some((left, sign, right)) = get("idVal").or(get("namelistIdVal")).and_then(split) {
        return Some(format!("{left} {sign} {right}"));
    }
    if let Some((left, _, right)) = get("idQuoteVal").and_then(split) {
        return Some(format!("{left} == '{right}'"));
    }
    if let Some((left, _, right)) =
        get("VarEqVar").and_then(|pair| split(&pair.replacen(' ', "=", 1)))
    {
        return Some(format!("{left} === {}", variable(&right)));
    }
    if let Some((left, sign, right)) = get("compareIDVal").and_then(split) {
        return Some(format!("{left} {sign} {}", variable(&right)));
    }
    if let Some((left, _, right)) = get("eventvarVal").and_then(split) {
        return Some(format!("_event.data['{left}'] == {right}"));
    }
    if let Some((left, _, right)) = get("namelistVal").and_then(split) {
        return Some(format!("_event.data.{left} == {right}"));
    }
    if let Some((left, _, right)) = get("eventFieldVal").and_then(split) {
        return Some(format!("_event.{left} == '{right}'"));
    }
    if let Some((left, _, right)) = get("idSystemVarVal").and_then(split) {
        return Some(format!("{left} == {right}"));
    }
    Some(if let Some(id) = get("inState") {
        format!("In('{id}')")
    } else if let Some(number) = get("isBound") {
        format!("typeof {} !== 'undefined'", variable(number))
    } else if let Some(number) = get("unboundVar") {
        format!("typeof {} === 'undefined'", variable(number))
    } else if let Some(name) = get("eventNameVal") {
        format!("_event.name == '{name}'")
    } else if let Some(value) = get("eventdataVal") {
        format!("_event.data == {value}")
    } else if let Some(id) = get("eventdataSendidVal") {
        format!("_event.sendid == '{id}'")
    } else if get("emptyEventData").is_some() {
        "typeof _event.data === 'undefined'".into()
    } else if let Some(field) = get("eventFieldHasNoValue") {
        format!("typeof _event.{field} === 'undefined'")
    } else if let Some(field) = get("eventFieldHasValue").or(get("eventFieldIsBound")) {
        format!("typeof _event.{field} !== 'undefined'")
    } else if get("eventHasNoSendid").is_some() {
        "typeof _event.sendid === 'undefined'".into()
    } else if let Some(name) = get("systemVarIsBound") {
        format!("typeof {name} !== 'undefined'")
    } else {
        return None;
    })
}

/// A neutral element that is an assignment: where to and what.
pub(super) fn executable(node: Node<'_, '_>) -> Option<(String, String)> {
    if node.tag_name().namespace() != Some(NAMESPACE) {
        return None;
    }
    let id = |name: &str| node.attribute(name).map(variable);
    match node.tag_name().name() {
        "script" => Some(("Var1".to_owned(), "1".to_owned())),
        "extendArray" => {
            let v = id("id")?;
            Some((v.clone(), format!("{v}.concat(4)")))
        }
        "incrementID" => {
            let v = id("id")?;
            Some((v.clone(), format!("{v} + 1")))
        }
        "sumVars" | "concatVars" => {
            let (a, b) = (id("id1")?, id("id2")?);
            Some((a.clone(), format!("{a} + {b}")))
        }
        _ => None,
    }
}

/// Whether the element is a neutral `<send>`.
pub(super) fn is_send(node: Node<'_, '_>) -> bool {
    node.has_tag_name((NAMESPACE, "sendToSender"))
}

/// The value that a neutral element stands for.
pub(super) fn value(node: Node<'_, '_>) -> Option<&'static str> {
    let is = |name: &str| node.has_tag_name((NAMESPACE, name));
    if is("array123") {
        return Some("[1, 2, 3]");
    }
    is("someInlineVal").then_some("123")
}

/// Whether the element asks `In()` by a neutral attribute.
pub(super) fn asks_configuration(node: Node<'_, '_>) -> bool {
    conf(node, "inState").is_some()
}
