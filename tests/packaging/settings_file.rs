//! `packaging/pgfan.toml`: every setting, each commented out and with its
//! default.

use std::{collections::HashMap, fs, path::Path};

use pgfan::config::{Config, SETTINGS, Setting};

const HEAD: &str = "\
# The settings of pgfan. Each is also a flag (--history-events) and a variable
# (PGFAN_HISTORY_EVENTS): a flag beats a variable, a variable this file.
# What stands here is the default, or where that is no value, the form of one.
#
# Where the database is, the libpq variables say too: see /etc/default/pgfan.
# `pgfan check --config FILE` looks for mistakes, in all of it.
";

/// Columns.
const WIDTH: usize = 80;

/// Defaults that are described in words.
const WORDS: [&str; 6] = [
    "none",
    "the libpq variables",
    "the gateway's host",
    "half of --max-readers, or of the open files",
    "half of --max-channels",
    "off",
];

fn file() -> String {
    SETTINGS
        .iter()
        .map(entry)
        .fold(HEAD.to_owned(), |a, b| a + &b)
}

fn entry(setting: &Setting) -> String {
    let mut text = String::from("\n");
    let words = WORDS.contains(&setting.default) && setting.default != "off";
    let default = format!("{}: {}.", "Default", setting.default);
    let help = format!("{}. {}", setting.help, if words { &default } else { "" });
    let mut line = String::from("#");
    for word in help.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text += &(std::mem::replace(&mut line, "#".into()) + "\n");
        }
        line = line + " " + word;
    }
    text + &line + &format!("\n#{} = {}\n", setting.name, value(setting, words))
}

fn value(setting: &Setting, words: bool) -> String {
    match setting.default {
        "off" => "false".to_owned(),
        _ if words => format!("\"{}\"", setting.value),
        number if number.parse::<u64>().is_ok() => number.to_owned(),
        text => format!("\"{text}\""),
    }
}

#[test]
fn it_has_every_setting_as_the_program_has_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (expected, is) = (
        root.join("target/pgfan.toml"),
        root.join("packaging/pgfan.toml"),
    );
    fs::write(&expected, file()).unwrap();
    let is = fs::read_to_string(is).unwrap_or_default();
    assert!(
        is == file(),
        "packaging/pgfan.toml is not {}",
        expected.display()
    );
}

#[test]
fn the_defaults_in_it_are_values_that_are_understood() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("pgfan.toml");
    let is_default = |line: &&str| {
        let value = line
            .split_once(" = ")
            .map(|(_, value)| value.trim_matches('"'));
        let setting = SETTINGS
            .iter()
            .find(|s| line.starts_with(&format!("#{} = ", s.name)));
        setting.is_some_and(|s| value == Some(s.default) || value == Some("false"))
    };
    let file = file();
    let defaults: Vec<_> = file.lines().filter(is_default).collect();
    assert!(defaults.len() > SETTINGS.len() / 2, "{defaults:?}");
    let text: Vec<_> = defaults.iter().map(|line| &line[1..]).collect();
    fs::write(&path, text.join("\n")).unwrap();
    let config = Config::resolve(&HashMap::new(), &|_| None, Some(&path));
    config.unwrap();
}
