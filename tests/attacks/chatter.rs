use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::interval,
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    PROCESSOR,
    besieged::Besieged,
    large::{client_frame, closed_with},
    support::{
        Database, Said, WebSocket, closed,
        gateway_process::{GatewayProcess, pgfan, upgrade},
        within,
    },
    tokens::SECRET,
};

/// Messages that a client may send repeatedly.
fn floods() -> Vec<(&'static str, Message)> {
    let text = |text: &str| Message::Text(text.into());
    vec![
        ("/v1/ws", Message::Ping("x".into())),
        ("/v1/ws", Message::Pong("x".into())),
        ("/v1/ws", Message::Binary("x".into())),
        ("/v1/ws", text("x")),
        ("/v1/ws", text(r#"{"type":"subscribe","channels":["a"]}"#)),
        ("/v1/ws", text(r#"{"type":"unsubscribe","channels":["a"]}"#)),
        (
            "/v1/ws",
            text(r#"{"type":"publish","channel":"a","payload":"x"}"#),
        ),
        ("/v1/ws", text(r#"{"type":"auth","token":"x"}"#)),
        ("/v1/ws?channel=a&format=raw", Message::Ping("x".into())),
        ("/pgpubsub/a", Message::Ping("x".into())),
        ("/pgpubsub/a", text("x")),
        ("/pgpubsub/a", Message::Binary("x".into())),
    ]
}

/// More than any bucket here holds.
const FLOOD: usize = 5000;

/// Sends the message repeatedly, and reads only afterwards; returns how the
/// client was disconnected.
async fn flood(address: SocketAddr, path: &str, message: &Message) -> Said {
    let mut socket = WebSocket::open(address, path).await.unwrap();
    for _ in 0..FLOOD {
        if !socket.try_send(message.clone()).await {
            break;
        }
    }
    let end = async {
        loop {
            if let Err((code, reason)) = socket.text().await {
                return closed(code, &reason);
            }
        }
    };
    within("the end of a flood", end).await
}

fn too_many() -> Said {
    Said::Closed(1013, "too_many".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_who_says_too_much_is_ended_on_every_websocket() {
    let mut besieged = Besieged::with(&["--max-frame-rate", "100"]).await;
    let address = besieged.address();
    for (path, message) in floods() {
        let said = flood(address, path, &message).await;
        assert_eq!(said, too_many(), "{path} {message:?}");
        besieged.others_are_served().await;
    }
    besieged.gateway.stop().await;
}

/// With the default rate, and a bound on its cost.
#[tokio::test(flavor = "multi_thread")]
async fn a10_a_flood_of_pings_costs_little() {
    let _alone = PROCESSOR.lock().await;
    let mut besieged = Besieged::new().await;
    let address = besieged.address();
    let ping = Message::Ping("x".into());
    let floods = (0..20).map(|_| flood(address, "/v1/ws?channel=a", &ping));
    let said = besieged.during("pings", join_all(floods)).await;
    assert_eq!(said, vec![too_many(); 20]);
    besieged.others_are_served().await;
    besieged
        .stands("20 times 5000 pings", Duration::from_secs(3))
        .await;
}

const WEB_SOCKETS: [&str; 3] = ["/v1/ws", "/v1/ws?channel=a&format=raw", "/pgpubsub/a"];

/// Fragments of one message that need not end.
#[tokio::test(flavor = "multi_thread")]
async fn a31_the_parts_of_a_message_are_counted_too() {
    let _alone = PROCESSOR.lock().await;
    let besieged = Besieged::new().await;
    let (begin, again) = (client_frame(0x01, 1, b"x"), client_frame(0x00, 0, b""));
    for path in WEB_SOCKETS {
        let flood = closed_with(besieged.address(), path, &begin, &again);
        let code = besieged.during("continuation frames", flood).await;
        assert_eq!(code, 1013, "{path}");
    }
    besieged
        .stands("continuation frames", Duration::from_secs(1))
        .await;
}

/// The client sends pongs in between.
#[tokio::test(flavor = "multi_thread")]
async fn a31_a_message_that_never_ends_is_not_waited_for() {
    let settings = ["--keepalive", "1s", "--request-timeout", "2s"];
    let mut besieged = Besieged::with(&settings).await;
    for path in WEB_SOCKETS {
        let mut socket = TcpStream::connect(besieged.address()).await.unwrap();
        let begin = client_frame(0x01, 1, b"x");
        let said = [upgrade(path).as_bytes(), &begin].concat();
        socket.write_all(&said).await.unwrap();
        let (mut hears, mut says) = socket.split();
        let mut ticks = interval(Duration::from_millis(200));
        let mut heard = Vec::new();
        let ends = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        // The last write may meet a closed socket.
                        let _ = says.write_all(&client_frame(0x8a, 0, b"")).await;
                    }
                    read = hears.read_buf(&mut heard) => {
                        assert!(read.unwrap() > 0, "{path}: no word");
                        let close = 1008_u16.to_be_bytes();
                        if heard.windows(2).any(|part| part == close) {
                            break;
                        }
                    }
                }
            }
        };
        within(&format!("{path} is closed"), ends).await;
        besieged.others_are_served().await;
    }
    besieged.gateway.stop().await;
}

/// One second's allowance at once is accepted, and so is a steady rate.
#[tokio::test(flavor = "multi_thread")]
async fn a10_who_says_much_and_no_more_goes_on() {
    let mut besieged = Besieged::with(&["--max-frame-rate", "200"]).await;
    let mut socket = WebSocket::open(besieged.address(), "/v1/ws").await.unwrap();
    for n in 0..200 {
        let say = format!(r#"{{"type":"unsubscribe","channels":["{n}"]}}"#);
        socket.say(&say).await;
        assert!(matches!(socket.said().await, Said::Answer(_)), "{n}");
    }
    let mut ticks = interval(Duration::from_millis(20));
    for n in 0..50 {
        ticks.tick().await;
        socket
            .say(r#"{"type":"unsubscribe","channels":["a"]}"#)
            .await;
        assert!(matches!(socket.said().await, Said::Answer(_)), "{n}");
    }
    besieged.others_are_served().await;
    besieged.gateway.stop().await;
}

/// Also for a client that has not presented a token yet.
#[tokio::test(flavor = "multi_thread")]
async fn a10_who_is_nobody_yet_says_no_more_than_others() {
    let database = Database::new().await;
    let mut command = pgfan();
    command.env("PGFAN_DATABASE_URL", &database.url);
    command.args(["serve", "--max-frame-rate", "100", "--token-secret", SECRET]);
    let gateway = GatewayProcess::serve(&mut command).await;
    gateway.ready().await;
    let ping = Message::Ping("x".into());
    assert_eq!(flood(gateway.address, "/v1/ws", &ping).await, too_many());
    gateway.stop().await;
}
