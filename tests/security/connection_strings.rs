//! Malformed connection strings and unusual passwords: no part of the password is repeated, and the
//! message is still helpful.

mod forms;

use std::fs;

use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;
use tokio::process::Command;

use self::forms::FORMS;
use crate::support::{
    gateway_process::{GatewayProcess, pgfan},
    get, get_h2,
    program::run,
};

/// The password, `PW` in the forms below: letters and digits, so that it can be taken for any part.
const CANARY: &str = "Qz7Xk9Wv3Jp";

/// Number of consecutive characters that count as a part of it.
const PART: usize = 5;

/// Programs that run concurrently: the machine may have few cores.
const AT_ONCE: usize = 4;

/// Checks for parts of the canary, in any case and encoding.
fn is_silent(what: &str, said: &str) {
    let said = said.to_lowercase();
    let canary: Vec<_> = CANARY.to_lowercase().chars().collect();
    for part in canary.windows(PART) {
        let part: String = part.iter().collect();
        let encoded: String = part.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for form in [part, encoded] {
            let line = said.lines().find(|line| line.contains(&form));
            assert_eq!(line, None, "{what}: {form}");
        }
    }
}

const COMMANDS: [&[&str]; 3] = [&["serve"], &["check"], &["triggers", "show"]];

#[derive(Debug, Clone, Copy)]
enum Way {
    Flag,
    Variable,
    OtherVariable,
    File,
}

const WAYS: [Way; 4] = [Way::Flag, Way::Variable, Way::OtherVariable, Way::File];

/// `command` with the connection string `text`, passed in this way; the file is in `folder`.
fn given(command: &[&str], way: Way, text: &str, folder: &TempDir) -> Command {
    let mut pgfan = pgfan();
    pgfan.args(command).env("RUST_LOG", "trace");
    match way {
        Way::Flag => pgfan.args(["--database-url", text]),
        Way::Variable => pgfan.env("DATABASE_URL", text),
        Way::OtherVariable => pgfan.env("PGFAN_DATABASE_URL", text),
        Way::File => {
            let file = tempfile::NamedTempFile::new_in(folder).unwrap();
            // JSON strings are valid TOML.
            let text = serde_json::to_string(text).unwrap();
            fs::write(file.path(), format!("database-url = {text}\n")).unwrap();
            let (_, path) = file.keep().unwrap();
            pgfan.arg("--config").arg(path)
        }
    };
    pgfan
}

