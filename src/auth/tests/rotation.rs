//! Rotating keys in a file.

use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::advance,
};

use super::*;

struct Document(NamedTempFile);

impl Document {
    fn of(keys: &[&Named]) -> Self {
        let document = Self(NamedTempFile::new().unwrap());
        document.put(keys);
        document
    }

    fn put(&self, keys: &[&Named]) {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| jwk(&key.pair, key.id, json!({})))
            .collect();
        std::fs::write(self.0.path(), json!({"keys": keys}).to_string()).unwrap();
    }

    fn authenticator(&self) -> Authenticator {
        let source = KeySource::jwks_file(self.0.path()).unwrap();
        authenticator(source, Rules::default())
    }
}

struct Named {
    pair: KeyPair,
    id: &'static str,
}

impl Named {
    fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self { pair, id }
    }

    fn token(&self) -> String {
        self.token_as(self.id)
    }

    /// A token that names another key.
    fn token_as(&self, id: &str) -> String {
        let key = SigningKey::of_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        let wish = Wish {
            key_id: Some(id.to_owned()),
            ..wish("a")
        };
        mint(&key, &wish, &Rules::default()).unwrap()
    }
}

const REFUSED: Result<Arc<Grant>, AuthError> = Err(AuthError::Token);

#[tokio::test(start_paused = true)]
async fn a_new_key_in_the_file_is_found_when_a_token_names_it_but_not_at_any_rate() {
    let (old, new) = (Named::new("old"), Named::new("new"));
    let document = Document::of(&[&old]);
    let authenticator = document.authenticator();
    let (by_old, by_new) = (old.token(), new.token());
    assert!(authenticator.with_token(&by_old, &()).await.is_ok());
    assert_eq!(authenticator.with_token(&by_new, &()).await, REFUSED);
    document.put(&[&new]);
    advance(Duration::from_secs(9)).await;
    assert_eq!(authenticator.with_token(&by_new, &()).await, REFUSED);
    advance(Duration::from_secs(1)).await;
    assert!(authenticator.with_token(&by_new, &()).await.is_ok());
    assert_eq!(authenticator.with_token(&by_old, &()).await, REFUSED);
    // A key name is not used as a path: this one would lead to the old key.
    let tricks = ["../../dev/null", "new' OR '1'='1", "/dev/null", "old\0", ""];
    for id in tricks {
        advance(Duration::from_secs(10)).await;
        let refused = authenticator.with_token(&new.token_as(id), &()).await;
        assert_eq!(refused, REFUSED, "{id}");
    }
}

/// Even if no token names an unknown key.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_withdrawn_is_trusted_ten_minutes_longer_and_no_more() {
    let (old, new) = (Named::new("old"), Named::new("new"));
    let document = Document::of(&[&old]);
    let authenticator = document.authenticator();
    tokio::spawn(authenticator.clone().keep_fresh());
    tokio::task::yield_now().await;
    document.put(&[&new]);
    let by_old = old.token();
    let begun = tokio::time::Instant::now();
    while authenticator.with_token(&by_old, &()).await.is_ok() {
        advance(Duration::from_secs(1)).await;
    }
    let trusted = begun.elapsed().as_secs();
    assert!((600..=611).contains(&trusted), "{trusted} s");
    assert!(authenticator.with_token(&new.token(), &()).await.is_ok());
}

/// The known keys stay: making the document unavailable neither withdraws a key nor
/// adds one.
#[tokio::test(start_paused = true)]
async fn a_document_that_turns_bad_changes_nothing() {
    let (old, new) = (Named::new("old"), Named::new("new"));
    let document = Document::of(&[&old]);
    let authenticator = document.authenticator();
    tokio::spawn(authenticator.clone().keep_fresh());
    tokio::task::yield_now().await;
    std::fs::write(document.0.path(), "{\"keys\":").unwrap();
    for _ in 0..130 {
        advance(Duration::from_secs(10)).await;
    }
    assert!(authenticator.with_token(&old.token(), &()).await.is_ok());
    assert_eq!(authenticator.with_token(&new.token(), &()).await, REFUSED);
}

/// The result of the request is kept for the next client.
#[tokio::test]
async fn who_leaves_before_the_answer_has_nobody_ask_again() {
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", provider.local_addr().unwrap());
    let source = KeySource::jwks_url(Url::parse(&url, false).unwrap());
    let authenticator = authenticator(source, Rules::default());
    let key = Named::new("a");
    let token = key.token();
    let (mut asked, _) = select! {
        answer = authenticator.with_token(&token, &()) => panic!("{answer:?}"),
        accepted = provider.accept() => accepted.unwrap(),
    };
    let answer = async {
        let _ = asked.read(&mut [0; 1024]).await.unwrap();
        let keys = json!({"keys": [jwk(&key.pair, key.id, json!({}))]}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", keys.len());
        asked.write_all((head + &keys).as_bytes()).await.unwrap();
        pending::<()>().await
    };
    select! {
        grant = authenticator.with_token(&token, &()) => assert!(grant.is_ok(), "{grant:?}"),
        _ = provider.accept() => panic!("it was asked again"),
        () = answer => {}
    }
}

/// All clients without a token share one grant, and one more after a reload.
#[test]
fn all_who_have_no_token_share_a_grant() {
    let auth = Authenticator::new(Config::open(false));
    let before = auth.without_token().unwrap();
    assert!(Arc::ptr_eq(&before, &auth.without_token().unwrap()));
    auth.reload(Config::open(true));
    let [one, other] = [(); 2].map(|()| auth.reauthorize(&before).unwrap());
    assert!(Arc::ptr_eq(&one, &other) && !Arc::ptr_eq(&one, &before));
    let now = [one.version(), before.version() + 1];
    assert_eq!(now, [auth.version(); 2]);
}
