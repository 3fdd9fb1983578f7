//! Service files: named groups of settings.
//! <https://www.postgresql.org/docs/current/libpq-pgservice.html>

use std::path::{Path, PathBuf};

use super::error::{ConnInfoError, FileProblem, Origin};
use super::pair::{Pair, Pairs};

use super::read_file;

/// Folder of the system's file if `PGSYSCONFDIR` is unset: that of Debian's libpq.
const SYSTEM_FOLDER: &str = "/etc/postgresql-common";

/// A named group of settings, and the files that may contain it.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    /// The layer that set the name.
    pub(super) origin: Origin,
    pub(super) files: Vec<ServiceFile>,
}

impl Service {
    /// The current password in the files; `None` also while they cannot be read.
    pub(super) fn password(&self) -> Option<String> {
        let pairs = find(&self.name, self.origin, &self.files).ok()?;
        let mut passwords = pairs.into_iter().filter(|pair| pair.keyword == "password");
        let first = passwords.next().map(|pair| pair.value);
        first.filter(|value| !value.is_empty())
    }
}

/// A file that may contain the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceFile {
    path: PathBuf,
    /// Whether the operator named it: then it must exist.
    named: bool,
}

/// The files to search, in this order: the user's own, then the system's.
pub(super) fn files(
    named: Option<&str>,
    system_folder: Option<String>,
    home: Option<&Path>,
) -> Vec<ServiceFile> {
    let own = match named {
        Some(path) => Some(ServiceFile {
            path: path.into(),
            named: true,
        }),
        None => home.map(|home| ServiceFile {
            path: home.join(".pg_service.conf"),
            named: false,
        }),
    };
    let folder = system_folder.map_or_else(|| PathBuf::from(SYSTEM_FOLDER), PathBuf::from);
    let system = ServiceFile {
        path: folder.join("pg_service.conf"),
        named: false,
    };
    own.into_iter().chain([system]).collect()
}

/// The settings of a service, from the first file that defines it.
///
/// # Errors
/// No file defines it, or a file before that is unreadable or malformed.
pub(super) fn find(
    name: &str,
    origin: Origin,
    files: &[ServiceFile],
) -> Result<Pairs, ConnInfoError> {
    for file in files {
        if !file.named && !file.path.exists() {
            continue;
        }
        let found = read(name, &file.path);
        let found = found.map_err(|problem| ConnInfoError::file("service", &file.path, problem));
        if let Some(pairs) = found? {
            return Ok(pairs);
        }
    }
    Err(ConnInfoError::unknown_service(name, origin))
}

fn read(name: &str, path: &Path) -> Result<Option<Pairs>, FileProblem> {
    let text = String::from_utf8(read_file(path)?).map_err(|_| "not UTF-8")?;
    Ok(section(name, &text)?)
}

/// The first section of this name; `None` if the file has none. Only that section is checked.
pub(super) fn section(name: &str, text: &str) -> Result<Option<Pairs>, String> {
    let header = format!("[{name}]");
    let mut found: Option<Pairs> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match &mut found {
            None if line.starts_with(&header) => found = Some(Pairs::new()),
            None => {}
            Some(_) if line.starts_with('[') => break,
            Some(pairs) => {
                pairs.push(pair(number, line).map_err(|rule| format!("line {number}: {rule}"))?);
            }
        }
    }
    Ok(found)
}

fn pair(number: usize, line: &str) -> Result<Pair, &'static str> {
    if line.starts_with("ldap") {
        return Err("looking up a service by LDAP is not supported");
    }
    match line.split_once('=') {
        None => Err("no `=` in the setting"),
        Some(("service" | "servicefile", _)) => Err("a service within a service is not supported"),
        Some((keyword, value)) => Ok(Pair {
            keyword: keyword.to_owned(),
            value: value.to_owned(),
            position: number,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
# comment
[other]
host=elsewhere
[mydb]
  host=somehost
port=5433
user=admin = x
# within
[mydb]
port=1
[broken]
no equals sign
[nested]
service=mydb
[directory]
ldap://ldap.example.com/dc=example
";

    /// Pairs with line numbers that begin at `line`.
    fn pairs(line: usize, list: &[(&str, &str)]) -> Pairs {
        let numbered = (line..).zip(list);
        numbered
            .map(|(position, &(keyword, value))| Pair {
                keyword: keyword.to_owned(),
                value: value.to_owned(),
                position,
            })
            .collect()
    }

    #[test]
    fn the_first_section_of_the_name_counts() {
        let expected = pairs(
            6,
            &[
                ("host", "somehost"),
                ("port", "5433"),
                ("user", "admin = x"),
            ],
        );
        assert_eq!(section("mydb", TEXT), Ok(Some(expected)));
        assert_eq!(section("my", TEXT), Ok(None));
    }

    #[test]
    fn mistakes_name_the_line() {
        for (name, rule) in [
            ("broken", "line 13: no `=` in the setting"),
            (
                "nested",
                "line 15: a service within a service is not supported",
            ),
            (
                "directory",
                "line 17: looking up a service by LDAP is not supported",
            ),
        ] {
            assert_eq!(section(name, TEXT), Err(rule.to_owned()));
        }
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let home = tempfile::tempdir().expect("temp dir");
        let system = tempfile::tempdir().expect("temp dir");
        std::fs::write(
            system.path().join("pg_service.conf"),
            "[a]\nport=1\n[b]\nport=2\n",
        )
        .expect("write");
        let files = files(
            None,
            system.path().to_str().map(str::to_owned),
            Some(home.path()),
        );
        assert_eq!(
            find("a", Origin::Default, &files),
            Ok(pairs(2, &[("port", "1")]))
        );
        std::fs::write(home.path().join(".pg_service.conf"), "[a]\nport=3\n").expect("write");
        assert_eq!(
            find("a", Origin::Default, &files),
            Ok(pairs(2, &[("port", "3")]))
        );
        assert_eq!(
            find("b", Origin::Default, &files),
            Ok(pairs(4, &[("port", "2")]))
        );
        assert_eq!(
            find("c", Origin::Default, &files),
            Err(ConnInfoError::UnknownService {
                name: Some("c".to_owned()),
                origin: Origin::Default,
            })
        );
    }

    #[test]
    fn a_named_file_must_exist() {
        let files = files(Some("/nonexistent/pg_service.conf"), None, None);
        assert!(matches!(
            find("a", Origin::Default, &files),
            Err(ConnInfoError::File {
                keyword: "service",
                ..
            })
        ));
    }
}
