//! Floods of tokens with a random signature of ES384. A forged token costs its
//! sender nothing, and more than a millisecond if the gateway verifies it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use pgfan::{
    auth::{Rules, SigningKey, Wish, mint},
    proto::PublishRequest,
};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use tonic::Request;

use crate::{
    PROCESSOR,
    besieged::Besieged,
    guests::{connect, loopback},
    support::{
        Database, Said, TestGateway, WebSocket, answer_over, certificates::write, grpc_over,
    },
    tokens::{base64, now},
};

/// Failed signatures a second of one address.
const RATE: usize = 20;

/// Forged tokens on each transport, each from another address.
const FORGED: usize = 80;

/// Tokens in a row on one WebSocket, within `--max-frame-rate`.
const AT_ONCE: usize = 1500;

struct Key {
    signing: SigningKey,
    folder: TempDir,
    number: AtomicU64,
}

impl Key {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let folder = TempDir::new().unwrap();
        write(folder.path(), "key.pem", &pair.public_key_pem(), 0o600);
        Self {
            signing: SigningKey::of_pem(pair.serialize_pem().as_bytes()).unwrap(),
            folder,
            number: AtomicU64::new(0),
        }
    }

    fn path(&self) -> String {
        let path = self.folder.path().join("key.pem");
        path.display().to_string()
    }

    async fn besieged(&self) -> Besieged {
        let flags = ["--anonymous", "--token-key-file", &self.path()];
        Besieged::with(&flags).await
    }

    fn good(&self) -> String {
        let channels = || "guests".parse().into_iter().collect();
        let wish = Wish {
            subscribe: channels(),
            publish: channels(),
            lifetime: Duration::from_secs(3600),
            ..Wish::default()
        };
        mint(&self.signing, &wish, &Rules::default()).unwrap()
    }

    /// Valid but for its signature, and another one each time.
    fn forged(&self) -> String {
        self.saying(&json!({"exp": now() + 3600, "pgfan": ["subscribe:guests"]}))
    }

    fn saying(&self, claims: &Value) -> String {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut signature = [7; 96];
        signature[40..48].copy_from_slice(&number.to_be_bytes());
        let head = base64(r#"{"alg":"ES384"}"#);
        let claims = base64(claims.to_string());
        format!("{head}.{claims}.{}", base64(signature))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    WebSocket,
    Auth,
    Sse,
    Publish,
    Ticket,
    Status,
    Grpc,
}

const WIRES: [Wire; 7] = [
    Wire::WebSocket,
    Wire::Auth,
    Wire::Sse,
    Wire::Publish,
    Wire::Ticket,
    Wire::Status,
    Wire::Grpc,
];

/// The gateway's answer to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Taken,
    Refused,
    TooMany,
}

fn of_status(status: u16) -> Answer {
    match status {
        101 | 200..300 => Answer::Taken,
        401 => Answer::Refused,
        429 => Answer::TooMany,
        other => panic!("{other}"),
    }
}

async fn hand_in(wire: Wire, from: IpAddr, to: SocketAddr, token: &str) -> Answer {
    let socket = connect(from, to).await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let asked = |method, path| (method, path);
    let (method, path) = match wire {
        Wire::WebSocket => {
            let path = "/v1/ws?channel=guests";
            let opened = WebSocket::over_with_headers(socket, "localhost", path, &headers).await;
            return of_status(opened.map_or_else(|status| status, |_| 101));
        }
        Wire::Auth => return auth(socket, token).await,
        Wire::Grpc => return grpc(socket, &bearer).await,
        // A stream does not end; a channel that is not the token's ends at once.
        Wire::Sse => asked("GET", "/v1/sse?channel=others"),
        Wire::Publish => asked("POST", "/v1/channels/guests"),
        Wire::Ticket => asked("POST", "/v1/tickets"),
        Wire::Status => asked("GET", "/v1/status"),
    };
    let answer = answer_over(socket, method, path, &headers, "x")
        .await
        .unwrap();
    match answer.status {
        403 => Answer::Taken,
        status => of_status(status),
    }
}

