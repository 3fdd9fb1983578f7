//! Fuzz targets for SQL text and the operator's settings. See `crate::fuzz`.

pub(crate) use super::conninfo::fuzz::{connection_string, password_file, service_file};
use super::listen::statements;
use crate::event::ChannelName;

/// A name in LISTEN and UNLISTEN, parsed like PostgreSQL does: a doubled quote is part
/// of the name, a single one ends it
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
pub(crate) fn channel(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(name) = ChannelName::new(text) else {
        return assert!(text.is_empty() || text.len() > 63 || text.contains('\0'));
    };
    let sql = statements([&name].into_iter(), [&name].into_iter());
    let (listen, rest) = identifier(sql.strip_prefix("LISTEN ").expect("LISTEN"));
    assert_eq!(listen, text);
    let (unlisten, rest) = identifier(rest.strip_prefix(";\nUNLISTEN ").expect("UNLISTEN"));
    assert_eq!(unlisten, text);
    assert_eq!(rest, ";\n");
}

/// The quoted identifier at the beginning of `sql`, and the rest.
fn identifier(sql: &str) -> (String, &str) {
    let mut rest = sql.strip_prefix('"').expect("a quote");
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('"').expect("a closing quote");
        name += part;
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return (name, after),
        }
    }
}
