//! The event triggers, which report what DDL does to the parts of watched tables: partitions that
//! are attached, detached and dropped, tables that begin and end to inherit. Pure.
//!
//! There is one pair for a database, whatever table it was installed with. Their function runs
//! with the rights of everybody who runs DDL, superusers too, so it belongs to a superuser, in a
//! schema that does.

use std::fmt::Write as _;

use super::{
    super::database::{block, literal},
    function::MARK,
};

pub(super) const DDL_STARTS: &str = "pgfan_ddl_starts";
pub(super) const DDL_ENDED: &str = "pgfan_ddl_ended";
pub(super) const NOTIFY_DDL: &str = "notify_ddl";

/// Of no name that a role is likely to have: by default a role's own schema is the first of its
/// `search_path`.
const SCHEMA: &str = "pgfan_ddl";

const BODY: &str = include_str!("notify_ddl.sql");

/// Commands by which a table can lose or get parts, or go.
const CHANGES: &str = "'ALTER TABLE', 'DROP TABLE', 'DROP FOREIGN TABLE', 'DROP SCHEMA', 'DROP OWNED',\n    \
    'DROP EXTENSION', 'DROP TYPE'";
/// Those by which an empty partition comes.
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

/// At the end, when nobody can change the function any more: what it has replaced was not made by
/// somebody whose rights are less than a superuser's.
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

/// The schema stays where it holds something else.
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
