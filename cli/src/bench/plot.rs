//! Plots as SVG: colors are the page's, by class, so that they follow its light or dark.
//!
//! | class      | is                               |
//! |------------|----------------------------------|
//! | `ink`      | text to be read                  |
//! | `muted`    | axis labels                      |
//! | `grid`     | grid lines                       |
//! | `s0`…`s5`  | a series' color, filled          |
//! | `l0`…`l5`  | a series' color, as a line       |
//! | `whisker`  | from the least to the greatest   |
//! | `goal`     | a figure to reach                |

use std::fmt::{Display, Write};

use super::stats::Summary;

/// Series have this many colors; the next begins anew.
pub(crate) const COLORS: usize = 6;

/// Text for HTML and SVG, in content or in a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// A bar: a median, with its rounds' ends and what it should reach.
pub(crate) struct Bar {
    pub(crate) series: usize,
    pub(crate) value: Summary,
    pub(crate) goal: Option<f64>,
    /// What a pointer that rests on it is told.
    pub(crate) tip: String,
}

/// Bars of one thing, side by side.
pub(crate) struct BarGroup {
    pub(crate) label: String,
    pub(crate) bars: Vec<Bar>,
}

/// Horizontal bars from 0 on one linear axis.
pub(crate) struct BarChart<'a> {
    /// What the chart shows, for those who cannot see it.
    pub(crate) label: String,
    pub(crate) groups: Vec<BarGroup>,
    /// Thin bars, for a chart of many.
    pub(crate) compact: bool,
    pub(crate) write: &'a dyn Fn(f64) -> String,
}

/// One curve of latencies, with the rounds it is the median of.
pub(crate) struct Curve {
    pub(crate) series: usize,
    pub(crate) label: String,
    /// (quantile, ns), ascending.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) rounds: Vec<Vec<(f64, f64)>>,
}

/// Latency against quantile, both logarithmic.
pub(crate) struct CurveChart<'a> {
    pub(crate) label: String,
    pub(crate) curves: Vec<Curve>,
    /// (quantile, ns at most).
    pub(crate) goals: Vec<(f64, f64)>,
    pub(crate) write: &'a dyn Fn(f64) -> String,
}

/// Every round as a dot, one line a case.
pub(crate) struct DotChart<'a> {
    pub(crate) label: String,
    pub(crate) rows: Vec<DotRow>,
    /// Whether the axis begins at 0; else it fits the dots.
    pub(crate) from_zero: bool,
    pub(crate) write: &'a dyn Fn(f64) -> String,
}

pub(crate) struct DotRow {
    /// What stands beside it; may be empty.
    pub(crate) label: String,
    /// What a pointer that rests on it is told it is.
    pub(crate) name: String,
    pub(crate) series: usize,
    pub(crate) values: Vec<f64>,
}

const WIDTH: f64 = 960.0;
const LABELS: f64 = 168.0;
const VALUES: f64 = 92.0;

impl BarChart<'_> {
    pub(crate) fn draw(&self) -> String {
        let (bar_height, gap, between, text_down) = match self.compact {
            true => (8.0, 3.0, 9.0, 3.5),
            false => (15.0, 4.0, 15.0, 4.5),
        };
        let value_class = if self.compact { "value small" } else { "value" };
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let greatest = bars().flat_map(|bar| [bar.value.max, bar.goal.unwrap_or(0.0)]);
        let axis = Axis::linear(0.0, greatest.fold(0.0, f64::max), LABELS, WIDTH - VALUES);
        let inner: f64 = bars().count() as f64 * (bar_height + gap);
        let height = inner + self.groups.len() as f64 * between + 26.0;
        let mut svg = Svg::new(WIDTH, height, &self.label);
        axis.draw_below(&mut svg, 2.0, height - 24.0, self.write);
        let mut y = between / 2.0 + 2.0;
        for group in &self.groups {
            let tall = group.bars.len() as f64 * (bar_height + gap) - gap;
            svg.text(
                LABELS - 12.0,
                y + tall / 2.0 + text_down,
                "ink",
                "end",
                &group.label,
            );
            for bar in &group.bars {
                svg.begin_group(&bar.tip);
                let end = axis.at(bar.value.median);
                svg.bar(
                    LABELS,
                    y,
                    (end - LABELS).max(1.5),
                    bar_height,
                    &format!("s{}", bar.series % COLORS),
                );
                let middle = y + bar_height / 2.0;
                let (low, high) = (axis.at(bar.value.min), axis.at(bar.value.max));
                if high - low >= 1.0 {
                    svg.line(low, middle, high, middle, "whisker");
                    svg.line(low, middle - 3.5, low, middle + 3.5, "whisker");
                    svg.line(high, middle - 3.5, high, middle + 3.5, "whisker");
                }
                let mut text_x = high.max(end);
                if let Some(goal) = bar.goal {
                    let x = axis.at(goal);
                    svg.line(x, y - 2.0, x, y + bar_height + 2.0, "goal");
                    // The figure stands right of the goal where it would else cross it.
                    if (text_x - 4.0..text_x + 74.0).contains(&x) {
                        text_x = x;
                    }
                }
                svg.text(
                    text_x + 7.0,
                    middle + text_down,
                    value_class,
                    "start",
                    &(self.write)(bar.value.median),
                );
                svg.end_group();
                y += bar_height + gap;
            }
            y += between;
        }
        svg.finish()
    }
}

