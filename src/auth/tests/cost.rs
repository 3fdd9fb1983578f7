//! Cost of checking a token, which happens once for each connection.

use tokio::time::Instant;

use super::*;

const LOOKS: u32 = 200;

/// Limit for the fastest run, because other tests run at the same time. Far above the
/// time of any build, and far below a noticeable delay beside the handshakes of many
/// new clients. The measured time is shown by
/// `cargo test --profile load --lib -- --nocapture a_look_at_a_token`.
const MOST: Duration = Duration::from_millis(20);

fn of_pem(private: &str, public: &str) -> (SigningKey, Keys) {
    let keys = Keys::of_pem(public.as_bytes()).unwrap();
    (SigningKey::of_pem(private.as_bytes()).unwrap(), keys)
}

fn of_pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (SigningKey, Keys) {
    let pair = KeyPair::generate_for(algorithm).unwrap();
    of_pem(&pair.serialize_pem(), &pair.public_key_pem())
}

#[tokio::test]
async fn a_look_at_a_token_costs_little_with_every_kind_of_key() {
    let secret = (
        SigningKey::of_secret(SECRET),
        Keys::of_secret(SECRET).unwrap(),
    );
    for (name, (signing, keys)) in [
        ("HS256", secret),
        ("RS256, 2048 bits", of_pem(RSA_PRIVATE, RSA_PUBLIC)),
        ("ES256", of_pair(&PKCS_ECDSA_P256_SHA256)),
        ("ES384", of_pair(&PKCS_ECDSA_P384_SHA384)),
        ("EdDSA", of_pair(&PKCS_ED25519)),
    ] {
        let authenticator = authenticator(KeySource::fixed(keys), Rules::default());
        let token = mint(&signing, &wish("a.*"), &Rules::default()).unwrap();
        let mut least = Duration::MAX;
        for _ in 0..LOOKS {
            let begun = Instant::now();
            authenticator.with_token(&token, &()).await.unwrap();
            least = least.min(begun.elapsed());
        }
        eprintln!("{name}: {least:?} a token");
        assert!(least < MOST, "{name}: {least:?}");
    }
}
