//! The command line: one file per command.

// These macros panic if the output is closed; use the functions of `output`.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod check;
mod completions;
mod database;
mod demo;
mod gateway;
mod health;
mod listen;
mod not_understood;
mod output;
mod publish;
mod serve;
mod terminal;
mod token;
mod triggers;

use std::{collections::HashMap, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tracing::{Level, error};

use self::{
    not_understood::not_understood,
    output::{in_colour, tell},
};
use crate::{
    config::{self, Config, Mistakes, SETTINGS, Setting, environment},
    source::conninfo::ConnInfo,
    telemetry::{self, LogFormat},
};

type CommandResult = Result<(), Box<dyn std::error::Error>>;

/// Runs the chosen command. Exit codes: 0 success, 1 failure, 2 invalid input.
pub fn main() -> ExitCode {
    leave_no_core_dump();
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return not_understood(error),
    };
    // A command reports through its output; the gateway only through its log.
    let is_gateway = matches!(matches.subcommand_name(), Some("serve" | "demo"));
    let usual = if is_gateway { Level::INFO } else { Level::WARN };
    let filter = environment("RUST_LOG").unwrap_or_default();
    let format = log_format(&matches);
    let result = telemetry::start(&filter, usual, format, in_colour());
    let result = result.map_err(|mistake| Mistakes::from(mistake).into());
    let result = result.and_then(|()| run(&matches));
    result.map_or_else(|error| failed(&*error, format), |()| ExitCode::SUCCESS)
}

/// Disables core dumps: memory holds secrets and tokens, which must not reach a
/// disk when the process dies. It also keeps debuggers of the same user out. On
/// other systems only the limit of the unit (`LimitCORE=0`) protects it.
fn leave_no_core_dump() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Fails only for a value that the kernel does not know.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Prints each mistake with its remedy; logs it if the log is JSON.
fn failed(error: &(dyn std::error::Error + 'static), format: LogFormat) -> ExitCode {
    // Printed as text if the log level hides errors.
    let is_logged = format == LogFormat::Json && tracing::enabled!(Level::ERROR);
    let Some(Mistakes(mistakes)) = error.downcast_ref() else {
        match is_logged {
            true => error!("{error}"),
            false => tell(error),
        }
        return ExitCode::FAILURE;
    };
    for mistake in mistakes {
        match (is_logged, mistake.remedy()) {
            (true, "") => error!("{mistake}"),
            (true, remedy) => error!(remedy, "{mistake}"),
            (false, "") => tell(mistake),
            (false, remedy) => tell(format_args!("{mistake}\nremedy: {remedy}")),
        }
    }
    ExitCode::from(2)
}

/// The gateway's log format; other commands log text for people.
fn log_format(matches: &ArgMatches) -> LogFormat {
    let Some(("serve", serve)) = matches.subcommand() else {
        return LogFormat::Text;
    };
    let file = settings_file(serve);
    config::log_format(&flags(serve), &environment, file.as_deref())
}

fn run(matches: &ArgMatches) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = match matches.subcommand() {
        Some(("serve", matches)) => {
            let (flags, file) = (flags(matches), settings_file(matches));
            let resolve = move || Config::resolve(&flags, &environment, file.as_deref());
            runtime.block_on(serve::run(resolve))
        }
        Some(("demo", matches)) => runtime.block_on(demo::run(&flags(matches))),
        Some(("check", matches)) => runtime.block_on(check::run(settings(matches))),
        Some(("token", matches)) => token::run(matches),
        Some(("listen", matches)) => runtime.block_on(listen::run(matches)),
        Some(("publish", matches)) => runtime.block_on(publish::run(matches)),
        Some(("health", matches)) => runtime.block_on(health::run(matches)),
        Some(("triggers", matches)) => {
            // Flags and file belong to the innermost command.
            let inner = matches.subcommand().map_or(matches, |(_, inner)| inner);
            runtime.block_on(triggers::run(matches, database(inner)?))
        }
        Some(("completions", matches)) => completions::run(matches, command()),
        // clap has rejected everything else.
        _ => Ok(()),
    };
    // Does not wait for blocked threads: one may be reading input, or writing
    // output that is not being read.
    runtime.shutdown_background();
    result
}

