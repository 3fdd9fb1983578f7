//! Tokens of `pgfan token`, on a gateway that requires them.

use std::fs;

use base64::{Engine, prelude::BASE64_URL_SAFE as URL_SAFE};
use tempfile::TempDir;

use crate::{
    listen::{WIRES, object},
    support::{
        Database, TestGateway,
        gateway_process::pgfan,
        program::{Ended, Program, command, run},
    },
};

/// A secret of the required length.
const SECRET: &str = "the-secret-of-tests-with-32-bytes-or-more";

async fn token(arguments: &[&str]) -> String {
    let mut command = pgfan();
    command.env("PGFAN_TOKEN_SECRET", SECRET).arg("token");
    let ended = run(command.args(arguments)).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    ended.stdout
}

async fn with_token(token: &str, arguments: &[&str]) -> Ended {
    let mut command = pgfan();
    run(command.env("PGFAN_TOKEN", token).args(arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_in_and_what_it_does_not_grant_is_told() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("token-secret", SECRET)]).await;
    let url = format!("http://{}", gateway.address);
    let token = token(&["--subscribe", "a", "--publish", "a"]).await;
    let mut programs = Vec::new();
    for wire in WIRES {
        let arguments = ["listen", "a", "--via", wire, "--url", &url];
        let without = run(pgfan().args(arguments)).await;
        assert_eq!(without.status.code(), Some(1), "{without:?}");
        let remedy = "(unauthenticated)\ngive a token: --token-file FILE, or PGFAN_TOKEN\n";
        assert!(without.stderr.ends_with(remedy), "{without:?}");
        assert!(!without.stderr.contains("within"), "at once: {without:?}");
        let mut command = pgfan();
        let mut program = Program::start(command.env("PGFAN_TOKEN", &token).args(arguments));
        object(&mut program, "ready").await;
        programs.push(program);
        let other = ["listen", "other", "--via", wire, "--url", &url];
        let other = with_token(&token, &other).await;
        assert_eq!(other.status.code(), Some(1), "{other:?}");
        assert!(other.stderr.contains("(forbidden)"), "{other:?}");
    }
    let published = with_token(&token, &["publish", "a", "x", "--url", &url]).await;
    assert_eq!(published.status.code(), Some(0), "{published:?}");
    for program in &mut programs {
        assert_eq!(object(program, "event").await["payload"], "x");
    }
    let other = with_token(&token, &["publish", "other", "x", "--url", &url]).await;
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert!(other.stderr.contains("(forbidden)"), "{other:?}");
}

/// As docs/migrating.md describes it for users of postgres-websockets.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_base64_is_decoded_as_the_guide_says() {
    let guide = fs::read_to_string("docs/migrating.md").unwrap();
    let (_, decode) = guide.split_once("Decode it into a file: `").unwrap();
    let decode = decode.split('`').next().unwrap().replace("\\|", "|");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("secret");
    // Its base64 contains all three characters that differ in the URL alphabet.
    let secret = "\u{7ff}\u{7ff}\u{7fe}>>>???-the-secret-of-tests-with-32-bytes";
    let encoded = URL_SAFE.encode(secret).replace('=', ".");
    assert!(
        ["-", "_", "."].iter().all(|one| encoded.contains(one)),
        "{encoded}"
    );
    let mut shell = command("/bin/sh");
    let script = format!("printf %s \"$0\" | {decode} > \"$1\"");
    let shell = shell.args(["-c", &script, &encoded]).arg(&file);
    assert_eq!(run(shell).await.status.code(), Some(0));
    assert_eq!(fs::read(&file).unwrap(), secret.as_bytes());

    let database = Database::new().await;
    let settings = [("token-secret-file", file.to_str().unwrap())];
    let gateway = TestGateway::with(&database, &settings).await;
    let mut command = pgfan();
    command.env("PGFAN_TOKEN_SECRET", secret);
    let token = run(command.args(["token", "--publish", "a"])).await.stdout;
    let url = format!("http://{}", gateway.address);
    let published = with_token(&token, &["publish", "a", "x", "--url", &url]).await;
    assert_eq!(published.status.code(), Some(0), "{published:?}");
}

/// Not an error, but rarely intended; only the token goes to a pipe.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_right_is_warned_of() {
    for (arguments, is_warned) in [
        (&[][..], true),
        (&["--expires", "5m"], true),
        (&["--subscribe", "a"], false),
        (&["--publish", "a"], false),
        (&["--metrics"], false),
    ] {
        let mut command = pgfan();
        command.env("PGFAN_TOKEN_SECRET", SECRET).arg("token");
        let ended = run(command.args(arguments)).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
        let warning = "this token may read and publish nothing: give it channels with \
                       --subscribe PATTERN and --publish PATTERN\n";
        assert_eq!(
            ended.stderr,
            if is_warned { warning } else { "" },
            "{arguments:?}"
        );
    }
}

/// The file is renewed before the token in it has expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_token_goes_on_where_the_old_one_ended() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("token-secret", SECRET)]).await;
    let url = format!("http://{}", gateway.address);
    let folder = TempDir::new().unwrap();
    let mut programs = Vec::new();
    for wire in WIRES {
        let file = folder.path().join(wire);
        fs::write(&file, token(&["--subscribe", "a", "--expires", "3s"]).await).unwrap();
        let mut command = pgfan();
        command.args(["listen", "a", "--via", wire, "--url", &url, "--token-file"]);
        let mut program = Program::start(command.arg(&file));
        object(&mut program, "ready").await;
        programs.push((program, file));
    }
    let later = token(&["--subscribe", "a", "--expires", "1h"]).await;
    for (_, file) in &programs {
        fs::write(file, &later).unwrap();
    }
    for (program, _) in &mut programs {
        let lost = object(program, "interrupted").await;
        assert_eq!(lost["code"], "unauthenticated", "{lost}");
    }
    database.notify("a", "meanwhile").await;
    for (program, file) in &mut programs {
        // Before `ready`, or after it if it was still on its way to the gateway.
        let mut heard = Vec::new();
        for _ in 0..2 {
            let line = program.stdout.line("{").await;
            let object: serde_json::Value = serde_json::from_str(&line).unwrap();
            heard.push(object["type"].as_str().unwrap().to_owned());
            assert!(
                object["type"] == "ready" || object["payload"] == "meanwhile",
                "{line}"
            );
        }
        heard.sort();
        assert_eq!(heard, ["event", "ready"], "{file:?}");
    }
}
