//! Parses a table's name as SQL does
//! (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
//! Pure.

use std::{fmt, str::FromStr};

use super::super::database::{identifier, quoted};

/// Name of a table, with an optional schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    schema: Option<String>,
    name: String,
}

/// Reason why a text is not a table's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}; a name is like orders, sales.orders or '\"Odd Name\".orders'")]
pub(super) struct NotATable(&'static str);

impl FromStr for TableName {
    type Err = NotATable;

    /// Folds unquoted ASCII letters to lower case, as PostgreSQL does in UTF8.
    fn from_str(text: &str) -> Result<Self, NotATable> {
        let (first, rest) = part(text)?;
        let Some(rest) = rest else {
            return Ok(Self {
                schema: None,
                name: first,
            });
        };
        match part(rest)? {
            (name, None) => Ok(Self {
                schema: Some(first),
                name,
            }),
            _ => Err(NotATable("more than a schema and a table")),
        }
    }
}

/// Splits off one identifier; the rest follows the dot.
fn part(text: &str) -> Result<(String, Option<&str>), NotATable> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None => {
            let end = text.find(['.', '"']).unwrap_or(text.len());
            (text[..end].to_ascii_lowercase(), &text[end..])
        }
    };
    match rest.strip_prefix('.') {
        _ if name.is_empty() => Err(NotATable("a part of the name is empty")),
        _ if name.contains('\0') => Err(NotATable("a name cannot contain NUL")),
        Some(rest) => Ok((name, Some(rest))),
        None if rest.is_empty() => Ok((name, None)),
        None => Err(NotATable("a quote is in the wrong place")),
    }
}

/// Reads up to the closing quote; a doubled quote stands for one in the name.
fn unquoted(text: &str) -> Result<(String, &str), NotATable> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest
            .split_once('"')
            .ok_or(NotATable("a quote is not closed"))?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Ok((name, after)),
        }
    }
}

impl TableName {
    /// Quoted name, as `to_regclass` reads it.
    pub(super) fn quoted(&self) -> String {
        let schema = self.schema.iter().map(|schema| quoted(schema) + ".");
        schema.chain([quoted(&self.name)]).collect()
    }
}

impl fmt::Display for TableName {
    /// Quoted, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", identifier(schema))?;
        }
        f.write_str(&identifier(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_in_sql() {
        for (text, quoted) in [
            ("orders", "\"orders\""),
            ("Sales.Orders", "\"sales\".\"orders\""),
            ("\"Odd Name\".\"a.b\"", "\"Odd Name\".\"a.b\""),
            (
                "s.\"a\"\"; DROP TABLE t; --\"",
                "\"s\".\"a\"\"; DROP TABLE t; --\"",
            ),
            ("ÜBER", "\"Über\""),
        ] {
            let name: TableName = text.parse().unwrap();
            assert_eq!(name.to_string(), quoted, "{text}");
            assert_eq!(name.quoted(), quoted, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "a\"b\"", "\"\"", "a\0",
        ] {
            assert!(text.parse::<TableName>().is_err(), "{text:?}");
        }
    }
}
