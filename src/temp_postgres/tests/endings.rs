//! Every way in which the owner ends leaves nothing behind.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::{Instant, interval, timeout},
};

use super::*;

async fn until(what: &str, state: impl Fn() -> bool) {
    let reached = timeout(PATIENCE, async {
        let mut look = interval(Duration::from_millis(10));
        while !state() {
            look.tick().await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

#[tokio::test]
async fn a_panic_cleans_up() {
    let sandbox = start().await;
    let (pid, folder) = (
        sandbox.pid().expect("running"),
        sandbox.socket_dir().to_owned(),
    );
    let task = tokio::spawn(async move {
        assert_eq!(sandbox.url(), "", "a failing test");
    });
    assert!(task.await.expect_err("fails").is_panic());
    assert!(!is_alive(pid) && !folder.exists());
}

#[tokio::test]
async fn a_start_given_up_leaves_nothing() {
    let parent = open_parent();
    let mut options = options();
    options.parent = Some(parent.path().to_owned());
    tokio::select! {
        biased;
        _ = Sandbox::start(options) => panic!("cannot be done at once"),
        () = std::future::ready(()) => {}
    }
    assert!(is_empty(parent.path()));
}

#[tokio::test]
async fn a_server_killed_by_others_does_not_hold_up_the_drop() {
    let sandbox = start().await;
    let (pid, folder) = (
        sandbox.pid().expect("running"),
        sandbox.socket_dir().to_owned(),
    );
    let mut client = TcpStream::connect(("127.0.0.1", sandbox.port())).expect("a connection");
    assert!(send("KILL", &pid.to_string()));
    let _ = client.read(&mut [0]); // returns when the backend has noticed
    let begin = Instant::now();
    drop(sandbox);
    assert!(
        !folder.exists() && begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_killed_guardian_is_done_without() {
    let mut sandbox = start().await;
    let (pid, folder) = (
        sandbox.pid().expect("running"),
        sandbox.socket_dir().to_owned(),
    );
    sandbox.guardian.process.kill().expect("killed");
    sandbox.guardian.process.wait().expect("ended");
    drop(sandbox);
    assert!(!is_alive(pid) && !folder.exists());
}

/// Owns a sandbox in a process of its own: prints its location, survives one Ctrl-C, ends with its input.
#[tokio::test]
#[ignore = "a process for the tests below"]
async fn owner() {
    let mut interrupts = signal(SignalKind::interrupt()).expect("a handler");
    let sandbox = start().await;
    let (pid, folder) = (sandbox.pid().expect("running"), sandbox.socket_dir());
    println!("\nsandbox {pid} {}", folder.display());
    let (ended, end) = oneshot::channel();
    // A thread of the runtime would delay the end of a failed test.
    thread::spawn(move || ended.send(std::io::stdin().read(&mut [0])));
    tokio::select! {
        _ = interrupts.recv() => println!("\nsandbox {}", ask(&sandbox.url(), "SELECT 'answers'").await),
        _ = end => {}
    }
}

/// The process, its output lines, and the server's process id and folder.
fn owner_process() -> (Child, impl Iterator<Item = String>, u32, PathBuf) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--ignored", "--exact", "--nocapture"]);
    command.arg(format!(
        "{}::owner",
        module_path!().split_once("::").expect("a module").1
    ));
    command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut process = command.spawn().expect("a process");
    let output = BufReader::new(process.stdout.take().expect("piped")).lines();
    let mut words = output
        .map_while(Result::ok)
        .filter_map(|line| Some(line.strip_prefix("sandbox ")?.to_owned()));
    let place = words.next().expect("a server");
    let (pid, folder) = place.split_once(' ').expect("two words");
    let (pid, folder) = (pid.parse().expect("a number"), folder.into());
    (process, words, pid, folder)
}

#[tokio::test]
async fn ctrl_c_does_not_reach_the_server() {
    let (mut owner, mut words, pid, folder) = owner_process();
    assert!(send("INT", &format!("-{}", owner.id())));
    assert_eq!(words.next().as_deref(), Some("answers"));
    drop(owner.stdin.take());
    assert!(owner.wait().expect("ended").success());
    assert!(!is_alive(pid) && !folder.exists());
}

#[tokio::test]
async fn a_killed_owner_leaves_nothing() {
    let (mut owner, _words, pid, folder) = owner_process();
    assert!(is_alive(pid) && folder.exists());
    owner.kill().expect("killed");
    owner.wait().expect("ended");
    until("the guardian ends the server", || !is_alive(pid)).await;
    until("the guardian removes the folder", || !folder.exists()).await;
}
