//! The report as one HTML file: no script, nothing loaded from elsewhere, light or dark as the
//! reader's system is.

mod figures;

use std::fmt::Write;

use super::json::{Record, Report};
use super::measure::Measure;
use super::meter::Sample;
use super::plot::{self, Bar, BarChart, BarGroup, Curve, CurveChart, DotChart, DotRow, escape};
use super::setting::{Pin, Setting};
use super::table::{judged, median};
use super::workloads::Group;

const STYLE: &str = include_str!("style.css");

/// Writes the whole page.
pub(crate) fn page(report: &Report) -> String {
    let page = Page {
        report,
        series: series(report),
    };
    let sections = [
        page.head(),
        page.wrong(),
        page.tiles(),
        page.throughput(),
        page.latency(),
        page.memory(),
        page.table(),
        page.noise(),
        page.machine(),
    ];
    let (date, style) = (report.machine.date(), STYLE);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>mainspring bench, {date}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <main>\n{}</main>\n</body>\n</html>\n",
        sections.concat()
    )
}

struct Page<'a> {
    report: &'a Report,
    /// The settings that differ, in order of appearance; a setting's index is its color.
    series: Vec<String>,
}

/// The settings of a report in words, each once.
fn series(report: &Report) -> Vec<String> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for record in &report.records {
        let words = in_words(&record.setting);
        if !found.iter().any(|(_, known)| *known == words) {
            found.push((record.setting.workers, words));
        }
    }
    found.sort_by_key(|(workers, _)| *workers);
    found.into_iter().map(|(_, words)| words).collect()
}

/// A setting for people: `2 workers, pinned compact`.
fn in_words(setting: &Setting) -> String {
    let mut words = match setting.workers {
        1 => "1 worker".to_owned(),
        workers => format!("{workers} workers"),
    };
    if setting.pin != Pin::None {
        words += &format!(", pinned {}", setting.pin);
    }
    if let Some(throughput) = setting.throughput {
        words += &format!(", {throughput} messages a turn");
    }
    if let Some(slice) = setting.slice_ns {
        words += &format!(", slice {}", super::measure::nanoseconds(slice as f64));
    }
    if let Some(spin) = setting.spin_ns {
        words += &format!(", spin {}", super::measure::nanoseconds(spin as f64));
    }
    words
}

