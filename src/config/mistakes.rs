//! What is wrong with the settings, and what to do about it.

use std::fmt;

use super::settings::Setting;
use crate::source::conninfo::ConnInfoError;

/// The shortest secret that tokens are signed with.
const KEY_BYTES: usize = 32;

/// More of a text is not repeated: its begin tells which one is meant.
const MAX_SHOWN: usize = 60;

/// One mistake: where it was made, against which rule, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    says: String,
    remedy: String,
}

impl Mistake {
    /// Made at `origin`, against `rule`, which names what was given unless that is a secret.
    pub(super) fn new(origin: impl fmt::Display, rule: impl fmt::Display) -> Self {
        Self::from(format!("{origin}: {rule}"))
    }

    pub(super) fn with_remedy(self, remedy: impl ToString) -> Self {
        let remedy = remedy.to_string();
        Self { remedy, ..self }
    }

    /// What to do; empty where the mistake itself says all there is to say.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl From<String> for Mistake {
    fn from(says: String) -> Self {
        let remedy = String::new();
        Self { says, remedy }
    }
}

impl fmt::Display for Mistake {
    /// Without the remedy: one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

/// All that is wrong with the settings, each with its origin.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

impl From<String> for Mistakes {
    fn from(says: String) -> Self {
        Self(vec![says.into()])
    }
}

/// Where a setting was given: a flag, a variable, or a key of the file.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Flag(&'static str),
    Variable(String),
    Key {
        file: String,
        /// From 1.
        line: usize,
        name: String,
    },
}

impl Place {
    /// How `value` is written there.
    fn written(&self, value: &str) -> String {
        let bare = value.parse::<i64>().is_ok() || value == "COUNT";
        match self {
            Self::Flag(name) => format!("--{name} {value}"),
            Self::Variable(name) => format!("{name}={value}"),
            Self::Key { name, .. } if bare => format!("{name} = {value}"),
            Self::Key { name, .. } => format!("{name} = \"{value}\""),
        }
    }

    /// What a value of `setting` looks like here, by its default if that is a value. `rule` is what
    /// the value was against.
    pub(super) fn remedy(&self, setting: &Setting, rule: &str) -> String {
        if setting.name == "otlp-endpoint" && cfg!(not(feature = "otlp")) {
            return "build with --features otlp, or leave it out".to_owned();
        }
        if setting.value == "FILE" && is_absence(rule) {
            let path = self.written(setting.value);
            return format!("create the file, or give the path of one that exists: {path}");
        }
        let kind = match setting.value {
            "" => "on or off",
            kind => kind,
        };
        match setting.example() {
            Some(default) => format!("give {kind}, as in the default: {}", self.written(default)),
            None => format!("give {kind}: {}, or leave it out", self.written(kind)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::Key { file, line, name } => write!(f, "{file}: line {line}: {name}"),
        }
    }
}

/// Who wrote a connection string, a token or a key into the wrong variable.
fn may_be_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let signs = ["://", "@", "pass", "secret", "-----", "eyj"];
    let is_key = |word: &str| word.len() >= KEY_BYTES;
    signs.iter().any(|sign| lower.contains(sign)) || text.split([' ', ',']).any(is_key)
}

/// A rule behind the text that breaks it. What may hold a password, in the wrong place, is not
/// repeated.
pub(super) fn refused(text: &str, rule: impl fmt::Display) -> String {
    if may_be_secret(text) {
        return rule.to_string();
    }
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{:?}…: {rule}", &text[..end]),
        None => format!("{text:?}: {rule}"),
    }
}

/// Whether a file is not there, in the words of the operating system or of libpq.
fn is_absence(problem: &str) -> bool {
    problem.contains("No such file") || problem.contains("does not exist")
}

/// What to do about the database's settings.
pub(crate) fn remedy_of_database(mistake: &ConnInfoError) -> &'static str {
    match mistake {
        ConnInfoError::Syntax { .. } => {
            "write it as postgresql://USER@HOST:PORT/DATABASE, with %XX for what means something \
             there, or as key=value pairs"
        }
        ConnInfoError::UnknownKeyword { .. } => {
            "write it as libpq does: host, port, dbname, user, sslmode, …"
        }
        ConnInfoError::Value { .. } => "give it a value that libpq takes, or leave it out",
        ConnInfoError::File {
            keyword, problem, ..
        } if is_absence(problem) => match *keyword {
            "sslrootcert" => {
                "put the certificate of the server's authority into that file, or name the one \
                 that has it: PGSSLROOTCERT, or sslrootcert in the connection string"
            }
            _ => "create the file, or name one that exists",
        },
        ConnInfoError::File { .. } => "let this user read the file, or name another",
        ConnInfoError::UnknownService { .. } => {
            "name a section of the service file (PGSERVICE, PGSERVICEFILE)"
        }
        ConnInfoError::NoUser => "name the role: PGUSER",
    }
}

#[cfg(test)]
mod tests {
    use super::refused;

    #[test]
    fn what_was_given_is_named_as_far_as_it_is_no_secret() {
        assert_eq!(refused("a\nb", "no"), "\"a\\nb\": no");
        let long = refused(&"ü ".repeat(31), "no");
        assert_eq!(long, format!("\"{}\"…: no", "ü ".repeat(30)));
        for secret in [
            "postgresql://u:s3cret@h/d",
            "host=h PASSWORD=s3cret",
            "host=h pass=s3cret",
            "user:s3cret@host",
            "eyJhbGciOiJI.s3cret",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(refused(secret, "no"), "no");
        }
    }
}
