//! Changed settings by SIGHUP: streams that are still allowed are not
//! disturbed, the others end.

use std::{
    fs,
    future::Future,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tempfile::TempDir;

use crate::{
    attempts::{Outcome, Wire, publish},
    expiry::{end, expected},
    support::{
        self, Database, Reader, Said, WebSocket,
        gateway_process::{GatewayProcess, pgfan},
        get, until, within,
    },
    tokens::{SECRET, lasting, token, token_of},
};

const ANOTHER: &str = "another-canary-another-canary-another-canary";

/// A gateway with a settings file and a file for the secret.
struct Served {
    database: Database,
    folder: TempDir,
    gateway: GatewayProcess,
}

impl Served {
    async fn with(settings: &str) -> Self {
        let (database, folder) = (Database::new().await, TempDir::new().unwrap());
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("secret"), SECRET).unwrap();
        fs::write(path("pgfan.toml"), settings).unwrap();
        let mut command = pgfan();
        command.args(["serve", "--database-url", &database.url]);
        command.args(["--config", &path("pgfan.toml")]);
        command.args(["--token-secret-file", &path("secret")]);
        let gateway = GatewayProcess::serve(&mut command).await;
        gateway.ready().await;
        Self {
            database,
            folder,
            gateway,
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Reloads, and returns when `logged` appears in the log.
    async fn reload(&mut self, logged: &str) -> String {
        self.gateway.program.signal("HUP").await;
        self.gateway.logged(logged).await
    }

    async fn status(&self) -> serde_json::Value {
        let bearer = format!("Bearer {}", token_of(r#"{"metrics":true}"#));
        let headers = [("authorization", bearer.as_str())];
        get(self.gateway.address, "/v1/status", &headers)
            .await
            .json()
    }

    /// Sum over all samples of one metric.
    async fn sum(&self, field: &str) -> u64 {
        let numbers = self.status().await[field].clone();
        let numbers = numbers.as_object().unwrap().values();
        numbers.map(|number| number.as_u64().unwrap()).sum()
    }

    /// Waits until each of this number of readers of `a` has received an event:
    /// then it is subscribed.
    async fn until_all_hear(&self, count: u64) {
        until("all readers are there", || async {
            self.sum("readers").await == count
        })
        .await;
        let mut last = self.web_socket(&["a"], &token(&["a"])).await.unwrap();
        assert!(matches!(said(&mut last).await, Said::Ready { .. }));
        self.database.notify("a", "heard").await;
        until("all have heard", || async {
            self.sum("deliveries").await == count + 1
        })
        .await;
    }

    /// Opens a stream on every transport and reads it to its end.
    fn streams(
        &self,
        wires: &[Wire],
        channel: &'static str,
    ) -> impl Future<Output = Vec<(i32, String)>> + use<> {
        let (address, token) = (self.gateway.address, token(&[channel]));
        let ends = wires.iter().copied().map(|wire| {
            let token = token.clone();
            tokio::spawn(async move { end(wire, address, &token, channel).await })
        });
        let ends = join_all(ends.collect::<Vec<_>>());
        async { ends.await.into_iter().map(Result::unwrap).collect() }
    }

    async fn web_socket(&self, channels: &[&str], token: &str) -> Result<WebSocket, u16> {
        let bearer = format!("Bearer {token}");
        let path = format!("/v1/ws?channel={}", channels.join("&channel="));
        let headers = [("authorization", bearer.as_str())];
        let opened = WebSocket::with_headers(self.gateway.address, &path, &headers).await;
        opened.map(|(socket, _)| socket)
    }
}

async fn said(socket: &mut WebSocket) -> Said {
    Said::from_json(&socket.text().await.unwrap())
}

fn event(said: Said) -> (String, String) {
    match said {
        Said::Event {
            channel, payload, ..
        } => (channel, payload),
        other => panic!("not an event but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_key_that_is_taken_away_end() {
    let mut served = Served::with("").await;
    let ends = tokio::spawn(served.streams(&Wire::READING, "a"));
    served.until_all_hear(Wire::READING.len() as u64).await;
    served.write("secret", ANOTHER);
    served.reload("the settings were read again").await;
    let ends = within("all streams end", ends).await.unwrap();
    for (wire, (code, reason)) in Wire::READING.into_iter().zip(ends) {
        assert_eq!(code, expected(wire), "{wire:?}: {reason}");
        let is_word = reason.starts_with("unauthenticated: ");
        assert!(is_word, "{wire:?}: {reason}");
    }
    for wire in Wire::PUBLISHING {
        let token = token(&["a"]);
        let outcome = publish(wire, served.gateway.address, Some(&token), "a", "1").await;
        assert!(
            matches!(outcome, Outcome::Refused(_)),
            "{wire:?}: {outcome:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_channels_that_are_nobodys_any_more_end() {
    let mut served = Served::with("channels = 'a,b'").await;
    let mut partly = served
        .web_socket(&["a", "b"], &token(&["**"]))
        .await
        .unwrap();
    assert!(matches!(said(&mut partly).await, Said::Ready { .. }));
    let others: Vec<_> = Wire::READING
        .into_iter()
        .filter(|wire| *wire != Wire::WebSocket)
        .collect();
    let ends = tokio::spawn(served.streams(&others, "a"));
    served.until_all_hear(1 + others.len() as u64).await;
    assert_eq!(event(said(&mut partly).await).1, "heard");
    served.write("pgfan.toml", "channels = 'b'");
    served.reload("the settings were read again").await;
    let ends = within("all streams end", ends).await.unwrap();
    for (wire, (code, reason)) in others.into_iter().zip(ends) {
        let expected = match wire {
            Wire::Sse | Wire::RawSse => 200,
            Wire::Grpc | Wire::GrpcWeb => tonic::Code::PermissionDenied as i32,
            _ => 4403,
        };
        assert_eq!(code, expected, "{wire:?}: {reason}");
    }
    // A WebSocket can lose one channel and keep the other.
    let Said::Answer(unsubscribed) = said(&mut partly).await else {
        panic!("it is told")
    };
    assert_eq!(unsubscribed["type"], "unsubscribed");
    assert_eq!(unsubscribed["channels"], serde_json::json!(["a"]));
    let Said::Answer(error) = said(&mut partly).await else {
        panic!("it is told why")
    };
    assert_eq!(error["code"], "forbidden");
    served.database.notify("a", "1").await;
    served.database.notify("b", "2").await;
    assert_eq!(event(said(&mut partly).await), ("b".into(), "2".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_stay_misses_nothing() {
    let mut served = Served::with("max-readers = 100").await;
    let mut reader = served.web_socket(&["a"], &token(&["a"])).await.unwrap();
    assert!(matches!(said(&mut reader).await, Said::Ready { .. }));
    for (limit, refused) in [(1, true), (2, false)] {
        served.database.notify("a", "before").await;
        let settings = format!(
            "max-readers = {limit}\nmax-readers-per-address = 50\nmax-readers-per-token = 50\nkeepalive = '5s'"
        );
        served.write("pgfan.toml", &settings);
        served.reload("the settings were read again").await;
        served.database.notify("a", "after").await;
        for payload in ["before", "after"] {
            assert_eq!(event(said(&mut reader).await).1, payload);
        }
        let another = served.web_socket(&["a"], &token(&["a"])).await;
        assert_eq!(another.is_err(), refused, "{limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_changes_nothing_and_all_are_told() {
    let mut served = Served::with("max-readers = 9\nmax-readers-per-address = 9").await;
    let settings = "max-readers = 1\nchannels = 'a,,'\nlinger = 'long'\ndrain-timeout = '1s'";
    served.write("pgfan.toml", settings);
    served.write("secret", "short");
    served.reload("the settings stay as they were").await;
    let log = served.gateway.program.stderr.text();
    for mistake in [
        "pgfan.toml: line 2: channels: ",
        "pgfan.toml: line 3: linger: ",
        "token-secret-file: ",
    ] {
        assert!(log.contains(mistake), "{mistake}: {log}");
    }
    assert!(!log.contains(SECRET));
    for _ in 0..2 {
        let opened = served.web_socket(&["a"], &token(&["a"])).await;
        assert!(opened.is_ok(), "{:?}", opened.err());
    }
    // A setting that requires a restart is logged, and the rest is applied.
    served.write("pgfan.toml", "drain-timeout = '1s'\nchannels = 'b'");
    served.write("secret", SECRET);
    let said = served.reload("drain-timeout").await;
    assert!(said.contains("that takes a restart"), "{said}");
    served.gateway.logged("the settings were read again").await;
    assert_eq!(
        served.web_socket(&["a"], &token(&["**"])).await.err(),
        Some(403)
    );
}

/// Without required tokens, no token can expire.
#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_tokens_that_were_switched_off() {
    let (database, folder) = (Database::new().await, TempDir::new().unwrap());
    let file = folder.path().join("pgfan.toml");
    fs::write(&file, format!("token-secret = '{SECRET}'")).unwrap();
    let mut command = pgfan();
    command.env("RUST_LOG", "info,pgfan::auth=debug");
    command.args(["serve", "--database-url", &database.url, "--config"]);
    let gateway = GatewayProcess::serve(command.arg(&file)).await;
    gateway.ready().await;
    let lifetime = Duration::from_secs(3);
    let (over, token) = (SystemTime::now() + lifetime, lasting(lifetime, &["a"]));
    for wire in Wire::READING {
        let (address, token) = (gateway.address, token.clone());
        tokio::spawn(async move { end(wire, address, &token, "a").await });
    }
    fs::write(&file, "").unwrap();
    let sum = async |field: &str| {
        let status = get(gateway.address, "/v1/status", &[]).await.json();
        let numbers = status[field].as_object().cloned().unwrap_or_default();
        numbers
            .values()
            .filter_map(serde_json::Value::as_u64)
            .sum::<u64>()
    };
    let all = Wire::READING.len() as u64;
    until("all are let in", || async {
        let log = gateway.program.stderr.text();
        log.matches("a token is taken").count() as u64 == all
    })
    .await;
    gateway.program.signal("HUP").await;
    until("tokens are off", || async { sum("readers").await == all }).await;
    // One second of rounding, and one for the timers.
    let after = over + Duration::from_secs(2);
    until("they are over", || async { SystemTime::now() > after }).await;
    database.notify("a", "to all").await;
    until("all hear it", || async { sum("deliveries").await == all }).await;
    assert_eq!(sum("readers").await, all);
    gateway.stop().await;
}

/// A ticket has the rights of the token with which it was requested.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_before_is_looked_at_again() {
    let mut served = Served::with("").await;
    let bearer = format!("Bearer {}", token(&["a"]));
    let headers = [("authorization", bearer.as_str())];
    let address = served.gateway.address;
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let answer = crate::support::post_with(address, "/v1/tickets", &headers, "").await;
        tickets.push(answer.json()["ticket"].as_str().unwrap().to_owned());
    }
    let path = |ticket: &str| format!("/v1/sse?channel=a&ticket={ticket}");
    served.write("pgfan.toml", "channels = 'b'");
    served.reload("the settings were read again").await;
    assert_eq!(get(address, &path(&tickets[0]), &[]).await.status, 403);
    served.write("pgfan.toml", "");
    served.write("secret", ANOTHER);
    served.reload("the settings were read again").await;
    assert_eq!(get(address, &path(&tickets[1]), &[]).await.status, 401);
}

/// Many readers take some time to wake, and the FanoutWorker does not wait for
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_channel_that_is_taken_away_nobody_in_a_crowd_gets_more() {
    let mut served = Served::with("channels = 'a,b'").await;
    let token = token(&["**"]);
    let crowd = (0..200).map(|_| served.web_socket(&["a", "b"], &token));
    let crowd = join_all(crowd).await.into_iter().map(Result::unwrap);
    let mut crowd: Vec<_> = crowd.collect();
    for socket in &mut crowd {
        assert!(matches!(said(socket).await, Said::Ready { .. }));
    }
    served.write("pgfan.toml", "channels = 'b'");
    served.reload("the settings were read again").await;
    served.database.notify("a", "1").await;
    served.database.notify("b", "2").await;
    for socket in &mut crowd {
        let mut next = async || loop {
            match said(socket).await {
                Said::Answer(_) => {}
                other => break event(other),
            }
        };
        assert_eq!(next().await, ("b".into(), "2".into()));
    }
}

/// At each reload all readers check the rules again, including those in a
/// DirectSlot.
#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_doubled_in_a_storm_of_reloads() {
    const EVENTS: i32 = 4000;
    const AT_ONCE: i32 = 20;
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let mut readings = Vec::new();
    for wire in support::Wire::ALL.repeat(4) {
        let mut reader = Reader::open(wire, gateway.address, &["a"], None).await;
        reader.ready().await;
        let reading = async move { reader.payloads(EVENTS as usize).await };
        readings.push(tokio::spawn(reading));
    }
    let notifying = async {
        for first in (1..=EVENTS).step_by(AT_ONCE as usize) {
            database.notify_range("a", first, first + AT_ONCE - 1).await;
        }
    };
    let reloading = async {
        loop {
            gateway.program.signal("HUP").await;
        }
    };
    tokio::select! {
        () = notifying => {}
        () = reloading => {}
    }
    let expected: Vec<_> = (1..=EVENTS).map(|n| n.to_string()).collect();
    for reading in readings {
        assert_eq!(within("all events", reading).await.unwrap(), expected);
    }
    let log = gateway.program.stderr.text();
    let reloads = log.matches("the settings were read again").count();
    assert!(reloads > 10, "{reloads}");
    gateway.stop().await;
}