impl Page<'_> {
    fn right(&self) -> impl Iterator<Item = &Record> {
        self.report
            .records
            .iter()
            .filter(|record| record.wrong.is_empty())
    }

    fn groups(&self) -> Vec<Group> {
        let has = |group: &Group| self.right().any(|record| record.group == *group);
        Group::ALL.into_iter().filter(has).collect()
    }

    fn series_of(&self, record: &Record) -> usize {
        let words = in_words(&record.setting);
        self.series
            .iter()
            .position(|known| *known == words)
            .unwrap_or(0)
    }

    fn head(&self) -> String {
        let machine = &self.report.machine;
        let mut subtitle = vec![machine.date(), machine.cpu.clone()];
        if !machine.commit.is_empty() {
            subtitle.push(format!("commit {}", machine.commit));
        }
        subtitle.retain(|part| !part.is_empty());
        let debug = match machine.build.as_str() {
            "debug" => {
                "<p class=\"alert\">Built with debug assertions: no figure here is worth anything.</p>\n"
            }
            _ => "",
        };
        format!(
            "<header>\n<h1>mainspring bench</h1>\n<p class=\"sub\">{}</p>\n</header>\n{debug}",
            escape(&subtitle.join(" · "))
        )
    }

    fn wrong(&self) -> String {
        let mut html = String::new();
        for record in &self.report.records {
            for reason in &record.wrong {
                let (id, reason) = (escape(&record.id), escape(reason));
                add(
                    &mut html,
                    format_args!("<p class=\"alert\"><b>{id}</b> was wrong: {reason}</p>\n"),
                );
            }
        }
        html
    }

    fn tiles(&self) -> String {
        let goals: Vec<bool> = self.right().flat_map(judged).map(|(_, met)| met).collect();
        let met = goals.iter().filter(|&&met| met).count();
        let rounds = self
            .right()
            .map(|record| record.rounds.len())
            .max()
            .unwrap_or(0);
        let mut trips: Vec<f64> = self
            .right()
            .flat_map(|record| &record.rounds)
            .filter_map(|sample| sample.figures.get(Measure::RoundTripNs))
            .collect();
        trips.sort_by(f64::total_cmp);

        let mut tiles = vec![(self.right().count().to_string(), "cases".to_owned())];
        tiles.push((rounds.to_string(), "rounds each, interleaved".to_owned()));
        if !goals.is_empty() {
            tiles.push((format!("{met} of {}", goals.len()), "goals met".to_owned()));
        }
        if let (Some(least), Some(greatest)) = (trips.first(), trips.last()) {
            let write = |ns| Measure::RoundTripNs.write(ns);
            let middle = write(trips[trips.len() / 2]);
            tiles.push((
                middle,
                format!("between cores ({} to {})", write(*least), write(*greatest)),
            ));
        }
        let wrong = self.report.records.len() - self.right().count();
        if wrong > 0 {
            tiles.push((wrong.to_string(), "wrong".to_owned()));
        }
        let mut html = "<div class=\"tiles\">\n".to_owned();
        for (figure, name) in tiles {
            let (figure, name) = (escape(&figure), escape(&name));
            add(
                &mut html,
                format_args!("<div><b>{figure}</b><span>{name}</span></div>\n"),
            );
        }
        html + "</div>\n"
    }

    fn throughput(&self) -> String {
        let write = |value| Measure::MessagesPerS.write(value);
        let goal = |record: &Record| {
            record.goals.iter().find_map(|goal| match goal.measure {
                Measure::MessagesPerS => Some(goal.bound),
                Measure::NsPerMessage => Some(1e9 / goal.bound),
                _ => None,
            })
        };
        let mut charts = String::new();
        for group in self.groups() {
            let of_group = |record: &&Record| record.group == group;
            let chart = self.bars(
                Measure::MessagesPerS,
                &of_group,
                &goal,
                &write,
                group.about(),
            );
            if let Some(chart) = chart {
                add(
                    &mut charts,
                    format_args!("<h3>{}</h3>\n{chart}", group.about()),
                );
            }
        }
        let of_ideal = "Share of what plain pinned threads make of the same work";
        let goal = |record: &Record| goal_of(record, Measure::ShareOfIdeal);
        let write = |share| Measure::ShareOfIdeal.write(share);
        if let Some(chart) = self.bars(Measure::ShareOfIdeal, &|_| true, &goal, &write, of_ideal) {
            add(&mut charts, format_args!("<h3>{of_ideal}</h3>\n{chart}"));
        }
        self.section(
            "Throughput",
            &charts,
            "Median of the rounds; the whisker spans all of them. \
             A vertical mark is the goal.",
            true,
        )
    }

    fn memory(&self) -> String {
        let write = |value| super::measure::bytes(value);
        let mut charts = String::new();
        for (measure, title) in [
            (Measure::BytesEach, "Bytes each"),
            (
                Measure::ResidentPeakBytes,
                "Resident at most, the whole process",
            ),
        ] {
            let goal = |record: &Record| goal_of(record, measure);
            if let Some(chart) = self.bars(measure, &|_| true, &goal, &write, title) {
                add(&mut charts, format_args!("<h3>{title}</h3>\n{chart}"));
            }
        }
        self.section("Memory", &charts, "1 MB is 1,000,000 bytes.", true)
    }

    /// Bars of `measure`, one group a workload; nothing when no record has it.
    fn bars(
        &self,
        measure: Measure,
        filter: &dyn Fn(&&Record) -> bool,
        goal: &dyn Fn(&Record) -> Option<f64>,
        write: &dyn Fn(f64) -> String,
        title: &str,
    ) -> Option<String> {
        let mut groups: Vec<BarGroup> = Vec::new();
        let mut said = Vec::new();
        for record in self.right().filter(filter) {
            let Some(value) = record.summary(measure) else {
                continue;
            };
            let words = in_words(&record.setting);
            let goal = goal(record);
            let mut tip = format!(
                "{}, {words}: {} ({} to {})",
                record.workload,
                write(value.median),
                write(value.min),
                write(value.max)
            );
            if let Some(goal) = goal {
                tip += &format!("; goal {}", write(goal));
            }
            said.push(format!(
                "{} {words} {}",
                record.workload,
                write(value.median)
            ));
            let bar = Bar {
                series: self.series_of(record),
                value,
                goal,
                tip,
            };
            match groups
                .last_mut()
                .filter(|group| group.label == record.workload)
            {
                Some(group) => group.bars.push(bar),
                None => groups.push(BarGroup {
                    label: record.workload.clone(),
                    bars: vec![bar],
                }),
            }
        }
        let label = format!("{title}. {}.", said.join("; "));
        let chart = BarChart {
            label,
            compact: groups.len() > 12,
            groups,
            write,
        };
        (!chart.groups.is_empty()).then(|| framed(&chart.draw()))
    }

    fn latency(&self) -> String {
        let write = |ns| super::measure::nanoseconds(ns);
        let mut charts = String::new();
        let mut names: Vec<&str> = Vec::new();
        for record in self.right().filter(|record| !record.curve().is_empty()) {
            if !names.contains(&record.workload.as_str()) {
                names.push(&record.workload);
            }
        }
        for name in names {
            let records: Vec<&Record> = self
                .right()
                .filter(|record| record.workload == name && !record.curve().is_empty())
                .collect();
            let curve = |record: &&Record| Curve {
                series: self.series_of(record),
                label: in_words(&record.setting),
                points: record.curve(),
                rounds: record
                    .rounds
                    .iter()
                    .map(|sample| sample.curve.clone())
                    .collect(),
            };
            let quantile = |measure| match measure {
                Measure::P50Ns => Some(0.5),
                Measure::P99Ns => Some(0.99),
                Measure::P999Ns => Some(0.999),
                _ => None,
            };
            let mut goals: Vec<(f64, f64)> = records
                .iter()
                .flat_map(|record| &record.goals)
                .filter_map(|goal| Some((quantile(goal.measure)?, goal.bound)))
                .collect();
            goals.dedup();
            let say = |record: &&Record| {
                let (p50, p99) = (
                    median(record, Measure::P50Ns),
                    median(record, Measure::P99Ns),
                );
                format!("{}: p50 {p50}, p99 {p99}", in_words(&record.setting))
            };
            let said = records.iter().map(say).collect::<Vec<_>>().join("; ");
            let chart = CurveChart {
                label: format!("Latency of {name} by quantile. {said}."),
                curves: records.iter().map(curve).collect(),
                goals,
                write: &write,
            };
            let (name, message) = (escape(name), escape(&records[0].message));
            add(
                &mut charts,
                format_args!(
                    "<figure>\n<figcaption><b>{name}</b> {message}</figcaption>\n{}</figure>\n",
                    chart.draw()
                ),
            );
        }
        if !charts.is_empty() {
            charts = format!("<div class=\"pair\">\n{charts}</div>\n");
        }
        self.section(
            "Latency",
            &charts,
            "Share of messages within a time, both axes logarithmic. \
             Faint lines are single rounds, a short flat mark is a goal.",
            true,
        )
    }

    fn noise(&self) -> String {
        let against_median = |record: &Record| {
            let median = record.summary(record.headline)?.median;
            let share = |sample: &Sample| Some(sample.figures.get(record.headline)? / median);
            (median != 0.0).then(|| record.rounds.iter().filter_map(share).collect())
        };
        let all_of = |measure: Measure| {
            move |record: &Record| {
                let values = record
                    .rounds
                    .iter()
                    .filter_map(|round| round.figures.get(measure));
                Some(values.collect())
            }
        };
        let relative = |value: f64| format!("{:+.0} %", (value - 1.0) * 100.0);
        let charts = [
            self.dots(
                "Each round against the median of its case",
                &against_median,
                false,
                &relative,
            ),
            self.dots(
                "Cache-line round trip between two cores, just before each round",
                &all_of(Measure::RoundTripNs),
                true,
                &|ns| Measure::RoundTripNs.write(ns),
            ),
            self.dots(
                "Share of the machine that others took during each round",
                &all_of(Measure::OthersShare),
                true,
                &|share| format!("{:.0} %", share * 100.0),
            ),
        ];
        let note = "A dot is a round. Where cores moved apart or others took time, figures follow.";
        let charts = match charts.concat() {
            none if none.is_empty() => none,
            some => format!("<div class=\"pair\">\n{some}</div>\n"),
        };
        self.section("How quiet the machine was", &charts, note, true)
    }

    /// A dot chart of what `values_of` finds in each record; nothing when it finds nothing.
    fn dots(
        &self,
        title: &str,
        values_of: &dyn Fn(&Record) -> Option<Vec<f64>>,
        from_zero: bool,
        write: &dyn Fn(f64) -> String,
    ) -> String {
        let mut rows: Vec<DotRow> = Vec::new();
        let mut last = "";
        for record in self.right() {
            let Some(values) = values_of(record).filter(|values| !values.is_empty()) else {
                continue;
            };
            // The color tells the setting, so a workload is named once.
            let label = if record.workload == last {
                ""
            } else {
                &record.workload
            };
            last = &record.workload;
            rows.push(DotRow {
                label: label.to_owned(),
                name: record.id.clone(),
                series: self.series_of(record),
                values,
            });
        }
        if rows.is_empty() {
            return String::new();
        }
        let chart = DotChart {
            label: format!("{title}."),
            rows,
            from_zero,
            write,
        };
        format!(
            "<figure>\n<figcaption><b>{title}</b></figcaption>\n{}</figure>\n",
            chart.draw()
        )
    }

    fn table(&self) -> String {
        let records: Vec<&Record> = self.right().collect();
        let content = match records.is_empty() {
            true => String::new(),
            false => figures::table(&self.groups(), &records) + &figures::abouts(&records),
        };
        let note = "Medians. The bold figure is what a case is about; the spread is its: the middle \
                    half of the rounds over the median.";
        self.section("All figures", &content, note, false)
    }

    fn machine(&self) -> String {
        let mut html = "<dl class=\"facts\">\n".to_owned();
        let command = ("command", self.report.command.clone());
        for (name, fact) in self.report.machine.facts().into_iter().chain([command]) {
            let fact = escape(&fact);
            add(
                &mut html,
                format_args!("<div><dt>{name}</dt><dd>{fact}</dd></div>\n"),
            );
        }
        self.section("Machine", &(html + "</dl>\n"), "", false)
    }

    /// A section, or nothing when it has no content.
    fn section(&self, title: &str, content: &str, note: &str, has_legend: bool) -> String {
        if content.is_empty() {
            return String::new();
        }
        let legend = if has_legend {
            self.legend()
        } else {
            String::new()
        };
        let note = if note.is_empty() {
            String::new()
        } else {
            format!("<p class=\"note\">{note}</p>\n")
        };
        format!("<section>\n<h2>{title}</h2>\n{note}{legend}{content}</section>\n")
    }

    fn legend(&self) -> String {
        let mut html = "<p class=\"legend\">".to_owned();
        for (index, words) in self.series.iter().enumerate() {
            let (color, words) = (index % plot::COLORS, escape(words));
            add(
                &mut html,
                format_args!("<span><i class=\"b{color}\"></i>{words}</span>"),
            );
        }
        html + "</p>\n"
    }
}