impl CurveChart<'_> {
    pub(crate) fn draw(&self) -> String {
        const W: f64 = 470.0;
        const H: f64 = 270.0;
        const LEFT: f64 = 58.0;
        const RIGHT: f64 = W - 14.0;
        const TOP: f64 = 10.0;
        const BOTTOM: f64 = H - 28.0;
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let positive = || points().map(|point| point.1.max(1.0));
        let goals = || self.goals.iter().map(|goal| goal.1.max(1.0));
        let least = positive().chain(goals()).fold(f64::INFINITY, f64::min);
        let greatest = positive().chain(goals()).fold(1.0, f64::max);
        let (low, high) = (least.log10().floor(), greatest.log10().ceil());
        let high = if high > low { high } else { low + 1.0 };
        let y = |ns: f64| BOTTOM - (ns.max(1.0).log10() - low) / (high - low) * (BOTTOM - TOP);

        // The greatest value stands one step beyond the last quantile that has values beyond it.
        let last = points()
            .filter(|point| point.0 < 1.0)
            .map(|point| nines(point.0));
        let nines_max = (last.fold(1.0, f64::max) + 0.35).max(2.0);
        let x = |quantile: f64| LEFT + nines(quantile).min(nines_max) / nines_max * (RIGHT - LEFT);

        let mut svg = Svg::new(W, H, &self.label);
        for decade in low as i32..=high as i32 {
            let ns = 10f64.powi(decade);
            svg.line(LEFT, y(ns), RIGHT, y(ns), "grid");
            svg.text(
                LEFT - 8.0,
                y(ns) + 4.0,
                "muted",
                "end",
                &without_zeros(&(self.write)(ns)),
            );
        }
        let ticks = [
            (0.0, "0"),
            (0.5, "50 %"),
            (0.9, "90 %"),
            (0.99, "99 %"),
            (0.999, "99.9 %"),
            (0.9999, "99.99 %"),
            (0.99999, "99.999 %"),
        ];
        for (quantile, name) in ticks
            .into_iter()
            .filter(|tick| nines(tick.0) < nines_max - 0.65)
        {
            let anchor = if quantile == 0.0 { "start" } else { "middle" };
            svg.line(x(quantile), TOP, x(quantile), BOTTOM, "grid");
            svg.text(x(quantile), H - 9.0, "muted", anchor, name);
        }
        svg.text(RIGHT, H - 9.0, "muted", "end", "max");
        for curve in &self.curves {
            for round in &curve.rounds {
                let points = round.iter().map(|&(quantile, ns)| (x(quantile), y(ns)));
                svg.path(points, &format!("l{} faint", curve.series % COLORS));
            }
        }
        for curve in &self.curves {
            let points = curve
                .points
                .iter()
                .map(|&(quantile, ns)| (x(quantile), y(ns)));
            svg.path(points, &format!("l{}", curve.series % COLORS));
            for &(quantile, ns) in &curve.points {
                if [0.5, 0.99, 0.999, 1.0].contains(&quantile) {
                    let at = if quantile == 1.0 {
                        "max".to_owned()
                    } else {
                        format!("p{}", quantile * 100.0)
                    };
                    svg.begin_group(&format!("{}: {at} {}", curve.label, (self.write)(ns)));
                    svg.dot(
                        x(quantile),
                        y(ns),
                        3.4,
                        &format!("s{} ring", curve.series % COLORS),
                    );
                    svg.end_group();
                }
            }
        }
        for &(quantile, ns) in &self.goals {
            svg.begin_group(&format!(
                "goal: p{} at most {}",
                quantile * 100.0,
                (self.write)(ns)
            ));
            svg.line(x(quantile) - 11.0, y(ns), x(quantile) + 11.0, y(ns), "goal");
            svg.end_group();
        }
        svg.finish()
    }
}

