//! Names and texts as tokens of SQL that a terminal can show: each token is one line of
//! printable characters and means exactly its text
//! (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>). Pure.

use std::fmt::Write as _;

use super::super::output::is_unprintable;

/// A literal that is valid with either value of `standard_conforming_strings`.
pub(in crate::cli) fn literal(text: &str) -> String {
    let is_special = |character| character == '\\' || is_unprintable(character);
    if !text.contains(is_special) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = "E'".to_owned();
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            // Writing to a String cannot fail, here and below.
            _ if is_unprintable(character) => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('\'');
    quoted
}

/// An identifier as functions like `to_regclass` read it: within a literal, which escapes it.
pub(in crate::cli) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An identifier, exactly. One with control characters takes
/// `standard_conforming_strings = on`, the default; without it the server refuses the statement.
pub(in crate::cli) fn identifier(name: &str) -> String {
    if !name.contains(is_unprintable) {
        return quoted(name);
    }
    let mut quoted = "U&\"".to_owned();
    for character in name.chars() {
        match character {
            '"' => quoted.push_str("\"\""),
            '\\' => quoted.push_str("\\\\"),
            _ if is_unprintable(character) => {
                let _ = write!(quoted, "\\+{:06x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// A `DO` statement; the tag is one that the body does not contain.
pub(in crate::cli) fn block(body: &str) -> String {
    let mut tag = "$pgfan$".to_owned();
    while body.contains(&tag) {
        tag.insert(tag.len() - 1, '_');
    }
    format!("DO {tag}\n{body}{tag};\n")
}

/// SQL as the server prints it (`pg_get_triggerdef`), with its quoted tokens rewritten: the
/// server leaves control characters as they are, and they stand in quoted tokens alone.
pub(in crate::cli) fn printable_sql(sql: &str) -> String {
    let mut printable = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = if rest[start..].starts_with('"') {
            '"'
        } else {
            '\''
        };
        let is_escaped = quote == '\'' && rest[..start].ends_with('E');
        let (text, after) = token(&rest[start + 1..], quote, is_escaped);
        if text.contains(is_unprintable) {
            printable.push_str(&rest[..start - usize::from(is_escaped)]);
            printable.push_str(&match quote {
                '"' => identifier(&text),
                _ => literal(&text),
            });
        } else {
            printable.push_str(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    printable.push_str(rest);
    // A statement has control characters only inside quotes; any left here are not part of a name.
    printable.replace(is_unprintable, " ")
}

/// The text of a token whose opening quote was read, and what follows its closing one.
fn token(rest: &str, quote: char, is_escaped: bool) -> (String, &str) {
    let mut text = String::new();
    let mut characters = rest.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        let is_next = |next: char| rest[index + character.len_utf8()..].starts_with(next);
        let is_doubled = character == quote || (is_escaped && character == '\\');
        match is_doubled && is_next(character) {
            true => _ = characters.next(),
            false if character == quote => return (text, &rest[index + 1..]),
            false => {}
        }
        text.push(character);
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_quotes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'"), "E'a\\\\'''");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(identifier("a\\b"), "\"a\\b\"");
        assert_eq!(block("a"), "DO $pgfan$\na$pgfan$;\n");
        assert_eq!(block("$pgfan$"), "DO $pgfan_$\n$pgfan$$pgfan_$;\n");
    }

    #[test]
    fn a_line_s_end_and_an_escape_are_written_in_ascii() {
        assert_eq!(literal("a\n\\'"), "E'a\\U0000000a\\\\'''");
        assert_eq!(
            identifier("a\n\\\"\x1b"),
            "U&\"a\\+00000a\\\\\"\"\\+00001b\""
        );
    }

    #[test]
    fn what_the_server_prints_is_rewritten_where_it_has_to_be() {
        let plain = "CREATE TRIGGER \"a\"\"b\" EXECUTE FUNCTION public.f('it''s', E'a\\\\''b')";
        assert_eq!(printable_sql(plain), plain);
        let odd = "ON public.\"a\n\\! x\"\"\" EXECUTE FUNCTION f('\x1b', E'\\\\''\n', '')";
        let shown = "ON public.U&\"a\\+00000a\\\\! x\"\"\" EXECUTE FUNCTION \
                     f(E'\\U0000001b', E'\\\\''\\U0000000a', '')";
        assert_eq!(printable_sql(odd), shown);
    }
}
