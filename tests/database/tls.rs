//! TLS and passwords, as libpq's settings describe them: what each setting connects to,
//! and the messages of failures.

use crate::{
    secured::{Secured, reach},
    support::{
        Database, TestGateway, Wire,
        certificates::{Authority, self_signed},
        post,
    },
};

fn assert_says(said: &str, expected: &str, case: &str) {
    assert!(
        said.contains(expected),
        "{case}: {said:?}, not {expected:?}"
    );
}

/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS>
#[tokio::test(flavor = "multi_thread")]
async fn each_sslmode_checks_what_libpq_checks() {
    let server = Secured::new().await;
    let good = format!("sslrootcert={}", server.root());
    let stranger = server.file("bad.crt", &Authority::new("bad").certificate);
    let bad = format!("sslrootcert={stranger}");
    let (none, name) = ("", "names are read from subjectAltName");
    let table = [
        ("disable", none, "db.test", "plain"),
        ("allow", none, "db.test", "plain"),
        ("prefer", none, "db.test", "TLSv1.3"),
        ("prefer", &bad, "wrong.test", "TLSv1.3"),
        ("require", none, "wrong.test", "TLSv1.3"),
        ("require", &good, "wrong.test", "TLSv1.3"),
        ("require", &bad, "db.test", "UnknownIssuer"),
        ("verify-ca", none, "db.test", "mistake: sslrootcert"),
        ("verify-ca", &good, "wrong.test", "TLSv1.3"),
        ("verify-ca", &bad, "db.test", "UnknownIssuer"),
        ("verify-full", none, "db.test", "mistake: sslrootcert"),
        ("verify-full", &good, "db.test", "TLSv1.3"),
        ("verify-full", &good, "127.0.0.1", "TLSv1.3"),
        ("verify-full", &good, "wrong.test", name),
        ("verify-full", &bad, "db.test", "UnknownIssuer"),
    ];
    for (mode, root, host, expected) in table {
        let settings = server.settings("trusting", host, &format!("sslmode={mode} {root}"));
        assert_says(&reach(&settings, &[]).await, expected, &settings);
    }
}

/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-SSLMODE>
#[tokio::test(flavor = "multi_thread")]
async fn two_modes_try_the_other_way_too() {
    let server = Secured::new().await;
    let table = [
        ("tlsonly", "disable", "28000"),
        ("tlsonly", "allow", "TLSv1.3"),
        ("plainonly", "prefer", "plain"),
        ("plainonly", "require", "28000"),
        ("nobody", "allow", "the other way about TLS"),
        ("nobody", "prefer", "the other way about TLS"),
    ];
    for (user, mode, expected) in table {
        let said = server.reach(user, &format!("sslmode={mode}")).await;
        assert_says(&said, expected, &format!("{user} {mode}"));
    }
    let plain = Database::new().await;
    for (mode, expected) in [("prefer", "plain"), ("require", "does not support TLS")] {
        let url = format!("{}?sslmode={mode}", plain.url);
        assert_says(&reach(&url, &[]).await, expected, mode);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_its_certificate() {
    let server = Secured::new().await;
    let (own, another) = ("certuser", "another");
    let table = [
        (server.good.client(own), "TLSv1.3 /CN=certuser"),
        (server.good.client(another), "28000"),
        (Authority::new("bad").client(own), "UnknownCA"),
    ];
    for (certificate, expected) in table {
        let shown = server.shown(&certificate);
        let said = server.reach(own, &format!("sslmode=require {shown}")).await;
        assert_says(&said, expected, "with a certificate");
    }
    let said = server.reach(own, "sslmode=require").await;
    assert_says(&said, "28000", "without one");
}

/// Made by `openssl req -x509`; TLS libraries reject it as a server's certificate, and
/// libpq accepts it.
#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_authority_is_its_own_root() {
    let leaf = self_signed(&["db.test"]);
    let server = Secured::with(Authority::new("good"), &leaf).await;
    let own = server.file("own.crt", &leaf.certificate);
    let other = server.root();
    let table = [
        ("require", "", "db.test", "TLSv1.3"),
        ("verify-ca", own.as_str(), "wrong.test", "TLSv1.3"),
        ("verify-full", own.as_str(), "db.test", "TLSv1.3"),
        ("verify-full", own.as_str(), "wrong.test", "subjectAltName"),
        (
            "verify-ca",
            other.as_str(),
            "db.test",
            "put this very certificate",
        ),
    ];
    for (mode, root, host, expected) in table {
        let more = format!("sslmode={mode} sslrootcert='{root}'");
        let said = reach(&server.settings("trusting", host, &more), &[]).await;
        assert_says(&said, expected, &more);
    }
}

/// <https://www.postgresql.org/docs/current/libpq-pgpass.html>
#[tokio::test(flavor = "multi_thread")]
async fn the_password_comes_from_where_libpq_looks() {
    let server = Secured::new().await;
    let line = "other:*:*:*:x\ndb.test:*:postgres:scram:s3\\:cr\\\\et\n";
    let (file, open) = (
        server.file("pass", line),
        server.file_with("open", line, 0o644),
    );
    let (with, none) = (format!("passfile={file}"), "password missing");
    let table = [
        (with.clone(), "TLSv1.3"),
        (format!("{with} channel_binding=require"), "TLSv1.3"),
        (
            format!("{with} channel_binding=require sslmode=disable"),
            "channel binding",
        ),
        (format!("passfile={open}"), none),
        (r"password='s3:cr\\et'".to_owned(), "TLSv1.3"),
        ("password=wrong".to_owned(), "28P01"),
        (String::new(), none),
    ];
    for (more, expected) in table {
        assert_says(&server.reach("scram", &more).await, expected, &more);
    }
    let elsewhere = server.settings("scram", "elsewhere.test", &with);
    assert_says(&reach(&elsewhere, &[]).await, none, "another host's line");
    let settings = server.settings("scram", "db.test", "");
    for variable in [("PGPASSFILE", file.as_str()), ("PGPASSWORD", r"s3:cr\et")] {
        assert_says(&reach(&settings, &[variable]).await, "TLSv1.3", variable.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_hears_over_mutual_tls() {
    let server = Secured::new().await;
    let shown = server.shown(&server.good.client("certuser"));
    let more = format!("sslmode=verify-full sslrootcert={} {shown}", server.root());
    let url = server.settings("certuser", "db.test", &more);
    let gateway = TestGateway::starting(&url, &[("allow-publish", "on")]);
    gateway.ready().await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    server.database.notify("a", "over TLS").await;
    assert_eq!(reader.event().await.1, "over TLS");
    let answer = post(gateway.address, "/v1/channels/a", "back").await;
    assert_eq!(answer.status, 204);
    assert_eq!(reader.event().await.1, "back");
    let sql = "SELECT bool_and(client_dn = '/CN=certuser') FROM pg_stat_ssl \
               JOIN pg_stat_activity USING (pid) WHERE application_name = 'pgfan'";
    let row = server.database.client.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0), "every session of the gateway");
}