impl DotChart<'_> {
    pub(crate) fn draw(&self) -> String {
        const ROW: f64 = 17.0;
        const LABELS: f64 = 118.0;
        const WIDTH: f64 = 470.0;
        let values = || self.rows.iter().flat_map(|row| &row.values).copied();
        let least = if self.from_zero {
            0.0
        } else {
            values().fold(f64::INFINITY, f64::min)
        };
        let axis = Axis::linear(least, values().fold(least, f64::max), LABELS, WIDTH - 16.0);
        let height = self.rows.len() as f64 * ROW + 34.0;
        let mut svg = Svg::new(WIDTH, height, &self.label);
        axis.draw_below(&mut svg, 2.0, height - 24.0, self.write);
        for (index, row) in self.rows.iter().enumerate() {
            let y = (index as f64 + 0.5) * ROW + 4.0;
            svg.text(LABELS - 12.0, y + 3.5, "ink small", "end", &row.label);
            let Some(summary) = Summary::of(&row.values) else {
                continue;
            };
            svg.line(axis.at(summary.min), y, axis.at(summary.max), y, "range");
            let tip = format!(
                "{}: {} rounds, {} to {}, median {}",
                row.name,
                summary.rounds,
                (self.write)(summary.min),
                (self.write)(summary.max),
                (self.write)(summary.median),
            );
            svg.begin_group(&tip);
            for &value in &row.values {
                svg.dot(
                    axis.at(value),
                    y,
                    3.6,
                    &format!("s{} seen-through", row.series % COLORS),
                );
            }
            svg.line(
                axis.at(summary.median),
                y - 5.5,
                axis.at(summary.median),
                y + 5.5,
                "whisker",
            );
            svg.end_group();
        }
        svg.finish()
    }
}

/// Where a quantile lies on an axis of nines: 0.9 at 1, 0.99 at 2, and 1 beyond all.
fn nines(quantile: f64) -> f64 {
    if quantile >= 1.0 {
        f64::INFINITY
    } else {
        -(1.0 - quantile).log10()
    }
}

/// `50.0 M/s` as `50 M/s`: the ticks of an axis are round.
fn without_zeros(text: &str) -> String {
    let end = text.find([' ', '/']).unwrap_or(text.len());
    let (figure, unit) = text.split_at(end);
    if figure == "0" {
        return figure.to_owned();
    }
    match figure.contains('.') {
        true => {
            figure
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
                + unit
        }
        false => text.to_owned(),
    }
}

/// A linear axis of round numbers.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    left: f64,
    right: f64,
}

impl Axis {
    /// An axis over at least `low..=high`, drawn from `left` to `right`.
    fn linear(low: f64, high: f64, left: f64, right: f64) -> Axis {
        let high = if high > low {
            high
        } else {
            low + low.abs().max(1.0)
        };
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * power)
            .into_iter()
            .find(|s| *s >= rough);
        let step = step.unwrap_or(rough);
        let low = (low / step + 1e-9).floor() * step;
        Axis {
            low,
            high: low + ((high - low) / step - 1e-9).ceil() * step,
            step,
            left,
            right,
        }
    }

    fn at(&self, value: f64) -> f64 {
        self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let steps = ((self.high - self.low) / self.step).round() as u32;
        (0..=steps).map(|n| self.low + self.step * f64::from(n))
    }

    fn draw_below(&self, svg: &mut Svg, top: f64, bottom: f64, write: &dyn Fn(f64) -> String) {
        for tick in self.ticks() {
            let x = self.at(tick);
            svg.line(x, top, x, bottom, if tick == 0.0 { "axis" } else { "grid" });
            svg.text(
                x,
                bottom + 17.0,
                "muted",
                "middle",
                &without_zeros(&write(tick)),
            );
        }
    }
}

