//! Origin of a setting.

use std::fmt;

/// A flag, a variable, or a key of the file.
#[derive(Debug, Clone)]
pub(super) enum SettingOrigin {
    Flag(&'static str),
    Variable(String),
    Key {
        file: String,
        /// Counted from 1.
        line: usize,
        name: String,
    },
}

impl SettingOrigin {
    /// The line in the file.
    pub(super) fn line(&self) -> Option<usize> {
        match self {
            Self::Key { line, .. } => Some(*line),
            Self::Flag(_) | Self::Variable(_) => None,
        }
    }

    /// How `value` is written at this origin.
    pub(super) fn written(&self, value: &str) -> String {
        let bare = value.parse::<i64>().is_ok() || value == "COUNT";
        match self {
            Self::Flag(name) => format!("--{name} {value}"),
            Self::Variable(name) => format!("{name}={value}"),
            Self::Key { name, .. } if bare => format!("{name} = {value}"),
            Self::Key { name, .. } => format!("{name} = \"{value}\""),
        }
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::Key { file, line, name } if is_name(name) => {
                write!(f, "{file}: line {line}: {name}")
            }
            Self::Key { file, line, .. } => write!(f, "{file}: line {line}"),
        }
    }
}

/// Whether it looks like a setting's name. A password can also precede a `=`.
fn is_name(key: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphabetic() || c == '-' || c == '_';
    key.len() <= LONGEST_NAME && key.chars().all(is_of_name)
}

/// The longest name of a setting has 23 characters; typing errors make it longer.
const LONGEST_NAME: usize = 30;
