use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::{checking, fails, found};
use crate::support::{
    Database,
    certificates::{Authority, Issued, write},
    program::{Ended, run},
    tls::{Certificates, HOST},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate as `openssl x509 -req` makes it without a file of extensions.
const VERSION_1: [&str; 2] = [
    include_str!("keys/version1.certificate.pem"),
    include_str!("keys/version1.key.pem"),
];

async fn check(certificates: &Certificates, more: &[(&str, &str)]) -> Ended {
    let database = Database::new().await;
    let mut command = checking(&database.url);
    for (name, path) in certificates.settings() {
        command.args([format!("--{name}"), path]);
    }
    for (name, value) in more {
        command.args([format!("--{name}"), (*value).to_owned()]);
    }
    run(&mut command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_dates_and_names_are_told() {
    let certificates = Certificates::new();
    let now = SystemTime::now();
    let put = |from, until| {
        let hosts = [HOST, "127.0.0.1"];
        let issued = certificates.authority.server_at(&hosts, from..until);
        certificates.put(&issued);
    };
    put(now - DAY, now + 89 * DAY);
    let ended = check(&certificates, &[]).await;
    let line = found(&ended, "ok", "certificate");
    assert!(line.starts_with("pgfan.test, 127.0.0.1: from 2"), "{line}");
    assert!(
        line.contains("Z until 2") && ended.status.success(),
        "{ended:?}"
    );
    put(now - 80 * DAY, now + 10 * DAY);
    let ended = check(&certificates, &[]).await;
    let line = found(&ended, "warn", "certificate");
    assert!(
        line.starts_with("pgfan.test, 127.0.0.1: it expires at 2"),
        "{line}"
    );
    assert!(
        line.contains("remedy: ") && ended.status.success(),
        "{ended:?}"
    );
    put(now - 80 * DAY, now - DAY);
    let ended = check(&certificates, &[]).await;
    fails(
        &ended,
        "certificate",
        &["it expired at 2", "clock", "takes no restart"],
    );
    put(now + DAY, now + 2 * DAY);
    let ended = check(&certificates, &[]).await;
    fails(&ended, "certificate", &["it is valid from 2", "clock"]);
    certificates.put(&certificates.authority.server(&[]));
    let ended = check(&certificates, &[]).await;
    let line = found(&ended, "warn", "certificate");
    assert!(
        line.contains("no host: from ") && line.contains("subjectAltName"),
        "{line}"
    );
}

/// The authorities of the server's certificate, and those of client
/// certificates.
#[tokio::test(flavor = "multi_thread")]
async fn so_are_the_others_that_are_not_valid() {
    let certificates = Certificates::new();
    let now = SystemTime::now();
    let authority = &certificates.authority;
    let own = authority.server_at(&[HOST], now - DAY..now + 89 * DAY);
    let old = authority.server_at(&["old"], now - 2 * DAY..now - DAY);
    certificates.put(&Issued {
        certificate: format!("{}{}", own.certificate, old.certificate),
        key: own.key,
    });
    let clients = authority.client_at("ann", now - 2 * DAY..now - DAY);
    certificates.write(
        "ca",
        &format!("{}{}", authority.certificate, clients.certificate),
    );
    let ended = check(
        &certificates,
        &[("tls-client-ca", &certificates.path("ca"))],
    )
    .await;
    found(&ended, "ok", "certificate");
    for flag in ["--tls-cert", "--tls-client-ca"] {
        let line = format!("warn  certificate certificate 2 of {flag}: it expired at 2");
        assert!(ended.stdout.contains(&line), "{ended:?}");
    }
    assert!(ended.status.success(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_told_with_its_own_remedy() {
    let certificates = Certificates::new();
    let good = certificates.authority.server(&[HOST]);
    let foreign = certificates.authority.server(&[HOST]);
    let [certificate, key] = VERSION_1.map(str::to_owned);
    let version_1 = Issued { certificate, key };
    for (certificate, key, says) in [
        (
            &version_1.certificate,
            &version_1.key,
            [
                "is of X.509 version 1",
                "remedy: have it issued with its host names",
            ],
        ),
        (
            &good.certificate,
            &foreign.key,
            [
                "not the key of the certificate in",
                "remedy: give the two that belong together",
            ],
        ),
        (
            &format!("{}{}", foreign.certificate, good.certificate),
            &good.key,
            [
                "certificate 1 is not the one of the key, but certificate 2 is",
                "remedy: put the server's own certificate first",
            ],
        ),
    ] {
        certificates.write("cert", certificate);
        certificates.write("key", key);
        let ended = check(&certificates, &[]).await;
        fails(&ended, "settings", &says);
        for word in [
            "Other(",
            "invalid peer",
            "UnsupportedCertVersion",
            "can read",
        ] {
            assert!(!ended.stdout.contains(word), "{ended:?}");
        }
    }
}

/// The client certificate for the database, if the connection uses TLS.
#[tokio::test(flavor = "multi_thread")]
async fn the_databases_are_looked_at_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let now = SystemTime::now();
    let authority = Authority::new("roots");
    let roots = authority
        .client_at("root", now - 2 * DAY..now - DAY)
        .certificate;
    let put = |name: &str, text: &str| {
        write(folder.path(), name, text, 0o600)
            .display()
            .to_string()
    };
    let root = put("root", &format!("{}{roots}", authority.certificate));
    for (dates, verdict, says) in [
        (now - 2 * DAY..now - DAY, "fail", "it expired at 2"),
        (now + DAY..now + 2 * DAY, "fail", "it is valid from 2"),
        (now - 80 * DAY..now + 10 * DAY, "warn", "it expires at 2"),
    ] {
        let own = authority.client_at("ann", dates);
        let (certificate, key) = (put("cert", &own.certificate), put("key", &own.key));
        // No server listens there: only the files are checked.
        let url = format!(
            "host=127.0.0.1 port=1 user=ann sslmode=verify-ca sslcert={certificate} \
             sslkey={key} sslrootcert={root}"
        );
        let ended = run(&mut checking(&url)).await;
        let line = found(&ended, verdict, "sslcert");
        assert!(
            line.starts_with(&format!("certificate 1 in {certificate}: {says}")),
            "{line}"
        );
        assert!(line.contains("remedy: renew it"), "{line}");
        let line = found(&ended, "warn", "sslrootcert");
        assert!(
            line.starts_with(&format!("certificate 2 in {root}: it expired at ")),
            "{line}"
        );
    }
    let own = authority.client("ann");
    let [certificate, foreign] = VERSION_1;
    for (certificate, key, says) in [
        (
            &*own.certificate,
            foreign,
            "the key of sslkey is not the key of its first certificate",
        ),
        (
            certificate,
            foreign,
            "its first certificate is not an X.509 certificate of version 3",
        ),
    ] {
        let (certificate, key) = (put("cert", certificate), put("key", key));
        let url = format!(
            "host=127.0.0.1 port=1 user=ann sslmode=require sslcert={certificate} sslkey={key}"
        );
        let ended = run(&mut checking(&url)).await;
        fails(
            &ended,
            "settings",
            &[says, "remedy: mend what the message names"],
        );
    }
    assert!(fs::exists(&root).unwrap());
}
