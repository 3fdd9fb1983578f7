//! Event triggers, which report changes by DDL to the parts of watched tables: partitions that are
//! attached, detached and dropped, and changes of inheritance. Pure.
//!
//! One pair serves the whole database, whichever tables are installed. Its function runs with the
//! rights of each role that runs DDL, superusers too, so it belongs to a superuser, in a schema
//! that does.

use std::fmt::Write as _;

use super::{
    super::database::{block, literal},
    function::MARK,
};

pub(super) const DDL_STARTS: &str = "pgfan_ddl_starts";
pub(super) const DDL_ENDED: &str = "pgfan_ddl_ended";
pub(super) const NOTIFY_DDL: &str = "notify_ddl";

/// A name that a role is unlikely to have: by default a role's own schema is first in its
/// `search_path`.
const SCHEMA: &str = "pgfan_ddl";

const BODY: &str = include_str!("notify_ddl.sql");

/// Commands by which a table can lose or get parts, or be dropped.
const CHANGES: &str = "'ALTER TABLE', 'DROP TABLE', 'DROP FOREIGN TABLE', 'DROP SCHEMA', 'DROP OWNED',\n    \
    'DROP EXTENSION', 'DROP TYPE'";
/// Commands that can create an empty partition.
const CREATES: &str = "'CREATE TABLE', 'CREATE SCHEMA'";

pub(super) fn push(sql: &mut String) {
    let body = BODY.replace("{MARK}", MARK);
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        sql,
        "CREATE SCHEMA IF NOT EXISTS {SCHEMA};\n\
         CREATE OR REPLACE FUNCTION {SCHEMA}.{NOTIFY_DDL}() RETURNS event_trigger LANGUAGE plpgsql\n    \
         SET search_path = pg_catalog, pg_temp\n    AS $pgfan$\n-- {MARK}\n{body}$pgfan$;"
    );
    for (trigger, event, tags) in [
        (DDL_STARTS, "ddl_command_start", CHANGES.to_owned()),
        (
            DDL_ENDED,
            "ddl_command_end",
            format!("{CHANGES}, {CREATES}"),
        ),
    ] {
        let _ = writeln!(
            sql,
            "DROP EVENT TRIGGER IF EXISTS {trigger};\n\
             CREATE EVENT TRIGGER {trigger} ON {event} WHEN TAG IN ({tags})\n    \
             EXECUTE FUNCTION {SCHEMA}.{NOTIFY_DDL}();\n\
             ALTER EVENT TRIGGER {trigger} ENABLE ALWAYS;"
        );
    }
    sql.push_str(&check());
}

/// Runs at the end, when no other role can change the function any more: fails if the function or
/// schema found was owned by a role with fewer rights than a superuser's.
fn check() -> String {
    let stranger = literal(
        "the schema pgfan_ddl or its function belongs to a role that is no superuser: nothing is taken over",
    );
    block(&format!(
        "BEGIN\n    IF EXISTS (SELECT FROM pg_event_trigger AS e JOIN pg_proc AS f ON f.oid = e.evtfoid\n        \
         JOIN pg_namespace AS n ON n.oid = f.pronamespace\n        \
         JOIN pg_roles AS r ON r.oid IN (f.proowner, n.nspowner)\n        \
         WHERE e.evtname IN ('{DDL_STARTS}', '{DDL_ENDED}')\n        \
         AND NOT r.rolsuper AND r.rolname <> current_user) THEN\n        \
         RAISE EXCEPTION USING ERRCODE = 'duplicate_function', MESSAGE = {stranger};\n    \
         END IF;\nEND\n"
    ))
}

/// The schema is kept if it contains other objects.
pub(super) const DROP: &str = "\
DROP EVENT TRIGGER IF EXISTS pgfan_ddl_starts;
DROP EVENT TRIGGER IF EXISTS pgfan_ddl_ended;
DROP FUNCTION IF EXISTS pgfan_ddl.notify_ddl();
DO $pgfan$
BEGIN
    DROP SCHEMA IF EXISTS pgfan_ddl;
EXCEPTION WHEN dependent_objects_still_exist THEN
    NULL;
END
$pgfan$;
";
