//! The certificate in use, and its replacement by the one in the files.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::ServerConfig;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{
    error::{CERTIFICATE, Rule, TlsError},
    files::{Found, Own, Stamps, TlsFiles},
};
use crate::{
    certificate::{Certificate, Standing},
    turns::PollTurns,
};

/// State of a TLS port.
#[derive(Clone)]
pub(super) struct Held {
    files: TlsFiles,
    seen: Stamps,
    looked: Instant,
    /// Only one check of the files runs at a time, however long it takes.
    is_looking: bool,
    served: Arc<Found>,
    config: Arc<ServerConfig>,
    /// The certificate in the files if it is not valid yet; used as soon as it is.
    waiting: Option<Own>,
    turns: PollTurns,
}

impl Held {
    pub(super) fn new(
        files: TlsFiles,
        seen: Stamps,
        found: Found,
        turns: PollTurns,
    ) -> Result<Self, Vec<TlsError>> {
        let unfit = |error: rustls::Error| Rule::Unfit(error.to_string());
        let config = found
            .config()
            .map_err(|error| vec![TlsError::new(CERTIFICATE, &files.certificate, unfit(error))])?;
        Ok(Self {
            files,
            seen,
            looked: Instant::now(),
            is_looking: false,
            served: Arc::new(found),
            config: Arc::new(config),
            waiting: None,
            turns,
        })
    }

    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }

    pub(super) fn own(&self) -> &Own {
        &self.served.own
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    pub(super) fn turns(&self) -> PollTurns {
        self.turns.clone()
    }

    pub(super) fn certificates(&self) -> [Vec<Option<Certificate>>; 2] {
        let clients = self.served.clients.as_ref();
        let authorities = clients.map(|clients| clients.authorities.clone());
        [
            self.own().certificates.clone(),
            authorities.unwrap_or_default(),
        ]
    }

    /// The files to check, and their last stamps, if a check is due.
    pub(super) fn begin_look(&mut self, interval: Duration) -> Option<(TlsFiles, Stamps)> {
        if self.is_looking || self.looked.elapsed() < interval {
            return None;
        }
        self.is_looking = true;
        Some((self.files.clone(), self.seen))
    }

    pub(super) fn end_look(&mut self) {
        (self.is_looking, self.looked) = (false, Instant::now());
    }

    /// Applies the result of reading `files`. Invalid files are ignored until they
    /// change again.
    pub(super) fn learn(
        &mut self,
        files: &TlsFiles,
        before: Stamps,
        seen: Stamps,
        found: Result<Found, Vec<TlsError>>,
    ) {
        // The settings were replaced in the meantime, and those files were read
        // later.
        if self.seen != before || self.files != *files {
            return;
        }
        self.seen = seen;
        match found {
            Ok(found) => self.take(found),
            Err(errors) => {
                for error in errors {
                    error!(
                        setting = error.setting,
                        remedy = error.remedy(),
                        "the old certificate is kept: {error}"
                    );
                }
            }
        }
    }

    /// Applies the files and certificates of reloaded settings.
    pub(super) fn become_as(&mut self, other: Self) {
        (self.files, self.seen, self.looked) = (other.files, other.seen, other.looked);
        self.take(Found::clone(&other.served));
    }

    /// Serves the better of the two certificates from now on. The client
    /// authorities are replaced in any case: a removed authority must not stay
    /// trusted because of a bad certificate.
    fn take(&mut self, found: Found) {
        let now = SystemTime::now();
        let Found { own, clients } = found;
        self.waiting = None;
        if is_no_worse(&own, self.own(), now) {
            let is_new = !own.is(self.own());
            self.serve(Found { own, clients });
            if is_new {
                info!(files = ?self.files, "the certificate has changed");
            }
            return self.report();
        }
        let path = self.files.certificate.display();
        let fault = own.certificate().and_then(|new| new.fault(now));
        error!(
            setting = CERTIFICATE,
            remedy = RENEW,
            "the old certificate is kept: {path}: {}",
            fault.unwrap_or_default()
        );
        let kept = self.own().clone();
        self.serve(Found { own: kept, clients });
        self.waiting = (standing(&own, now) == Standing::NotYet).then_some(own);
    }

    /// Serves the waiting certificate once it is valid.
    pub(super) fn promote(&mut self) {
        let now = SystemTime::now();
        let is_due = |own: &mut Own| standing(own, now).is_valid();
        if let Some(own) = self.waiting.take_if(is_due) {
            let clients = self.served.clients.clone();
            self.serve(Found { own, clients });
            info!(files = ?self.files, "the certificate has changed");
            self.report();
        }
    }

    fn serve(&mut self, found: Found) {
        match found.config() {
            Ok(config) => {
                self.config = Arc::new(config);
                self.served = Arc::new(found);
            }
            Err(error) => error!(
                setting = CERTIFICATE,
                "the old certificate is kept: {error}"
            ),
        }
    }

    /// Logs the certificate in use, and any problem with its dates.
    pub(super) fn report(&self) {
        match self.own().certificate() {
            Some(certificate) => info!(%certificate, "the certificate that is served"),
            None => warn!(
                setting = CERTIFICATE,
                "the dates of the certificate cannot be read: see that it is renewed in time"
            ),
        }
        self.remind();
    }

    pub(super) fn remind(&self) {
        let now = SystemTime::now();
        let Some(certificate) = self.own().certificate() else {
            return;
        };
        let Some(fault) = certificate.fault(now) else {
            return;
        };
        let path = self.files.certificate.display();
        match certificate.standing(now).is_valid() {
            true => warn!(setting = CERTIFICATE, remedy = RENEW, "{path}: {fault}"),
            false => error!(
                setting = CERTIFICATE,
                remedy = RENEW,
                "{path}: clients refuse the certificate: {fault}"
            ),
        }
    }
}

const RENEW: &str = "write the renewed certificate and its key into their files: that takes no \
                     restart";

/// A certificate without readable dates counts as valid.
fn standing(own: &Own, now: SystemTime) -> Standing {
    let certificate = own.certificate();
    certificate.map_or(Standing::Good, |certificate| certificate.standing(now))
}

/// Any valid certificate replaces the old one: the operator put it there.
fn is_no_worse(new: &Own, old: &Own, now: SystemTime) -> bool {
    let (new, old) = (standing(new, now), standing(old, now));
    new.is_valid() || new >= old
}
