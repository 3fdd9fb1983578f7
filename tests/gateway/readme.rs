//! What the README says is what the program does.

use pgfan::config::SETTINGS;

const README: &str = include_str!("../../README.md");

#[test]
fn the_settings_table_is_the_programs() {
    let rows = README.lines().filter(|line| line.starts_with("| `--"));
    let rows: Vec<_> = rows.collect();
    let expected: Vec<_> = SETTINGS
        .iter()
        .map(|setting| {
            let default = match setting.default {
                words @ ("off" | "the libpq variables") => words.to_owned(),
                value => format!("`{value}`"),
            };
            format!("| `--{}` | {default} | {} |", setting.name, setting.help)
        })
        .collect();
    assert_eq!(rows, expected);
}
