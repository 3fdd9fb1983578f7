//! `pgfan triggers`: installs triggers that notify of changes to tables, in the format that
//! PGCacheWatch's client decodes.

mod catalog;
mod events;
mod function;
mod notes;
mod obstacles;
mod show;
mod sql;
mod table_name;

use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::{
    catalog::{Events, Table},
    sql::{Options, install, uninstall},
    table_name::TableName,
};
use super::{
    CommandResult,
    database::{Session, open},
    output::{print, tell},
};
use crate::{event::ChannelName, source::conninfo::ConnInfo};

/// `connection` has the database settings, accepted beside the libpq variables.
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
    let event_trigger = |help| {
        let flag = Arg::new("event-trigger").long("event-trigger");
        flag.action(ArgAction::SetTrue).help(help)
    };
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
            event_trigger(
                "Also report partitions that are attached, detached or dropped, of all tables of \
                 the database that have triggers; takes a superuser",
            ),
        ])
        .arg(commit.clone())
        .after_help(PAYLOAD);
    let uninstall = Command::new("uninstall")
        .about("Print the SQL that removes what install made; with --commit run it")
        .args([
            tables.clone().required_unless_present("event-trigger"),
            event_trigger("Remove the event triggers, which report what DDL does, too"),
            commit,
        ])
        .after_help(
            "Examples:\n  pgfan triggers uninstall orders --commit\n  \
             pgfan triggers uninstall --event-trigger --commit",
        );
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
Without "keys" any row may have changed, and without "changed" any column. A statement that has
changed no row is told too without --keys and --changed, and with either of them it is not.

The function belongs to the table's owner: what another role has created is never taken over.

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
    let tables = match name {
        "show" if names.is_empty() => catalog::installed(&session).await?,
        _ => catalog::tables(&session, &names).await?,
    };
    let events = catalog::events(&session).await?;
    if name == "show" {
        if !tables.iter().any(Table::is_watched) && names.is_empty() {
            tell("no table has a trigger of pgfan: `pgfan triggers install TABLE…`");
        }
        return print(show::show(&tables, events));
    }
    let with_events = matches.get_flag("event-trigger");
    let is_wanted = matches.get_flag("commit");
    if name == "install" {
        let text = install(&tables, &options(matches))?;
        let later = if with_events { Events::Active } else { events };
        let has_two_phase = catalog::has_two_phase(&session).await?;
        note(notes::notes(&tables, later, has_two_phase));
        print(&text)?;
        commit(&session, &text, with_events, is_wanted).await?;
        if is_wanted {
            note(notes::refusals(&catalog::tables(&session, &names).await?));
        }
    } else if let Some(text) = removal(&tables, events, with_events) {
        print(&text)?;
        commit(&session, &text, with_events, is_wanted).await?;
    }
    Ok(())
}

fn note(notes: Vec<String>) {
    for note in notes {
        tell(format_args!("note: {note}"));
    }
}

/// `None` if nothing is installed. Prints tables without triggers: a name may be wrong.
fn removal(tables: &[Table], events: Events, with_events: bool) -> Option<String> {
    for table in tables.iter().filter(|table| !table.is_watched()) {
        tell(format_args!("nothing of pgfan is on {}", table.full_name()));
    }
    match (events, with_events) {
        (Events::Missing, true) => tell("there are no event triggers of pgfan"),
        (Events::Missing, false) | (_, true) => {}
        (_, false) => tell("the event triggers stay: uninstall --event-trigger removes them"),
    }
    uninstall(tables, with_events && events != Events::Missing)
}

fn options(matches: &ArgMatches) -> Options {
    Options {
        channel: matches.get_one::<ChannelName>("channel").cloned(),
        keys: matches.get_flag("keys"),
        changed: matches.get_flag("changed"),
        event_trigger: matches.get_flag("event-trigger"),
    }
}

/// Since PostgreSQL 15 a table's owner may not create objects in `public` by default.
const RIGHTS: &str = "connect as the owner of the table (PGUSER), who may create functions in its \
    schema (GRANT CREATE ON SCHEMA), or as a superuser";

/// Event triggers run with the rights of every role that runs DDL.
const EVENT_RIGHTS: &str = "event triggers take a superuser (PGUSER): leave --event-trigger away, or \
    print the SQL for one";

/// Runs exactly the SQL that was printed, which is one transaction.
async fn commit(
    session: &Session,
    text: &str,
    with_events: bool,
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
            Some("42501") if with_events => format!("{error}\n{EVENT_RIGHTS}"),
            Some("42501") => format!("{error}\n{RIGHTS}"),
            _ => format!("{error}\nnothing is changed"),
        })?;
    tell("done");
    Ok(())
}
