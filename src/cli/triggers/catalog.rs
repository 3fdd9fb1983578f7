//! Catalog lookups: tables, and the triggers and functions made by install.

mod queries;

use tokio_postgres::SimpleQueryRow;

use self::queries::{
    events_query, functions_query, heirs_query, installed_query, partitions_query, table_query,
    triggers_query,
};
use super::{
    super::database::{DatabaseError, Session, identifier, literal, quoted, text},
    function::function_name,
    table_name::TableName,
};

/// A table named on the command line, or one with triggers.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) oid: String,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) owner: String,
    /// `pg_class.relkind`
    pub(super) kind: String,
    /// It is a partition of another table.
    pub(super) is_partition: bool,
    /// It inherits from others.
    pub(super) is_heir: bool,
    /// Primary key columns, in order, without those that the index only includes.
    pub(super) keys: Vec<String>,
    pub(super) triggers: Vec<Trigger>,
    /// Functions called by its triggers, and the one with the name that install uses.
    pub(super) functions: Vec<Function>,
    /// Partitions on every level.
    pub(super) partitions: Vec<Partition>,
    /// Tables that inherit from it, are not partitions and have no trigger of install: oid and
    /// quoted name.
    pub(super) unwatched_heirs: Vec<(String, String)>,
}

/// A trigger of a table.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    /// It calls a function that install makes.
    pub(super) is_ours: bool,
    /// The sessions in which it fires, as in `pg_trigger.tgenabled`.
    pub(super) fires: String,
    /// It does not see changes that a statement on another table makes in its own.
    pub(super) is_of_statements: bool,
    /// The SQL that creates it.
    pub(super) definition: String,
    /// Quoted name and owner of the function that it calls.
    pub(super) function: String,
    pub(super) function_owner: String,
    /// Whether the function's source notifies.
    pub(super) notifies: bool,
}

/// A trigger function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) owner: String,
    /// Its source has the mark of install. Any role can write it: it shows the purpose of a
    /// function, not that it can be trusted.
    pub(super) is_ours: bool,
    /// Owned by the table's owner or the current role, and the session has the owner's rights.
    pub(super) may_drop: bool,
    /// Oids of all tables whose triggers call it.
    pub(super) callers: Vec<String>,
}

/// A partition of a table, on any level.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) oid: String,
    pub(super) schema: String,
    pub(super) name: String,
    /// A table on this server whose owner's rights the session has.
    pub(super) takes_triggers: bool,
    /// Whether its TRUNCATE trigger was made by install; `None` if it has none.
    pub(super) trigger: Option<bool>,
    /// The sessions in which that trigger fires.
    pub(super) fires: String,
}

/// State of the database's event triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Events {
    Missing,
    /// One is missing, disabled or not made by install.
    Broken,
    Active,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("there is no table {0}: name its schema where it is not in the search_path")]
    NoTable(String),
}

impl Table {
    /// Quoted name with schema.
    pub(super) fn full_name(&self) -> String {
        full_name(&self.schema, &self.name)
    }

    /// Quoted name as catalog functions like `to_regclass` read it.
    pub(super) fn quoted(&self) -> String {
        quoted_name(&self.schema, &self.name)
    }

    /// Whether it has a trigger made by install.
    pub(super) fn is_watched(&self) -> bool {
        self.triggers.iter().any(|trigger| trigger.is_ours)
    }

    pub(super) fn is_partitioned(&self) -> bool {
        self.kind == "p"
    }

    /// The function that install makes for it, if it exists.
    pub(super) fn own_function(&self) -> Option<&Function> {
        let name = function_name(&self.owner);
        let is_own = |f: &&Function| f.name == name && f.schema == self.schema;
        self.functions.iter().find(is_own)
    }
}

impl Function {
    pub(super) fn full_name(&self) -> String {
        format!("{}()", full_name(&self.schema, &self.name))
    }
}

impl Partition {
    pub(super) fn full_name(&self) -> String {
        full_name(&self.schema, &self.name)
    }

    pub(super) fn quoted(&self) -> String {
        quoted_name(&self.schema, &self.name)
    }
}

