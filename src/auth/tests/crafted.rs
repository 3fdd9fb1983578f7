//! Crafted tokens. Each differs from a valid token in a single point.

use super::*;

/// Claims that every authenticator of this file accepts.
fn claims() -> Value {
    json!({"exp": now() + 60, "pgfan": {"subscribe": ["a"]}})
}

async fn is_refused(what: &str, authenticator: &Authenticator, token: &str) {
    let refused = authenticator.with_token(token, &()).await;
    assert_eq!(refused, Err(AuthError::Token), "{what}");
}

fn by_rsa() -> Authenticator {
    let keys = Keys::of_pem(RSA_PUBLIC.as_bytes()).unwrap();
    authenticator(KeySource::fixed(keys), Rules::default())
}

fn rsa_signed(header: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    signed(
        &header.to_string(),
        &claims.to_string(),
        &key,
        Algorithm::RS256,
    )
}

#[tokio::test]
async fn what_all_of_them_differ_from_is_taken() {
    let token = of_secret(&json!({"alg": "HS256"}), &claims());
    assert!(
        by_secret(Rules::default())
            .with_token(&token, &())
            .await
            .is_ok()
    );
    let token = rsa_signed(&json!({"alg": "RS256"}), &claims());
    assert!(by_rsa().with_token(&token, &()).await.is_ok());
}

#[tokio::test]
async fn no_algorithm_at_all() {
    let body = base64(claims().to_string().as_bytes());
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64(json!({"alg": algorithm}).to_string().as_bytes());
        let token = of_secret(&json!({"alg": "HS256"}), &claims());
        let signature = token.rsplit('.').next().unwrap();
        for token in [
            format!("{header}.{body}."),
            format!("{header}.{body}"),
            format!("{header}.{body}.{signature}"),
        ] {
            is_refused(algorithm, &by_secret(Rules::default()), &token).await;
            is_refused(algorithm, &by_rsa(), &token).await;
        }
    }
}

/// The public key is known to every attacker, so it must not work as a secret.
#[tokio::test]
async fn the_public_key_as_a_secret() {
    let der = RSA_PUBLIC.lines().filter(|line| !line.starts_with('-'));
    let der = base64::engine::general_purpose::STANDARD.decode(der.collect::<String>());
    let trimmed = RSA_PUBLIC.trim_end().as_bytes().to_vec();
    for secret in [RSA_PUBLIC.as_bytes().to_vec(), trimmed, der.unwrap()] {
        let key = EncodingKey::from_secret(&secret);
        for (name, algorithm) in [("HS256", Algorithm::HS256), ("HS512", Algorithm::HS512)] {
            let header = json!({"alg": name}).to_string();
            let token = signed(&header, &claims().to_string(), &key, algorithm);
            is_refused(name, &by_rsa(), &token).await;
        }
        // Signed with HS256, but the header names an algorithm of the public key.
        let header = json!({"alg": "RS256"}).to_string();
        let token = signed(&header, &claims().to_string(), &key, Algorithm::HS256);
        is_refused("RS256", &by_rsa(), &token).await;
    }
}

#[tokio::test]
async fn a_key_that_the_token_brings_itself() {
    let own = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = EncodingKey::from_ed_pem(own.serialize_pem().as_bytes()).unwrap();
    let jwk = jwk(&own, "mine", json!({}));
    for offer in [
        json!({"jwk": jwk}),
        json!({"jku": "https://evil.example/jwks.json"}),
        json!({"x5u": "https://evil.example/certificate.pem"}),
        json!({"x5c": [base64(&own.public_key_pem().into_bytes())]}),
        json!({"kid": "mine", "jwk": jwk}),
    ] {
        let mut header = json!({"alg": "EdDSA"});
        header
            .as_object_mut()
            .unwrap()
            .extend(offer.as_object().unwrap().clone());
        let token = signed(
            &header.to_string(),
            &claims().to_string(),
            &key,
            Algorithm::EdDSA,
        );
        is_refused(&offer.to_string(), &by_secret(Rules::default()), &token).await;
        is_refused(&offer.to_string(), &by_rsa(), &token).await;
        let keys = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let keys = Keys::of_pem(keys.public_key_pem().as_bytes()).unwrap();
        let of_its_kind = authenticator(KeySource::fixed(keys), Rules::default());
        is_refused(&offer.to_string(), &of_its_kind, &token).await;
    }
}

