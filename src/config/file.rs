//! The settings file, `pgfan.toml`: one key per setting, named as its flag.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
};

use toml::{Spanned, Value, de::Error};

use super::{
    Given, mistakes::Mistake, origin_of_setting::SettingOrigin, rule::Rule, settings::SETTINGS,
    unknown::unknown,
};
use crate::{bounded_file, text::path_prefix};

/// Size limit: far more than all settings with comments. The path of a device would otherwise fill
/// the memory.
const MAX_KIB: u64 = 1024;

/// Settings' texts, each with its origin.
pub(super) fn read(path: &Path, mistakes: &mut Vec<Mistake>) -> HashMap<String, Given> {
    let file = path.display().to_string();
    let mut texts = HashMap::new();
    for (name, (line, value)) in keys(path, &file, mistakes) {
        let place = SettingOrigin::Key {
            file: file.clone(),
            line,
            name: name.clone(),
        };
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            let known = SETTINGS.iter().map(|setting| setting.name);
            mistakes.push(unknown(&place, &name, known));
            continue;
        };
        match text(value) {
            Some(text) => drop(texts.insert(name, Given { place, text })),
            None => {
                let rule = Rule::from("not a text, a whole number, or true or false");
                mistakes.push(rule.broken(setting, &place));
            }
        }
    }
    texts
}

/// Keys with their lines; none if the file is not readable or not valid.
fn keys(path: &Path, file: &str, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, (usize, Value)> {
    let text = match text_of(path) {
        Ok(text) => text,
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => {
                    "create it, or name one that exists: --config FILE, or PGFAN_CONFIG"
                }
                io::ErrorKind::PermissionDenied => {
                    "let this user read it, or name another file: --config FILE, or PGFAN_CONFIG"
                }
                _ => "name a file of settings: --config FILE, or PGFAN_CONFIG",
            };
            // The path may be a connection string or the content of the file by mistake.
            let mistake = match path_prefix(path).is_empty() {
                true => Mistake::new("the settings file", error),
                false => Mistake::new(file, error),
            };
            mistakes.push(mistake.with_remedy(remedy));
            return BTreeMap::new();
        }
    };
    let table: BTreeMap<String, Spanned<Value>> = match toml::from_str(&text) {
        Ok(table) => table,
        Err(error) => {
            mistakes.push(syntax(file, &text, &error));
            return BTreeMap::new();
        }
    };
    let with_line = |(name, value): (String, Spanned<Value>)| {
        let line = line_of(&text, value.span().start);
        (name, (line, value.into_inner()))
    };
    table.into_iter().map(with_line).collect()
}

fn text_of(path: &Path) -> io::Result<String> {
    let bytes = bounded_file::read(path, MAX_KIB)?;
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8");
    String::from_utf8(bytes).map_err(not_text)
}

/// Reports the line's number, never the line: it may hold a password.
fn syntax(file: &str, text: &str, error: &Error) -> Mistake {
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    let mistake = Mistake::new(file, format!("line {line}: {}", error.message()));
    mistake.with_remedy("write each setting as name = 15 or name = \"text\" on a line of its own")
}

/// Counted from 1.
fn line_of(text: &str, place: usize) -> usize {
    let before = text.get(..place).unwrap_or_default();
    before.matches('\n').count() + 1
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(switch) => Some(switch.to_string()),
        _ => None,
    }
}
