//! Certificates that are expired or not valid yet: clients that check dates
//! refuse them, so a valid certificate is never replaced by one of them.

use std::{
    fs,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::pki_types::CertificateDer;
use tempfile::NamedTempFile;

use crate::support::{
    Database, answer_over,
    certificates::{Authority, Issued},
    gateway_process::{GatewayProcess, pgfan},
    tls::{Certificates, HOST, TlsClient, der},
    until,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn expired() -> Range<SystemTime> {
    let now = SystemTime::now();
    now - 90 * DAY..now - DAY
}

fn not_yet() -> Range<SystemTime> {
    let now = SystemTime::now();
    now + DAY..now + 90 * DAY
}

fn good() -> Range<SystemTime> {
    let now = SystemTime::now();
    now - DAY..now + 89 * DAY
}

struct Served {
    certificates: Certificates,
    config: NamedTempFile,
    gateway: GatewayProcess,
    _database: Database,
}

impl Served {
    /// Starts a gateway with a certificate of these dates, and additional
    /// settings.
    async fn with(valid: Range<SystemTime>, more: &str) -> Self {
        let (database, certificates) = (Database::new().await, Certificates::new());
        certificates.put(&certificates.authority.server_at(&[HOST], valid));
        let config = NamedTempFile::new().unwrap();
        let [cert, key] = certificates.settings();
        let text = format!("tls-cert = {:?}\ntls-key = {:?}\n{more}", cert.1, key.1);
        fs::write(&config, text).unwrap();
        let mut command = pgfan();
        command.args(["serve", "--database-url", &database.url, "--config"]);
        let gateway = GatewayProcess::serve(command.arg(config.path())).await;
        Self {
            certificates,
            config,
            gateway,
            _database: database,
        }
    }

    fn issued(&self, valid: Range<SystemTime>) -> Issued {
        self.certificates.authority.server_at(&[HOST], valid)
    }

    async fn hangup(&mut self) {
        self.gateway.program.signal("HUP").await;
        self.gateway.logged("the settings were read again").await;
    }

    /// The certificate that is presented to a client without checks.
    async fn shown(&self) -> CertificateDer<'static> {
        let client = TlsClient::careless();
        let stream = client.connect(self.gateway.address, "").await.unwrap();
        let (_, session) = stream.get_ref();
        session.peer_certificates().unwrap()[0].clone().into_owned()
    }

    async fn until_shown(&self, issued: &Issued) {
        let expected = der(&issued.certificate);
        until("it is shown", || async { self.shown().await == expected }).await;
    }

    /// How often the log reports that the old certificate is kept by this rule.
    fn told(&self, rule: &str) -> usize {
        let log = self.gateway.program.stderr.text();
        let kept = "the old certificate is kept: ";
        let lines = log.lines();
        lines
            .filter(|line| line.contains(kept) && line.contains(rule))
            .count()
    }

    /// The certificate of the file is not served, and the log has reported the
    /// reason once more than `before` the reload.
    async fn keeps(&self, kept: &CertificateDer<'_>, rule: &str, before: usize) {
        until(rule, || async {
            assert_eq!(self.shown().await, *kept);
            self.told(rule) > before
        })
        .await;
        assert_eq!(self.shown().await, *kept);
    }

    async fn metric(&self) -> f64 {
        let socket = TlsClient::careless()
            .connect(self.gateway.address, "")
            .await;
        let answer = answer_over(socket.unwrap(), "GET", "/metrics", &[], "").await;
        let text = String::from_utf8(answer.unwrap().body.to_vec()).unwrap();
        let name = "\npgfan_tls_certificate_expiry_timestamp_seconds ";
        let (_, value) = text.split_once(name).expect("the metric");
        value.lines().next().unwrap().parse().unwrap()
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs() as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_one_is_kept_by_the_watch_and_by_sighup() {
    let valid = good();
    let mut served = Served::with(valid.clone(), "").await;
    let line = served
        .gateway
        .logged("the certificate that is served")
        .await;
    assert!(line.contains(HOST) && line.contains(" until 2"), "{line}");
    let kept = served.shown().await;
    assert_eq!(served.metric().await, seconds(valid.end));
    for (dates, rule) in [
        (expired(), ": it expired at "),
        (not_yet(), ": it is valid from "),
    ] {
        let before = served.told(rule);
        served.certificates.put(&served.issued(dates));
        served.keeps(&kept, rule, before).await;
        let before = served.told(rule);
        served.gateway.program.signal("HUP").await;
        served.keeps(&kept, rule, before).await;
        served.gateway.logged("the settings were read again").await;
    }
    assert_eq!(served.metric().await, seconds(valid.end));
    let later = SystemTime::now() - DAY..SystemTime::now() + 200 * DAY;
    let renewed = served.issued(later.clone());
    served.certificates.put(&renewed);
    served.until_shown(&renewed).await;
    assert_eq!(served.metric().await, seconds(later.end));
    served.gateway.stop().await;
}

/// Its files do not change when it becomes valid.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_valid_yet_is_served_when_it_is() {
    let mut served = Served::with(good(), "").await;
    let kept = served.shown().await;
    // Whole seconds, and late enough that a slow machine sees it refused first.
    let begin = SystemTime::now() + Duration::from_secs(15);
    let renewed = served.issued(begin..begin + 90 * DAY);
    served.certificates.put(&renewed);
    served.keeps(&kept, ": it is valid from ", 0).await;
    served.until_shown(&renewed).await;
    assert!(SystemTime::now() >= begin - Duration::from_secs(1));
    served.gateway.logged("the certificate has changed").await;
    served.gateway.stop().await;
}

/// Refusing it would not help: some clients ignore dates, and a clock may be
/// wrong for a minute after the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_has_no_better_one_serves_it_and_says_so() {
    for (dates, rule) in [
        (expired(), "it expired at "),
        (not_yet(), "it is valid from "),
    ] {
        let mut served = Served::with(dates, "").await;
        let line = served
            .gateway
            .logged("clients refuse the certificate: ")
            .await;
        assert!(line.contains("ERROR") && line.contains(rule), "{line}");
        assert!(line.contains("this machine's clock"), "{line}");
        let renewed = served.issued(good());
        served.certificates.put(&renewed);
        served.until_shown(&renewed).await;
        served.gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_soon_is_told_at_the_start_and_at_each_reload() {
    let now = SystemTime::now();
    let mut served = Served::with(now - 80 * DAY..now + 10 * DAY, "").await;
    let line = served.gateway.logged(": it expires at ").await;
    assert!(line.contains("WARN") && line.contains("remedy="), "{line}");
    for _ in 0..2 {
        served.gateway.program.signal("HUP").await;
        served.gateway.logged(": it expires at ").await;
        served.gateway.logged("the settings were read again").await;
    }
    let certificate = served.issued(good());
    served.certificates.put(&certificate);
    served.hangup().await;
    served.until_shown(&certificate).await;
    let told = served
        .gateway
        .stop()
        .await
        .stderr
        .matches(": it expires at ")
        .count();
    assert_eq!(told, 3, "by the start and two reloads");
}

/// A client authority that was removed is no longer accepted, even if the
/// certificate is not replaced.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_authorities_change_all_the_same() {
    let clients = Certificates::new();
    let more = format!("tls-client-ca = {:?}\n", clients.path("ca"));
    let served = Served::with(good(), &more).await;
    let (trusted, other) = (&served.certificates.authority, Authority::new("other"));
    let [old, new] = [&clients.authority, &other]
        .map(|authority| TlsClient::new(trusted, Some(&authority.client("ann"))));
    let is_let_in = async |client: &TlsClient| {
        let socket = client.connect(served.gateway.address, "").await;
        let Ok(socket) = socket else { return false };
        answer_over(socket, "GET", "/up", &[], "").await.is_some()
    };
    assert!(is_let_in(&old).await && !is_let_in(&new).await);
    served.certificates.put(&served.issued(expired()));
    clients.write("ca", &other.certificate);
    fs::write(&served.config, fs::read(&served.config).unwrap()).unwrap();
    served.gateway.program.signal("HUP").await;
    // This client checks dates, so it connects because the previous certificate
    // is still served.
    until("the new client is let in", || is_let_in(&new)).await;
    assert!(!is_let_in(&old).await);
    served.gateway.stop().await;
}
