//! Dates and names of certificates: the port's own, its client authorities',
//! and those configured for the database.

use std::time::SystemTime;

use super::Finding;
use crate::{
    certificate::{Certificate, Standing},
    config::Config,
    source::conninfo::ConnInfo,
    transport::Tls,
};

const SUBJECT: &str = "certificate";

const RENEW: &str = "write the renewed certificate and its key into their files: that takes no \
                     restart; where the clock is wrong, set it";

/// One finding for the port, and one for each other certificate with a fault.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let now = SystemTime::now();
    let port = config.tls.iter().flat_map(|tls| of_port(tls, now));
    port.chain(of_database(&config.database, now)).collect()
}

fn of_port(tls: &Tls, now: SystemTime) -> Vec<Finding> {
    let [own, authorities] = tls.certificates();
    let mut findings = Vec::new();
    let mut own = (1..).zip(own);
    if let Some((_, first)) = own.next() {
        findings.push(of_server(first.as_ref(), now));
    }
    let others = own.map(|others| ("--tls-cert", others));
    let authorities = (1..).zip(authorities);
    let authorities = authorities.map(|others| ("--tls-client-ca", others));
    for (flag, (number, certificate)) in others.chain(authorities) {
        let faulty = |certificate: Certificate| {
            let fault = certificate.fault(now)?;
            let says = format!("certificate {number} of {flag}: {fault}");
            let remedy = "have it replaced by its authority's new one: clients that look at it \
                          refuse those below it";
            Some(Finding::warn(SUBJECT, says, remedy))
        };
        findings.extend(certificate.and_then(faulty));
    }
    findings
}

fn of_server(certificate: Option<&Certificate>, now: SystemTime) -> Finding {
    let Some(certificate) = certificate else {
        let says = "the dates of --tls-cert cannot be read";
        let remedy = "look at it: openssl x509 -noout -text -in FILE";
        return Finding::warn(SUBJECT, says, remedy);
    };
    let says = match certificate.fault(now) {
        None => certificate.to_string(),
        Some(fault) => format!("{}: {fault}", certificate.names()),
    };
    match certificate.standing(now) {
        Standing::Good if certificate.has_names() => Finding::ok(SUBJECT, says),
        Standing::Good => {
            let remedy = "have it issued with its host names (subjectAltName): clients look at \
                          nothing else";
            Finding::warn(SUBJECT, says, remedy)
        }
        Standing::Ending => Finding::warn(SUBJECT, says, RENEW),
        Standing::NotYet | Standing::Expired => Finding::fail(SUBJECT, says, RENEW),
    }
}

fn of_database(database: &ConnInfo, now: SystemTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dated in database.certificates() {
        let Some((standing, says)) = dated.fault(now) else {
            continue;
        };
        let (keyword, is_valid) = (dated.keyword, standing.is_valid());
        findings.push(match keyword {
            "sslcert" if !is_valid => {
                let remedy = "renew it: the server refuses it; where the clock is wrong, set it";
                Finding::fail(keyword, says, remedy)
            }
            "sslcert" => Finding::warn(keyword, says, "renew it: the server refuses it then"),
            _ => {
                let remedy = "put the authority's new certificate beside it: libpq refuses the \
                              server by this one";
                Finding::warn(keyword, says, remedy)
            }
        });
    }
    findings
}
