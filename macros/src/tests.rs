//! What is wrong with a chart is said at the word that is wrong.

use crate::{analyze, parse};

/// The words that errors stand at, and what they say.
fn wrong(body: &str) -> Vec<(String, String)> {
    wrong_in("(times: u32, event: Signal)", body)
}

fn wrong_in(head: &str, body: &str) -> Vec<(String, String)> {
    let text = format!("chart Light{head} {{ {body} }}");
    let result = syn::parse_str::<parse::Chart>(&text).and_then(|mut chart| {
        let body = std::mem::take(&mut chart.body);
        analyze::analyze(&chart, body)
    });
    let errors = match result {
        Ok(_) => return Vec::new(),
        Err(errors) => errors,
    };
    let said = errors.into_iter().map(|error| {
        let word = error.span().source_text().unwrap_or_default();
        (word, error.to_string())
    });
    said.collect()
}

fn one(word: &str, what: &str) -> Vec<(String, String)> {
    vec![(word.to_owned(), what.to_owned())]
}

#[test]
fn a_misspelt_target_is_said_at_the_word_with_what_was_meant() {
    assert_eq!(
        wrong("initial Red; state Red { on Signal::Go => Gren; } state Green {}"),
        one(
            "Gren",
            "no state `Gren` in this chart; did you mean `Green`?"
        )
    );
    assert_eq!(
        wrong("initial Red; state Red { on Signal::Go => Purple; }"),
        one("Purple", "no state `Purple` in this chart")
    );
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let said = wrong("initial Rde; state Red { on 1 => Gren; } state Green {} state Red {}");
    let words: Vec<&str> = said.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words, ["Red", "Rde", "Gren"]);
}

#[test]
fn a_state_with_states_inside_says_where_it_begins() {
    assert_eq!(
        wrong("initial A; state A { state B {} }"),
        one("A", "`A` has states inside, but no `initial STATE;`")
    );
    assert_eq!(
        wrong("initial B; state A { initial B; state B {} }"),
        one("B", "`B` is not a state directly inside `Light`")
    );
    assert_eq!(
        wrong("initial A; state A { initial A; }"),
        one("A", "`A` has no states inside to begin with")
    );
    assert_eq!(wrong(""), one("Light", "a chart without states"));
}

#[test]
fn a_parallel_state_has_regions_and_no_beginning() {
    let said = wrong("initial P; parallel P { initial A; state A {} state B {} }");
    assert_eq!(
        said,
        one("A", "`P` is parallel: it begins with all states inside")
    );
    assert_eq!(
        wrong("initial P; parallel P { history H; }"),
        one("P", "`P` is parallel and has no states inside to run")
    );
    let regions = "initial P; parallel P {
        state A { initial C; state C { on 1 => B & X; } state D {} }
        state B { initial X; state X { on 2 => C & D; on 3 => C & Y; on 4 => D & X; } final Y; }
        done => A;
    }";
    assert_eq!(
        wrong(regions),
        [
            ("done", "`A` has no final state inside"),
            ("X", "`X` and `B` are never active together"),
            ("D", "`D` and `C` are never active together"),
        ]
        .map(|(word, what)| (word.to_owned(), what.to_owned()))
    );
}

#[test]
fn transitions_that_cannot_be_are_said() {
    let loops = "an `always` without `if` that leads nowhere would be taken for ever";
    assert_eq!(
        wrong("initial A; state A { always => A; }"),
        one("always", loops)
    );
    assert_eq!(
        wrong("initial A; state A { always => {} }"),
        one("always", loops)
    );
    assert_eq!(wrong("initial A; state A { always if true => {} }"), []);
    assert_eq!(
        wrong("initial A; state A { done => A; }"),
        one("done", "`A` has no final state inside")
    );
    assert_eq!(
        wrong("initial A; final A { on 1 => A; }"),
        one(
            "on",
            "a final state of the chart itself ends it and takes no events"
        )
    );
    assert_eq!(
        wrong("initial A; state A { initial B; final B { on 1 => A; } }"),
        []
    );
    let said = wrong("initial A; state A { after Duration::MAX => A; }");
    assert_eq!(said[0].0, "after");
    assert!(said[0].1.contains("after: Event::Variant"), "{said:?}");
    let after = "(times: u32, event: Signal, after: Signal::After)";
    assert_eq!(
        wrong_in(after, "initial A; state A { after Duration::MAX => A; }"),
        []
    );
}

