//! `pgfan demo` as a user runs it: the printed commands work, and after any
//! kind of end nothing is left behind.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use crate::support::{
    Database,
    gateway_process::{pgfan, upgrade},
    program::{Program, command, run},
    until, within,
};

/// Time that a user waits after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Demo {
    pub program: Program,
    /// The printed instructions.
    pub instructions: String,
    /// Folder of its PostgreSQL.
    folder: PathBuf,
}

impl Demo {
    pub async fn start() -> Self {
        Self::of(pgfan().args(["demo", "--listen", "127.0.0.1:0"])).await
    }

    async fn of(command: &mut Command) -> Self {
        let mut program = Program::start(command);
        let last_line = "Ctrl-C ends it, and leaves nothing behind.\n";
        let whole = |said: &[u8]| {
            let text = String::from_utf8_lossy(said).into_owned();
            text.contains(last_line).then_some(text)
        };
        let instructions = program.stdout.until("last line", whole).await;
        let (_, rest) = instructions.split_once("host='").unwrap();
        let folder = PathBuf::from(rest.split('\'').next().unwrap());
        Self {
            program,
            instructions,
            folder,
        }
    }

    /// The first printed command with this beginning.
    fn printed(&self, start: &str) -> &str {
        let mut lines = self.instructions.lines().map(str::trim);
        lines.find(|line| line.starts_with(start)).unwrap()
    }

    /// Runs a printed command in the shell into which a user would paste it.
    fn paste(&self, start: &str) -> Command {
        let mut shell = command("/bin/sh");
        shell.args(["-c", &format!("exec {}", self.printed(start))]);
        shell
    }

    /// A WebSocket that is open and answers nothing, not even a close frame.
    async fn reader_that_never_leaves(&self) -> TcpStream {
        let url = self.printed("websocat 'ws:");
        let (_, rest) = url.split_once("ws://").unwrap();
        let (address, path) = rest.trim_end_matches('\'').split_once('/').unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket
            .write_all(upgrade(&format!("/{path}")).as_bytes())
            .await
            .unwrap();
        let mut status = [0; 12];
        within("an answer", socket.read_exact(&mut status))
            .await
            .unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
        socket
    }
}

/// Processes that run in `folder`: PostgreSQL's all stay in its data folder,
/// and their guardian in the one above (proc(5), `cwd`).
fn processes_in(folder: &Path) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // It has ended, or belongs to another user and is not in our folder.
    let runs_in = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    };
    pids.filter(runs_in).collect()
}

/// Checks that no process, file or shared memory of a demo is left on the
/// machine.
async fn nothing_is_left(folder: &Path) {
    until("folder and processes are gone", || async {
        !folder.exists() && processes_in(folder).is_empty()
    })
    .await;
}

/// A user who tries a lost session also ends the session of the writer.
#[tokio::test(flavor = "multi_thread")]
async fn the_row_changes_on_after_every_session_was_ended() {
    let demo = Demo::start().await;
    let mut curl = Program::start(&mut demo.paste("curl -N"));
    curl.stdout.blocks(2).await;
    let (_, rest) = demo.instructions.split_once("psql \"").unwrap();
    let database = Database::at(rest.split('"').next().unwrap().to_owned()).await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
    assert!(database.client.query(sql, &[]).await.unwrap().len() >= 2);
    let changes_again = |said: &[u8]| {
        let said = String::from_utf8_lossy(said);
        let (_, after) = said.split_once("event: live\n")?;
        after.contains("\"table\" : \"orders\"").then_some(())
    };
    curl.stdout
        .until("a change after the loss", changes_again)
        .await;
}