/// The bound of a record's goal for `measure`.
fn goal_of(record: &Record, measure: Measure) -> Option<f64> {
    let goal = record.goals.iter().find(|goal| goal.measure == measure);
    goal.map(|goal| goal.bound)
}

fn framed(svg: &str) -> String {
    format!("<div class=\"plot\">\n{svg}</div>\n")
}

fn add(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text)
        .expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::super::json::tests::{record, report};
    use super::*;

    fn example() -> String {
        let mut wrong = record("pairs", 2, &[]);
        wrong.wrong.push("sum < 4".to_owned());
        page(&report(vec![
            record("ping-pong", 1, &[8.0, 9.0, 10.0]),
            record("ping-pong", 2, &[8.0, 9.0, 30.0]),
            wrong,
        ]))
    }

    /// The names of all elements, checked to be closed in order.
    fn elements(html: &str) -> Vec<String> {
        let mut open = Vec::new();
        let mut seen = Vec::new();
        let mut rest = html
            .strip_prefix("<!doctype html>")
            .expect("a doctype comes first");
        while let Some(at) = rest.find('<') {
            let text = &rest[..at];
            assert!(
                open.last() == Some(&"style".to_owned()) || !text.contains('>'),
                "stray > in {text:?}"
            );
            let end = at + rest[at..].find('>').expect("a tag ends");
            let tag = &rest[at + 1..end];
            let quotes = tag.matches('"').count();
            assert!(quotes.is_multiple_of(2), "a tag's quotes pair up: {tag}");
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "closed in order");
            } else {
                let name = tag.split([' ', '/']).next().unwrap().to_owned();
                seen.push(name.clone());
                if !tag.ends_with('/') {
                    open.push(name);
                }
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
        seen
    }

    #[test]
    fn the_page_is_well_formed_and_has_every_part() {
        let elements = elements(&example());
        let count = |name: &str| elements.iter().filter(|element| *element == name).count();
        assert_eq!((count("main"), count("table"), count("h1")), (1, 1, 1));
        // Throughput, one latency figure, memory, rounds, round trips.
        assert_eq!(count("svg"), 5);
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = example();
        for foreign in [
            "http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn every_plot_tells_its_figures_in_words() {
        let page = example();
        let labels: Vec<&str> = page.split("role=\"img\" aria-label=\"").skip(1).collect();
        assert_eq!(labels.len(), 5);
        assert!(
            labels[0].contains("ping-pong 2 workers, pinned 0,2"),
            "{}",
            &labels[0][..200]
        );
        assert!(labels[0].contains("111 M/s"), "{}", &labels[0][..200]);
    }

    #[test]
    fn a_wrong_case_stands_at_the_top_and_in_no_plot() {
        let page = example();
        assert!(page.contains(
            "<p class=\"alert\"><b>pairs/workers=2/pin=0,2/throughput=64/spin=50µs</b> \
             was wrong: sum &lt; 4</p>"
        ));
        assert!(!page.contains("pairs 2 workers"));
    }

    #[test]
    fn goals_are_judged_beside_their_figures() {
        let page = example();
        assert!(
            page.contains("2 of 2") && page.contains("<span class=\"met\">met</span> ≤ 15.0 ns")
        );
    }

    #[test]
    fn figures_from_outside_are_escaped() {
        let page = example();
        assert!(page.contains("Fast &lt;One&gt; &amp; Co") && !page.contains("<One>"));
        assert!(page.contains("One &amp; &lt;two&gt;."));
    }
}
