//! Attack 35: another user of the machine reads a secret from a file, or writes a key
//! into one.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

use crate::{
    support::{
        Database,
        certificates::write,
        gateway_process::{GatewayProcess, pgfan},
        program::run,
    },
    tokens::SECRET,
};

const PUBLIC: &str = include_str!("keys/rsa.public.pem");

/// The flag, its file, and the error of the file's mode.
fn files(folder: &Path) -> [(&'static str, String, &'static str); 3] {
    let path = |name: &str, text: &str, mode| {
        let path = write(folder, name, text, mode);
        path.display().to_string()
    };
    let settings = format!("token-secret-previous = '{SECRET}-before'\n");
    let read = "others than its owner can read the secret in it";
    let written = "others than its owner can write into it";
    [
        ("--token-secret-file", path("secret", SECRET, 0o644), read),
        ("--token-key-file", path("key", PUBLIC, 0o666), written),
        ("--config", path("pgfan.toml", &settings, 0o604), read),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_35_a_file_that_others_can_read_or_write() {
    let database = Database::new().await;
    let folder = TempDir::new().unwrap();
    let files = files(folder.path());
    let with_files = |command: &str| {
        let mut program = pgfan();
        program.arg(command).env("DATABASE_URL", &database.url);
        for (flag, path, _) in &files {
            program.args([*flag, path]);
        }
        program
    };
    let gateway = GatewayProcess::serve(&mut with_files("serve")).await;
    let log = gateway.stop().await.stderr;
    let checked = run(with_files("check").args(["--listen", "127.0.0.1:0"])).await;
    assert!(
        checked.status.success(),
        "a warning, and no more: {checked:?}"
    );
    for ((flag, path, fault), mode) in files.iter().zip(["0644", "0666", "0604"]) {
        let place = match *flag {
            "--config" => String::new(),
            flag => format!("{flag}: "),
        };
        let says = format!("{place}{path}: its mode is {mode}: {fault}");
        let line = log.lines().find(|line| line.contains(&says));
        let line = line.unwrap_or_else(|| panic!("no {says:?} in {log}"));
        assert!(
            line.contains(" WARN ") && line.contains("chmod go-"),
            "{line}"
        );
        let lines = format!("warn  settings    {says}\n{:<18}remedy: ", "");
        assert!(checked.stdout.contains(&lines), "{lines}: {checked:?}");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(!log.contains("s3cret") && !checked.stdout.contains("s3cret"));
    let checked = run(with_files("check").args(["--listen", "127.0.0.1:0"])).await;
    assert!(!checked.stdout.contains("its mode is"), "{checked:?}");
}

/// Without an audience, the provider's tokens for other programs are valid here.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_an_audience_is_warned_of() {
    let database = Database::new().await;
    let with = |command: &str, audience: Option<&str>| {
        let mut program = pgfan();
        program.arg(command).env("DATABASE_URL", &database.url);
        program.env("PGFAN_JWKS_URL", "http://127.0.0.1:1/jwks");
        program.envs(audience.map(|audience| ("PGFAN_TOKEN_AUDIENCE", audience)));
        program
    };
    let says = "PGFAN_JWKS_URL: tokens that this provider makes for other programs are taken too";
    for (audience, is_warned) in [(None, true), (Some("pgfan"), false)] {
        let gateway = GatewayProcess::serve(&mut with("serve", audience)).await;
        let log = gateway.stop().await.stderr;
        let mut check = with("check", audience);
        let checked = run(check.args(["--listen", "127.0.0.1:0"])).await;
        assert_eq!(log.contains(says), is_warned, "{log}");
        assert_eq!(
            log.contains("give --token-audience TEXT"),
            is_warned,
            "{log}"
        );
        let told = checked
            .stdout
            .contains(&format!("warn  settings    {says}"));
        assert_eq!(told, is_warned, "{checked:?}");
    }
}
