//! What `pgfan serve` does not start with, and `pgfan token`.

use crate::{
    attempts::{Outcome, Wire, publish},
    support::{
        Database,
        gateway_process::{GatewayProcess, pgfan},
        get,
        program::{Ended, run},
    },
    tokens::SECRET,
};

const KEY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/security/keys/rsa.private.pem"
);
const PUBLIC: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/security/keys/rsa.public.pem"
);

type Pairs<'a> = &'a [(&'a str, &'a str)];

async fn ends(arguments: &[&str], variables: Pairs<'_>) -> Ended {
    let mut command = pgfan();
    command.args(arguments).envs(variables.iter().copied());
    run(&mut command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_no_door_to_a_network_by_itself() {
    let listen = ["serve", "--listen", "0.0.0.0:0"];
    let ended = ends(&listen, &[]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let rule = "--listen: \"0.0.0.0:0\": whoever reaches this address could read every channel: ";
    assert!(ended.stderr.starts_with(rule), "{ended:?}");
    let secret = [
        ("PGFAN_TOKEN_SECRET", SECRET),
        ("PGFAN_ALLOW_PUBLISH", "on"),
    ];
    let ended = ends(&listen, &secret).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("PGFAN_ALLOW_PUBLISH: only on a loopback"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_out_loud_is_said_again() {
    let database = Database::new().await;
    let variables = [
        ("DATABASE_URL", database.url.as_str()),
        ("PGFAN_ANONYMOUS", "on"),
    ];
    let mut command = pgfan();
    command
        .args(["serve", "--listen", "0.0.0.0:0"])
        .envs(variables);
    let mut program = crate::support::program::Program::start(&mut command);
    program.stderr.line("serving address=0.0.0.0:").await;
    program
        .stderr
        .line("everybody who reaches this address is let in (--anonymous)")
        .await;
    let mut command = pgfan();
    command.env("DATABASE_URL", &database.url);
    let gateway = GatewayProcess::serve(command.args(["serve", "--token-secret", SECRET])).await;
    let log = gateway.program.stderr.text();
    assert!(
        log.contains("--token-secret: the arguments of a process are public"),
        "{log}"
    );
    assert!(!log.contains(SECRET));
}

/// With the settings of the gateway, or the private key of its public key.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_pgfan_token_is_taken_for_what_it_says() {
    let database = Database::new().await;
    let rules = [
        ("PGFAN_TOKEN_AUDIENCE", "pgfan"),
        ("PGFAN_TOKEN_ISSUER", "me"),
        ("PGFAN_TOKEN_CLAIM", "/a/b"),
    ];
    let secret = [("PGFAN_TOKEN_SECRET", SECRET)];
    let key = [("PGFAN_TOKEN_KEY_FILE", PUBLIC)];
    let cases: [(_, &[&str]); 2] = [(secret, &[]), (key, &["--key-file", KEY])];
    for (keys, signing) in cases {
        let database_url = [("DATABASE_URL", database.url.as_str())];
        let variables = [&rules[..], &keys, &database_url].concat();
        let gateway = GatewayProcess::with_variables(&variables).await;
        gateway.ready().await;
        let arguments = [
            "--publish",
            "orders.*,stock",
            "--subscribe",
            "a",
            "--expires",
            "1m",
        ];
        let mut wanted = pgfan();
        wanted
            .envs(rules)
            .envs(keys)
            .arg("token")
            .args(arguments)
            .args(signing);
        let ended = run(&mut wanted).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let token = ended.stdout.trim_end();
        for (channel, expected) in [
            ("orders.new", Outcome::Published),
            ("stock", Outcome::Published),
            ("a", Outcome::Refused(403)),
        ] {
            let outcome = publish(Wire::Http, gateway.address, Some(token), channel, "x").await;
            assert_eq!(outcome, expected, "{channel}");
        }
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(
            get(gateway.address, "/v1/sse?channel=stock", &headers)
                .await
                .status,
            403
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pgfan_token_says_what_is_missing() {
    let cases: [(&[&str], Pairs<'_>, &str); 4] = [
        (&["token"], &[], "nothing to sign with: "),
        (&["token", "--key-file", PUBLIC], &[], "--key-file: "),
        (
            &["token"],
            &[("PGFAN_TOKEN_SECRET", "s3cret")],
            "PGFAN_TOKEN_SECRET: a shared secret",
        ),
        (
            &["token", "--subscribe", "ord*"],
            &[],
            "error: invalid value 'ord*'",
        ),
    ];
    for (arguments, variables, expected) in cases {
        let ended = ends(arguments, variables).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with(expected), "{ended:?}");
        assert!(!ended.stderr.contains("s3cret") && ended.stdout.is_empty());
    }
}
