//! `pgfan triggers`: tables that notify what becomes of them, in the words
//! that PGCacheWatch's client decodes.

mod catalog;
mod sql;
mod table_name;

use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::{
    catalog::Table,
    sql::{FUNCTION, Options, install, uninstall},
    table_name::TableName,
};
use super::{
    CommandResult,
    database::{Session, identifier, open},
    output::{print, tell},
};
use crate::{event::ChannelName, source::conninfo::ConnInfo};

/// The settings it takes beside the libpq variables.
pub(super) fn command(connection: &[Arg]) -> Command {
    let tables = Arg::new("table")
        .value_name("TABLE")
        .num_args(1..)
        .value_parser(|text: &str| text.parse::<TableName>().map_err(|rule| rule.to_string()))
        .help("Names as in SQL: orders, sales.orders, '\"Odd Name\"'");
    let commit = Arg::new("commit")
        .long("commit")
        .action(ArgAction::SetTrue)
        .help("Run the SQL, in one transaction; else it is only printed");
    let install = Command::new("install")
        .about("Print the SQL that makes tables notify; with --commit run it")
        .arg(tables.clone().required(true))
        .args([
            Arg::new("channel")
                .long("channel")
                .value_name("CHANNEL")
                .value_parser(channel)
                .help("One for all tables [default: each table's name, without its schema]"),
            Arg::new("keys")
                .long("keys")
                .action(ArgAction::SetTrue)
                .help("Tell the primary keys of the rows, one notification a row"),
            Arg::new("changed")
                .long("changed")
                .action(ArgAction::SetTrue)
                .help("Tell which columns an UPDATE has changed, one notification a row"),
        ])
        .arg(commit.clone())
        .after_help(PAYLOAD);
    let uninstall = Command::new("uninstall")
        .about("Print the SQL that removes what install made; with --commit run it")
        .args([tables.clone().required(true), commit])
        .after_help("Examples:\n  pgfan triggers uninstall orders --commit");
    let show = Command::new("show")
        .about("Print what is installed, on these tables or on all")
        .arg(tables)
        .after_help("Examples:\n  pgfan triggers show\n  pgfan triggers show sales.orders");
    let commands = [install, uninstall, show];
    Command::new("triggers")
        .about("Make tables notify their changes, as PGCacheWatch's client decodes them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(commands.map(|command| command.args(connection)))
        .after_help(
            "Examples:\n  \
             pgfan triggers install orders --keys\n  \
             pgfan triggers install orders sales.customers --commit\n  \
             pgfan triggers show\n  \
             pgfan triggers uninstall orders --commit",
        )
}

const PAYLOAD: &str = r#"Examples:
  pgfan triggers install orders
  pgfan triggers install orders --keys --changed --commit
  pgfan triggers install orders customers --channel ch_pgcachewatch_table_change --commit

A change is told as JSON. Without --keys and --changed one notification tells of a whole statement:
  {"operation" : "update", "schema" : "public", "table" : "orders", "sent_at" : "…"}
operation is insert, update, delete or truncate; sent_at is the begin of the transaction. More, where asked for:
  "keys" : [{"id" : 5}]        the rows: two, where a key itself was changed
  "changed" : ["status"]       the columns, of an update
  "shortened" : true           both left out: they did not fit into 7999 bytes, or could not be told
Without "keys" any row may have changed, and without "changed" any column.

Exit code 0: printed, and with --commit done. 1: it could not. 2: not understood."#;

fn channel(name: &str) -> Result<ChannelName, String> {
    let channel = super::gateway::channel(name)?;
    match channel.is_reserved() {
        true => Err("the gateway's own channels are nobody's".to_owned()),
        false => Ok(channel),
    }
}

pub(super) async fn run(matches: &ArgMatches, database: Arc<ConnInfo>) -> CommandResult {
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let session = open(&database).await;
    let session = session.map_err(|error| error.explained())?;
    let names = matches.get_many::<TableName>("table");
    let names: Vec<_> = names.into_iter().flatten().collect();
    match name {
        "show" => {
            let tables = match names.is_empty() {
                true => catalog::installed(&session).await?,
                false => catalog::tables(&session, &names).await?,
            };
            if tables.is_empty() {
                tell("no table has a trigger of pgfan: `pgfan triggers install TABLE…`");
            }
            print(sql::show(&tables))
        }
        _ => {
            let tables = catalog::tables(&session, &names).await?;
            let text = match name {
                "install" => {
                    let options = options(matches);
                    let text = install(&tables, &options)?;
                    for note in catalog::notes(&session, &tables).await? {
                        tell(format_args!("note: {note}"));
                    }
                    text
                }
                _ => match removal(&tables) {
                    Some(text) => text,
                    None => return Ok(()),
                },
            };
            print(&text)?;
            commit(&session, (&text, &tables), matches.get_flag("commit")).await
        }
    }
}

/// Nothing where nothing is installed, which is told of each table: its name may be a wrong one.
fn removal(tables: &[Table]) -> Option<String> {
    for table in tables.iter().filter(|table| !table.is_watched()) {
        tell(format_args!("nothing of pgfan is on {}", table.full_name()));
    }
    uninstall(tables)
}

fn options(matches: &ArgMatches) -> Options {
    Options {
        channel: matches.get_one::<ChannelName>("channel").cloned(),
        keys: matches.get_flag("keys"),
        changed: matches.get_flag("changed"),
    }
}

/// Since PostgreSQL 15 the owner of a table may create nothing in `public`. And whoever owns the
/// function can do as all whose tables call it, so it is shared only by those who say so.
fn rights(tables: &[Table]) -> String {
    let foreign = tables
        .iter()
        .find_map(|table| Some((table, table.stranger.as_ref()?)));
    let Some((table, owner)) = foreign else {
        return format!(
            "connect as the owner of the table (PGUSER), who in its schema owns the function \
             {FUNCTION}, or may create it: GRANT CREATE ON SCHEMA"
        );
    };
    let (schema, owner) = (identifier(&table.schema), identifier(owner));
    format!(
        "{schema}.{FUNCTION}() is {owner}'s, and all tables of the schema share it: connect as a \
         superuser, or give it to a role that the owners of both are members of: ALTER FUNCTION \
         {schema}.{FUNCTION}() OWNER TO ROLE"
    )
}

/// What was printed, and nothing else: it is one transaction.
async fn commit(
    session: &Session,
    (text, tables): (&str, &[Table]),
    is_wanted: bool,
) -> CommandResult {
    if !is_wanted {
        tell("nothing is changed yet: --commit runs it");
        return Ok(());
    }
    session
        .run(text)
        .await
        .map_err(|error| match error.code() {
            Some("55P03") => format!(
                "{error}\nnothing is changed: a long transaction holds a table, try again after it"
            ),
            Some("42501") => format!("{error}\n{}", rights(tables)),
            _ => format!("{error}\nnothing is changed"),
        })?;
    tell("done");
    Ok(())
}
