//! The password file: <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::endpoints::{Endpoint, Place, SOCKET_FOLDERS};
use super::{read_file, session::Password};

/// Permission bits of the group and of others.
const OTHERS: u32 = 0o077;

/// The fields that a line of the file must match.
pub(super) struct Wanted<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password of the first matching line. As in libpq, a file that is absent, unreadable, or
/// accessible to others is ignored; the last two cases log a warning, since the server's refusal
/// alone would not show the reason.
pub(super) fn password(path: &Path, wanted: &Wanted<'_>) -> Option<Password> {
    let metadata = path.metadata().ok()?;
    let refuse = |reason: &str| {
        tracing::warn!(path = %path.display(), reason, "password file ignored");
        None
    };
    if !metadata.is_file() {
        return refuse("it is not a plain file");
    }
    if metadata.permissions().mode() & OTHERS != 0 {
        return refuse("group or others have access, permissions must be 0600 or less");
    }
    match read_file(path) {
        Ok(bytes) => first_match(&bytes, wanted),
        Err(error) => refuse(&error.to_string()),
    }
}

/// The password of the first matching line. As in libpq, this line ends the search even if its
/// password is empty, which means none.
pub(super) fn first_match(file: &[u8], wanted: &Wanted<'_>) -> Option<Password> {
    let password = file
        .split(|byte| *byte == b'\n')
        .find_map(|line| match_line(line, wanted));
    password.filter(|password| !password.0.is_empty())
}

/// Parses `host:port:database:user:password`; in bytes, since a password need not be UTF-8.
fn match_line(line: &[u8], wanted: &Wanted<'_>) -> Option<Password> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"#") {
        return None;
    }
    let (host, port) = (
        host(&wanted.endpoint.place),
        wanted.endpoint.port.to_string(),
    );
    let mut rest = line;
    for field in [&host, &port, wanted.database, wanted.user] {
        rest = match_field(rest, field.as_bytes())?;
    }
    let (password, _) = take_field(rest);
    Some(Password(password))
}

/// The host that a line must contain: `localhost` also matches the default socket folders, any
/// other folder is its own name.
fn host(place: &Place) -> String {
    match place {
        Place::Tcp { name, .. } => name.clone(),
        Place::Folder(folder)
            if SOCKET_FOLDERS
                .iter()
                .any(|default| folder == Path::new(default)) =>
        {
            "localhost".to_owned()
        }
        Place::Folder(folder) => folder.to_string_lossy().into_owned(),
    }
}

/// The rest of the line after a field that is `*` or equal to `wanted`.
fn match_field<'a>(line: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    if let Some(rest) = line.strip_prefix(b"*:") {
        return Some(rest);
    }
    let (field, rest) = take_field(line);
    rest.filter(|_| field == wanted)
}

/// A field without its backslashes, and the text after its colon, if there is one.
fn take_field(line: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let mut field = Vec::new();
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b':', _) => return (field, Some(tail)),
            (b'\\', [escaped, after @ ..]) => {
                field.push(*escaped);
                rest = after;
            }
            _ => {
                field.push(*first);
                rest = tail;
            }
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        let place = match host.strip_prefix('/') {
            Some(_) => Place::Folder(host.into()),
            None => Place::Tcp {
                name: host.to_owned(),
                address: None,
            },
        };
        Endpoint { place, port: 5432 }
    }

    fn look(line: &str, host: &str, database: &str, user: &str) -> Option<String> {
        let endpoint = endpoint(host);
        let found = match_line(
            line.as_bytes(),
            &Wanted {
                endpoint: &endpoint,
                database,
                user,
            },
        );
        found.map(|password| String::from_utf8(password.0).expect("UTF-8"))
    }

    #[test]
    fn lines_that_fit() {
        for (line, host, password) in [
            ("db:5432:shop:ann:pw", "db", "pw"),
            ("*:*:*:*:pw", "db", "pw"),
            ("db:*:shop:*:pw", "db", "pw"),
            ("db:5432:shop:ann:pw\r", "db", "pw"),
            (r"db:5432:shop:ann:a\:b\\c", "db", r"a:b\c"),
            ("db:5432:shop:ann:pw:rest is ignored", "db", "pw"),
            (r"db:5432:shop:ann:pw\", "db", r"pw\"),
            ("db:5432:shop:ann: # pw", "db", " # pw"),
            (r"\:\:1:5432:shop:ann:pw", "::1", "pw"),
            ("localhost:5432:shop:ann:pw", "/tmp", "pw"),
            ("localhost:5432:shop:ann:pw", "/var/run/postgresql", "pw"),
            ("/run/pg:5432:shop:ann:pw", "/run/pg", "pw"),
        ] {
            assert_eq!(
                look(line, host, "shop", "ann").as_deref(),
                Some(password),
                "{line}"
            );
        }
    }

    #[test]
    fn lines_that_do_not_fit() {
        for line in [
            "",
            "#*:*:*:*:pw",
            "# db:5432:shop:ann:pw",
            "db:5433:shop:ann:pw",
            "db:5432:shop:bob:pw",
            "dbx:5432:shop:ann:pw",
            "d:5432:shop:ann:pw",
            r"\*:5432:shop:ann:pw",
            "**:5432:shop:ann:pw",
            "db:5432:shop:ann",
            "::1:5432:shop:ann:pw",
        ] {
            assert_eq!(look(line, "db", "shop", "ann"), None, "{line}");
        }
        assert_eq!(
            look("localhost:5432:shop:ann:pw", "/run/pg", "shop", "ann"),
            None
        );
    }

    #[test]
    fn colons_and_backslashes_in_names_are_escaped() {
        assert_eq!(
            look(r"db:5432:a\:b:c\\d:pw", "db", "a:b", r"c\d").as_deref(),
            Some("pw")
        );
    }

    #[test]
    fn the_first_line_that_fits_wins_and_an_open_file_counts_for_nothing() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("pgpass");
        fs::write(&path, "other:*:*:*:no\ndb:*:*:*:first\ndb:*:*:*:second\n").expect("write");
        let endpoint = endpoint("db");
        let look = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            password(
                &path,
                &Wanted {
                    endpoint: &endpoint,
                    database: "d",
                    user: "u",
                },
            )
            .map(|password| password.0)
        };
        assert_eq!(look(0o600), Some(b"first".to_vec()));
        assert_eq!(look(0o400), Some(b"first".to_vec()));
        for mode in [0o640, 0o604, 0o610, 0o666] {
            assert_eq!(look(mode), None, "{mode:o}");
        }
    }

    #[test]
    fn an_empty_password_ends_the_search() {
        let none = endpoint("db");
        let wanted = Wanted {
            endpoint: &none,
            database: "d",
            user: "u",
        };
        assert!(first_match(b"db:*:*:*:\n*:*:*:*:any\n", &wanted).is_none());
        assert!(first_match(b"x:*:*:*:\n*:*:*:*:any\n", &wanted).is_some());
    }

    #[test]
    fn absent_files_and_folders_give_none() {
        let endpoint = endpoint("db");
        for path in ["/nonexistent/pgpass", "/tmp"] {
            let wanted = Wanted {
                endpoint: &endpoint,
                database: "d",
                user: "u",
            };
            assert!(password(Path::new(path), &wanted).is_none());
        }
    }
}
