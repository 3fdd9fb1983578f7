//! What the database has: its tables, and what install made there before.

use tokio_postgres::SimpleQueryRow;

use super::{
    super::database::{DatabaseError, Session, identifier, literal, text},
    sql::{FUNCTION, MARK},
    table_name::TableName,
};

/// A table that was asked for.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) oid: String,
    pub(super) schema: String,
    pub(super) name: String,
    /// `pg_class.relkind`
    pub(super) kind: String,
    /// It is a partition of another table.
    pub(super) is_partition: bool,
    /// Others inherit from it.
    pub(super) has_heirs: bool,
    /// It inherits from others.
    pub(super) is_heir: bool,
    /// The columns of its primary key, in order; none that its index only includes.
    pub(super) keys: Vec<String>,
    pub(super) triggers: Vec<Trigger>,
    /// The function of its schema is there, and whether install made it.
    pub(super) function: Option<bool>,
    /// Whose it is, where that is nobody whose rights we have: then it stays as it is.
    pub(super) stranger: Option<String>,
    /// The oids of all tables whose triggers call it.
    pub(super) callers: Vec<String>,
}

/// A trigger of a table.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    /// By install.
    pub(super) is_ours: bool,
    /// In which sessions, as `pg_trigger.tgenabled` has it.
    pub(super) fires: String,
    /// It does not see what a statement on another table changes in its own.
    pub(super) is_of_statements: bool,
    /// The statement that makes it.
    pub(super) definition: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("there is no table {0}: name its schema where it is not in the search_path")]
    NoTable(String),
}

impl Table {
    /// Quoted.
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", identifier(&self.schema), identifier(&self.name))
    }

    /// By a trigger that install made.
    pub(super) fn is_watched(&self) -> bool {
        self.triggers.iter().any(|trigger| trigger.is_ours)
    }

    pub(super) fn is_partitioned(&self) -> bool {
        self.kind == "p"
    }
}

/// Each of `names` once.
pub(super) async fn tables(
    session: &Session,
    names: &[&TableName],
) -> Result<Vec<Table>, CatalogError> {
    let mut oids = Vec::new();
    for name in names {
        let quoted = name.to_string();
        let sql = format!(
            "SELECT pg_catalog.to_regclass({})::pg_catalog.oid",
            literal(&quoted)
        );
        let rows = session.rows(&sql).await?;
        let oid = rows.first().and_then(|row| text(row, 0));
        let oid = oid.ok_or(CatalogError::NoTable(quoted))?;
        if !oids.contains(&oid) {
            oids.push(oid);
        }
    }
    with(session, &oids).await
}

/// Every table that has something installed.
pub(super) async fn installed(session: &Session) -> Result<Vec<Table>, CatalogError> {
    let sql = format!(
        "SELECT DISTINCT t.tgrelid FROM pg_catalog.pg_trigger AS t \
         WHERE t.tgparentid = 0 AND {} ORDER BY 1",
        is_ours("t.tgfoid")
    );
    let rows = session.rows(&sql).await?;
    let oids: Vec<_> = rows.iter().filter_map(|row| text(row, 0)).collect();
    with(session, &oids).await
}

async fn with(session: &Session, oids: &[String]) -> Result<Vec<Table>, CatalogError> {
    let mut tables = Vec::new();
    for oid in oids {
        let rows = session.rows(&table_query(oid)).await?;
        let row = rows.first().ok_or(DatabaseError::Strange)?;
        let triggers = session.rows(&triggers_query(oid)).await?;
        let shared = session.rows(&shared_query(oid)).await?;
        tables.push(Table {
            oid: oid.clone(),
            schema: text(row, 0).unwrap_or_default(),
            name: text(row, 1).unwrap_or_default(),
            kind: text(row, 2).unwrap_or_default(),
            is_partition: is_true(row, 3),
            has_heirs: is_true(row, 4),
            is_heir: is_true(row, 5),
            keys: keys(row)?,
            function: text(row, 7).map(|is_ours| is_ours == "t"),
            stranger: text(row, 8),
            triggers: triggers.iter().map(trigger).collect(),
            callers: shared.iter().filter_map(|row| text(row, 0)).collect(),
        });
    }
    Ok(tables)
}