/// An SVG element under construction.
struct Svg(String);

impl Svg {
    fn new(width: f64, height: f64, label: &str) -> Svg {
        Svg(format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
            Px(width),
            Px(height),
            escape(label)
        ))
    }

    fn begin_group(&mut self, tip: &str) {
        self.push(format_args!("<g><title>{}</title>", escape(tip)));
    }

    fn end_group(&mut self) {
        self.push(format_args!("</g>\n"));
    }

    fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, class: &str) {
        let (x1, y1, x2, y2) = (Px(x1), Px(y1), Px(x2), Px(y2));
        self.push(format_args!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"{class}\"/>"
        ));
    }

    /// A bar that grows to the right: its right corners are round.
    fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let r = (width / 2.0).min(3.0);
        let (straight, down, r) = (Px(width - r), Px(height - 2.0 * r), Px(r));
        self.push(format_args!(
            "<path d=\"M{} {}h{straight}a{r} {r} 0 0 1 {r} {r}v{down}a{r} {r} 0 0 1 -{r} {r}h-{straight}z\" \
             class=\"{class}\"/>",
            Px(x),
            Px(y)
        ));
    }

    fn dot(&mut self, x: f64, y: f64, radius: f64, class: &str) {
        let (x, y, radius) = (Px(x), Px(y), Px(radius));
        self.push(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" class=\"{class}\"/>"
        ));
    }

    fn path(&mut self, points: impl Iterator<Item = (f64, f64)>, class: &str) {
        let points: Vec<String> = points
            .map(|(x, y)| format!("{},{}", Px(x), Px(y)))
            .collect();
        self.push(format_args!(
            "<polyline points=\"{}\" class=\"{class}\"/>\n",
            points.join(" ")
        ));
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let (x, y, text) = (Px(x), Px(y), escape(text));
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0
            .write_fmt(text)
            .expect("writing to a string does not fail");
    }

    fn finish(mut self) -> String {
        self.0 += "</svg>\n";
        self.0
    }
}

/// A coordinate, to a tenth of a pixel.
struct Px(f64);

impl Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", (self.0 * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_steps_over_its_values() {
        for (low, high, ticks) in [
            (0.0, 47.0, vec![0.0, 10.0, 20.0, 30.0, 40.0, 50.0]),
            (0.0, 1.0, vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (0.93, 1.08, vec![0.9, 0.95, 1.0, 1.05, 1.1]),
        ] {
            let axis = Axis::linear(low, high, 0.0, 100.0);
            let found: Vec<f64> = axis
                .ticks()
                .map(|tick| (tick * 1e6).round() / 1e6)
                .collect();
            assert_eq!(found, ticks);
            assert!(
                (axis.at(axis.low) - 0.0).abs() < 1e-9 && (axis.at(axis.high) - 100.0).abs() < 1e-9
            );
        }
        let flat = Axis::linear(0.0, 0.0, 0.0, 100.0);
        assert!(flat.at(0.0).is_finite());
    }

    #[test]
    fn nines_are_even() {
        assert_eq!(nines(0.0), 0.0);
        assert!((nines(0.9) - 1.0).abs() < 1e-9 && (nines(0.999) - 3.0).abs() < 1e-9);
        assert_eq!(nines(1.0), f64::INFINITY);
    }

    #[test]
    fn ticks_have_no_zeros_behind_the_point() {
        for (text, short) in [
            ("50.0 M/s", "50 M/s"),
            ("2.50 µs", "2.5 µs"),
            ("100 ns", "100 ns"),
            ("0/s", "0"),
        ] {
            assert_eq!(without_zeros(text), short);
        }
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            escape("a<b> & \"c\" 'd'"),
            "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;"
        );
    }

    #[test]
    fn a_curve_of_one_value_is_drawn_with_finite_coordinates() {
        let curve = Curve {
            series: 0,
            label: "1 worker".to_owned(),
            points: vec![(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)],
            rounds: vec![],
        };
        let write = |ns: f64| format!("{ns}");
        let chart = CurveChart {
            label: "x".to_owned(),
            curves: vec![curve],
            goals: vec![],
            write: &write,
        };
        let svg = chart.draw();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