/// It does not start, names the rule and the remedy, and repeats no part of the canary.
async fn is_refused(mut command: Command, rule: &str, what: String) {
    let ended = run(&mut command).await;
    let said = format!("{}{}", ended.stdout, ended.stderr);
    is_silent(&what, &said);
    assert!(
        [Some(1), Some(2)].contains(&ended.status.code()),
        "{what}: {said}"
    );
    assert!(said.contains(rule), "{what}: no {rule:?} in {said}");
    assert!(said.contains("remedy: "), "{what}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_20_a_connection_string_that_is_not_understood() {
    assert!(FORMS.len() > 40);
    let folder = TempDir::new().unwrap();
    // Every command with every form, and every way with every command.
    let runs = FORMS.iter().enumerate().flat_map(|(number, form)| {
        let commands = COMMANDS.iter().enumerate();
        commands.map(move |(at, command)| (WAYS[(number + at) % WAYS.len()], *command, form))
    });
    let runs = runs.map(|(way, command, (form, rule))| {
        let text = form.replace("PW", CANARY);
        let what = format!("{command:?} {way:?} {form}");
        is_refused(given(command, way, &text, &folder), rule, what)
    });
    stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
}

/// libpq's own variables, each with a whole connection string or a part of one.
#[tokio::test(flavor = "multi_thread")]
async fn no_connection_string_in_a_variable_of_libpq_is_repeated() {
    let folder = TempDir::new().unwrap();
    let home = folder.path().to_str().unwrap();
    let texts = [
        "postgresql://u:PW@h/d",
        "u:PW@h/d",
        "h;Password=PW",
        "h,password=PW",
    ];
    let names = [
        "PGHOST",
        "PGPORT",
        "PGUSER",
        "PGDATABASE",
        "PGSERVICE",
        "PGSSLMODE",
    ];
    let mut runs = Vec::new();
    for name in names {
        for text in texts {
            for command in COMMANDS {
                let mut pgfan = pgfan();
                pgfan.args(command).env("RUST_LOG", "trace");
                pgfan.env("PGSYSCONFDIR", home).env("HOME", home);
                pgfan.env(name, text.replace("PW", CANARY));
                runs.push(is_refused(
                    pgfan,
                    name,
                    format!("{command:?} {name}={text}"),
                ));
            }
        }
    }
    stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
}

/// Other settings, with a secret in the wrong place.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_in_the_place_of_another_setting_is_repeated() {
    let url = format!("https://u:{CANARY}@h/x?key={CANARY}");
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{CANARY}.{CANARY}");
    let long = format!("{CANARY}{CANARY}{CANARY}");
    let settings = [
        "PGFAN_LISTEN",
        "PGFAN_ADMIN_LISTEN",
        "PGFAN_ALLOW_ORIGIN",
        "PGFAN_TRUSTED_PROXIES",
        "PGFAN_JWKS_URL",
        "PGFAN_JWKS_FILE",
        "PGFAN_TOKEN_KEY_FILE",
        "PGFAN_TOKEN_SECRET_FILE",
        "PGFAN_TLS_CERT",
        "PGFAN_OTLP_ENDPOINT",
        "PGFAN_LOG_FORMAT",
        "PGFAN_LINGER",
        "PGFAN_MAX_READERS",
        "PGFAN_CONSOLE",
        "PGFAN_CONFIG",
    ];
    let mut runs = Vec::new();
    for name in settings {
        for text in [&url, &token, &long] {
            for command in ["serve", "check"] {
                let mut pgfan = pgfan();
                pgfan
                    .arg(command)
                    .env("RUST_LOG", "trace")
                    .env("PGUSER", "u");
                pgfan.env(name, text);
                let rule = match name {
                    "PGFAN_CONFIG" => "the settings file: ",
                    name => name,
                };
                // The setting of an identity provider is a URL.
                if !(name == "PGFAN_JWKS_URL" && text == &url) || rule != name {
                    runs.push(is_refused(pgfan, rule, format!("{command} {name}={text}")));
                }
            }
        }
    }
    stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
}

/// A malformed settings file with the password at any place in it.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_a_settings_file_is_repeated() {
    let folder = TempDir::new().unwrap();
    let mut runs = Vec::new();
    for (number, form) in [
        "database-url = postgresql://u:PW@h/d",
        "database-url = 'postgresql://u:PW@h/d",
        "database-url = \"postgresql://u:\\PW@h/d\"",
        "postgresql://u:PW@h/d",
        "PW",
        "PW = 1",
        "\"u:PW@h\" = 1",
        "PW.PW = 1",
        "[PW]",
        "[database PW]",
        "database-url = 'x' PW",
        "token-secret = PW",
        "token-secret = 'PW'",
        "token-secret = ['PW']",
        "listen = 'x'\nlisten = 'PW'",
        "'PW' = 1\n'PW' = 2",
        "listen = {PW}",
        "listen = 1PW",
    ]
    .iter()
    .enumerate()
    {
        let path = folder.path().join(number.to_string());
        fs::write(&path, form.replace("PW", CANARY)).unwrap();
        for command in COMMANDS {
            let mut pgfan = pgfan();
            pgfan
                .args(command)
                .env("RUST_LOG", "trace")
                .env("PGUSER", "u");
            pgfan.arg("--config").arg(&path);
            runs.push(is_refused(pgfan, ": line ", format!("{command:?} {form}")));
        }
    }
    stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
}

