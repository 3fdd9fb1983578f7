//! Forms of addresses and origins that users write, and the log line that reports that the
//! gateway serves.

use serde_json::Value;

use crate::support::{
    Database,
    gateway_process::{libpq_variables, pgfan},
    program::{Program, run},
};

const SECRET: (&str, &str) = ("PGFAN_TOKEN_SECRET", "a-secret-of-thirty-two-bytes-or-more");

/// `pgfan serve` with these arguments and variables, up to its line `serving`.
async fn serving(
    database: &Database,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Program, String) {
    let mut command = pgfan();
    command.arg("serve").args(arguments);
    command.envs(libpq_variables(&database.url));
    command.env("PGPASSWORD", "s3cret-canary");
    let mut program = Program::start(command.envs(variables.iter().copied()));
    let line = program.stderr.line("serving").await;
    (program, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_be_short() {
    let database = Database::new().await;
    for (listen, start, variables) in [
        ("0", "serving address=127.0.0.1:", &[][..]),
        ("localhost:0", "serving address=127.0.0.1:", &[]),
        ("[::1]:0", "serving address=[::1]:", &[]),
        // An address other than the loopback requires tokens.
        (":0", "serving address=0.0.0.0:", &[SECRET]),
    ] {
        let (_, line) = serving(&database, &["--listen", listen], variables).await;
        assert!(line.contains(start), "{listen}: {line}");
    }
    let mut command = pgfan();
    command.args(["serve", "--listen", ":8000"]);
    let ended = run(command.env("PGUSER", "me")).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let rule = "--listen: \"0.0.0.0:8000\": whoever reaches this address could read every channel";
    assert!(ended.stderr.starts_with(rule), "{ended:?}");
    assert!(ended.stderr.contains("127.0.0.1:8000"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_line_names_database_role_and_tokens() {
    let database = Database::new().await;
    let libpq = libpq_variables(&database.url);
    let [host, port, user, name] = libpq.map(|(_, value)| value);
    for (variables, tokens) in [
        (&[][..], "not checked"),
        (&[SECRET], "required"),
        (&[SECRET, ("PGFAN_ANONYMOUS", "on")], "optional"),
    ] {
        let (program, line) = serving(&database, &["--listen", "0"], variables).await;
        let fields =
            format!("database=\"{host}:{port}/{name}\" role=\"{user}\" tokens=\"{tokens}\"");
        assert!(line.contains(&fields), "{line}");
        assert!(!program.stderr.text().contains("s3cret"), "{line}");
    }
    let arguments = ["--listen", "0", "--log-format", "json"];
    let (_, line) = serving(&database, &arguments, &[]).await;
    let object: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["database"], format!("{host}:{port}/{name}"));
    assert_eq!(object["role"], user);
    assert_eq!(object["tokens"], "not checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_refused_is_told_as_it_should_be() {
    for (origin, told) in [
        (
            "https://App.example/",
            "PGFAN_ALLOW_ORIGIN: \"https://app.example\" is how browsers write it",
        ),
        (
            "*",
            "PGFAN_ALLOW_ORIGIN: \"*\": `*` is not taken: a page of any site could",
        ),
        (
            "null",
            "PGFAN_ALLOW_ORIGIN: \"null\": every page in a sandbox",
        ),
    ] {
        let mut command = pgfan();
        command
            .env("PGFAN_ALLOW_ORIGIN", origin)
            .env("PGUSER", "me");
        let ended = run(command.arg("serve")).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with(told), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_argument_is_told_by_its_number() {
    for (arguments, number) in [
        (&["serve", "s3cret"][..], 2),
        (&["publish", "a", "b", "s3cret"], 4),
        (&["s3cret", "serve"], 1),
    ] {
        let ended = run(pgfan().args(arguments)).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with("error: un"), "{ended:?}");
        let told = format!("'…' is argument {number}, which may hold a secret\n");
        assert!(ended.stderr.ends_with(&told), "{ended:?}");
        assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
    }
    // A typing error still gets a suggestion.
    let ended = run(pgfan().arg("serv")).await;
    assert!(ended.stderr.contains("'serv'") && ended.stderr.contains("'serve'"));
}
