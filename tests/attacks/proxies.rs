use crate::{
    besieged::Besieged,
    guests::{Kind, TooMany, enter, loopback},
};

const PLACES: usize = 4;

/// Each client claims to be another.
#[tokio::test(flavor = "multi_thread")]
async fn a11_a_forwarded_address_of_a_stranger_changes_nothing() {
    let flags = [
        "--max-readers-per-address",
        "4",
        "--trusted-proxies",
        "127.0.0.9,10.0.0.0/8",
    ];
    let mut besieged = Besieged::with(&flags).await;
    let address = besieged.address();
    for (n, kind) in (2..).zip(Kind::ALL) {
        let mut guests = Vec::new();
        for spoofed in 0..PLACES + 2 {
            let x = format!("198.51.100.{spoofed}");
            let forwarded = format!("for={x}");
            for headers in [
                [("x-forwarded-for", x.as_str()), ("x-real-ip", &x)],
                [("x-forwarded-for", &x), ("forwarded", &forwarded)],
                [("forwarded", &forwarded), ("true-client-ip", &x)],
            ] {
                guests.extend(enter(kind, loopback(20 + n), address, &headers).await.ok());
            }
        }
        assert_eq!(guests.len(), PLACES, "{kind:?}");
        // The real client at the claimed address is not refused for it.
        let whose = [("x-forwarded-for", "198.51.100.0")];
        assert!(enter(kind, loopback(9), address, &whose).await.is_ok());
        besieged.others_are_served().await;
    }
    let unheeded = "sends a forwarded address and is not among --trusted-proxies";
    let line = besieged.gateway.logged(unheeded).await;
    assert!(line.contains("peer=127.0.0.22"), "{line}");
    let log = besieged.gateway.program.stderr.text();
    assert_eq!(log.matches(unheeded).count(), 1, "once: {log}");
    besieged.gateway.stop().await;
}

/// A client that sends the header to which the proxy then appends.
#[tokio::test(flavor = "multi_thread")]
async fn a11_a_trusted_proxy_s_clients_are_told_apart() {
    let flags = [
        "--max-readers-per-address",
        "4",
        "--trusted-proxies",
        "127.0.0.9,10.0.0.0/8",
    ];
    let mut besieged = Besieged::with(&flags).await;
    let address = besieged.address();
    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        let one = format!("198.51.{n}.1");
        let spoofing = format!("203.0.113.7, {one}, 10.1.1.1");
        let standard = format!("for=203.0.113.8, for=\"{one}:4711\";proto=https");
        let ways = [
            [("x-forwarded-for", one.as_str())],
            [("x-forwarded-for", &spoofing)],
            [("forwarded", &standard)],
        ];
        let mut guests = Vec::new();
        for way in 0..PLACES {
            let headers = &ways[way % ways.len()];
            guests.push(
                enter(kind, loopback(9), address, headers)
                    .await
                    .expect("room"),
            );
        }
        for headers in &ways {
            let refused = enter(kind, loopback(9), address, headers).await.err();
            assert_eq!(refused, Some(TooMany), "{kind:?} {headers:?}");
        }
        for other in ["198.51.100.2", "2001:db8::1", "203.0.113.7"] {
            let headers = [("x-forwarded-for", other)];
            assert!(enter(kind, loopback(9), address, &headers).await.is_ok());
        }
        besieged.others_are_served().await;
    }
    besieged.gateway.stop().await;
}
