//! `pgfan completions`: prints a shell's completion script.

use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};
use clap_complete::{Shell, generate};

use super::{CommandResult, output::print};

pub(super) fn command() -> Command {
    Command::new("completions")
        .about("Print what makes a shell complete pgfan's commands and flags")
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(PossibleValuesParser::new(["bash", "zsh", "fish"])),
        )
        .after_help(
            "Examples:\n  \
             source <(pgfan completions bash)\n  \
             pgfan completions bash > ~/.local/share/bash-completion/completions/pgfan\n  \
             pgfan completions zsh > ~/.zfunc/_pgfan\n  \
             pgfan completions fish > ~/.config/fish/completions/pgfan.fish",
        )
}

/// `program` is the complete command line, with all commands.
pub(super) fn run(matches: &ArgMatches, mut program: Command) -> CommandResult {
    let shell = match matches.get_one::<String>("shell").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    generate(shell, &mut program, "pgfan", &mut script);
    print(String::from_utf8_lossy(&script))
}