fn command() -> Command {
    let url = SETTINGS.iter().filter(|s| s.name == "database-url");
    let connection: Vec<_> = url.map(flag).chain([config_flag()]).collect();
    let check = check::command()
        .arg(config_flag())
        .args(SETTINGS.iter().map(gateway_flag));
    let serve = Command::new("serve")
        .about("Serve the notifications of one database")
        .arg(config_flag())
        .args(SETTINGS.iter().map(gateway_flag))
        .after_help(
            "Examples:\n  \
             PGHOST=db.internal PGUSER=app PGDATABASE=shop pgfan serve\n  \
             pgfan serve --config /etc/pgfan.toml --listen 127.0.0.1:8001\n\n\
             Each setting is a flag, a variable (PGFAN_HISTORY_EVENTS) and a key of the file \
             (history-events = 1024); a flag beats a variable, a variable the file.\n\n\
             SIGHUP reads the file again, and those that settings name, without a reader's loss: \
             all is good or nothing changes. What takes a restart says so.",
        );
    let of_demo = SETTINGS
        .iter()
        .filter(|setting| demo::SETTINGS.contains(&setting.name));
    let demo = Command::new("demo")
        .about("Show the gateway at work, on a private PostgreSQL that is thrown away")
        .args(of_demo.map(flag))
        .after_help(
            "Examples:\n  pgfan demo\n  pgfan demo --listen 127.0.0.1:8001\n  \
             pgfan demo --allow-origin http://localhost:5173",
        );
    Command::new("pgfan")
        .version(env!("CARGO_PKG_VERSION"))
        .about("PostgreSQL NOTIFY over WebSocket, SSE and gRPC, from one connection")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            serve,
            check,
            demo,
            token::command(),
            listen::command(),
            publish::command(),
            health::command(),
            triggers::command(&connection),
            completions::command(),
        ])
        .after_help(
            "Examples:\n  \
             pgfan demo\n  \
             PGHOST=db.internal PGUSER=app PGDATABASE=shop pgfan serve\n  \
             pgfan listen orders",
        )
}

fn config_flag() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Settings as TOML: each flag's name is a key [env: PGFAN_CONFIG]")
}

/// Flag of a command that ends before a setting could be reloaded.
fn flag(setting: &Setting) -> Arg {
    flag_with(setting, "")
}

/// Flag of the gateway; its help says if the setting needs a restart.
fn gateway_flag(setting: &Setting) -> Arg {
    let restart = if setting.reloads() {
        ""
    } else {
        " (takes a restart)"
    };
    flag_with(setting, restart)
}

fn flag_with(setting: &Setting, note: &str) -> Arg {
    let help = format!("{}{note} [default: {}]", setting.help, setting.default);
    let arg = Arg::new(setting.name).long(setting.name).help(help);
    if setting.value.is_empty() {
        arg.action(ArgAction::SetTrue)
    } else {
        arg.value_name(setting.value)
    }
}

/// The given flags as text. Skips flags that this command does not have: with
/// other lookups they would be an error in debug builds of clap and a panic in
/// others.
fn flags(matches: &ArgMatches) -> HashMap<String, String> {
    let text = |setting: &Setting| {
        if setting.value.is_empty() {
            let is_on = *matches.try_get_one::<bool>(setting.name).ok()??;
            is_on.then(|| "on".to_owned())
        } else {
            matches.try_get_one::<String>(setting.name).ok()?.cloned()
        }
    };
    SETTINGS
        .iter()
        .filter_map(|setting| Some((setting.name.to_owned(), text(setting)?)))
        .collect()
}

fn settings(matches: &ArgMatches) -> Result<Config, Mistakes> {
    let file = settings_file(matches);
    Config::resolve(&flags(matches), &environment, file.as_deref())
}

/// Database settings for a command that does not serve; ignores the gateway's
/// other variables.
fn database(matches: &ArgMatches) -> Result<Arc<ConnInfo>, Mistakes> {
    let ours = |name: &str| {
        let is_other = name.starts_with("PGFAN_") && name != "PGFAN_DATABASE_URL";
        environment(name).filter(|_| !is_other)
    };
    let file = settings_file(matches);
    let config = Config::resolve(&flags(matches), &ours, file.as_deref())?;
    Ok(config.database)
}

fn settings_file(matches: &ArgMatches) -> Option<PathBuf> {
    let flag = matches.get_one::<PathBuf>("config").cloned();
    let variable = environment("PGFAN_CONFIG").filter(|path| !path.is_empty());
    flag.or_else(|| variable.map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
