//! Commands whose output is not read: this is reported, and the work is done all the
//! same.

use std::{
    fs::File,
    io::{self, PipeWriter},
    process::Stdio,
};

use tokio::process::Command;

use crate::support::{gateway_process::pgfan, within};

const SECRET: (&str, &str) = ("PGFAN_TOKEN_SECRET", "0123456789abcdef0123456789abcdef");

/// A pipe whose other end is closed.
fn closed() -> PipeWriter {
    io::pipe().unwrap().1
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// The exit code.
async fn code(command: &mut Command) -> Option<i32> {
    within("it ends", command.status()).await.unwrap().code()
}

/// As with `2>&1 | head -1`.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_was_closed_early_changes_no_exit_code() {
    for (arguments, expected) in [
        (&["check", "--listen", "nowhere"][..], 1),
        (&["serve", "--listen", "nowhere"], 2),
        (&["health", "--url", "http://127.0.0.1:1"], 1),
        // It warns that the token grants nothing.
        (&["token"], 0),
        (&["completions", "bash"], 0),
        (&["listen", "--help"], 0),
    ] {
        let mut command = pgfan();
        command.args(arguments).env(SECRET.0, SECRET.1);
        let both = command.stdout(closed()).stderr(closed());
        assert_eq!(code(both).await, Some(expected), "{arguments:?}");
    }
}

/// A warning that cannot be written must not cost the result.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_behind_standard_error_costs_no_result() {
    let mut token = pgfan();
    token.arg("token").env(SECRET.0, SECRET.1);
    let started = token.stdout(Stdio::piped()).stderr(full()).spawn().unwrap();
    let made = within("it ends", started.wait_with_output()).await.unwrap();
    assert!(made.status.success() && !made.stdout.is_empty(), "{made:?}");
}

/// A result that cannot be written is a failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_behind_standard_output_is_a_failure() {
    for arguments in [&["token", "--subscribe", "a"][..], &["completions", "zsh"]] {
        let mut command = pgfan();
        command.args(arguments).env(SECRET.0, SECRET.1);
        assert_eq!(code(command.stdout(full())).await, Some(1), "{arguments:?}");
    }
}