fn full_name(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

fn quoted_name(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// Looks up each name once.
pub(super) async fn tables(
    session: &Session,
    names: &[&TableName],
) -> Result<Vec<Table>, CatalogError> {
    let mut oids = Vec::new();
    for name in names {
        let sql = format!(
            "SELECT pg_catalog.to_regclass({})::pg_catalog.oid",
            literal(&name.quoted())
        );
        let rows = session.rows_by_own_path(&sql).await?;
        let oid = rows.first().and_then(|row| text(row, 0));
        let oid = oid.ok_or_else(|| CatalogError::NoTable(name.to_string()))?;
        if !oids.contains(&oid) {
            oids.push(oid);
        }
    }
    with(session, &oids).await
}

/// Every table with a trigger of install, or with another one that notifies.
pub(super) async fn installed(session: &Session) -> Result<Vec<Table>, CatalogError> {
    let rows = session.rows(&installed_query()).await?;
    let oids: Vec<_> = rows.iter().filter_map(|row| text(row, 0)).collect();
    with(session, &oids).await
}

async fn with(session: &Session, oids: &[String]) -> Result<Vec<Table>, CatalogError> {
    let mut tables = Vec::new();
    for oid in oids {
        let rows = session.rows(&table_query(oid)).await?;
        let row = rows.first().ok_or(DatabaseError::Strange)?;
        let owner = text(row, 3).unwrap_or_default();
        let all = async |sql: String| session.rows(&sql).await;
        let triggers = all(triggers_query(oid)).await?;
        let functions = all(functions_query(oid, &function_name(&owner))).await?;
        let partitions = all(partitions_query(oid)).await?;
        let heirs = all(heirs_query(oid)).await?;
        let heir = |row| (column(row, 0), full_name(&column(row, 1), &column(row, 2)));
        tables.push(Table {
            oid: oid.clone(),
            schema: column(row, 0),
            name: column(row, 1),
            kind: column(row, 2),
            owner,
            is_partition: is_true(row, 4),
            is_heir: is_true(row, 5),
            keys: list(row, 6)?,
            triggers: triggers.iter().map(trigger).collect(),
            functions: functions.iter().map(function).collect::<Result<_, _>>()?,
            partitions: partitions.iter().map(partition).collect(),
            unwatched_heirs: heirs.iter().map(heir).collect(),
        });
    }
    Ok(tables)
}

fn trigger(row: &SimpleQueryRow) -> Trigger {
    Trigger {
        name: column(row, 0),
        is_ours: is_true(row, 1),
        fires: column(row, 2),
        is_of_statements: is_true(row, 3),
        definition: column(row, 4),
        function: format!("{}()", full_name(&column(row, 5), &column(row, 6))),
        function_owner: column(row, 7),
        notifies: is_true(row, 8),
    }
}

fn function(row: &SimpleQueryRow) -> Result<Function, DatabaseError> {
    Ok(Function {
        schema: column(row, 0),
        name: column(row, 1),
        owner: column(row, 2),
        is_ours: is_true(row, 3),
        may_drop: is_true(row, 4),
        callers: list(row, 5)?,
    })
}

fn partition(row: &SimpleQueryRow) -> Partition {
    Partition {
        oid: column(row, 0),
        schema: column(row, 1),
        name: column(row, 2),
        takes_triggers: is_true(row, 3),
        trigger: text(row, 4).map(|is_ours| is_ours == "t"),
        fires: column(row, 5),
    }
}

/// A JSON aggregate; NULL if it is empty.
fn list(row: &SimpleQueryRow, column: usize) -> Result<Vec<String>, DatabaseError> {
    let json = text(row, column).unwrap_or_else(|| "[]".to_owned());
    serde_json::from_str(&json).map_err(|_| DatabaseError::Strange)
}

fn column(row: &SimpleQueryRow, column: usize) -> String {
    text(row, column).unwrap_or_default()
}

fn is_true(row: &SimpleQueryRow, column: usize) -> bool {
    text(row, column).as_deref() == Some("t")
}

/// State of the event triggers that report changes by DDL.
pub(super) async fn events(session: &Session) -> Result<Events, DatabaseError> {
    let rows = session.rows(&events_query()).await?;
    let row = rows.first().ok_or(DatabaseError::Strange)?;
    Ok(match (column(row, 0).as_str(), column(row, 1).as_str()) {
        ("0", _) => Events::Missing,
        (_, "2") => Events::Active,
        _ => Events::Broken,
    })
}

/// Whether this server permits prepared transactions.
pub(super) async fn has_two_phase(session: &Session) -> Result<bool, DatabaseError> {
    let sql = "SELECT current_setting('max_prepared_transactions')";
    let rows = session.rows(sql).await?;
    Ok(rows.first().and_then(|row| text(row, 0)).as_deref() != Some("0"))
}
