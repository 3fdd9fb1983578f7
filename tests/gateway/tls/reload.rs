//! A certificate that changes while it is served.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::symlink,
};

use rustix::io::ioctl_fionbio;
use rustls::pki_types::CertificateDer;

use super::Secured;
use crate::support::{
    Database, Reader, Wire,
    certificates::{Authority, Issued},
    gateway_process::{GatewayProcess, pgfan},
    screen,
    tls::{Certificates, HOST, TlsClient, der},
    until,
};

struct Served {
    database: Database,
    certificates: Certificates,
    gateway: GatewayProcess,
}

impl Served {
    async fn new() -> Self {
        let (database, certificates) = (Database::new().await, Certificates::new());
        let mut command = pgfan();
        command.args(["serve", "--database-url", &database.url]);
        for (name, path) in certificates.settings() {
            command.args([format!("--{name}"), path]);
        }
        let gateway = GatewayProcess::serve(&mut command).await;
        Self {
            database,
            certificates,
            gateway,
        }
    }

    /// The certificate that is presented to a new client.
    async fn shown(&self) -> CertificateDer<'static> {
        let client = self.certificates.client();
        let stream = client.connect(self.gateway.address, "").await.unwrap();
        let (_, session) = stream.get_ref();
        session.peer_certificates().unwrap()[0].clone().into_owned()
    }

    async fn until_shown(&self, issued: &Issued) {
        let expected = der(&issued.certificate);
        let is_shown = || async { self.shown().await == expected };
        until("the new certificate is shown", is_shown).await;
    }

    /// The mistake is logged once, and new clients are presented `kept`.
    async fn until_told(&self, mistake: &str, kept: &CertificateDer<'_>) {
        let text = format!("the old certificate is kept: {mistake}");
        let told = || self.gateway.program.stderr.text().matches(&text).count();
        let is_told = || async {
            assert_eq!(self.shown().await, *kept);
            told() > 0
        };
        until(&text, is_told).await;
        assert_eq!(told(), 1, "{text}");
    }

    async fn reader(&self) -> Reader {
        let client = self.certificates.client();
        let socket = client.connect(self.gateway.address, "").await.unwrap();
        let mut reader = Reader::over(socket, Wire::WebSocket, &["a"], None).await;
        reader.ready().await;
        reader
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_gets_the_new_one_and_who_is_there_stays() {
    let mut served = Served::new().await;
    let first = served.shown().await;
    let mut old = served.reader().await;
    let issued = served.certificates.authority.server(&[HOST]);
    assert_ne!(der(&issued.certificate), first);
    served.certificates.put(&issued);
    served.until_shown(&issued).await;
    served.gateway.logged("the certificate has changed").await;
    let mut new = served.reader().await;
    served.database.notify("a", "to both").await;
    assert_eq!(old.event().await.1, "to both");
    assert_eq!(new.event().await.1, "to both");
    served.gateway.stop().await;
}

/// Like tools that write the two files one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_do_is_not_taken_and_the_log_names_it() {
    let mut served = Served::new().await;
    let first = served.shown().await;
    let issued = served.certificates.authority.server(&[HOST]);
    let [cert, key] = ["cert", "key"].map(|name| served.certificates.path(name));
    served.certificates.write("cert", &issued.certificate);
    let mistake = format!("{key}: not the key of the certificate in {cert}");
    served.until_told(&mistake, &first).await;
    served.certificates.write("cert", "");
    let mistake = format!("{cert}: holds no certificate as PEM");
    served.until_told(&mistake, &first).await;
    std::fs::remove_file(&cert).unwrap();
    let mistake = format!("{cert}: No such file");
    served.until_told(&mistake, &first).await;
    served.certificates.put(&issued);
    served.until_shown(&issued).await;
    served.gateway.logged("the certificate has changed").await;
    served.gateway.stop().await;
}

/// Like a hanging disk: here the file is a terminal without input.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_to_its_end_holds_up_nobody() {
    let served = Served::new().await;
    let first = served.shown().await;
    let mut reader = served.reader().await;
    let (screen, terminal) = screen();
    let screen = File::from(screen);
    ioctl_fionbio(&screen, true).unwrap();
    // After a first close, the terminal reports whether a process has it open.
    drop(File::options().read(true).write(true).open(&terminal));
    let is_open = || match (&screen).read(&mut [0; 64]) {
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        Ok(_) => false,
    };
    assert!(!is_open());
    let cert = served.certificates.path("cert");
    fs::remove_file(&cert).unwrap();
    symlink(&terminal, &cert).unwrap();
    until("the file is read", || async {
        assert_eq!(served.shown().await, first);
        is_open()
    })
    .await;
    for _ in 0..20 {
        assert_eq!(served.shown().await, first);
    }
    served.database.notify("a", "meanwhile").await;
    assert_eq!(reader.event().await.1, "meanwhile");
    drop(screen);
    fs::remove_file(&cert).unwrap();
    let issued = served.certificates.authority.server(&[HOST]);
    served.certificates.put(&issued);
    served.until_shown(&issued).await;
    served.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_are_let_in_when_their_authority_changes() {
    let clients = Certificates::new();
    let secured = Secured::starting(&[("tls-client-ca", &clients.path("ca"))]).await;
    let trusted = &secured.certificates.authority;
    let other = Authority::new("other");
    let [old, new] = [&clients.authority, &other]
        .map(|authority| TlsClient::new(trusted, Some(&authority.client("ann"))));
    let is_let_in = async |client| secured.ask(client, "GET", "/up", "").await.is_some();
    assert!(is_let_in(&old).await && !is_let_in(&new).await);
    clients.write("ca", &other.certificate);
    until("the new client is let in", || is_let_in(&new)).await;
    assert!(!is_let_in(&old).await);
}
