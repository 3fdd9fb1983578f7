//! Connection strings in the forms of other programs: a recognised form is named, with the libpq
//! equivalent, and the string is never repeated.

mod words;

use super::error::ConnInfoError;
use super::{keywords, uri};

pub use words::Meant;
pub(super) use words::meant;

/// The rule for a name that looks like a connection string.
pub(super) const NOT_A_NAME: &str = "holds a connection string or several settings in place of a \
    name; the whole string goes into DATABASE_URL or --database-url";

/// Characters that separate the settings in other programs.
const SEPARATORS: [char; 3] = [';', '&', ','];

const URI: &str = "write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE";
const BARE: &str = "give what is inside the quotes: a shell removes quotes, an env file, docker \
    --env-file and a Kubernetes Secret keep them";
const DRIVER: &str = "write postgresql:// and leave out `+` and the name of the driver";
const JDBC: &str = "write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE: no `jdbc:` or \
    `r2dbc:`, and user and password before the host";
const ACCELERATE: &str = "give the database's own address (Prisma's directUrl), with postgresql://";
const PAIRS: &str = "write libpq's keywords with blanks between them: host=… port=… dbname=… \
    user=… password=…";
const VALUE: &str = "give the connection string alone";

/// Detects a form of another program. `None` if the text may be `keyword=value` pairs.
pub(super) fn form(text: &str) -> Option<ConnInfoError> {
    let trimmed = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let lead = &text[..text.len() - trimmed.len()];
    let at = lead.chars().count() + 1;
    if !lead.is_empty() && uri::is_uri(trimmed) {
        let rule = "a blank, or a byte order mark, before the URI";
        return Some(foreign(
            1,
            rule,
            "leave out what stands before postgresql://",
        ));
    }
    let found = wrapper(trimmed)
        .or_else(|| separated(trimmed))
        .or_else(|| scheme(trimmed))
        .or_else(|| without_scheme(trimmed));
    found.map(|(offset, rule, remedy)| {
        let before = trimmed.get(..offset).unwrap_or_default();
        foreign(at + before.chars().count(), rule, remedy)
    })
}

/// Whether a value that should be a name is a connection string, or several settings.
pub(super) fn is_connection_string(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_uri = lower.contains("sql://") || (lower.contains("postgres") && lower.contains("://"));
    let has_credentials = text
        .split_once(':')
        .is_some_and(|(_, rest)| rest.contains('@'));
    let separators = |c: char| SEPARATORS.contains(&c) || c == '?' || c.is_whitespace();
    is_uri || has_credentials || text.split(separators).any(begins_with_keyword)
}

/// Whether it begins like `password=`, in the spelling of libpq or another program.
fn begins_with_keyword(part: &str) -> bool {
    part.split_once('=')
        .is_some_and(|(word, _)| is_keyword(word))
}

fn is_keyword(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-');
    let word = word.trim();
    word.chars().all(is_plain) && (keywords::find(word).is_some() || words::is_known(word))
}

/// Offset in bytes, rule and remedy.
type Found = (usize, &'static str, &'static str);

/// Detects quotes, placeholders or commands around the string.
fn wrapper(text: &str) -> Option<Found> {
    let first = text.chars().next()?;
    if "'\"`\u{2018}\u{2019}\u{201c}\u{201d}".contains(first) {
        return Some((0, "a quote around the connection string", BARE));
    }
    if first == '$' || text.starts_with("{{") || first == '<' {
        let rule = "a placeholder that nothing has replaced by its value";
        return Some((0, rule, VALUE));
    }
    if first == '{' {
        return Some((0, "JSON in place of a connection string", URI));
    }
    let (before, _) = text.split_once("://")?;
    let before = before.trim_end_matches(is_of_scheme);
    let command = ["psql ", "pg_dump ", "export "];
    if command.iter().any(|command| before.starts_with(command)) {
        return Some((0, "a command before the connection string", VALUE));
    }
    let name = before.trim_end_matches(['\'', '"']).strip_suffix('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let is_variable = name.chars().all(is_name);
    let rule = "a variable's name and `=` before the connection string";
    (is_variable && keywords::find(name).is_none()).then_some((0, rule, VALUE))
}

fn is_of_scheme(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-' | '_')
}

/// Detects settings separated by another character than a blank: all that follows would otherwise
/// be a part of the first value.
fn separated(text: &str) -> Option<Found> {
    if text.contains("://")
        || !text
            .split(SEPARATORS)
            .next()
            .is_some_and(begins_with_keyword)
    {
        return None;
    }
    let mut is_quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ';' if !is_quoted && begins_with_keyword(&text[at + 1..]) => {
                let rule = "`;` between settings, the form of Npgsql (.NET) and ODBC";
                return Some((at, rule, PAIRS));
            }
            '&' | ',' if !is_quoted && begins_with_keyword(&text[at + 1..]) => {
                return Some((at, "`,` or `&` between settings", PAIRS));
            }
            _ => {}
        }
    }
    None
}

/// Detects a scheme that libpq does not know.
fn scheme(text: &str) -> Option<Found> {
    let end = text.find(|c: char| !is_of_scheme(c))?;
    let (scheme, rest) = text.split_at(end);
    let lower = scheme.to_ascii_lowercase();
    let is_postgres = matches!(lower.as_str(), "postgresql" | "postgres");
    let is_jdbc = matches!(lower.as_str(), "jdbc" | "r2dbc");
    if is_jdbc && rest.starts_with(':') {
        return Some((0, "JDBC's form", JDBC));
    }
    if is_postgres && (rest.starts_with(':') || rest.starts_with('/')) {
        return Some(match rest.starts_with("://") {
            true => (
                0,
                "a scheme in capital letters",
                "write postgresql:// in small letters",
            ),
            false => (end, "no `://` behind the scheme", URI),
        });
    }
    if !rest.starts_with("://") || scheme.is_empty() {
        return None;
    }
    let (rule, remedy) = words::scheme(&lower).unwrap_or((
        "a scheme that libpq does not know",
        "write postgresql:// or postgres:// if it is a PostgreSQL server",
    ));
    let is_driver = lower.starts_with("postgresql+") || lower.starts_with("postgres+");
    Some(match is_driver {
        true => (0, "SQLAlchemy's form, with a driver in the scheme", DRIVER),
        false if lower.starts_with("prisma") => (0, "Prisma Accelerate's form", ACCELERATE),
        false => (0, rule, remedy),
    })
}

/// Detects `user:password@host/database`, perhaps after `//`.
fn without_scheme(text: &str) -> Option<Found> {
    let before = text.split('=').next().unwrap_or_default();
    let is_pair = before.len() < text.len() && is_keyword(before);
    let is_bare = text.starts_with("//") || before.contains('@') || before.contains(":/");
    let rule = "no scheme before the user or the host";
    (is_bare && !is_pair).then_some((0, rule, "write postgresql:// before it"))
}

fn foreign(position: usize, rule: &'static str, remedy: &'static str) -> ConnInfoError {
    ConnInfoError::Foreign {
        position,
        rule,
        remedy,
    }
}

#[cfg(test)]
mod tests;
