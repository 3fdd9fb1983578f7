//! Remedies for impossible settings.

use tempfile::TempDir;

use crate::support::{gateway_process::pgfan, program::run};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_to_be_created() {
    let home = TempDir::new().unwrap();
    let root = home.path().join(".postgresql/root.crt");
    let root = format!("database: sslrootcert: {}: does not exist", root.display());
    let authority = "put the certificate of the server's authority into that file, or name the one";
    let create =
        "create the file, or give the path of one that exists: --token-secret-file FILE,…\n";
    for (flag, value, says, remedy) in [
        (
            "--token-secret-file",
            "/nonexistent/a",
            "--token-secret-file: /nonexistent/a: No",
            create,
        ),
        (
            "--config",
            "/nonexistent/b",
            "/nonexistent/b: No such file",
            "create it, or name one that exists: --config FILE, or PGFAN_CONFIG\n",
        ),
        (
            "--config",
            "/dev/zero",
            "/dev/zero: larger than 1 MiB",
            "name a file of settings: --config FILE",
        ),
        (
            "--database-url",
            "host=h user=u sslmode=verify-full",
            root.as_str(),
            authority,
        ),
        (
            "--database-url",
            "host=h user=u sslmode=verify-ca sslrootcert=/nonexistent/c",
            "database: sslrootcert: /nonexistent/c: No such file",
            authority,
        ),
    ] {
        let mut command = pgfan();
        let ended = run(command
            .env("HOME", home.path())
            .args(["check", flag, value]))
        .await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        let place = format!("fail  settings    {says}");
        let place = lines.iter().position(|line| line.starts_with(&place));
        let place = place.unwrap_or_else(|| panic!("no {says:?} in {ended:?}"));
        let below = format!("{}\n", lines[place + 1]);
        assert!(
            below.trim_start().starts_with(&format!("remedy: {remedy}")),
            "{below:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_place_of_its_file_is_not_repeated() {
    for command in ["check", "serve"] {
        let mut pgfan = pgfan();
        pgfan.arg(command);
        pgfan.env("PGFAN_TOKEN_SECRET_FILE", "canary-".repeat(10));
        let ended = run(&mut pgfan).await;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains("canary"), "{said}");
        let rule = "PGFAN_TOKEN_SECRET_FILE: No such file or directory";
        assert!(said.contains(rule), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_in_is_to_be_built() {
    let mut command = pgfan();
    command.args(["check", "--otlp-endpoint", "http://127.0.0.1:4317"]);
    command.envs([
        ("OTEL_METRIC_EXPORT_INTERVAL", "5"),
        ("OTEL_METRICS_EXPORTER", "x"),
    ]);
    let ended = run(&mut command).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let expected = match cfg!(feature = "otlp") {
        true => [
            "OTEL_METRICS_EXPORTER: \"x\" is neither otlp nor none",
            "give OTEL_METRICS_EXPORTER=none, or leave it out",
        ],
        false => [
            "--otlp-endpoint: this pgfan was built without the feature `otlp`",
            "build with --features otlp, or leave it out",
        ],
    };
    let [says, remedy] = expected;
    let lines = format!("fail  settings    {says}\n{:<18}remedy: {remedy}\n", "");
    assert!(ended.stdout.contains(&lines), "{ended:?}");
}