#[tokio::test]
async fn times_that_are_missing_or_odd_or_over() {
    let later = now() + 60;
    for times in [
        json!({}),
        json!({"exp": null}),
        json!({"exp": "4102444800"}),
        json!({"exp": -1}),
        json!({"exp": [later]}),
        json!({"exp": 0}),
        json!({"exp": now() - 1}),
        json!({"exp": later, "nbf": later}),
        json!({"exp": later, "nbf": "0"}),
    ] {
        let token = of_secret(&json!({"alg": "HS256"}), &times);
        is_refused(&times.to_string(), &by_secret(Rules::default()), &token).await;
    }
}

#[tokio::test]
async fn a_claim_or_a_header_that_stands_there_twice() {
    let key = EncodingKey::from_secret(SECRET);
    let later = now() + 60;
    let (header, exp) = (r#"{"alg":"HS256"}"#, format!(r#""exp":{later}"#));
    for (header, claims) in [
        (header, format!(r#"{{"exp":1,{exp}}}"#)),
        (header, format!(r#"{{{exp},"exp":1}}"#)),
        (
            header,
            format!(r#"{{{exp},"pgfan":[],"pgfan":["subscribe:**"]}}"#),
        ),
        (r#"{"alg":"none","alg":"HS256"}"#, format!("{{{exp}}}")),
        (
            r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
            format!("{{{exp}}}"),
        ),
    ] {
        let token = signed(header, &claims, &key, Algorithm::HS256);
        is_refused(&claims, &by_secret(Rules::default()), &token).await;
    }
}

#[tokio::test]
async fn a_token_that_was_changed_or_cut() {
    let token = of_secret(&json!({"alg": "HS256"}), &claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let more = base64(
        json!({"exp": now() + 60, "pgfan": ["subscribe:**"]})
            .to_string()
            .as_bytes(),
    );
    for token in [
        format!("{header}.{more}.{signature}"),
        format!("{message}."),
        message.to_owned(),
        format!("{token}=="),
        format!("{token}."),
        format!(" {token}"),
        format!("{token}\n"),
        token.replace('.', "%2E"),
        "..".to_owned(),
        String::new(),
        "\u{1F600}.\u{1F600}.\u{1F600}".to_owned(),
    ] {
        is_refused(&token, &by_secret(Rules::default()), &token).await;
    }
}

#[tokio::test]
async fn one_that_is_too_long_though_it_is_right() {
    let token = |length: usize| {
        let claims = json!({"exp": now() + 60, "filler": "x".repeat(length)});
        of_secret(&json!({"alg": "HS256"}), &claims)
    };
    let fits = token(24_000);
    assert!(fits.len() < MAX_TOKEN);
    assert!(
        by_secret(Rules::default())
            .with_token(&fits, &())
            .await
            .is_ok()
    );
    for length in [24_600, 1 << 20] {
        is_refused("too long", &by_secret(Rules::default()), &token(length)).await;
    }
}

#[tokio::test]
async fn a_demand_of_the_header_that_is_not_understood() {
    for demand in [json!(null), json!(["b64"]), json!(["exp"]), json!([])] {
        let header = json!({"alg": "HS256", "crit": demand, "b64": false});
        let token = of_secret(&header, &claims());
        is_refused(&demand.to_string(), &by_secret(Rules::default()), &token).await;
    }
}

#[tokio::test]
async fn channels_that_cannot_be_read() {
    for channels in [json!(7), json!(["subscribe:ord*"]), json!({"publish": [7]})] {
        let claims = json!({"exp": now() + 60, "pgfan": channels});
        let token = of_secret(&json!({"alg": "HS256"}), &claims);
        is_refused(&channels.to_string(), &by_secret(Rules::default()), &token).await;
    }
}