/// A user who tries caches on it must not find them stale.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_a_row_is_told() {
    let demo = Demo::start().await;
    let mut curl = Program::start(&mut demo.paste("curl -N"));
    curl.stdout.blocks(2).await;
    let (_, rest) = demo.instructions.split_once("psql \"").unwrap();
    let database = Database::at(rest.split('"').next().unwrap().to_owned()).await;
    for (change, operation, id) in [
        ("DELETE FROM orders WHERE id = 1", "delete", "1"),
        ("UPDATE orders SET id = 7 WHERE id = 2", "update", "2"),
        ("UPDATE orders SET id = 8 WHERE id = 3", "update", "8"),
        ("TRUNCATE orders", "truncate", "null"),
    ] {
        database.run(change).await;
        let is_told = |said: &[u8]| {
            let said = String::from_utf8_lossy(said);
            let operation = format!("\"operation\" : \"{operation}\"");
            let of_it =
                |line: &str| line.contains(&operation) && line.contains(&format!("\"id\" : {id},"));
            said.lines().any(of_it).then_some(())
        };
        curl.stdout.until(change, is_told).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printed_command_shows_a_row_that_changes() {
    let demo = Demo::start().await;
    let mut curl = Program::start(&mut demo.paste("curl -N"));
    let text = curl.stdout.blocks(2).await;
    let payload = text.lines().rfind(|line| line.starts_with("data: "));
    let payload = payload.unwrap().strip_prefix("data: ").unwrap();
    let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
    assert_eq!(payload["operation"], "update");
    assert_eq!(payload["table"], "orders");
}

/// On every transport without a program that a fresh machine lacks.
#[tokio::test(flavor = "multi_thread")]
async fn the_printed_program_shows_it_too() {
    let demo = Demo::start().await;
    let program = env!("CARGO_BIN_EXE_pgfan");
    for wire in ["ws", "grpc"] {
        let mut listen = demo.paste(&format!("{program} listen orders --via {wire} "));
        let mut listen = Program::start(&mut listen);
        listen
            .stdout
            .until("a change", |said: &[u8]| {
                String::from_utf8_lossy(said)
                    .contains(r#""type":"event""#)
                    .then_some(())
            })
            .await;
    }
}

/// A page under development, which is served from another port.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_let_in() {
    let page = "http://localhost:5173";
    let mut program = pgfan();
    program.args(["demo", "--listen", "127.0.0.1:0", "--allow-origin", page]);
    let demo = Demo::of(&mut program).await;
    let line = format!("{} -sS -i -H 'Origin: {page}'", demo.printed("curl -d"));
    let answer = run(command("/bin/sh").args(["-c", &line])).await;
    assert!(answer.stdout.contains(" 204 "), "{answer:?}");
    let allowed = format!("access-control-allow-origin: {page}");
    assert!(answer.stdout.contains(&allowed), "{answer:?}");
}

/// The message is its own: the demo has no flag for a token.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_network_it_does_not_start() {
    let refused = run(pgfan().args(["demo", "--listen", "0.0.0.0:0"])).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("0.0.0.0:0"), "{refused:?}");
    assert!(refused.stderr.contains("the loopback alone"), "{refused:?}");
    assert!(!refused.stderr.contains("--token"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_publishes_arrives() {
    let demo = Demo::start().await;
    let mut reader = Program::start(&mut demo.paste("curl -N"));
    reader.stdout.blocks(1).await;
    let published = run(&mut demo.paste("curl -d 'hello'")).await;
    assert!(published.status.success(), "{published:?}");
    let is_there = |said: &[u8]| {
        said.windows(13)
            .any(|w| w == b"\ndata: hello\n")
            .then_some(())
    };
    reader.stdout.until("hello", is_there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_nothing_behind() {
    let demo = Demo::start().await;
    let mut reader = Program::start(&mut demo.paste("curl -N"));
    reader.stdout.blocks(1).await;
    let _stubborn = demo.reader_that_never_leaves().await;
    assert!(processes_in(&demo.folder).len() > 1);
    demo.program.signal("INT").await;
    let ended = demo.program.ended_within(PATIENCE).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!demo.folder.exists());
    assert_eq!(processes_in(&demo.folder), [0; 0]);
    assert_eq!(reader.ended().await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_it_leaves_nothing_behind_either() {
    let demo = Demo::start().await;
    assert!(processes_in(&demo.folder).len() > 1);
    demo.program.signal("KILL").await;
    assert_eq!(demo.program.ended().await.status.code(), None);
    nothing_is_left(&demo.folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_while_it_starts_leaves_nothing_behind() {
    ctrl_c_once(|_| true).await;
    ctrl_c_once(|folder| folder.join("data/postmaster.pid").exists()).await;
}

/// At six moments of initdb's busiest time, when it fills `base/1`. Not at
/// more: a bootstrap whose folder goes away aborts, and leaves the kernel a
/// shared memory segment.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_during_initdb_leaves_nothing_behind() {
    for count in (0..300).step_by(50) {
        let files = |folder: &Path| fs::read_dir(folder.join("data/base/1")).map(Iterator::count);
        ctrl_c_once(|folder| files(folder).is_ok_and(|there| there >= count)).await;
    }
}

/// The demo has created a folder for its PostgreSQL for which `state` holds.
async fn ctrl_c_once(state: impl Fn(&Path) -> bool) {
    let parent = open_folder();
    let mut command = pgfan();
    command.env("TMPDIR", parent.path());
    let demo = Program::start(command.args(["demo", "--listen", "127.0.0.1:0"]));
    let folders = || fs::read_dir(parent.path()).unwrap().flatten();
    until("it has come so far", || async {
        folders().any(|folder| state(&folder.path()))
    })
    .await;
    demo.signal("INT").await;
    let ended = demo.ended_within(PATIENCE).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    until("no process of it is left", || async {
        processes_in(parent.path()).is_empty()
    })
    .await;
    assert_eq!(folders().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_said_before_anything_is_started() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let ended = run(pgfan().args(["demo", "--listen", &address])).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let next = port.checked_add(1).unwrap_or(8000);
    let program = env!("CARGO_BIN_EXE_pgfan");
    // No output precedes it, such as that of a PostgreSQL start.
    let expected = format!(
        "cannot listen on {address} (--listen): Address already in use (os error 98)\n\
         end the other program, or give another address: {program} demo --listen 127.0.0.1:{next}\n"
    );
    assert_eq!(ended.stderr, expected);
}

/// A folder in which the server's user can work too, if it is another one.
fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let all = fs::Permissions::from_mode(0o1777);
    tempfile::Builder::new().permissions(all).tempdir().unwrap()
}