fn keys(row: &SimpleQueryRow) -> Result<Vec<String>, DatabaseError> {
    let json = text(row, 6).unwrap_or_else(|| "[]".to_owned());
    serde_json::from_str(&json).map_err(|_| DatabaseError::Strange)
}

fn trigger(row: &SimpleQueryRow) -> Trigger {
    Trigger {
        name: text(row, 0).unwrap_or_default(),
        is_ours: is_true(row, 1),
        fires: text(row, 2).unwrap_or_default(),
        is_of_statements: is_true(row, 3),
        definition: text(row, 4).unwrap_or_default(),
    }
}

fn is_true(row: &SimpleQueryRow, column: usize) -> bool {
    text(row, column).as_deref() == Some("t")
}

/// Whether the function of this oid was made by install.
fn is_ours(oid: &str) -> String {
    let mark = literal(MARK);
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_proc AS f WHERE f.oid = {oid} \
         AND f.proname = '{FUNCTION}' \
         AND pg_catalog.obj_description(f.oid, 'pg_proc') = {mark})"
    )
}

fn table_query(oid: &str) -> String {
    format!(
        "SELECT n.nspname, c.relname, c.relkind, c.relispartition, \
         EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = c.oid), \
         EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = c.oid), \
         (SELECT pg_catalog.json_agg(a.attname ORDER BY k.n) \
            FROM pg_catalog.pg_index AS i, \
                 pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k (number, n) \
            JOIN pg_catalog.pg_attribute AS a ON a.attnum = k.number \
            WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid \
            AND k.n <= i.indnkeyatts), \
         (SELECT {} FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = n.oid \
            AND p.proname = '{FUNCTION}' AND p.pronargs = 0), \
         (SELECT pg_catalog.pg_get_userbyid(p.proowner) FROM pg_catalog.pg_proc AS p \
            WHERE p.pronamespace = n.oid AND p.proname = '{FUNCTION}' AND p.pronargs = 0 \
            AND NOT pg_catalog.pg_has_role(p.proowner, 'USAGE')) \
         FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.oid = {oid}",
        is_ours("p.oid")
    )
}

/// In `tgtype` 1 is a trigger for each row, and 32 one of TRUNCATE, which reaches the tables below
/// the one that it names.
fn triggers_query(oid: &str) -> String {
    format!(
        "SELECT t.tgname, {}, t.tgenabled, t.tgtype & 33 = 0, \
         pg_catalog.pg_get_triggerdef(t.oid) \
         FROM pg_catalog.pg_trigger AS t \
         WHERE t.tgrelid = {oid} AND NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY t.tgname",
        is_ours("t.tgfoid")
    )
}

/// Tables whose triggers call the function of this one's schema.
fn shared_query(oid: &str) -> String {
    format!(
        "SELECT DISTINCT t.tgrelid \
         FROM pg_catalog.pg_trigger AS t \
         JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid \
         JOIN pg_catalog.pg_class AS c ON c.relnamespace = p.pronamespace \
         WHERE c.oid = {oid} AND p.proname = '{FUNCTION}' AND t.tgparentid = 0"
    )
}

/// What the triggers cannot tell, and what they forbid.
pub(super) async fn notes(
    session: &Session,
    tables: &[Table],
) -> Result<Vec<String>, DatabaseError> {
    let mut notes = Vec::new();
    for table in tables {
        let name = table.full_name();
        if table.is_partitioned() {
            notes.push(format!(
                "{name} is partitioned: who truncates, attaches, detaches or drops one partition \
                 notifies nobody"
            ));
        } else if table.has_heirs {
            notes.push(format!(
                "other tables inherit from {name}: who changes those notifies nobody; install on \
                 them too"
            ));
        }
    }
    let sql = "SELECT pg_catalog.current_setting('max_prepared_transactions')";
    let rows = session.rows(sql).await?;
    if rows.first().and_then(|row| text(row, 0)).as_deref() != Some("0") {
        notes.push(
            "a transaction that changes these tables can no longer be prepared: PostgreSQL \
             refuses PREPARE TRANSACTION after NOTIFY, and a subscription with two_phase would \
             stop there"
                .to_owned(),
        );
    }
    Ok(notes)
}
