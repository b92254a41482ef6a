//! Drawings of a chart as SVG: boxes in boxes, complete in one file, light and dark.
//!
//! ```text
//!   model ─▶ measure (inside out: a state's size is that of its contents, laid out in layers,
//!   │                 in which each transition's label is a node like a state)
//!   └──────▶ place (outside in) ─▶ boxes, then arrows, then labels
//! ```
//!
//! A transition is laid out in the smallest state that holds its source and its targets, between
//! the children that contain them. To a state deeper inside a child it goes on through a port at the
//! child's border, and from there in a layout of the child's own, so that it passes what is in
//! there. One that changes no state, or comes back to its own, is a line in the state's box.

mod boxes;
mod pen;
mod text;

use super::model::Model;
use super::xml;
use boxes::{measure, place};
use pen::{draw_arrows, draw_box};

const LINE: f64 = 17.0;
const PAD: f64 = 12.0;
const HEADER: f64 = 26.0;

/// The chart as an SVG drawing: no scripts, no foreign files, colors for light and dark screens.
///
/// What would be higher or wider than twice the other goes on in columns, or in more rows, once it
/// fits no screen. The same model gives the same drawing.
///
/// O(states + transitions) but for charts with many transitions across levels: a chart of 10,000
/// states takes a second or two. The drawing of a model with errors shows what could be read.
pub fn svg(model: &Model) -> String {
    if model.states.is_empty() {
        return page(&model.name, (2.0 * PAD, 2.0 * PAD), "");
    }
    let mut boxes = measure(model);
    place(&mut boxes, 0, (PAD, PAD));
    let mut body = String::new();
    let mut labels = String::new();
    draw_box(model, &boxes, 0, &mut body, &mut labels);
    for state in 0..boxes.len() {
        draw_arrows(model, &boxes, state, &mut body, &mut labels);
    }
    body.push_str(&labels);
    let (width, height) = boxes[0].size;
    page(&model.name, (width + 2.0 * PAD, height + 2.0 * PAD), &body)
}

fn page(name: &str, (width, height): (f64, f64), body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto-start-reverse\"><path class=\"head\" \
         d=\"M0 1 L10 5 L0 9 z\"/></marker></defs>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        xml::escaped(name)
    )
}

