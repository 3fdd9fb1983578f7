//! Autobahn's WebSocket test cases, run by kosoku. They need an echo server, so
//! this test uses the gateway's accept loop, upgrade, reading and closing, with
//! an echo in place of a reader.

use std::{collections::BTreeMap, future::poll_fn, path::Path, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::get,
};
use serde_json::Value;
use tokio::{net::TcpListener, process::Command, time::timeout};
use tungstenite::Message;

use super::{
    access::{
        admission::{Admission, Settings},
        limits::Limits,
        origin::Browsers,
    },
    connection::takeover::ConnectionTask,
    delivery::end::End,
    serve,
    server::Listener,
    websocket::{close::close, socket::WebSocket, upgrade::Upgrade},
};
use crate::{
    auth::{self, Authenticator},
    channel_demand::Demand,
    hub::Hub,
    publish,
    shutdown::Shutdown,
};

/// All cases take 3 s here.
const LIMIT: Duration = Duration::from_secs(60);

/// Installed by `tests/clients/setup`.
const KOSOKU: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/clients/venv-autobahn/bin/kosoku"
);

/// The cases of each group.
const GROUPS: &[(&str, usize)] = &[
    ("1", 16),  // framing
    ("2", 11),  // pings and pongs
    ("3", 7),   // reserved bits
    ("4", 10),  // opcodes
    ("5", 20),  // fragmentation
    ("6", 145), // UTF-8
    ("7", 37),  // closing
    ("9", 16),  // limits and performance
    ("10", 1),  // automatic fragmentation
];

/// Excluded: messages of 1 MiB and more, which the gateway never sends, and
/// receives only if `--max-client-frame` allows it; and compression.
const LEFT_OUT: &[&str] = &[
    "9.1.3", "9.1.4", "9.1.5", "9.1.6", "9.2.3", "9.2.4", "9.2.5", "9.2.6", "9.3.*", "9.4.*",
    "9.5.*", "9.6.*", "12.*", "13.*",
];

/// Case, exchange, closing. Text that can no longer become valid UTF-8 is
/// detected at the end of its frame, not in the middle; for the other cases the
/// protocol leaves the right behaviour open.
const NOT_SIMPLY_OK: &[(&str, &str, &str)] = &[
    ("6.4.3", "NON-STRICT", "OK"),
    ("6.4.4", "NON-STRICT", "OK"),
    ("7.1.6", "INFORMATIONAL", "INFORMATIONAL"),
    ("7.13.1", "INFORMATIONAL", "INFORMATIONAL"),
    ("7.13.2", "INFORMATIONAL", "INFORMATIONAL"),
];

async fn echo(State(admission): State<Admission>, request: Request) -> Response {
    match Upgrade::of(&request, &admission) {
        Ok(upgrade) => upgrade.accept(|socket| ConnectionTask::by(run(socket))),
        Err(response) => *response,
    }
}

/// Reads and closes as the transports do.
async fn run(mut socket: WebSocket) {
    let end = loop {
        let message = match poll_fn(|cx| socket.poll_read(cx)).await {
            Some(Ok(message)) => message,
            Some(Err(end)) => break end,
            None => break End::ByClient,
        };
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            Message::Ping(_) => socket.flush().await,
            Message::Pong(_) | Message::Frame(_) => Ok(()),
            Message::Close(_) => break End::ByClient,
        };
        if let Err(end) = sent {
            break end;
        }
    };
    close(socket, end).await;
}

/// Starts the server, which runs until the runtime ends, and returns its port.
/// The largest message of the cases has 256 KiB.
async fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = Settings {
        max_client_frame: 1 << 20,
        max_frame_rate: usize::MAX,
        ..Settings::default()
    };
    let shutdown = Shutdown::default();
    let hub = Hub::new(crate::hub::Config::default(), Demand::default());
    let (publisher, _) = publish::channel();
    let auth = Authenticator::new(auth::Config::open(false));
    let admission = Admission::new(
        hub,
        publisher,
        auth,
        Browsers::default(),
        settings,
        Limits::default(),
    );
    let app = Router::new().route("/", get(echo));
    let door = Listener {
        listener,
        app: app.with_state(admission.clone()),
        side: super::RouteSet::Whole,
        tls: None,
    };
    tokio::spawn(async move { serve(vec![door], admission, &shutdown).await });
    port
}

/// The verdicts of each case: on the exchange, and on the closing.
async fn verdicts() -> BTreeMap<String, [String; 2]> {
    assert!(
        Path::new(KOSOKU).exists(),
        "{KOSOKU} is not there: run `make test`"
    );
    let reports = tempfile::tempdir().unwrap();
    let server = format!("127.0.0.1:{}", echo_server().await);
    let mut kosoku = Command::new(KOSOKU);
    kosoku.args(["-m", "fuzzingclient", "-p", "8"]);
    kosoku.args(LEFT_OUT.iter().flat_map(|case| ["-x", case]));
    kosoku.arg("-o").arg(reports.path()).arg(server);
    let running = timeout(LIMIT, kosoku.kill_on_drop(true).output());
    let ended = running.await.expect("it ends").unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let index = std::fs::read(reports.path().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let cases = index.as_object().unwrap().values().next().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let verdict = |(case, said): (&String, &Value)| {
        let said = [&said["behavior"], &said["behaviorClose"]].map(text);
        (case.clone(), said)
    };
    cases.as_object().unwrap().iter().map(verdict).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn autobahns_cases_are_passed() {
    let verdicts = verdicts().await;
    for (group, cases) in GROUPS {
        let is_in = |case: &&String| case.split('.').next() == Some(group);
        assert_eq!(verdicts.keys().filter(is_in).count(), *cases, "{group}.*");
    }
    let others = verdicts.iter().filter(|(_, said)| *said != &["OK", "OK"]);
    let others: Vec<_> = others
        .map(|(case, [exchange, closing])| (case.as_str(), exchange.as_str(), closing.as_str()))
        .collect();
    assert_eq!(others, NOT_SIMPLY_OK);
}
