//! Log lines about a token that is refused or grants nothing; clients only learn
//! that it is not valid.

use serde_json::{Value, json};

use crate::{
    support::{
        Database, WebSocket,
        gateway_process::{GatewayProcess, pgfan},
        get,
    },
    tokens::{SECRET, now, with_claims},
};

async fn gateway(database: &Database, more: &[(&str, &str)]) -> GatewayProcess {
    let mut command = pgfan();
    command
        .arg("serve")
        .env("RUST_LOG", "info,pgfan::auth=debug");
    command.envs([
        ("DATABASE_URL", &*database.url),
        ("PGFAN_TOKEN_SECRET", SECRET),
    ]);
    command.envs(more.iter().copied());
    let gateway = GatewayProcess::serve(&mut command).await;
    gateway.ready().await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_logged_with_the_claim_and_never_the_token() {
    let database = Database::new().await;
    let rules = [
        ("PGFAN_TOKEN_AUDIENCE", "pgfan"),
        ("PGFAN_TOKEN_ISSUER", "https://id.example"),
        ("PGFAN_TOKEN_CLAIM", "/realm/roles"),
    ];
    let mut gateway = gateway(&database, &rules).await;
    let with = |name: &str, value: Option<Value>| {
        let good = json!({"exp": now() + 600, "aud": "pgfan", "iss": "https://id.example"});
        let mut claims = good.as_object().unwrap().clone();
        match value {
            Some(value) => drop(claims.insert(name.to_owned(), value)),
            None => drop(claims.remove(name)),
        }
        with_claims(&claims.into())
    };
    let canary = json!("s3cret-claim");
    for (token, reason) in [
        (with("exp", None), "its `exp` is missing, or"),
        (with("exp", Some(json!(now() - 60))), "it has expired (exp)"),
        (
            with("exp", Some(canary.clone())),
            "its `exp` is missing, or not of the type",
        ),
        (
            with("nbf", Some(json!(now() + 600))),
            "it is not valid yet (nbf)",
        ),
        (with("aud", None), "its `aud` is missing, or"),
        (
            with("aud", Some(canary.clone())),
            "it is for another audience (aud)",
        ),
        (with("iss", None), "its `iss` is missing, or"),
        (with("iss", Some(canary)), "it is of another issuer (iss)"),
        (
            with("realm", Some(json!({"roles": 7}))),
            "its channels are neither an object, a list nor a text claim=/realm/roles",
        ),
    ] {
        let bearer = format!("Bearer {token}");
        let answer = get(
            gateway.address,
            "/v1/sse?channel=a",
            &[("authorization", &bearer)],
        )
        .await;
        assert_eq!(answer.status, 401, "{reason}");
        assert_eq!(
            answer.json()["detail"],
            "the token is not valid, or no longer"
        );
        let line = gateway.logged("a token is refused").await;
        assert!(
            line.contains("DEBUG") && line.contains(reason),
            "{reason}: {line}"
        );
    }
    let log = gateway.stop().await.stderr;
    assert!(!log.contains("eyJ") && !log.contains("s3cret"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_grants_nothing_says_so() {
    let database = Database::new().await;
    let mut gateway = gateway(&database, &[]).await;
    for claims in [
        json!({"exp": now() + 600}),
        json!({"exp": now() + 600, "pgfan": null}),
        json!({"exp": now() + 600, "pgfan": "openid email"}),
        json!({"exp": now() + 600, "pgfan": {"subscribe": []}}),
    ] {
        let bearer = format!("Bearer {}", with_claims(&claims));
        let headers = [("authorization", bearer.as_str())];
        let answer = get(gateway.address, "/v1/sse?channel=a", &headers).await;
        assert_eq!(answer.status, 403, "{claims}");
        let told = "the channel \"a\" cannot be read: the token grants no channel at all";
        assert_eq!(answer.json()["detail"], told, "{claims}");
        let line = gateway.logged("the token grants nothing").await;
        assert!(
            line.contains("DEBUG") && line.contains("claim=pgfan"),
            "{line}"
        );
        let path = "/v1/channels/a";
        let answer = crate::support::post_with(gateway.address, path, &headers, "x").await;
        let told = "\"a\" cannot be published on: the token grants no channel at all";
        assert_eq!(
            (answer.status, &answer.json()["detail"]),
            (403, &told.into())
        );
        gateway.logged("the token grants nothing").await;
    }
    // If it grants other channels, the answer names only the missing one.
    let other = with_claims(&json!({"exp": now() + 600, "pgfan": {"subscribe": ["b"]}}));
    let bearer = format!("Bearer {other}");
    let headers = [("authorization", bearer.as_str())];
    let answer = get(gateway.address, "/v1/sse?channel=a", &headers).await;
    let told = "the channel \"a\" cannot be read";
    assert_eq!(
        (answer.status, &answer.json()["detail"]),
        (403, &told.into())
    );
    gateway.stop().await;
}

/// A provider that puts all groups of a user into a token makes long ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_as_long_as_the_head_of_a_request() {
    let database = Database::new().await;
    let long = |length: usize| {
        let filler = "x".repeat(length);
        let claims = json!({"exp": now() + 600, "filler": filler, "pgfan": {"subscribe": ["a"]}});
        with_claims(&claims)
    };
    for (settings, length, too_long) in [
        (&[][..], 20_000, 40_000),
        (&[("PGFAN_MAX_HEADER_BYTES", "64KiB")], 40_000, 60_000),
    ] {
        let mut gateway = gateway(&database, settings).await;
        let bearer = format!("Bearer {}", long(length));
        let headers = [("authorization", bearer.as_str())];
        let path = "/v1/ws?channel=a";
        let opened = WebSocket::with_headers(gateway.address, path, &headers).await;
        assert!(opened.is_ok(), "{settings:?}: {:?}", opened.err());
        // Outside the head of a request the same limit applies.
        let mut socket = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
        let frame = json!({"type": "auth", "token": long(too_long)}).to_string();
        if frame.len() < 64 << 10 {
            socket.say(&frame).await;
            assert_eq!(socket.text().await.unwrap_err().0, 4401);
            gateway.logged("it is longer than --max-header-bytes").await;
        }
        gateway.stop().await;
    }
}
