//! Attack 34: a token that the right provider signed for another purpose, such as an
//! ID token.

use serde_json::{Value, json};

use crate::{
    attempts::{Outcome, Wire, publish},
    support::{Database, TestGateway, gateway_process::pgfan, program::run},
    tokens::{SECRET, WITH_TOKENS, now, signed},
};

fn token(typ: Option<Value>) -> String {
    let mut header = json!({"alg": "HS256"});
    if let Some(typ) = typ {
        header["typ"] = typ;
    }
    let claims = json!({"exp": now() + 3600, "pgfan": {"publish": ["a"]}});
    signed(&header.to_string(), &claims.to_string(), SECRET.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_34_a_token_of_another_type() {
    let database = Database::new().await;
    let settings = [WITH_TOKENS, ("token-type", "at+jwt")];
    let strict = TestGateway::with(&database, &settings).await;
    let any = TestGateway::with(&database, &[WITH_TOKENS]).await;
    for (typ, is_good) in [
        (Some(json!("at+jwt")), true),
        (Some(json!("application/at+jwt")), true),
        (Some(json!("Application/AT+JWT")), true),
        (Some(json!("JWT")), false),
        (Some(json!("id+jwt")), false),
        (Some(json!("at+jwt,JWT")), false),
        (Some(json!("")), false),
        (Some(json!(null)), false),
        (Some(json!(["at+jwt"])), false),
        (None, false),
    ] {
        let token = token(typ.clone());
        for wire in Wire::PUBLISHING {
            let outcome = publish(wire, strict.address, Some(&token), "a", "x").await;
            let is_published = outcome == Outcome::Published;
            assert_eq!(is_published, is_good, "{typ:?} on {wire:?}: {outcome:?}");
        }
        // A list as `typ` is malformed.
        let outcome = publish(Wire::Http, any.address, Some(&token), "a", "x").await;
        let is_text = !matches!(typ, Some(Value::Array(_)));
        assert_eq!(outcome == Outcome::Published, is_text, "{typ:?}");
    }
}

/// `pgfan token` writes the type of the settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_development_is_of_the_type() {
    let database = Database::new().await;
    let settings = [WITH_TOKENS, ("token-type", "at+jwt")];
    let gateway = TestGateway::with(&database, &settings).await;
    let mut command = pgfan();
    command.args(["token", "--publish", "a"]);
    command.envs([
        ("PGFAN_TOKEN_SECRET", SECRET),
        ("PGFAN_TOKEN_TYPE", "at+jwt"),
    ]);
    let made = run(&mut command).await.stdout;
    let outcome = publish(Wire::Http, gateway.address, Some(made.trim()), "a", "x").await;
    assert_eq!(outcome, Outcome::Published);
}