/// A command line that no command understands.
#[tokio::test(flavor = "multi_thread")]
async fn no_argument_that_is_not_understood_is_repeated() {
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{CANARY}.{CANARY}.and-more-than-a-channel-can-have");
    let token = token.as_str();
    let arguments: &[&[&str]] = &[
        &["serve", "PW"],
        &["serve", "u:PW@h/d"],
        &["serve", "postgresql://u:PW@h/d"],
        &["serve", "--database-url", "host=h", "password=PW"],
        &["serve", "--database-url", "host=h", "PGPASSWORD=PW"],
        &["serve", "--password=PW"],
        &["serve", "-PW"],
        &["PGPASSWORD=PW", "serve"],
        &["PW"],
        &["--PW", "serve"],
        &["check", "PW"],
        &["demo", "PW"],
        &["token", "PW"],
        &["token", "--secret", "PW"],
        &["token", "--subscribe", "TOKEN"],
        &["token", "--expires", "u:PW@h"],
        &["token", "--key-file", "TOKEN"],
        &["listen", "--token", "PW", "a"],
        &["listen", "--token=PW", "a"],
        &["listen", "--token-file", "TOKEN", "a"],
        &["listen", "http://u:PW@h"],
        &["listen", "TOKEN"],
        &["listen", "a", "--via", "http://u:PW@h"],
        &["listen", "a", "--url", "http://u:PW@h"],
        &["listen", "a", "--url", "PW"],
        &["publish", "a", "b", "PW"],
        &["publish", "http://u:PW@h", "b"],
        &["health", "PW"],
        &["health", "http://u:PW@h"],
        &["triggers", "PW"],
        &[
            "triggers",
            "install",
            "a",
            "--channel",
            "postgresql://u:PW@h/d",
        ],
        &["completions", "u:PW@h"],
    ];
    let runs = arguments.iter().map(|arguments| async move {
        let text = |argument: &&str| argument.replace("TOKEN", token).replace("PW", CANARY);
        let mut pgfan = pgfan();
        let ended = run(pgfan.args(arguments.iter().map(text))).await;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        is_silent(&format!("{arguments:?}"), &said);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!said.is_empty(), "{arguments:?}");
    });
    stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
}

/// Unusual passwords that libpq accepts: the gateway starts, and reports a missing database.
#[tokio::test(flavor = "multi_thread")]
async fn no_password_of_a_gateway_that_serves_is_told() {
    let pages = ["/metrics", "/v1/status", "/readyz", "/"];
    for (name, form) in [
        (
            "DATABASE_URL",
            "postgresql://u:x?PW#y z;a=b&c@127.0.0.1:1/d",
        ),
        (
            "DATABASE_URL",
            "postgresql://u:%51z7Xk9Wv3J%70@127.0.0.1:1/d",
        ),
        (
            "DATABASE_URL",
            "host=127.0.0.1 port=1 user=u password='a;b c\\'PW'",
        ),
        (
            "PGFAN_DATABASE_URL",
            "postgresql://127.0.0.1:1/d?user=u&password=PW",
        ),
        ("PGPASSWORD", " u:PW@h/d \n"),
    ] {
        let text = form.replace("PW", CANARY);
        let variables = [
            (name, text.as_str()),
            ("RUST_LOG", "trace"),
            ("PGPORT", "1"),
            ("PGHOST", "127.0.0.1"),
        ];
        let mut gateway = GatewayProcess::with_variables(&variables).await;
        gateway.logged("connecting again after a pause").await;
        for page in pages {
            for answer in [
                get(gateway.address, page, &[]).await,
                get_h2(gateway.address, page).await,
            ] {
                is_silent(form, &format!("{:?} {:?}", answer.headers, answer.body));
            }
        }
        let ended = gateway.stop().await;
        assert!(ended.stderr.contains("TRACE"), "{form}: {}", ended.stderr);
        is_silent(form, &format!("{}{}", ended.stdout, ended.stderr));
    }
}
