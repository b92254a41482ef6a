//! The table of all figures, and what each workload is.

use super::super::json::Record;
use super::super::measure::Measure;
use super::super::plot::escape;
use super::super::table::{COLUMNS, goal_text, judged, median, others, spread};
use super::super::workloads::Group;
use super::{add, in_words};

/// Writes the table: one body a group, one row a case.
pub(super) fn table(groups: &[Group], records: &[&Record]) -> String {
    let has = |measure| records.iter().any(|r| r.summary(measure).is_some());
    let columns: Vec<_> = COLUMNS
        .into_iter()
        .filter(|&(measure, _)| has(measure))
        .collect();

    let mut html = "<div class=\"scroll\">\n<table>\n<thead><tr><th class=\"left\">workload</th>\
                    <th class=\"left\">setting</th><th class=\"left\">goal</th>"
        .to_owned();
    for (measure, title) in &columns {
        let (label, title) = (measure.label(), title.replace('\n', " "));
        add(
            &mut html,
            format_args!("<th title=\"{label}\">{title}</th>"),
        );
    }
    html += "<th>spread</th><th class=\"left\">also</th></tr></thead>\n";
    for group in groups {
        let span = columns.len() + 5;
        let (name, about) = (group.name(), group.about());
        add(
            &mut html,
            format_args!(
                "<tbody>\n<tr class=\"group\"><th colspan=\"{span}\" scope=\"rowgroup\">{name} \
                 <span>{about}</span></th></tr>\n"
            ),
        );
        let mut last = "";
        for record in records.iter().filter(|record| record.group == *group) {
            let is_first = record.workload != last;
            last = &record.workload;
            html += &row(record, is_first, columns.iter().map(|column| column.0));
        }
        html += "</tbody>\n";
    }
    html + "</table>\n</div>\n"
}

/// Says of each workload what it does and what a message is.
pub(super) fn abouts(records: &[&Record]) -> String {
    let mut html = "<dl class=\"about\">\n".to_owned();
    let mut last = "";
    for record in records {
        if record.workload != last {
            let (name, about) = (escape(&record.workload), escape(&record.about));
            let message = escape(&record.message);
            add(
                &mut html,
                format_args!(
                    "<div><dt>{name}</dt><dd>{about} A message is {message}.</dd></div>\n"
                ),
            );
        }
        last = &record.workload;
    }
    html + "</dl>\n"
}

fn row(record: &Record, is_first: bool, columns: impl Iterator<Item = Measure>) -> String {
    let name = escape(&record.workload);
    let (class, setting) = (
        if is_first { "first" } else { "again" },
        escape(&in_words(&record.setting)),
    );
    let mut html = format!(
        "<tr class=\"{class}\"><th class=\"left\" scope=\"row\"><span>{name}</span></th>\
         <td class=\"left\">{setting}</td><td class=\"left\">"
    );
    for (goal, met) in judged(record) {
        let word = if met { "met" } else { "missed" };
        let goal = escape(&goal_text(record, goal));
        add(
            &mut html,
            format_args!("<div><span class=\"{word}\">{word}</span> {goal}</div>"),
        );
    }
    html += "</td>";
    for measure in columns {
        let Some(summary) = record.summary(measure) else {
            html += "<td></td>";
            continue;
        };
        let class = headline_class(record, measure);
        let (min, max) = (measure.write(summary.min), measure.write(summary.max));
        let (tip, figure) = (format!("{min} to {max}"), measure.write(summary.median));
        let (tip, figure) = (escape(&tip), escape(&figure));
        add(
            &mut html,
            format_args!("<td class=\"{class}\" title=\"{tip}\">{figure}</td>"),
        );
    }
    let spread = escape(&spread(record));
    add(
        &mut html,
        format_args!("<td>{spread}</td><td class=\"left\">"),
    );
    for measure in others(record) {
        let (name, figure) = (measure.label(), escape(&median(record, measure)));
        let class = headline_class(record, measure);
        add(
            &mut html,
            format_args!("<div>{name} <span class=\"{class}\">{figure}</span></div>"),
        );
    }
    html + "</td></tr>\n"
}

fn headline_class(record: &Record, measure: Measure) -> &'static str {
    if measure == record.headline {
        "headline"
    } else {
        "figure"
    }
}
