use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring;

use super::*;

const HOST: &str = "db.example.com";

/// A certificate for [`HOST`]; `None` as issuer makes it sign itself.
fn certificate(
    ca: bool,
    issuer: Option<&Issuer<'_, KeyPair>>,
    key: &KeyPair,
) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).expect("a valid name");
    params.is_ca = if ca {
        IsCa::Ca(BasicConstraints::Unconstrained)
    } else {
        IsCa::NoCa
    };
    if !ca {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    }
    let made = match issuer {
        Some(issuer) => params.signed_by(key, issuer),
        None => params.self_signed(key),
    };
    made.expect("signing works").der().clone()
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn authority(name: &str) -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = key();
    let root = params
        .self_signed(&key)
        .expect("signing works")
        .der()
        .clone();
    (root, Issuer::new(params, key))
}

fn roots(certificates: &[CertificateDer<'static>]) -> Roots {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone()).expect("a root");
    }
    Roots {
        store,
        certificates: certificates.to_vec(),
    }
}

fn verify(
    check: Check,
    server: &CertificateDer<'_>,
    host: &str,
    now: UnixTime,
) -> Result<(), Error> {
    let verifier = ServerVerifier::new(
        check,
        ring::default_provider().signature_verification_algorithms,
    );
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    verifier
        .verify_server_cert(server, &[], &name, &[], now)
        .map(|_| ())
}

#[test]
fn each_check_believes_as_much_as_it_says() {
    let (root, issuer) = authority("good");
    let (stranger, _) = authority("stranger");
    let server = certificate(false, Some(&issuer), &key());
    let now = UnixTime::now();
    let chain = |root: &CertificateDer<'static>| Check::Chain(roots(std::slice::from_ref(root)));
    let full =
        |root: &CertificateDer<'static>| Check::ChainAndName(roots(std::slice::from_ref(root)));
    for (check, host, accepted) in [
        (Check::Nothing, "other.example.com", true),
        (chain(&root), HOST, true),
        (chain(&root), "other.example.com", true),
        (chain(&stranger), HOST, false),
        (full(&root), HOST, true),
        (full(&root), "other.example.com", false),
        (full(&root), "10.0.0.1", false),
        (full(&stranger), HOST, false),
    ] {
        let text = format!("{check:?} {host}");
        assert_eq!(
            verify(check, &server, host, now).is_ok(),
            accepted,
            "{text}"
        );
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    let (root, issuer) = authority("good");
    let server = certificate(false, Some(&issuer), &key());
    let far = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
    let error = verify(Check::Chain(roots(&[root])), &server, HOST, far).expect_err("expired");
    assert!(
        matches!(
            error,
            Error::InvalidCertificate(CertificateError::ExpiredContext { .. })
        ),
        "{error}"
    );
}

#[test]
fn a_self_signed_certificate_serves_only_as_its_own_root() {
    let server_key = key();
    let now = UnixTime::now();
    for ca in [true, false] {
        let server = certificate(ca, None, &server_key);
        let twin = certificate(ca, None, &server_key);
        assert_ne!(server, twin, "the serial number differs");
        let own = || roots(std::slice::from_ref(&server));
        assert_eq!(
            verify(Check::Chain(own()), &server, "other.example.com", now),
            Ok(())
        );
        assert_eq!(
            verify(Check::ChainAndName(own()), &server, HOST, now),
            Ok(())
        );
        assert!(
            verify(
                Check::ChainAndName(own()),
                &server,
                "other.example.com",
                now
            )
            .is_err()
        );
        let (stranger, _) = authority("stranger");
        assert!(verify(Check::Chain(roots(&[stranger])), &server, HOST, now).is_err());
        let far = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
        assert!(
            verify(Check::Chain(own()), &server, HOST, far).is_err(),
            "expired"
        );
    }
}

#[test]
fn an_authority_that_is_not_the_very_root_is_no_server() {
    let server_key = key();
    let server = certificate(true, None, &server_key);
    let twin = certificate(true, None, &server_key);
    let error = verify(Check::Chain(roots(&[twin])), &server, HOST, UnixTime::now())
        .expect_err("not the root");
    assert!(is_authority_as_server(&error), "{error}");
}
