//! JWKS documents as identity providers publish them, with unusable entries.

use super::*;

fn of(document: &Value) -> Result<Keys, KeyError> {
    Keys::of_jwks(document.to_string().as_bytes())
}

/// How `entry` is reported next to a good key, which remains usable.
fn left_out(entry: Value) -> Option<(String, bool)> {
    let good = jwk(
        &KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        "good",
        json!({}),
    );
    let keys = of(&json!({"keys": [entry, good], "more": {"x": 1}})).unwrap();
    assert!(keys.named(Some("good")).next().is_some());
    let [one] = keys.left_out() else { return None };
    Some((one.to_string(), one.is_fault()))
}

#[test]
fn an_entry_that_cannot_be_used_leaves_the_others() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let own = |more: Value| jwk(&pair, "own", more);
    let rsa = |bytes: usize| {
        let modulus = base64(&vec![0xc3; bytes]);
        json!({"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "own"})
    };
    let point = base64(&[7; 32]);
    let ec =
        |crv: &str, x: &str| json!({"kty": "EC", "crv": crv, "x": x, "y": point, "kid": "own"});
    for (entry, expected, is_fault) in [
        (json!("a"), "key 1 is not an object", true),
        (json!(null), "key 1 is not an object", true),
        (json!([own(json!({}))]), "key 1 is not an object", true),
        (
            own(json!({"kid": 7})),
            "key 1 has a `kid` that is not a text",
            true,
        ),
        (
            own(json!({"alg": ["EdDSA"]})),
            "has a `alg` that is not a text",
            true,
        ),
        (own(json!({"x": 7})), "has a `x` that is not a text", true),
        (
            own(json!({"use": "enc"})),
            "(`kid` \"own\") is for another purpose",
            false,
        ),
        (
            own(json!({"key_ops": ["encrypt"]})),
            "is for another purpose",
            false,
        ),
        (
            own(json!({"alg": "RSA-OAEP"})),
            "has an `alg` that is none of its kind",
            false,
        ),
        (
            own(json!({"kty": "AKP"})),
            "(`kty` \"AKP\", `crv` \"Ed25519\")",
            true,
        ),
        (
            own(json!({"kty": null})),
            "(`kty` missing, `crv` \"Ed25519\")",
            true,
        ),
        (
            own(json!({"crv": "Ed448"})),
            "(`kty` \"OKP\", `crv` \"Ed448\")",
            true,
        ),
        (
            own(json!({"x": "AAAA"})),
            "has a part that is missing or cannot be read",
            true,
        ),
        (own(json!({"x": "!".repeat(43)})), "cannot be read", true),
        (
            ec("secp256k1", &point),
            "(`kty` \"EC\", `crv` \"secp256k1\")",
            true,
        ),
        (ec("P-256", &point[..42]), "cannot be read", true),
        (ec("P-384", &point), "cannot be read", true),
        (
            rsa(128),
            "has 1024 bits, and RSA keys have 2048 to 8192",
            true,
        ),
        (rsa(1025), "has 8200 bits", true),
        (
            json!({"kty": "RSA", "e": "AQAB"}),
            "key 1 has a part that is missing",
            true,
        ),
        (
            json!({"kty": "oct", "k": "AA"}),
            "key 1 is a shared secret",
            true,
        ),
        (
            own(json!({"kty": "a\n\u{1b}[31m".repeat(30)})),
            "(`kty` \"a\\n\\u{1b}[31m",
            true,
        ),
    ] {
        let (said, fault) = left_out(entry.clone()).unwrap_or_else(|| panic!("{entry}"));
        assert!(said.contains(expected), "{entry}: {said}");
        assert!(
            said.len() < 300 && !said.contains(['\n', '\u{1b}']),
            "{said}"
        );
        assert_eq!(fault, is_fault, "{entry}");
    }
}

/// Members that are not read may have any value.
#[test]
fn what_is_not_needed_may_be_of_any_kind() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    for more in [
        json!({"x5c": "a text"}),
        json!({"x5c": [7], "x5t": 7, "x5t#S256": {}, "x5u": []}),
        json!({"use": "sig", "key_ops": ["verify", 7], "alg": "EdDSA", "iat": 1.5}),
        json!({"use": null, "key_ops": null, "alg": null, "ext": "true"}),
    ] {
        assert_eq!(left_out(jwk(&pair, "own", more.clone())), None, "{more}");
    }
    for bytes in [256, 512, 1024] {
        let modulus = base64(&vec![0xc3; bytes]);
        assert_eq!(
            left_out(json!({"kty": "RSA", "n": modulus, "e": "AQAB"})),
            None
        );
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let document = json!({"keys": [jwk(&pair, "a", json!({}))]}).to_string();
    let marked = [&b"\xef\xbb\xbf"[..], document.as_bytes()].concat();
    assert!(
        Keys::of_jwks(&marked)
            .unwrap()
            .are(&Keys::of_jwks(document.as_bytes()).unwrap())
    );
    let twice = [&b"\xef\xbb\xbf"[..], &marked].concat();
    assert!(matches!(
        Keys::of_jwks(&twice),
        Err(KeyError::NotJwks { .. })
    ));
    for text in [
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        "\"keys\"",
    ] {
        let error = Keys::of_jwks(text.as_bytes());
        assert!(
            matches!(error, Err(KeyError::NotJwks { .. })),
            "{text}: {error:?}"
        );
    }
}
