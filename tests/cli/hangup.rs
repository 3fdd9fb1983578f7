//! SIGHUP ends a gateway with the terminal that it runs in, and otherwise makes
//! it reload its settings.

use std::{fs::OpenOptions, os::fd::OwnedFd, process::Stdio};

use crate::support::{
    Database,
    gateway_process::libpq_variables,
    program::{Program, command},
    screen,
};

/// `pgfan serve` as a shell of that terminal runs it, after the words `before`;
/// its standard error is not the terminal.
async fn serve_in_terminal(database: &Database, before: &[&str]) -> (Program, OwnedFd) {
    let (screen, path) = screen();
    let open = || OpenOptions::new().read(true).write(true).open(&path);
    // The terminal of its standard input becomes that of its session.
    let mut setsid = command("/usr/bin/setsid");
    setsid.arg("--ctty").args(before);
    setsid.args([
        env!("CARGO_BIN_EXE_pgfan"),
        "serve",
        "--listen",
        "127.0.0.1:0",
    ]);
    setsid.envs(libpq_variables(&database.url));
    setsid.stdin(Stdio::from(open().unwrap()));
    let mut program = Program::start(&mut setsid);
    // Copies of it in this process would keep the terminal open.
    setsid.stdin(Stdio::null());
    program.stderr.line("serving address=").await;
    (program, screen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_closed_ends_it() {
    let database = Database::new().await;
    // The process that runs the tests may ignore SIGHUP.
    let heeding = ["env", "--default-signal=HUP"];
    let (mut program, screen) = serve_in_terminal(&database, &heeding).await;
    // While the terminal exists, SIGHUP is a request to reload.
    program.signal("HUP").await;
    program.stderr.line("the settings were read again").await;
    drop(screen);
    program.stderr.line("the terminal was closed").await;
    assert_eq!(program.ended().await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_outlive_its_terminal_does() {
    let database = Database::new().await;
    let (mut program, screen) = serve_in_terminal(&database, &["nohup"]).await;
    drop(screen);
    program.stderr.line("the settings were read again").await;
    program.signal("TERM").await;
    assert_eq!(program.ended().await.status.code(), Some(0));
}