/// In an `auth` frame: the first one, or later on an anonymous WebSocket.
async fn auth(socket: tokio::net::TcpStream, token: &str) -> Answer {
    let mut socket = WebSocket::over(socket, "/v1/ws?channel=guests")
        .await
        .unwrap();
    let frame = json!({"type": "auth", "token": token});
    socket.say(&frame.to_string()).await;
    loop {
        match socket.said().await {
            Said::Answer(answer) => return of_code(answer["code"].as_str()),
            Said::Closed(4401, _) => return Answer::Refused,
            Said::Closed(1013, code) => return of_code(Some(&code)),
            // An anonymous WebSocket.
            Said::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn of_code(code: Option<&str>) -> Answer {
    match code {
        None => Answer::Taken,
        Some("unauthenticated") => Answer::Refused,
        Some("too_many") => Answer::TooMany,
        other => panic!("{other:?}"),
    }
}

async fn grpc(socket: tokio::net::TcpStream, bearer: &str) -> Answer {
    let mut request = Request::new(PublishRequest {
        channel: "guests".into(),
        payload: "x".into(),
    });
    let value = bearer.parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    match grpc_over(socket).await.unwrap().publish(request).await {
        Ok(_) => Answer::Taken,
        Err(status) => match status.code() {
            tonic::Code::Unauthenticated => Answer::Refused,
            tonic::Code::ResourceExhausted => Answer::TooMany,
            other => panic!("{other:?}"),
        },
    }
}

/// Verified signatures do not exceed the rate.
fn is_within_the_rate(what: &str, looked_at: usize, elapsed: Duration) {
    // On each core one may be verified while the last one is counted.
    let cores = std::thread::available_parallelism().unwrap().get();
    let most = RATE + (RATE as f64 * elapsed.as_secs_f64()) as usize + cores;
    assert!(
        (RATE..=most).contains(&looked_at),
        "{what}: {looked_at} of {most} were looked at in {elapsed:?}"
    );
}

/// A token that was valid before is accepted from the attacker's address, and a new
/// one from another address.
#[tokio::test(flavor = "multi_thread")]
async fn a33_forged_tokens_of_one_address_are_few_on_every_wire() {
    let key = Key::new();
    let mut besieged = key.besieged().await;
    let (to, elsewhere) = (besieged.address(), loopback(99));
    for (last, wire) in (50..).zip(WIRES) {
        let (from, known) = (loopback(last), key.good());
        assert_eq!(
            hand_in(wire, from, to, &known).await,
            Answer::Taken,
            "{wire:?}"
        );
        let begun = Instant::now();
        let mut answers = Vec::new();
        for _ in 0..FORGED {
            answers.push(hand_in(wire, from, to, &key.forged()).await);
        }
        let elapsed = begun.elapsed();
        let looked_at = answers
            .iter()
            .filter(|one| **one == Answer::Refused)
            .count();
        assert!(!answers.contains(&Answer::Taken), "{wire:?}: {answers:?}");
        assert!(
            answers.contains(&Answer::TooMany),
            "{wire:?}: {looked_at} in {elapsed:?}"
        );
        is_within_the_rate(&format!("{wire:?}"), looked_at, elapsed);
        let again = hand_in(wire, from, to, &known).await;
        assert_eq!(again, Answer::Taken, "{wire:?}: it was good before");
        let other = hand_in(wire, elsewhere, to, &key.good()).await;
        assert_eq!(other, Answer::Taken, "{wire:?}: another address");
        besieged.others_are_served().await;
    }
    let said = besieged
        .gateway
        .logged("an address sends forged tokens")
        .await;
    assert!(
        said.contains("WARN") && said.contains("address=127.0.0.50"),
        "{said}"
    );
    besieged.gateway.stop().await;
}

/// Without `--anonymous` a WebSocket ends with an invalid token.
#[tokio::test(flavor = "multi_thread")]
async fn a33_forged_tokens_in_the_first_frame() {
    let (key, database) = (Key::new(), Database::new().await);
    let path = key.path();
    let gateway = TestGateway::with(&database, &[("token-key-file", &path)]).await;
    let (to, begun) = (gateway.address, Instant::now());
    let mut answers = Vec::new();
    for _ in 0..FORGED {
        answers.push(hand_in(Wire::Auth, loopback(50), to, &key.forged()).await);
    }
    let elapsed = begun.elapsed();
    let looked_at = answers
        .iter()
        .filter(|one| **one == Answer::Refused)
        .count();
    assert!(
        answers.contains(&Answer::TooMany),
        "{looked_at} in {elapsed:?}"
    );
    is_within_the_rate("the first frame", looked_at, elapsed);
    let other = hand_in(Wire::Auth, loopback(99), to, &key.good()).await;
    assert_eq!(other, Answer::Taken);
}

/// The answers to `auth` on a WebSocket that goes on.
async fn authenticate(socket: &mut WebSocket, tokens: &[String]) -> Vec<Answer> {
    for token in tokens {
        let frame = json!({"type": "auth", "token": token});
        socket.say(&frame.to_string()).await;
    }
    let mut answers = Vec::new();
    while answers.len() < tokens.len() {
        if let Said::Answer(answer) = socket.said().await {
            answers.push(of_code(answer["code"].as_str()));
        }
    }
    answers
}

async fn open(key: &Key, from: IpAddr, to: SocketAddr) -> WebSocket {
    let bearer = format!("Bearer {}", key.good());
    let headers = [("authorization", bearer.as_str())];
    let (socket, path) = (connect(from, to).await, "/v1/ws?channel=guests");
    let opened = WebSocket::over_with_headers(socket, "localhost", path, &headers).await;
    let (mut socket, _) = opened.unwrap();
    assert!(matches!(socket.said().await, Said::Ready { .. }));
    socket
}

/// In `auth` frames without a pause, on an open WebSocket.
#[tokio::test(flavor = "multi_thread")]
async fn a33_a_flood_of_forged_tokens_costs_little() {
    let _alone = PROCESSOR.lock().await;
    let key = Key::new();
    let mut besieged = key.besieged().await;
    let to = besieged.address();
    let mut socket = open(&key, loopback(50), to).await;
    let tokens: Vec<_> = (0..AT_ONCE).map(|_| key.forged()).collect();
    let begun = Instant::now();
    let flood = tokio::spawn(async move { (authenticate(&mut socket, &tokens).await, socket) });
    // During the flood.
    let newcomer = hand_in(Wire::WebSocket, loopback(99), to, &key.good()).await;
    besieged.others_are_served().await;
    let flood = besieged.during("forged tokens", flood).await;
    let (answers, mut socket) = flood.unwrap();
    let elapsed = begun.elapsed();
    assert_eq!(newcomer, Answer::Taken);
    let looked_at = answers
        .iter()
        .filter(|one| **one == Answer::Refused)
        .count();
    is_within_the_rate("a flood", looked_at, elapsed);
    // The stream goes on, and a new token is accepted when the flood is over.
    tokio::time::timeout(Duration::from_secs(30), async {
        while authenticate(&mut socket, &[key.good()]).await != [Answer::Taken] {}
    })
    .await
    .expect("a good token is taken");
    drop(socket);
    besieged.stands("a flood of forged tokens", FLOOD).await;
}

/// Bound for [`AT_ONCE`] frames and answers with the allowed verifications. With
/// each of them verified it was exceeded twice over.
const FLOOD: Duration = Duration::from_millis(1500);

/// Expired tokens are refused at the cost of the frame, and do not count against
/// their address.
#[tokio::test(flavor = "multi_thread")]
async fn a33_an_expired_token_costs_no_signature() {
    let _alone = PROCESSOR.lock().await;
    let key = Key::new();
    let besieged = key.besieged().await;
    let (from, to) = (loopback(50), besieged.address());
    let mut socket = open(&key, from, to).await;
    let expired = json!({"exp": now() - 60, "pgfan": ["subscribe:guests"]});
    let tokens: Vec<_> = (0..AT_ONCE).map(|_| key.saying(&expired)).collect();
    let flood = authenticate(&mut socket, &tokens);
    let answers = besieged.during("expired tokens", flood).await;
    assert!(answers.iter().all(|answer| *answer == Answer::Refused));
    assert_eq!(
        hand_in(Wire::Sse, from, to, &key.good()).await,
        Answer::Taken
    );
    drop(socket);
    besieged.stands("a flood of expired tokens", FLOOD).await;
}
