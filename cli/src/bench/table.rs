//! The readable table.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, TableComponent, presets};

use super::json::{Record, Report};
use super::measure::{Goal, Measure, percent};

/// The measures with a column of their own; others share one.
pub(crate) const COLUMNS: [(Measure, &str); 9] = [
    (Measure::NsPerMessage, "a message"),
    (Measure::MessagesPerS, "messages/s"),
    (Measure::P50Ns, "p50"),
    (Measure::P99Ns, "p99"),
    (Measure::P999Ns, "p99.9"),
    (Measure::AllocationsPerMessage, "allocations\na message"),
    (Measure::ResidentPeakBytes, "resident"),
    (Measure::RoundTripNs, "between\ncores"),
    (Measure::OthersShare, "others"),
];

/// Writes the medians of a run as a table: a row a case, a column for each measure some case has.
pub(crate) fn table(report: &Report) -> Table {
    let has = |measure| report.records.iter().any(|r| r.summary(measure).is_some());
    let columns: Vec<_> = COLUMNS
        .into_iter()
        .filter(|&(measure, _)| has(measure))
        .collect();

    let mut table = new_table();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let mut header = vec!["case"];
    header.extend(columns.iter().map(|&(_, title)| title));
    header.extend(["spread", "also", "goal"]);
    table.set_header(header);

    for record in &report.records {
        let mut row = vec![Cell::new(&record.id)];
        if let Some(reason) = record.wrong.first() {
            row.push(Cell::new(format!("WRONG: {reason}")).fg(Color::Red));
            table.add_row(row);
            continue;
        }
        row.extend(
            columns
                .iter()
                .map(|&(measure, _)| right(median(record, measure))),
        );
        row.push(right(spread(record)));
        row.push(Cell::new(also(record)));
        row.push(goals(record));
        table.add_row(row);
    }
    table
}

/// A table with lines above, below and under its header only.
pub(crate) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table.remove_style(TableComponent::LeftBorderIntersections);
    table.remove_style(TableComponent::RightBorderIntersections);
    table
}

/// The median of `measure`, written for people; empty when there is none.
pub(crate) fn median(record: &Record, measure: Measure) -> String {
    record
        .summary(measure)
        .map_or_else(String::new, |summary| measure.write(summary.median))
}

/// The spread of the headline.
pub(crate) fn spread(record: &Record) -> String {
    let summary = record.summary(record.headline);
    summary.map_or_else(String::new, |summary| percent(summary.spread()))
}

/// The measures without a column, with their names.
pub(crate) fn others(record: &Record) -> Vec<Measure> {
    let has_column = |measure| {
        COLUMNS
            .iter()
            .any(|&(with_column, _)| with_column == measure)
    };
    record
        .measures()
        .into_iter()
        .filter(|&measure| !has_column(measure))
        .collect()
}

/// The goals of a record that its rounds measure, each with whether it is met.
pub(crate) fn judged(record: &Record) -> Vec<(Goal, bool)> {
    let judge = |&goal: &Goal| Some((goal, goal.is_met(record.summary(goal.measure)?.median)));
    record.goals.iter().filter_map(judge).collect()
}

/// A goal in words: its measure is named unless it is the headline or its unit says it.
pub(crate) fn goal_text(record: &Record, goal: Goal) -> String {
    if goal.measure == record.headline || goal.measure == Measure::MessagesPerS {
        return goal.to_string();
    }
    format!("{} {goal}", goal.measure.label())
}

fn also(record: &Record) -> String {
    let write = |measure: Measure| format!("{} {}", measure.label(), median(record, measure));
    others(record)
        .into_iter()
        .map(write)
        .collect::<Vec<_>>()
        .join("\n")
}

fn goals(record: &Record) -> Cell {
    let judged = judged(record);
    let write = |&(goal, met): &(Goal, bool)| {
        format!(
            "{} {}",
            if met { "met" } else { "missed" },
            goal_text(record, goal)
        )
    };
    let text = judged.iter().map(write).collect::<Vec<_>>().join("\n");
    match judged.iter().all(|&(_, met)| met) {
        _ if judged.is_empty() => Cell::new(text),
        true => Cell::new(text).fg(Color::Green),
        false => Cell::new(text).fg(Color::Yellow),
    }
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::super::json::tests::{record, report};
    use super::*;

    fn text(records: Vec<Record>) -> String {
        let mut table = table(&report(records));
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.to_string()
    }

    #[test]
    fn a_row_shows_medians_spread_and_goal() {
        let text = text(vec![record("ring", 2, &[8.0, 9.0, 10.0])]);
        for part in [
            "ring/workers=2",
            "9.00 ns",
            "111 M/s",
            "5.24 MB",
            "11.1 %",
            "met ≤ 15.0 ns",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("p99.9"), "no case has it:\n{text}");
    }

    #[test]
    fn a_missed_goal_and_a_wrong_case_say_so() {
        let mut wrong = record("pairs", 1, &[]);
        wrong.wrong.push("sum is 3, must be 4".to_owned());
        let text = text(vec![record("ring", 2, &[16.0]), wrong]);
        assert!(text.contains("missed ≤ 15.0 ns"), "{text}");
        assert!(text.contains("WRONG: sum is 3, must be 4"), "{text}");
    }
}