#[test]
fn invocations_are_known_by_their_names() {
    let head = "(times: u32, event: Signal, invoke: Signal::Ended)";
    let body = "initial A; state A { invoke Load = job(); done Load(x) => B; error Load => B; }
        state B { ";
    let wrong = |more: &str| wrong_in(head, &format!("{body}{more} }}"));
    assert_eq!(wrong("done Load => A;"), []);
    assert_eq!(
        wrong("done Laod => A;"),
        one("Laod", "nothing invokes `Laod`; did you mean `Load`?")
    );
    assert_eq!(
        wrong("error Save(why) if why.len() > 2 => A;"),
        one("Save", "nothing invokes `Save`")
    );
    assert_eq!(
        wrong("invoke Load = other();"),
        one("Load", "a second `invoke Load`; names are the chart's own")
    );
    let said = self::wrong("initial A; state A { invoke Load = job(); }");
    assert_eq!(said[0].0, "invoke");
    assert!(said[0].1.contains("invoke: Event::Variant"), "{said:?}");
}

#[test]
fn outputs_stand_where_somebody_takes_them() {
    assert_eq!(
        wrong("initial A; state A { output 1; }"),
        one("output", "only a final state has an output")
    );
    assert_eq!(
        wrong("initial A; final A { output 1; output 2; }"),
        one("output", "a second `output`")
    );
    let typed = "the chart's own output needs its type: say `output: TYPE` in the head";
    assert_eq!(
        wrong("initial A; state A { on 1 => B; } final B { output 1; }"),
        one("output", typed)
    );
    let head = "(times: u32, event: Signal, output: u64)";
    assert_eq!(
        wrong_in(head, "initial A; final A { output 1; } final B;"),
        one("B", "`B` ends the chart without its `output VALUE;`")
    );
    assert_eq!(
        wrong_in(head, "initial A; state A {}"),
        one(
            "u64",
            "no final state of the chart itself gives this output"
        )
    );
    let inner = "initial A; state A { initial B; done(x) => A; final B { output 1; } final C; }";
    assert_eq!(
        wrong(inner),
        one("x", "`C` completes `A` without an `output VALUE;`")
    );
    let region = "initial P; parallel P { done(_) => A;
        state R { initial B; done(1) => B; final B { output 1; } } } state A {}";
    assert_eq!(
        wrong(region),
        one("_", "`P` is parallel and gives no output")
    );
}

#[test]
fn metas_have_a_type_and_one_each() {
    let typed = "`meta` needs a type: say `meta: TYPE` in the chart's head";
    assert_eq!(wrong("initial A; state A { meta 1; }"), one("meta", typed));
    let head = "(times: u32, event: Signal, meta: u64)";
    assert_eq!(wrong_in(head, "initial A; state A { meta 1; }"), []);
    assert_eq!(
        wrong_in(head, "initial A; state A { meta 1; meta 2; }"),
        one("meta", "a second `meta`")
    );
    assert_eq!(
        wrong_in(head, "initial A; meta 1; state A {}"),
        one("meta", "`meta` is a state's, not the chart's own")
    );
    let head = "(times: u32, event: Signal, meta: u64, meta: u8)";
    assert_eq!(
        wrong_in(head, "initial A; state A {}"),
        one("meta", "a second `meta`")
    );
}

#[test]
fn a_word_that_no_state_has_is_said() {
    let said = wrong("initial A; state A { no 1 => A; }");
    assert_eq!(said[0].0, "no");
    assert!(said[0].1.contains("`on`"), "{said:?}");
    let said = wrong_in(
        "(times: u32, event: Signal, uot: out)",
        "initial A; state A {}",
    );
    assert_eq!(said[0].0, "uot");
}
