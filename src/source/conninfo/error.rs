//! What can be wrong with connection settings. No text here ever carries a value that may be a
//! secret.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use thiserror::Error;

use super::foreign::Meant;
use crate::text::{may_be_secret, path_prefix};

/// A mistake in the connection settings, in words for the operator.
///
/// The texts name the keyword, where its value came from and the rule it breaks. They never repeat
/// a connection string, a value or a keyword that is unknown, because an unescaped `@`, `/`, `&` or
/// blank can make a password look like any other part. Only the name of a service is shown as
/// written, if it looks like a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnInfoError {
    /// The connection string cannot be read on from `position` (characters, from 1).
    #[error("connection string, character {position}: {rule}")]
    Syntax {
        /// Where the mistake begins, in characters from 1.
        position: usize,
        /// What was expected there.
        rule: &'static str,
    },
    /// The connection string has the form of another program.
    #[error("connection string, character {position}: {rule}")]
    Foreign {
        /// Where that shows, in characters from 1.
        position: usize,
        /// Which form it is.
        rule: &'static str,
        /// How libpq wants it.
        remedy: &'static str,
    },
    /// libpq has no such keyword.
    #[error("{}", unknown_keyword(*.position, *.origin, *.meant))]
    UnknownKeyword {
        /// A character of the connection string, or a line of the service file, from 1.
        position: usize,
        /// Where it was written.
        origin: Origin,
        /// What it may stand for.
        meant: Meant,
    },
    /// The value is malformed, contradicts another one, or cannot be honoured.
    #[error("{keyword} ({origin}) {rule}")]
    Value {
        /// libpq's keyword.
        keyword: &'static str,
        /// Which layer gave the value.
        origin: Origin,
        /// The rule that it breaks, as the rest of a sentence.
        rule: String,
    },
    /// A file that the settings lead to cannot be used.
    #[error("{keyword}: {}{problem}", of_path(.path.as_deref()))]
    File {
        /// The keyword that names the file.
        keyword: &'static str,
        /// The file, unless what was given may be a secret in place of its path.
        path: Option<PathBuf>,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// `service` names a section that is in no service file.
    #[error("definition of service {}not found ({origin})", named(.name.as_deref()))]
    UnknownService {
        /// The service asked for, if it looks like a name.
        name: Option<String>,
        /// Which layer gave the name.
        origin: Origin,
    },
    /// Neither the settings nor the operating system name a user.
    #[error("no database user: the operating system has no name for this process, set PGUSER")]
    NoUser,
}

impl ConnInfoError {
    pub(super) fn file(
        keyword: &'static str,
        path: &Path,
        problem: impl Into<FileProblem>,
    ) -> Self {
        Self::File {
            keyword,
            path: (!path_prefix(path).is_empty()).then(|| path.into()),
            problem: problem.into(),
        }
    }

    pub(super) fn unknown_service(name: &str, origin: Origin) -> Self {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_name = name.chars().all(is_of_name) && !may_be_secret(name);
        let name = is_name.then(|| name.to_owned());
        Self::UnknownService { name, origin }
    }
}

fn unknown_keyword(position: usize, origin: Origin, meant: Meant) -> String {
    let place = match origin {
        Origin::ServiceFile => format!("service file, line {position}"),
        _ => format!("connection string, character {position}"),
    };
    match meant {
        Meant::Nothing => format!("{place}: libpq has no keyword of this name"),
        Meant::Keyword(keyword) => {
            format!("{place}: libpq has no keyword of this name, but `{keyword}`")
        }
        Meant::Foreign { word, of, .. } => {
            format!("{place}: `{word}` is a setting of {of} and not of libpq")
        }
    }
}

fn of_path(path: Option<&Path>) -> String {
    path.map_or(String::new(), |path| format!("{}: ", path.display()))
}

fn named(service: Option<&str>) -> String {
    service.map_or(String::new(), |name| format!("\"{name}\" "))
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FileProblem {
    /// The operating system does not give it, and this is its number for why.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    System(i32),
    /// `sslmode` asks for roots, and the file that nobody had to name is not there.
    #[error("does not exist: give the file, set sslrootcert=system, or choose a weaker sslmode")]
    NoRoots,
    /// It is there, and does not do.
    #[error("{0}")]
    Unfit(String),
}

impl FileProblem {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        match self {
            Self::System(code) => {
                io::Error::from_raw_os_error(*code).kind() == io::ErrorKind::NotFound
            }
            Self::NoRoots => true,
            Self::Unfit(_) => false,
        }
    }
}

impl From<io::Error> for FileProblem {
    fn from(error: io::Error) -> Self {
        let ours = || Self::Unfit(error.to_string());
        error.raw_os_error().map_or_else(ours, Self::System)
    }
}

impl From<String> for FileProblem {
    fn from(rule: String) -> Self {
        Self::Unfit(rule)
    }
}

impl From<&str> for FileProblem {
    fn from(rule: &str) -> Self {
        rule.to_owned().into()
    }
}

/// Which layer a setting came from; the first one listed wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The connection string or URI.
    ConnectionString,
    /// The section of a service file.
    ServiceFile,
    /// This environment variable.
    Variable(&'static str),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionString => "connection string",
            Self::ServiceFile => "service file",
            Self::Variable(name) => name,
            Self::Default => "default",
        })
    }
}

/// Collects mistakes, so that an operator sees all of them at once.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<ConnInfoError>);

impl Mistakes {
    /// Keeps the mistake, or gives the value.
    pub(super) fn catch<T>(&mut self, result: Result<T, ConnInfoError>) -> Option<T> {
        result.map_err(|mistake| self.add(mistake)).ok()
    }

    pub(super) fn add(&mut self, mistake: ConnInfoError) {
        self.0.push(mistake);
    }

    pub(super) fn into_vec(self) -> Vec<ConnInfoError> {
        self.0
    }
}
