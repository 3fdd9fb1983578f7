//! The file, `pgfan.toml`: one key for each setting, named as its flag.

use std::{collections::HashMap, fs, path::Path};

use toml::{Table, Value};

use super::settings::{SETTINGS, mistake};

/// The texts by setting, each with its origin.
pub(super) fn read(path: &Path, mistakes: &mut Vec<String>) -> HashMap<String, (String, String)> {
    let name = path.display();
    let table = fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| {
            text.parse::<Table>()
                .map_err(|error| error.message().to_owned())
        });
    let table = table.unwrap_or_else(|error| {
        mistakes.push(mistake(&name, error));
        Table::new()
    });
    let mut texts = HashMap::new();
    for (key, value) in table {
        let origin = format!("{name}: {key}");
        let known = SETTINGS.iter().any(|setting| setting.name == key);
        match text(value) {
            _ if !known => mistakes.push(mistake(origin, unknown(&key))),
            Some(text) => drop(texts.insert(key, (origin, text))),
            None => mistakes.push(mistake(origin, "not a text, a number, or true or false")),
        }
    }
    texts
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(switch) => Some(switch.to_string()),
        _ => None,
    }
}

fn unknown(key: &str) -> String {
    let meant = key.replace('_', "-");
    match SETTINGS.iter().find(|setting| setting.name == meant) {
        Some(setting) => format!("there is no such setting, but `{}`", setting.name),
        None => "there is no such setting".to_owned(),
    }
}
