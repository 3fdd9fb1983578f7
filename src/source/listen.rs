//! The text of LISTEN and UNLISTEN. Pure.
//!
//! The name is an identifier, so it cannot be a parameter. It is always quoted, which
//! also preserves its exact spelling
//! (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).

use std::fmt::Write;

use crate::event::ChannelName;

/// The statements of one round trip; PostgreSQL runs them as one transaction,
/// all or none.
pub(super) fn statements<'a>(
    listen: impl Iterator<Item = &'a ChannelName>,
    unlisten: impl Iterator<Item = &'a ChannelName>,
) -> String {
    let mut sql = String::new();
    for name in listen {
        push(&mut sql, "LISTEN", name);
    }
    for name in unlisten {
        push(&mut sql, "UNLISTEN", name);
    }
    sql
}

fn push(sql: &mut String, verb: &str, name: &ChannelName) {
    let quoted = name.as_str().replace('"', "\"\"");
    // Writing to a String cannot fail.
    let _ = writeln!(sql, "{verb} \"{quoted}\";");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(name: &str) -> String {
        let name = ChannelName::new(name).unwrap();
        statements([&name].into_iter(), [].into_iter())
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(listen("orders"), "LISTEN \"orders\";\n");
        assert_eq!(
            listen("x\"; DROP TABLE t; --"),
            "LISTEN \"x\"\"; DROP TABLE t; --\";\n"
        );
        assert_eq!(listen("\""), "LISTEN \"\"\"\";\n");
        assert_eq!(listen("a\\\n'$$"), "LISTEN \"a\\\n'$$\";\n");
    }

    #[test]
    fn many_go_in_one_round_trip() {
        let [a, b, c] = ["a", "b", "c"].map(|n| ChannelName::new(n).unwrap());
        assert_eq!(
            statements([&a, &b].into_iter(), [&c].into_iter()),
            "LISTEN \"a\";\nLISTEN \"b\";\nUNLISTEN \"c\";\n"
        );
    }
}
