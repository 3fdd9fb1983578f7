//! The trigger function: one for each owner of tables in a schema. Pure.
//!
//! A trigger function runs with the rights of the role that writes to the table, and its owner can
//! replace it at any time. So it belongs to the table's owner, who could add any trigger there
//! anyway, and to no other role: a function that another role created is never taken over.

use std::fmt::Write as _;

use super::{
    super::database::{OWN_NAMES, block, identifier, literal},
    catalog::Table,
    sql::{CHANGE, EMPTIED, PART_EMPTIED, REPLICATED},
};

/// Start of the function's name; the owner's name follows.
pub(super) const FUNCTION: &str = "pgfan_notify_change";

/// Mark in the source, which every dump keeps: identifies the function's purpose.
pub(super) const MARK: &str = "made by pgfan triggers install, removed by pgfan triggers uninstall";

const BODY: &str = include_str!("notify_change.sql");

/// Every session setting that changes the text of a value: one row always has one text of its key.
/// `quote_all_identifiers` and `search_path` are for regclass and similar types, `lc_monetary` for
/// money, `extra_float_digits = 1` for all digits of a number.
const SETTINGS: &str = "SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, YMD' \
    SET IntervalStyle = postgres\n    \
    SET TimeZone = 'UTC' SET bytea_output = hex SET extra_float_digits = 1 \
    SET lc_monetary = 'C'\n    \
    SET quote_all_identifiers = off";

/// Length limit of names in PostgreSQL, in bytes; longer ones are truncated.
const LONGEST_NAME: usize = 63;

/// Different owners get different names, also if long names begin alike.
pub(super) fn function_name(owner: &str) -> String {
    let name = format!("{FUNCTION}_{owner}");
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let digest = format!("_{:016x}", fnv1a(owner.as_bytes()));
    let end = (0..=LONGEST_NAME - digest.len())
        .rev()
        .find(|end| name.is_char_boundary(*end))
        .unwrap_or_default();
    format!("{}{digest}", &name[..end])
}

/// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>. Security does not depend on it: the owner
/// of a function with the same name is checked.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Quoted name of the table's trigger function.
pub(super) fn function(table: &Table) -> String {
    let name = identifier(&function_name(&table.owner));
    format!("{}.{name}", identifier(&table.schema))
}

/// Creates or replaces the function, unless one without the mark has its name. Others cannot change
/// it until the transaction ends, so its owner is checked afterwards.
pub(super) fn push_function(sql: &mut String, table: &Table) {
    let name = function(table);
    let (schema, function) = (
        literal(&table.schema),
        literal(&function_name(&table.owner)),
    );
    let owner = literal(&table.owner);
    let mark = literal(MARK);
    let foreign = literal(&format!(
        "{name}() was not made by pgfan triggers install: nothing is taken over"
    ));
    let is_there = format!(
        "FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace\n        \
         WHERE n.nspname = {schema} AND f.proname = {function} AND f.pronargs = 0"
    );
    let before = format!(
        "BEGIN\n    IF EXISTS (SELECT {is_there} AND strpos(f.prosrc, {mark}) = 0) THEN\n        \
         RAISE EXCEPTION USING ERRCODE = 'duplicate_function', MESSAGE = {foreign};\n    \
         END IF;\nEND\n"
    );
    sql.push_str(&block(&before));
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        sql,
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql\n    \
         {SETTINGS}\n    AS $pgfan$\n-- {MARK}\n{BODY}$pgfan$;"
    );
    let stranger = literal(&format!(
        "{name}() does not belong to {}, who owns the table: nothing is taken over",
        identifier(&table.owner)
    ));
    let after = format!(
        "DECLARE\n    owner name := (SELECT pg_get_userbyid(f.proowner) {is_there});\nBEGIN\n    \
         IF owner = {owner} THEN\n        RETURN;\n    ELSIF owner = current_user THEN\n        \
         ALTER FUNCTION {name}() OWNER TO {};\n    ELSE\n        \
         RAISE EXCEPTION USING ERRCODE = 'duplicate_function', MESSAGE = {stranger};\n    \
         END IF;\nEND\n",
        identifier(&table.owner)
    );
    sql.push_str(&block(&after));
}

/// Runs at the end, when no other session can change the triggers any more: schemas could have been
/// renamed between two statements.
pub(super) fn push_check(sql: &mut String, table: &Table) {
    let regclass = literal(&table.quoted());
    let changed = literal(&format!(
        "the owner of {} or of its trigger function has changed: run pgfan triggers install again",
        table.full_name()
    ));
    let names = [CHANGE, REPLICATED, EMPTIED].map(literal).join(", ");
    let mut where_made = format!("t.tgrelid = c.oid AND t.tgname IN ({names})");
    let parts = table.partitions.iter().filter(|part| part.takes_triggers);
    let parts: Vec<_> = parts
        .map(|part| format!("{}::regclass", literal(&part.quoted())))
        .collect();
    if !parts.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(
            where_made,
            "\n        OR t.tgname = '{PART_EMPTIED}' AND t.tgrelid IN ({})",
            parts.join(", ")
        );
    }
    let check = format!(
        "BEGIN\n    IF EXISTS (SELECT FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid,\n        \
         pg_class AS c WHERE c.oid = {regclass}::regclass AND f.proowner <> c.relowner\n        \
         AND ({where_made})) THEN\n        \
         RAISE EXCEPTION USING ERRCODE = 'duplicate_function', MESSAGE = {changed};\n    \
         END IF;\nEND\n"
    );
    sql.push_str(&block(&check));
}

/// Pins the search path: an operator of another role would run as the installer.
pub(super) fn begin() -> String {
    // A longer wait for a table's lock would also keep its writers waiting.
    format!("BEGIN;\nSET LOCAL lock_timeout = '5s';\n{OWN_NAMES}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_a_function_of_its_own() {
        assert_eq!(function_name("bob"), "pgfan_notify_change_bob");
        let long = "ü".repeat(31);
        let (one, other) = (
            function_name(&format!("{long}a")),
            function_name(&format!("{long}b")),
        );
        assert!(one != other && one.len() <= 63 && one.len() > 60, "{one}");
    }
}