/// Colors stand in the rules themselves: many viewers outside of browsers know no CSS variables.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#5b6675}\
.name{font-weight:600;font-size:13px;fill:#1f2733}.event{fill:#0b57b8;font-weight:500}\
.over{stroke:#f5f7fa;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}\
.paper{fill:#fff}.box{fill:#f5f7fa;stroke:#b9c2cd}.region{fill:none;stroke:none}\
.state,.ring{fill:#fff;stroke:#737f90}.ring{fill:none}\
.rule{stroke:#c4ccd6}.separator{stroke:#8a94a3;stroke-dasharray:5 4}\
.arrow{fill:none;stroke:#737f90;stroke-width:1.3}.head,.dot{fill:#737f90}\
.port{fill:#fff;stroke:#737f90}.pill{fill:#e3edfb}\
@media(prefers-color-scheme:dark){text{fill:#a5afbd}.name{fill:#e7ebf1}.event{fill:#8fbdf8}\
.over{stroke:#1b212a}.paper{fill:#14181f}.box{fill:#1b212a;stroke:#465263}\
.region{fill:none;stroke:none}.state,.ring{fill:#232b36;stroke:#8793a5}.ring{fill:none}\
.rule{stroke:#3a4453}.separator{stroke:#7d8797}.arrow{stroke:#8793a5}.head,.dot{fill:#8793a5}\
.port{fill:#14181f;stroke:#8793a5}.pill{fill:#20324d}}";

#[cfg(test)]
mod tests {
    use super::super::model::{Initial, Kind, Place, Rules, State, StateId, Transition, Trigger};
    use super::boxes::Node;
    use super::pen::points;
    use super::text::{CHARS_MAX, pill, wrapped};
    use super::*;

    /// A transition to that state by an event of that name.
    fn to(event: &str, target: StateId) -> Transition {
        Transition {
            trigger: Trigger::Events(vec![event.to_owned()]),
            guard: None,
            targets: vec![target],
            internal: true,
            actions: Vec::new(),
            place: Place::default(),
        }
    }

    /// Where a state begins.
    fn starts(target: StateId) -> Initial {
        Initial {
            targets: vec![target],
            actions: Vec::new(),
        }
    }

    fn two() -> Model {
        let mut model = Model::new("m & co", Rules::XSTATE);
        let mut root = State::new("m", None, Kind::Compound);
        root.initial = starts(1);
        model.push(root);
        let mut a = State::new("a<b", Some(0), Kind::Atomic);
        a.transitions.push(to("GO", 2));
        model.push(a);
        model.push(State::new("b", Some(0), Kind::Final));
        model
    }

    #[test]
    fn a_drawing_holds_every_state_and_label_once_and_nothing_foreign() {
        let drawing = svg(&two());
        for part in [">a&lt;b</text>", ">b</text>", ">GO</text>", "m &amp; co"] {
            assert_eq!(drawing.matches(part).count(), 1, "{part}");
        }
        assert_eq!(drawing.matches("class=\"ring\"").count(), 1);
        assert_eq!(drawing.matches("class=\"dot\"").count(), 1);
        assert!(!drawing.contains("href"));
    }

    #[test]
    fn children_lie_inside_of_their_parents_and_apart_from_each_other() {
        let model = two();
        let mut boxes = measure(&model);
        place(&mut boxes, 0, (0.0, 0.0));
        let (root, a, b) = (&boxes[0], &boxes[1], &boxes[2]);
        for inner in [a, b] {
            assert!(inner.at.0 >= root.at.0 && inner.at.1 >= root.at.1);
            assert!(inner.at.0 + inner.size.0 <= root.at.0 + root.size.0);
            assert!(inner.at.1 + inner.size.1 <= root.at.1 + root.size.1);
        }
        assert!(a.at.1 + a.size.1 < b.at.1, "the label is between them");
    }

    /// `outer` holds a chain of three states; the first leads out to `end`, and `end` back to the last.
    fn chained() -> Model {
        let mut model = Model::new("m", Rules::XSTATE);
        let to = |target: StateId| to(&format!("TO{target}"), target);
        let mut root = State::new("m", None, Kind::Compound);
        root.initial = starts(1);
        model.push(root);
        let mut outer = State::new("outer", Some(0), Kind::Compound);
        outer.initial = starts(2);
        model.push(outer);
        for (id, targets) in [("a", vec![3, 5]), ("b", vec![4]), ("c", vec![2])] {
            let mut state = State::new(id, Some(1), Kind::Atomic);
            state.transitions = targets.into_iter().map(to).collect();
            model.push(state);
        }
        let mut end = State::new("end", Some(0), Kind::Atomic);
        end.transitions = vec![to(4)];
        model.push(end);
        model
    }

    #[test]
    fn an_arrow_out_of_a_state_passes_what_else_is_in_there() {
        let model = chained();
        let mut boxes = measure(&model);
        place(&mut boxes, 0, (0.0, 0.0));
        let root = &boxes[0];
        let layout = root.layout.as_ref().expect("it has children");
        let mut through = 0;
        for (nth, arrow) in root.arrows.iter().enumerate() {
            through += arrow.out_of.len() + arrow.into.len();
            let points = points(&boxes, root, layout, nth);
            for pair in points.windows(2) {
                for step in 1..50 {
                    let part = f64::from(step) / 50.0;
                    let x = pair[0].0 + (pair[1].0 - pair[0].0) * part;
                    let y = pair[0].1 + (pair[1].1 - pair[0].1) * part;
                    for leaf in &boxes[2..] {
                        let ((left, top), (w, h)) = (leaf.at, leaf.size);
                        let inside = x > left && x < left + w && y > top && y < top + h;
                        assert!(!inside, "({x}, {y}) of {points:?} is in a box");
                    }
                }
            }
        }
        assert_eq!(through, 2, "one port out of the outer state, one into it");
    }

    /// Groups one after the other, each a chain of five states with a way back.
    fn groups(count: u32) -> Model {
        let mut model = Model::new("m", Rules::XSTATE);
        let mut root = State::new("m", None, Kind::Compound);
        root.initial = starts(1);
        model.push(root);
        for nth in 0..count {
            let group = 1 + 6 * nth;
            let mut state = State::new(format!("group{nth}"), Some(0), Kind::Compound);
            state.initial = starts(group + 1);
            if nth + 1 < count {
                state.transitions.push(to("onDone", group + 6));
            }
            if nth % 4 == 3 {
                state.transitions.push(to("RESTART", group - 12));
            }
            model.push(state);
            for inner in 1..6 {
                let mut state =
                    State::new(format!("state{nth}.{inner}"), Some(group), Kind::Atomic);
                if inner < 5 {
                    state.transitions.push(to("NEXT", group + inner + 1));
                }
                if inner == 4 {
                    state.transitions.push(to("BACK", group + 2));
                    state
                        .transitions
                        .push(to("CANCEL", 1 + 6 * (nth * 7 % count) + 1));
                }
                model.push(state);
            }
        }
        model
    }

    #[test]
    fn chained_groups_go_on_in_columns_and_nothing_lies_on_anything() {
        for count in [10, 17, 34] {
            let model = groups(count);
            let mut boxes = measure(&model);
            place(&mut boxes, 0, (0.0, 0.0));
            let (wide, high) = boxes[0].size;
            assert!(wide < 2.0 * high && high < 2.0 * wide, "{wide} × {high}");
            // Boxes and labels, each with its state, the label of which is no state.
            let mut areas = Vec::new();
            for (s, b) in boxes.iter().enumerate() {
                if b.children.is_empty() {
                    areas.push((Some(s), b.at, b.size));
                }
                let Some(layout) = &b.layout else { continue };
                for (node, &at) in b.nodes.iter().zip(&layout.at) {
                    if let Node::Label { lines, .. } = node {
                        let (at, (w, h)) = (b.moved(at), pill(lines));
                        areas.push((None, (at.0 - w / 2.0, at.1 - h / 2.0), (w, h)));
                    }
                }
            }
            for (nth, (_, a, size)) in areas.iter().enumerate() {
                for (_, b, other) in &areas[..nth] {
                    let beside = a.0 >= b.0 + other.0 || b.0 >= a.0 + size.0;
                    assert!(beside || a.1 >= b.1 + other.1 || b.1 >= a.1 + size.1);
                }
            }
            for (s, b) in boxes.iter().enumerate() {
                let Some(layout) = &b.layout else { continue };
                for (nth, arrow) in b.arrows.iter().enumerate().filter(|(_, a)| !a.is_leg) {
                    let points = points(&boxes, b, layout, nth);
                    for pair in points.windows(2) {
                        for step in 1..50 {
                            let part = f64::from(step) / 50.0;
                            let x = pair[0].0 + (pair[1].0 - pair[0].0) * part;
                            let y = pair[0].1 + (pair[1].1 - pair[0].1) * part;
                            let under = |(_, at, size): &(_, (f64, f64), (f64, f64))| {
                                x > at.0 + 0.5
                                    && x < at.0 + size.0 - 0.5
                                    && y > at.1 + 0.5
                                    && y < at.1 + size.1 - 0.5
                            };
                            let over = areas.iter().find(|area| under(area));
                            assert!(
                                over.is_none(),
                                "{} to {} in {s}: {points:?}, {over:?}",
                                arrow.from,
                                arrow.to
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_root_with_a_transition_to_each_of_many_states_is_no_strip() {
        for count in [200, 2_000] {
            let mut model = Model::new("m", Rules::XSTATE);
            let mut root = State::new("m", None, Kind::Compound);
            root.initial = starts(1);
            root.transitions = (1..=count).map(|n| to(&format!("TO{n}"), n)).collect();
            model.push(root);
            for n in 1..=count {
                model.push(State::new(format!("s{n}"), Some(0), Kind::Atomic));
            }
            let (wide, high) = measure(&model)[0].size;
            assert!(wide < 2.0 * high && high < 2.0 * wide, "{wide} × {high}");
        }
    }

    #[test]
    fn four_times_the_states_make_a_drawing_four_times_as_long() {
        let hub = |count: u32| {
            let mut model = two();
            for n in 3..count {
                let mut state = State::new(format!("s{n}"), Some(0), Kind::Atomic);
                let mut back = model.states[1].transitions[0].clone();
                back.targets = vec![1];
                state.transitions.push(back);
                model.push(state);
                let mut there = model.states[1].transitions[0].clone();
                there.targets = vec![n];
                model.states[1].transitions.push(there);
            }
            model
        };
        let length = |model: &Model| svg(model).len();
        assert!(length(&groups(400)) < 6 * length(&groups(100)));
        assert!(length(&hub(1_200)) < 6 * length(&hub(300)));
    }

    #[test]
    fn lists_are_broken_into_lines_and_none_is_longer_than_a_box() {
        let short = wrapped("entry / a, b");
        assert_eq!(short.len(), 1);
        let long = "entry / ".to_owned() + &["anActionWithALongName"; 9].join(", ");
        let lines = wrapped(&long);
        assert_eq!(lines.len(), 3);
        assert!(
            lines
                .iter()
                .all(|l| l.text.chars().count() <= CHARS_MAX + 2)
        );
        assert!(lines[2].text.ends_with('…') && lines[2].whole == long);
    }
}
