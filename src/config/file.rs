//! The file, `pgfan.toml`: one key for each setting, named as its flag.

use std::{
    collections::HashMap,
    io::{self, Read},
    path::Path,
};

use toml::{Table, Value, de::Error};

use super::{
    Given,
    settings::{SETTINGS, mistake},
};
use crate::auth::open_small_file;

/// Far more than all settings with comments; a path to a device would
/// otherwise fill the memory.
const MAX_BYTES: u64 = 1 << 20;

/// The texts by setting, each with its origin.
pub(super) fn read(path: &Path, mistakes: &mut Vec<String>) -> HashMap<String, Given> {
    let name = path.display();
    let table = text_of(path)
        .map_err(|error| error.to_string())
        .and_then(|text| text.parse().map_err(|error| syntax(&text, &error)));
    let table: Table = table.unwrap_or_else(|error| {
        mistakes.push(mistake(&name, error));
        Table::new()
    });
    let mut texts = HashMap::new();
    for (key, value) in table {
        let origin = format!("{name}: {key}");
        let known = SETTINGS.iter().any(|setting| setting.name == key);
        match text(value) {
            _ if !known => mistakes.push(mistake(origin, unknown(&key))),
            Some(text) => drop(texts.insert(key, Given { origin, text })),
            None => mistakes.push(mistake(
                origin,
                "not a text, a whole number, or true or false",
            )),
        }
    }
    texts
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = open_small_file(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 1 MiB",
        ));
    }
    Ok(text)
}

/// The line's number and never the line: it may hold a password.
fn syntax(text: &str, error: &Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.unwrap_or_default().matches('\n').count() + 1;
    format!("line {line}: {}", error.message())
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
