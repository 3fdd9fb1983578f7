//! Mistakes in connection settings. Their texts never contain a value that may be a secret.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use thiserror::Error;

use super::foreign::Meant;
use crate::text::{may_be_secret, path_prefix};

/// A mistake in the connection settings, described for the operator.
///
/// The texts name the keyword, the origin of its value and the rule it breaks. They never repeat a
/// connection string, a value or a keyword that is unknown, because an unescaped `@`, `/`, `&` or
/// blank can make a password look like any other part. Only the name of a service is shown as
/// written, if it looks like a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnInfoError {
    /// The connection string is malformed at `position`.
    #[error("connection string, character {position}: {rule}")]
    Syntax {
        /// Position of the mistake, in characters from 1.
        position: usize,
        /// The expected text there.
        rule: &'static str,
    },
    /// The connection string has the form of another program.
    #[error("connection string, character {position}: {rule}")]
    Foreign {
        /// Position at which this shows, in characters from 1.
        position: usize,
        /// The recognised form.
        rule: &'static str,
        /// The form that libpq expects.
        remedy: &'static str,
    },
    /// libpq has no such keyword.
    #[error("{}", unknown_keyword(*.position, *.origin, *.meant))]
    UnknownKeyword {
        /// A character of the connection string, or a line of the service file, from 1.
        position: usize,
        /// The layer with the keyword.
        origin: Origin,
        /// Its probable meaning.
        meant: Meant,
    },
    /// The value is malformed, contradicts another one, or is not supported.
    #[error("{keyword} ({origin}) {rule}")]
    Value {
        /// libpq's keyword.
        keyword: &'static str,
        /// The layer that set the value.
        origin: Origin,
        /// The rule that it breaks, as the rest of a sentence.
        rule: String,
    },
    /// A file that the settings refer to cannot be used.
    #[error("{keyword}: {}{problem}", of_path(.path.as_deref()))]
    File {
        /// The keyword that names the file.
        keyword: &'static str,
        /// The file, unless the given text may be a secret instead of a path.
        path: Option<PathBuf>,
        /// The problem with it.
        problem: FileProblem,
    },
    /// `service` names a section that no service file contains.
    #[error("definition of service {}not found ({origin})", named(.name.as_deref()))]
    UnknownService {
        /// The requested service, if it looks like a name.
        name: Option<String>,
        /// The layer that set the name.
        origin: Origin,
    },
    /// Neither the settings nor the operating system provide a user name.
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

/// Reason why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FileProblem {
    /// The error code of the operating system.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    System(i32),
    /// `sslmode` requires roots, and the default file does not exist.
    #[error("does not exist: give the file, set sslrootcert=system, or choose a weaker sslmode")]
    NoRoots,
    /// The file exists but is unsuitable.
    #[error("{0}")]
    Unfit(String),
}

impl FileProblem {
    /// Whether the file does not exist.
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

/// The layer that set a value; the first one listed takes precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The connection string or URI.
    ConnectionString,
    /// The section of a service file.
    ServiceFile,
    /// This environment variable.
    Variable(&'static str),
    /// Not set in any layer.
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

/// A collection of mistakes, so that an operator sees all of them at once.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<ConnInfoError>);

impl Mistakes {
    /// Returns the value, or records the mistake.
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
