//! The README's chart: cost of a delivery, by peer, next to the limit. The
//! scale is in powers of ten: a burst spans three of them.

use std::fmt::Write;

use super::{Results, Row};

const WIDTH: f64 = 760.0;
/// Widths for the names to the left of the bars, and the numbers to the right.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 70.0;
const LINE: f64 = 22.0;
const BAR: f64 = 14.0;
const TITLE: f64 = 46.0;
const GAP: f64 = 30.0;

/// The lowest ratio of the scale, and the number of decades.
const LOWEST: f64 = 0.01;
const DECADES: f64 = 3.3;

/// Readable on light and dark pages: GitHub shows both.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.small { font-size: 11px; fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.limit { stroke: #59636e; stroke-width: 1; stroke-dasharray: 4 3 }
.raw { fill: #8c959f } .pgfan { fill: #0969da } .peer { fill: #bf8700 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .grid { stroke: #3d444d }
  .limit { stroke: #9198a1 } .raw { fill: #656c76 } .pgfan { fill: #4493f8 }
  .peer { fill: #d29922 }
}";

/// Scenarios in the chart.
pub const DRAWN: [&str; 2] = ["s1b", "s2"];

/// `None` if no row has a ratio to the limit.
pub fn chart(all: &[Results]) -> Option<String> {
    let drawn = all.iter().filter(|it| DRAWN.contains(&it.scenario.name));
    let parts: Vec<(&str, Vec<Row>)> = drawn.map(|it| (it.scenario.title, bars(it))).collect();
    let lines: usize = parts.iter().map(|(_, rows)| rows.len()).sum();
    if lines == 0 {
        return None;
    }
    let height = lines as f64 * LINE + parts.len() as f64 * (TITLE + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Server CPU per delivery, as a multiple of the raw limit\">\n\
         <style>\n{STYLE}\n</style>\n"
    );
    let mut top = 0.0;
    for (title, rows) in parts {
        top = part(&mut svg, top, title, &rows);
    }
    Some(svg + "</svg>\n")
}

/// Rows with a ratio, the cheapest first.
fn bars(results: &Results) -> Vec<Row> {
    let mut rows = results.rows();
    rows.retain(|row| row.ratio_to_raw.is_some());
    rows.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    rows
}

fn ratio(row: &Row) -> f64 {
    row.ratio_to_raw.unwrap_or_default()
}

/// Draws one scenario at `top`; returns its lower end.
fn part(svg: &mut String, top: f64, title: &str, rows: &[Row]) -> f64 {
    let (start, end) = (top + TITLE, top + TITLE + rows.len() as f64 * LINE);
    text(svg, 0.0, top + 18.0, "title", title);
    let under = "server CPU per delivery, as a multiple of one bare write (logarithmic)";
    text(svg, 0.0, top + 36.0, "small", under);
    for tick in [0.01, 0.1, 1.0, 10.0] {
        let (x, class) = (place(tick), if tick == 1.0 { "limit" } else { "grid" });
        line(svg, x, start, end, class);
        text(svg, x - 8.0, end + 14.0, "small", &format!("{tick}×"));
    }
    for (number, row) in rows.iter().enumerate() {
        bar(svg, start + number as f64 * LINE, row);
    }
    end + GAP
}

fn bar(svg: &mut String, top: f64, row: &Row) {
    let (ratio, end) = (ratio(row), place(ratio(row)));
    let class = match row.peer.split('-').next() {
        Some("raw") => "raw",
        Some("pgfan") => "pgfan",
        _ => "peer",
    };
    let (y, width) = (top + (LINE - BAR) / 2.0, end - LEFT);
    let rectangle = format!(
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>"
    );
    *svg += &(rectangle + "\n");
    let digits = if ratio < 0.1 { 3 } else { 2 };
    text(svg, 0.0, top + 15.0, "name", row.peer);
    text(
        svg,
        end + 6.0,
        top + 15.0,
        "value",
        &format!("{ratio:.digits$}×"),
    );
}

fn place(ratio: f64) -> f64 {
    let decades = (ratio / LOWEST).log10().clamp(0.0, DECADES);
    LEFT + decades / DECADES * (WIDTH - LEFT - RIGHT)
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y}\">{words}</text>"
    );
}

fn line(svg: &mut String, x: f64, from: f64, to: f64, class: &str) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{to}\"/>"
    );
}
