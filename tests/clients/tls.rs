//! curl, with a TLS library that is not the gateway's: OpenSSL or GnuTLS.

use crate::{
    curl::{between, curl, reading},
    support::{
        Database,
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        program::run,
        tls::{Certificates, HOST},
    },
};

/// The gateway, and curl's arguments for it.
struct Secured {
    database: Database,
    gateway: GatewayProcess,
    certificates: Certificates,
    /// Arguments for the address of its name, and for its authority.
    arguments: [String; 4],
}

impl Secured {
    async fn new(more: &[&str]) -> Self {
        let (database, certificates) = (Database::new().await, Certificates::new());
        let client = certificates.authority.client("ann");
        certificates.write("client", &client.certificate);
        certificates.write("client-key", &client.key);
        let mut command = pgfan();
        command.args(["serve", "--allow-publish"]);
        for (name, path) in certificates.settings() {
            command.args([format!("--{name}"), path]);
        }
        for name in more {
            command.args([format!("--{name}"), certificates.path("ca")]);
        }
        command.envs(libpq_variables(&database.url));
        let gateway = GatewayProcess::serve(&mut command).await;
        let port = gateway.address.port();
        let arguments = [
            "--resolve".to_owned(),
            format!("{HOST}:{port}:127.0.0.1"),
            "--cacert".to_owned(),
            certificates.path("ca"),
        ];
        Self {
            database,
            gateway,
            certificates,
            arguments,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.gateway.address.port())
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = self.arguments.iter().map(String::as_str);
        own.chain(more.iter().copied()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_publishes_pass_on_either_http() {
    let secured = Secured::new(&[]).await;
    let url = secured.url("/v1/sse?channel=a&format=raw");
    let mut readers = Vec::new();
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let status = [flag, "-w", "status: %{http_version} %{http_code}"];
        let reader = reading(&secured.arguments(&status), &url, 1).await;
        readers.push((version, reader));
    }
    secured.database.notify("a", "heard").await;
    let publish = secured.url("/v1/channels/a");
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let status = [flag, "-w", "%{http_version} %{http_code}", "-d", version];
        let ended = run(curl(&secured.arguments(&status)).arg(&publish)).await;
        assert_eq!(ended.stdout, format!("{version} 204"), "{ended:?}");
    }
    for (_, reader) in &mut readers {
        reader.stdout.blocks(4).await;
    }
    secured.gateway.stop().await;
    for (version, reader) in readers {
        let ended = reader.ended().await;
        let data = between(&ended.stdout, "\ndata: ", '\n');
        assert_eq!(data[1..4], ["heard", "1.1", "2"], "{ended:?}");
        let end = format!("status: {version} 200");
        assert!(ended.stdout.ends_with(&end), "{ended:?}");
        // curl would report an end without close_notify as an error.
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_lets_curl_in() {
    let secured = Secured::new(&["tls-client-ca"]).await;
    let url = secured.url("/healthz");
    let [own, key] = ["client", "client-key"].map(|name| secured.certificates.path(name));
    let shown = ["--cert", &own, "--key", &key];
    let ended = run(curl(&secured.arguments(&shown)).arg(&url)).await;
    assert_eq!(ended.stdout, "ok\n", "{ended:?}");
    let ended = run(curl(&secured.arguments(&[])).arg(&url)).await;
    assert_ne!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let plain = secured.gateway.url("/healthz");
    let ended = run(curl(&[]).arg(&plain)).await;
    assert_ne!(ended.status.code(), Some(0), "{ended:?}");
    secured.gateway.stop().await;
}
