//! Attack 3: tokens, the secret and tickets are never disclosed. The log level
//! is the most detailed one, and tokens are used in every way.

use std::{fs, net::SocketAddr};

use crate::{
    attempts::{Wire, publish, read, repeat},
    support::{
        Database, EventStream, WebSocket,
        gateway_process::GatewayProcess,
        get, get_h2_with, post_with,
        program::{self, Program},
        within,
    },
    tokens::{SECRET, expired, forged, token},
};

/// All parts of the token except its header, which is public.
fn parts(token: &str) -> Vec<String> {
    token.split('.').skip(1).map(str::to_owned).collect()
}

async fn ticket(address: SocketAddr, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let answer = post_with(address, "/v1/tickets", &headers, "").await;
    answer.json()["ticket"].as_str().unwrap().to_owned()
}

/// Presents the token on every transport, in every way; the answers must not
/// contain it either.
async fn use_everywhere(address: SocketAddr, token: &str, told: &mut String) {
    for wire in Wire::READING {
        let outcome = read(wire, address, Some(token), "mine", None, "last").await;
        told.push_str(&format!("{outcome:?}\n"));
    }
    for wire in Wire::PUBLISHING {
        for channel in ["mine", "yours"] {
            let outcome = publish(wire, address, Some(token), channel, "x").await;
            told.push_str(&format!("{outcome:?}\n"));
        }
    }
    let (cookie, bearer) = (format!("pgfan_token={token}"), format!("Bearer {token}"));
    let protocols = format!("pgfan.v1, pgfan.bearer.{token}");
    for path in [
        "/v1/sse?channel=yours",
        "/v1/sse?channel=",
        "/v1/ws",
        "/nothing",
        "/readyz",
    ] {
        for headers in [
            [("cookie", cookie.as_str())],
            [("authorization", &bearer)],
            [("sec-websocket-protocol", &protocols)],
        ] {
            for answer in [
                get(address, path, &headers).await,
                get_h2_with(address, path, &headers).await,
            ] {
                told.push_str(&format!("{:?} {:?}\n", answer.headers, answer.body));
            }
        }
    }
    for path in [
        "/v1/sse?channel=a&token=",
        "/pgpubsub/a?token=",
        "/v1/sse?channel=a&ticket=",
    ] {
        let answer = get(address, &format!("{path}{token}"), &[]).await;
        told.push_str(&format!("{:?} {:?}\n", answer.headers, answer.body));
    }
    for frame in [
        format!(r#"{{"type":"auth","token":"{token}"}}"#),
        format!(r#"{{"type":"auth","token":{token}}}"#),
        format!(r#"{{"type":"auth","token":["{token}"]}}"#),
        format!(r#"{{"type":"auth","{token}":1}}"#),
    ] {
        let mut socket = WebSocket::open(address, "/v1/ws?channel=yours")
            .await
            .unwrap();
        socket.say(&frame).await;
        while let Ok(text) = within("an end", socket.text()).await {
            told.push_str(&text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_3_no_secret_is_ever_said() {
    let database = Database::new().await;
    let gateway = GatewayProcess::with_variables(&[
        ("DATABASE_URL", &database.url),
        ("PGFAN_TOKEN_SECRET", SECRET),
        ("RUST_LOG", "trace"),
    ])
    .await;
    gateway.ready().await;
    let address = gateway.address;
    let pid = gateway.program.pid();
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let mut told = String::from_utf8_lossy(&arguments).into_owned();
    let (good, bad, old) = (token(&["mine"]), forged(&["mine"]), expired(&["mine"]));
    let mut canaries = vec![SECRET.to_owned()];
    for token in [&good, &bad, &old] {
        canaries.extend(parts(token));
        tokio::select! {
            () = use_everywhere(address, token, &mut told) => {}
            () = repeat(&database, "mine", "last") => unreachable!(),
        }
    }
    let used = ticket(address, &good).await;
    for _ in 0..2 {
        let path = format!("/v1/sse?channel=mine&ticket={used}");
        match EventStream::try_open(address, &path, &[]).await {
            Ok(mut stream) => told.push_str(&format!("{:?}", stream.message().await)),
            Err(status) => told.push_str(&status.to_string()),
        }
        let answer = within("an answer", get_h2_with(address, &path, &[])).await;
        told.push_str(&format!("{:?} {:?}\n", answer.headers, answer.body));
    }
    let unused = ticket(address, &good).await;
    canaries.extend([used, unused]);
    let log = gateway.stop().await.stderr;
    // Shows that the test can fail: the log contains these lines.
    for word in [
        "TRACE",
        "a token is refused error=its signature is not its key's",
        "it has expired",
    ] {
        assert!(log.contains(word), "{word}");
    }
    for canary in &canaries {
        assert!(canary.len() > 20);
        assert!(!told.contains(canary), "told: {canary}");
        let line = log.lines().find(|line| line.contains(canary));
        assert_eq!(line, None, "logged: {canary}");
    }
}

/// A process with an unlimited core size; the second program shows that a core
/// is dumped here at all.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_leaves_no_core_dump() {
    use std::os::unix::process::ExitStatusExt;

    let folder = tempfile::TempDir::new().unwrap();
    let dies = async |script: &str| {
        let mut shell = program::command("/bin/sh");
        let script = format!("ulimit -c unlimited && {script}");
        shell.current_dir(folder.path()).args(["-c", &script]);
        let mut program = Program::start(&mut shell);
        let started = program
            .stderr
            .until("start", |said| (!said.is_empty()).then_some(()));
        started.await;
        program.signal("ABRT").await;
        program.ended().await.status
    };
    let other = dies("echo started >&2; exec sleep 60").await;
    if !other.core_dumped() {
        println!("skipped: no process leaves a core dump here");
        return;
    }
    let pgfan = env!("CARGO_BIN_EXE_pgfan");
    let url = "postgresql://nobody@127.0.0.1:1/none";
    let arguments = format!("serve --listen 127.0.0.1:0 --database-url {url}");
    let gateway = dies(&format!("exec {pgfan} {arguments}")).await;
    assert_eq!(gateway.signal(), Some(6), "{gateway:?}");
    assert!(!gateway.core_dumped());
}
