//! These tests run the real server.

mod endings;

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use super::*;

/// Long enough for a busy machine, too short for a server that detects by itself that its folder is gone.
const PATIENCE: Duration = Duration::from_secs(10);

#[allow(
    clippy::disallowed_methods,
    reason = "the environment says which server is tested"
)]
fn options() -> Options {
    let (pg_bin, path) = (std::env::var_os("PG_BIN"), std::env::var_os("PATH"));
    let search = Search {
        pg_bin: pg_bin.as_deref().map(Path::new),
        path: path.as_deref(),
        private: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/target/postgres").as_ref()),
    };
    Options::new(Binaries::find(search).expect("a PostgreSQL server, see tests/postgres/setup"))
}

async fn start() -> Sandbox {
    Sandbox::start(options()).await.expect("a server")
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The single value that a statement returns.
async fn ask(url: &str, statement: &str) -> String {
    let client = connect(url).await.expect("a connection");
    let row = client.query_one(statement, &[]).await.expect("an answer");
    row.get(0)
}

/// Sends a signal to a process, or with `-` to a process group; returns whether one exists. `0` only tests.
fn send(signal: &str, process: &str) -> bool {
    let mut shell = Command::new("/bin/sh"); // a small system has no other `kill` than the shell's
    let kill = shell
        .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, process])
        .stderr(Stdio::null());
    kill.status().expect("a shell").success()
}

fn is_alive(pid: u32) -> bool {
    send("0", &pid.to_string())
}

/// A parent folder for sandboxes that the server's user may enter.
fn open_parent() -> TempDir {
    let open = fs::Permissions::from_mode(0o755);
    tempfile::Builder::new()
        .permissions(open)
        .tempdir_in("/tmp")
        .expect("a folder")
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").next().is_none()
}

#[tokio::test]
async fn answers_over_both_sockets_and_leaves_nothing() {
    let sandbox = start().await;
    let (pid, folder) = (
        sandbox.pid().expect("running"),
        sandbox.socket_dir().to_owned(),
    );
    for url in [sandbox.url(), sandbox.socket_url()] {
        assert_eq!(ask(&url, "SHOW server_encoding").await, "UTF8");
        assert_eq!(ask(&url, "SHOW fsync").await, "off");
    }
    assert!(is_alive(pid));
    drop(sandbox);
    assert!(!is_alive(pid) && !folder.exists());
}

#[tokio::test]
async fn a_standby_follows_and_is_promoted_when_its_primary_is_gone() {
    let primary = start().await;
    let standby = primary.start_standby(options()).await.expect("a copy");
    assert_eq!(
        ask(&standby.url(), "SELECT pg_is_in_recovery()::text").await,
        "true"
    );
    drop(primary);
    assert_eq!(
        ask(&standby.url(), "SELECT pg_promote()::text").await,
        "true"
    );
}

#[tokio::test]
async fn the_callers_settings_win() {
    let sandbox = Sandbox::start(options().with("fsync", "on").with("listen_addresses", ""))
        .await
        .expect("a server");
    assert_eq!(ask(&sandbox.socket_url(), "SHOW fsync").await, "on");
    assert!(TcpStream::connect(("127.0.0.1", sandbox.port())).is_err());
}

#[tokio::test]
async fn root_hands_the_server_to_another_user() {
    let caller = fs::metadata(tempfile::tempdir().expect("a folder").path())
        .expect("there")
        .uid();
    let sandbox = start().await;
    let owner = fs::metadata(sandbox.data_dir().join("postmaster.pid"))
        .expect("running")
        .uid();
    assert_eq!(
        owner == caller,
        caller != 0,
        "caller {caller}, server {owner}"
    );
    let folder = fs::metadata(sandbox.socket_dir()).expect("there");
    assert_eq!((folder.uid(), folder.mode() & 0o777), (owner, 0o700));
}

#[tokio::test]
async fn two_live_side_by_side() {
    let (one, two) = tokio::join!(start(), start());
    assert_ne!(one.port(), two.port());
    drop(one);
    assert_eq!(ask(&two.url(), "SELECT current_user::text").await, USER);
}

#[tokio::test]
async fn comes_back_with_its_data_after_every_end() {
    let mut sandbox = start().await;
    let (url, port) = (sandbox.url(), sandbox.port());
    let client = connect(&url).await.expect("a connection");
    client
        .batch_execute("CREATE TABLE kept AS SELECT 'here'::text AS word")
        .await
        .expect("a table");
    assert!(matches!(
        sandbox.start_again().await,
        Err(SandboxError::AlreadyRunning)
    ));
    for end in [Some(Mode::Fast), Some(Mode::Immediate), None] {
        let pid = sandbox.pid().expect("running");
        match end {
            Some(mode) => sandbox.stop(mode).await.expect("stopped"),
            None => sandbox.kill().await.expect("killed"),
        }
        assert!(
            !is_alive(pid) && sandbox.pid().is_none() && connect(&url).await.is_err(),
            "{end:?}"
        );
        sandbox.start_again().await.expect("started again");
        assert_eq!(
            (
                ask(&url, "SELECT word FROM kept").await.as_str(),
                sandbox.port()
            ),
            ("here", port)
        );
    }
}

#[tokio::test]
async fn a_smart_stop_waits_for_the_last_client() {
    let mut sandbox = start().await;
    let url = sandbox.url();
    let client = connect(&url).await.expect("a connection");
    let leave = async {
        while connect(&url).await.is_ok() {}
        client
            .batch_execute("SELECT 1")
            .await
            .expect("served to the end");
        drop(client);
    };
    let (stopped, left) = tokio::join!(sandbox.stop(Mode::Smart), timeout(PATIENCE, leave));
    left.expect("refused");
    stopped.expect("stopped");
}

#[tokio::test]
async fn a_failed_start_leaves_nothing_and_says_why() {
    let parent = open_parent();
    let mut options = options().with("shared_preload_libraries", "no_such_library");
    options.parent = Some(parent.path().to_owned());
    let error = Sandbox::start(options).await.expect_err("no such library");
    assert!(error.to_string().contains("no_such_library"), "{error}");
    assert!(is_empty(parent.path()));
}

#[tokio::test]
async fn a_port_that_is_taken_is_passed_over() {
    let mut sandbox = start().await;
    let free = sandbox.port();
    sandbox.stop(Mode::Fast).await.expect("stopped");
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("bound").port();
    let error = sandbox.open([taken].into_iter()).await.expect_err("taken");
    assert!(error.is_address_in_use(), "{error}");
    sandbox
        .open([taken, free].into_iter())
        .await
        .expect("started");
    assert_eq!(sandbox.port(), free);
}

#[tokio::test]
async fn a_place_that_will_not_do_is_left_for_tmp() {
    let parent = open_parent();
    let deep = parent.path().join("x".repeat(100));
    fs::create_dir(&deep).expect("a folder");
    let mut options = options();
    options.parent = Some(deep.clone());
    let sandbox = Sandbox::start(options).await.expect("a server");
    assert!(
        sandbox.socket_dir().parent() == Some(&Path::new("/tmp").canonicalize().expect("there"))
    );
    assert!(is_empty(&deep));
}
