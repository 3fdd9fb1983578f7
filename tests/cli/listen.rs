//! Output of `pgfan listen`: its streams and formats.

use std::process::Stdio;

use rustix::io::ioctl_fionread;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    ended, listen,
    support::{
        Database, Link, TestGateway,
        gateway_process::pgfan,
        program::{Program, run, signal},
        until, within,
    },
    terminal::Terminal,
};

pub const WIRES: [&str; 3] = ["ws", "sse", "grpc"];

/// The next line, which must be an object of this type.
pub async fn object(program: &mut Program, kind: &str) -> Value {
    let line = program.stdout.line("{").await;
    let object: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["type"], kind, "{line}");
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_the_same_objects_on_each_wire() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut programs = Vec::new();
    for wire in WIRES {
        let arguments = ["a", "ünï \"c\"", "--via", wire];
        let mut program = listen(gateway.address.port(), &arguments);
        let ready = object(&mut program, "ready").await;
        assert_eq!(ready["channels"], serde_json::json!(["a", "ünï \"c\""]));
        programs.push(program);
    }
    let payload = "line\r\nline \u{1b}[2J → \"x\"";
    database.notify("a", payload).await;
    database.notify("ünï \"c\"", "").await;
    let mut heard = vec![Vec::new(); programs.len()];
    for (program, heard) in programs.iter_mut().zip(&mut heard) {
        for _ in 0..2 {
            heard.push(object(program, "event").await);
        }
    }
    database.terminate().await;
    for (program, heard) in programs.iter_mut().zip(&mut heard) {
        for kind in ["interrupted", "gap", "live"] {
            heard.push(object(program, kind).await);
        }
    }
    assert_eq!(heard[0][0]["payload"], payload);
    assert_eq!(heard[0][1]["channel"], "ünï \"c\"");
    assert_eq!(heard[0][3]["reason"], "source_lost");
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
    for program in programs {
        program.signal("INT").await;
        let ended = program.ended().await;
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_lines_and_where_to_go_on() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let url = format!("http://{}", gateway.address);
    let mut command = pgfan();
    let mut terminal = Terminal::run(command.args(["listen", "a", "b", "--url", &url]));
    let ready = terminal.line("ready").await;
    assert!(ready.contains("a, b (cursor "), "{ready:?}");
    database.notify("b", "it\n\u{1b}]0;title\u{7}").await;
    let event = terminal.line("it").await;
    assert!(event.starts_with("\u{1b}[2m"), "in colour: {event:?}");
    let text = "\u{1b}[1mb\u{1b}[0m it\\n\\u{1b}]0;title\\u{7}";
    assert!(event.ends_with(text), "and not the payload's: {event:?}");
    database.terminate().await;
    terminal.line("interrupted").await;
    terminal.line("source_lost: something may be missing").await;
    terminal.line("live").await;
    let (code, shown) = terminal.interrupt().await;
    assert_eq!(code, Some(0), "{shown}");
    let (_, cursor) = shown.rsplit_once("--since ").unwrap();
    let (_, epoch) = ready.split_once("(cursor ").unwrap();
    let epoch = epoch.split('-').next().unwrap();
    assert!(cursor.starts_with(epoch), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_no_colours_hold_on_a_terminal() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let url = format!("http://{}", gateway.address);
    let mut command = pgfan();
    let mut json = Terminal::run(command.args(["listen", "a", "--json", "--url", &url]));
    assert!(json.line("ready").await.starts_with("{\"type\":\"ready\""));
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut command = pgfan();
        let plain = command.args(["listen", "a", "--url", &url]);
        let mut plain = Terminal::run(plain.env(name, value));
        let ready = plain.line("ready").await;
        assert!(ready.starts_with("ready        a (cursor "), "{ready:?}");
        let mut command = pgfan();
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database-url",
            &database.url,
        ];
        let mut log = Terminal::run(command.args(serve).env(name, value));
        let serving = log.line("serving").await;
        assert!(!serving.contains('\u{1b}'), "{serving:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_it_has_enough_or_nobody_reads() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut counted = listen(gateway.address.port(), &["a", "--count", "2"]);
    let script = format!(
        "\"$0\" listen a --url http://{} | head -n 1",
        gateway.address
    );
    let mut shell = crate::support::program::command("/bin/bash");
    let options = ["-o", "pipefail", "-c", &script, env!("CARGO_BIN_EXE_pgfan")];
    let mut piped = Program::start(shell.args(options));
    for program in [&mut counted, &mut piped] {
        object(program, "ready").await;
    }
    for payload in ["1", "2", "3"] {
        database.notify("a", payload).await;
    }
    let counted = counted.ended().await;
    assert_eq!(counted.status.code(), Some(0), "{counted:?}");
    assert_eq!(
        counted.stdout.matches("\"event\"").count(),
        2,
        "{counted:?}"
    );
    let piped = piped.ended().await;
    assert_eq!(piped.status.code(), Some(0), "{piped:?}");
    assert_eq!(piped.stderr, "");
}

/// It waits for the pipe, but not forever.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_though_its_output_is_stuck() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let url = format!("http://{}", gateway.address);
    let mut command = pgfan();
    command
        .args(["listen", "a", "--url", &url])
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let waiting = || ioctl_fionread(&output).unwrap();
    until("it is ready", || async { waiting() > 0 }).await;
    database.notify_range("a", 1, 10_000).await;
    // The capacity of a pipe depends on the size of the writes (pipe(7)): it is
    // full when it contains data and the amount stays the same in several
    // checks.
    let (mut held, mut looks) = (0, 0);
    let mut is_full = || {
        let now = waiting();
        looks = if now == held { looks + 1 } else { 0 };
        held = now;
        held > 16 << 10 && looks >= 20
    };
    until("the pipe is full", || std::future::ready(is_full())).await;
    signal(child.id().unwrap(), "INT").await;
    let status = within("its end", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_is_the_end() {
    let database = Database::new().await;
    let settings = [("max-channels-per-reader", "1")];
    let gateway = TestGateway::with(&database, &settings).await;
    let url = format!("http://{}", gateway.address);
    for wire in WIRES {
        let refused = ended(&["listen", "pgfan:x", "--via", wire, "--url", &url]).await;
        assert_eq!(refused.status.code(), Some(1), "{wire} {refused:?}");
        let reason = "channels that begin with `pgfan:` are the gateway's own (forbidden)\n";
        assert_eq!(refused.stderr, reason, "{wire}");
        let elsewhere = format!("{url}/elsewhere");
        let refused = ended(&["listen", "a", "--via", wire, "--url", &elsewhere]).await;
        assert_eq!(refused.status.code(), Some(1), "{wire} {refused:?}");
        assert!(
            refused.stderr.contains("(not_found)\n--url "),
            "{refused:?}"
        );
        // Temporary errors are retried.
        let mut later = listen(gateway.address.port(), &["a", "b", "--via", wire]);
        later.stderr.line("(too_many): trying again in").await;
        later.stderr.line("(too_many): trying again in").await;
    }
}

/// A wrong address is reported at once, as by every other client.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_from_the_first_is_the_end() {
    let remedy = "is `pgfan serve` running there? --url says where to look";
    // Connection refused; an unknown name; and a server that closes every
    // connection.
    let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = rude.local_addr().unwrap().port();
    tokio::spawn(async move { while rude.accept().await.is_ok() {} });
    for (url, code) in [
        ("http://127.0.0.1:1", "unreachable"),
        ("http://no.such.host.invalid", "unreachable"),
        (&format!("http://127.0.0.1:{port}"), "disconnected"),
    ] {
        for wire in WIRES {
            let ended = ended(&["listen", "a", "--via", wire, "--url", url]).await;
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            assert_eq!(ended.stdout, "", "{ended:?}");
            let [says, what_to_do] = ended.stderr.lines().collect::<Vec<_>>()[..] else {
                panic!("not two lines: {ended:?}");
            };
            assert!(says.ends_with(&format!("({code})")), "{wire}: {ended:?}");
            assert_eq!(what_to_do, remedy, "{wire}");
        }
    }
}

/// It reconnects to a gateway that was there before, however long that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_went_away_is_waited_for_and_each_try_told() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut programs = Vec::new();
    for wire in WIRES {
        let mut program = listen(link.port, &["a", "--via", wire]);
        object(&mut program, "ready").await;
        programs.push(program);
    }
    gateway.stop().await;
    for program in &mut programs {
        object(program, "interrupted").await;
        for _ in 0..3 {
            program.stderr.line("trying again in").await;
        }
    }
    let gateway = TestGateway::on(&database).await;
    link.lead_to(gateway.address.port());
    for program in &mut programs {
        // Its cursor is from another gateway process.
        object(program, "gap").await;
        object(program, "ready").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_named() {
    let long = "x".repeat(64);
    for (arguments, named) in [
        (
            vec!["a", "--url", "127.0.0.1:8000"],
            "--url: not a URL like",
        ),
        (
            vec!["a", "--url", "http://me:pw@h"],
            "--url: a URL here has no user",
        ),
        (
            vec!["a", "--token-file", "/nonexistent"],
            "--token-file: the token file",
        ),
        (
            vec!["a", "--via", "udp"],
            "[possible values: ws, sse, grpc]",
        ),
        (vec![&long], "at most 63 bytes"),
        (vec!["a", "--keepalive", "15"], "not a time, like 15s"),
        (vec!["a", "--count", "0"], "--count"),
        (vec![], "<CHANNEL>..."),
    ] {
        let said = run(pgfan().arg("listen").args(&arguments)).await;
        assert_eq!(said.status.code(), Some(2), "{arguments:?} {said:?}");
        assert!(said.stderr.contains(named), "{arguments:?} {said:?}");
        assert!(!said.stderr.contains("pw"), "{said:?}");
    }
    let both = run(pgfan()
        .args(["listen", "a"])
        .envs([("PGFAN_URL", "x"), ("PGFAN_TOKEN", "a b")]))
    .await;
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    assert_eq!(both.stderr.lines().count(), 2, "{both:?}");
}

/// A resolver takes `127.1` for the loopback; nothing else takes it for an
/// address.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed_is_told_with_the_remedy() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let url = format!("http://127.1:{}", gateway.address.port());
    let listening = WIRES.map(|wire| vec!["listen", "a", "--via", wire]);
    let others = [vec!["publish", "a", "x"], vec!["health", "--ready"]];
    for mut arguments in listening.into_iter().chain(others) {
        arguments.extend(["--url", &url]);
        let ended = ended(&arguments).await;
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {ended:?}");
        for says in ["host \"127.1:", "is not allowed", "--allow-host 127.1"] {
            assert!(ended.stderr.contains(says), "{arguments:?}: {ended:?}");
        }
    }
}
