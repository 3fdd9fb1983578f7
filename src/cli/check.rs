//! `pgfan check`: tests whether a gateway with these settings would work, and
//! prints a remedy for each fault.

mod certificates;
mod database;
pub(super) mod machine;

use std::{
    fmt,
    io::{self, Write as _},
};

use clap::Command;

use super::{CommandResult, output::printable};
use crate::config::{Config, Mistakes, unknown_variables};

pub(super) fn command() -> Command {
    Command::new("check")
        .about("Look whether `serve` would do its work with these settings, and say what to do")
        .after_help(
            "Examples:\n  \
             PGHOST=db.internal PGUSER=app PGDATABASE=shop pgfan check\n  \
             pgfan check --config /etc/pgfan.toml\n\n\
             Takes what `serve` takes, best as the same user on the same machine. It opens two \
             sessions, as the gateway does, and notifies a channel of its own. \
             Each line is ok, warn (the gateway works, but) or fail; both with what to do.\n\n\
             Exit code 0: nothing failed. 1: something did, a setting that is not understood too. \
             2: the command line is not understood.",
        )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One line of the report, with the remedy below it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    subject: &'static str,
    says: String,
    remedy: String,
}

impl Finding {
    fn ok(subject: &'static str, says: impl ToString) -> Self {
        Self {
            verdict: Verdict::Ok,
            subject,
            says: says.to_string(),
            remedy: String::new(),
        }
    }

    fn warn(subject: &'static str, says: impl ToString, remedy: impl ToString) -> Self {
        Self {
            verdict: Verdict::Warn,
            remedy: remedy.to_string(),
            ..Self::ok(subject, says)
        }
    }

    fn fail(subject: &'static str, says: impl ToString, remedy: impl ToString) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(subject, says, remedy)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        // Both can contain text from a server.
        let (says, remedy) = (printable(&self.says), printable(&self.remedy));
        write!(f, "{verdict:<5} {:<11} {says}", self.subject)?;
        if !remedy.is_empty() {
            write!(f, "\n{:<18}remedy: {remedy}", "")?;
        }
        Ok(())
    }
}

/// Skips a check if one that it depends on has failed.
pub(super) async fn run(settings: Result<Config, Mistakes>) -> CommandResult {
    let mut report = Report::default();
    for unknown in unknown_variables() {
        report.add(Finding::warn("settings", &unknown, unknown.remedy()));
    }
    match settings {
        Ok(config) => {
            report.add(Finding::ok("settings", "understood"));
            for warning in &config.warnings {
                report.add(Finding::warn("settings", warning, warning.remedy()));
            }
            report.add(machine::open_files(config.hub.max_readers));
            for finding in machine::addresses(config.listen, config.admin_listen) {
                report.add(finding);
            }
            for finding in certificates::examine(&config) {
                report.add(finding);
            }
            database::examine(&config, &mut report).await;
        }
        Err(Mistakes(mistakes)) => {
            for mistake in mistakes {
                report.add(Finding::fail("settings", &mistake, mistake.remedy()));
            }
        }
    }
    match report.failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} failed", report.looked_at).into()),
    }
}

/// Prints each finding at once: some checks take seconds.
#[derive(Debug, Default)]
struct Report {
    looked_at: usize,
    failed: usize,
}

impl Report {
    fn add(&mut self, finding: Finding) {
        self.looked_at += 1;
        self.failed += usize::from(finding.verdict == Verdict::Fail);
        // A closed standard output is not an error: its reader has seen enough.
        let _ = writeln!(io::stdout(), "{finding}");
    }
}
