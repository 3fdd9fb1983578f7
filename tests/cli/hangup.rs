//! SIGHUP ends a gateway with the terminal that it runs in, and else makes it
//! read its settings again.

use std::{fs::OpenOptions, os::fd::OwnedFd, process::Stdio};

use crate::support::{
    Database,
    gateway_process::libpq_variables,
    program::{Program, command},
    screen,
};

/// `pgfan serve` as a shell of that terminal runs it, after the words `before`;
/// its standard error is elsewhere.
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
    // What is left of it here would keep the terminal open.
    setsid.stdin(Stdio::null());
    program.stderr.line("serving address=").await;
    (program, screen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_closed_ends_it() {
    let database = Database::new().await;
    // The tests themselves may be run by what ignores it.
    let heeding = ["env", "--default-signal=HUP"];
    let (mut program, screen) = serve_in_terminal(&database, &heeding).await;
    // With the terminal still there it is somebody's word to read them again.
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
