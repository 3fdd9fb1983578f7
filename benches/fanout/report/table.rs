//! Results as a table for the terminal.

use super::{Results, Row};

type Column = (&'static str, usize, fn(&Row) -> Option<f64>);

/// Heading, number of decimals, value.
const COLUMNS: [Column; 12] = [
    ("CPU us/dlv", 3, |row| row.cpu_us_per_delivery),
    ("x raw", 3, |row| row.ratio_to_raw),
    ("dlv/s", 0, |row| row.deliveries_per_second),
    ("p50 ms", 1, |row| row.latency_p50_ms),
    ("p99 ms", 1, |row| row.latency_p99_ms),
    ("KiB idle", 2, |row| row.kib_per_idle_reader),
    ("KiB after", 2, |row| row.kib_per_reader),
    ("idle ms/s", 2, |row| row.idle_cpu_ms_per_second),
    ("us/conn", 1, |row| row.connect_cpu_us),
    ("ready s", 2, |row| row.all_ready_seconds),
    ("client us", 3, |row| row.readers_cpu_us_per_delivery),
    ("lost", 0, |row| Some(row.undelivered as f64)),
];

pub fn table(results: &Results) -> String {
    let scenario = &results.scenario;
    let mut text = format!("\n{}: {}\n", scenario.name, scenario.title);
    text += &format!("{:<16}{:>7}", "", "rounds");
    for (heading, ..) in COLUMNS {
        text += &format!("{heading:>11}");
    }
    for row in results.rows() {
        text += &format!("\n{:<16}{:>7}", row.peer, row.rounds);
        if row.rounds > 0 {
            for (_, digits, value) in COLUMNS {
                text += &value(&row).map_or_else(
                    || format!("{:>11}", "-"),
                    |value| format!("{value:>11.digits$}"),
                );
            }
        }
        text += &remarks(&row, scenario.readers);
    }
    text + "\n"
}

/// Faults of a measurement that make its numbers doubtful.
fn remarks(row: &Row, readers: usize) -> String {
    let mut remarks = Vec::new();
    if row.rounds > 0 && row.readers < readers {
        remarks.push(format!(
            "only {} readers: too few file descriptors",
            row.readers
        ));
    }
    if row.misplaced > 0 {
        remarks.push(format!("{} twice or out of order", row.misplaced));
    }
    remarks.extend(row.note.clone());
    remarks.iter().map(|it| format!("  {it}")).collect()
}
