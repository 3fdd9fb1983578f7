//! The SQL of the lookups. All names and operators are PostgreSQL's own: the session's
//! `search_path` is pinned for them.

use super::super::{
    super::database::literal,
    events::{DDL_ENDED, DDL_STARTS, NOTIFY_DDL},
    function::{FUNCTION, MARK},
    sql::PART_EMPTIED,
};

/// Condition: the function `f` was made by install, or claims it by its mark. The first version had
/// one function for a schema, and its mark in a comment.
fn is_ours() -> String {
    let mark = literal(MARK);
    format!(
        "(starts_with(f.proname, '{FUNCTION}') AND strpos(f.prosrc, {mark}) > 0 \
         OR f.proname = '{FUNCTION}' AND obj_description(f.oid, 'pg_proc') = {mark})"
    )
}

/// Condition: the function notifies, by its source, or by its name if it is in C (contrib's tcn). A
/// call of another function that notifies is not detected.
const NOTIFIES: &str = "(f.prosrc ~* '(^|[^a-z0-9_])(pg_)?notify([^a-z0-9_]|$)' \
    OR f.prosrc = 'triggered_change_notification')";

pub(super) fn installed_query() -> String {
    let is_ours = is_ours();
    // Triggers that install made on partitions are shown with the whole table.
    format!(
        "SELECT t.tgrelid FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid \
         JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND ({is_ours} OR {NOTIFIES}) \
         AND NOT (c.relispartition AND t.tgname = '{PART_EMPTIED}') \
         GROUP BY t.tgrelid, n.nspname, c.relname ORDER BY n.nspname, c.relname"
    )
}

pub(super) fn table_query(oid: &str) -> String {
    format!(
        "SELECT n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner), c.relispartition, \
         EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = c.oid), \
         (SELECT json_agg(a.attname ORDER BY k.n) \
            FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS k (number, n) \
            JOIN pg_attribute AS a ON a.attnum = k.number \
            WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid \
            AND k.n <= i.indnkeyatts) \
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.oid = {oid}"
    )
}

/// In `tgtype` bit 1 means a row trigger, and bit 32 a TRUNCATE trigger: a TRUNCATE also reaches
/// the tables below the one that it names.
pub(super) fn triggers_query(oid: &str) -> String {
    let is_ours = is_ours();
    format!(
        "SELECT t.tgname, {is_ours}, t.tgenabled, t.tgtype & 33 = 0, pg_get_triggerdef(t.oid), \
         n.nspname, f.proname, pg_get_userbyid(f.proowner), {NOTIFIES} \
         FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid \
         JOIN pg_namespace AS n ON n.oid = f.pronamespace \
         WHERE t.tgrelid = {oid} AND NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY t.tgname"
    )
}

pub(super) fn functions_query(oid: &str, own: &str) -> String {
    let (is_ours, own) = (is_ours(), literal(own));
    format!(
        "SELECT n.nspname, f.proname, pg_get_userbyid(f.proowner), {is_ours}, \
         pg_has_role(f.proowner, 'USAGE') \
            AND (f.proowner = c.relowner OR pg_get_userbyid(f.proowner) = current_user), \
         (SELECT json_agg(DISTINCT t.tgrelid::text) FROM pg_trigger AS t \
            WHERE t.tgfoid = f.oid AND t.tgparentid = 0) \
         FROM pg_class AS c, pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace \
         WHERE c.oid = {oid} AND f.pronargs = 0 AND (f.pronamespace = c.relnamespace \
            AND f.proname = {own} OR {is_ours} AND EXISTS (SELECT FROM pg_trigger AS t \
            WHERE t.tgfoid = f.oid AND t.tgrelid = c.oid)) ORDER BY n.nspname, f.proname"
    )
}

/// PostgreSQL 15 has no TRUNCATE triggers on foreign tables.
pub(super) fn partitions_query(oid: &str) -> String {
    let is_ours = is_ours();
    format!(
        "SELECT c.oid, n.nspname, c.relname, \
         c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE'), \
         (SELECT {is_ours} FROM pg_proc AS f WHERE f.oid = t.tgfoid), t.tgenabled \
         FROM pg_partition_tree({oid}) AS part JOIN pg_class AS c ON c.oid = part.relid \
         JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = '{PART_EMPTIED}' \
         WHERE part.level > 0 ORDER BY n.nspname, c.relname"
    )
}

pub(super) fn heirs_query(oid: &str) -> String {
    let is_ours = is_ours();
    format!(
        "WITH RECURSIVE heirs (oid) AS (SELECT inhrelid FROM pg_inherits WHERE inhparent = {oid} \
         UNION SELECT i.inhrelid FROM heirs AS h JOIN pg_inherits AS i ON i.inhparent = h.oid) \
         SELECT c.oid, n.nspname, c.relname \
         FROM heirs JOIN pg_class AS c USING (oid) JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_trigger AS t \
            JOIN pg_proc AS f ON f.oid = t.tgfoid WHERE t.tgrelid = c.oid AND {is_ours}) \
         ORDER BY n.nspname, c.relname"
    )
}

/// Number of the event triggers, and of those enabled. PostgreSQL 17 can disable all of them.
pub(super) fn events_query() -> String {
    format!(
        "SELECT count(*), count(*) FILTER (WHERE e.evtenabled IN ('O', 'A') \
         AND f.proname = '{NOTIFY_DDL}' AND strpos(f.prosrc, {}) > 0 \
         AND coalesce(current_setting('event_triggers', true), 'on') = 'on') \
         FROM pg_event_trigger AS e JOIN pg_proc AS f ON f.oid = e.evtfoid \
         WHERE e.evtname IN ('{DDL_STARTS}', '{DDL_ENDED}')",
        literal(MARK)
    )
}
