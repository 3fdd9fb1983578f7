//! Certificates for tests of TLS: authorities, servers and clients.

use std::{
    fs,
    ops::Range,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};

/// A certificate and its key, in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Issued {
    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Certificate authority; `sslrootcert` names its certificate.
pub struct Authority {
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let (params, key) = (params(name, &[], true), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    /// A server's certificate for these host names and addresses.
    pub fn server(&self, hosts: &[&str]) -> Issued {
        self.sign("server", hosts, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// PostgreSQL's method `cert` takes the common name for the user.
    pub fn client(&self, user: &str) -> Issued {
        self.sign(user, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, name: &str, hosts: &[&str], usage: ExtendedKeyUsagePurpose) -> Issued {
        self.signed(params(name, hosts, false), usage)
    }

    /// A server's certificate that is valid at these times.
    pub fn server_at(&self, hosts: &[&str], valid: Range<SystemTime>) -> Issued {
        let params = valid_at(params("server", hosts, false), valid);
        self.signed(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate that is valid at these times.
    pub fn client_at(&self, user: &str, valid: Range<SystemTime>) -> Issued {
        let params = valid_at(params(user, &[], false), valid);
        self.signed(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn signed(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Issued {
        let key = KeyPair::generate().unwrap();
        params.extended_key_usages = vec![usage];
        Issued::new(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

/// Self-signed CA certificate, as `openssl req -x509` makes it.
pub fn self_signed(hosts: &[&str]) -> Issued {
    let key = KeyPair::generate().unwrap();
    let params = params("self-signed", hosts, true);
    Issued::new(&params.self_signed(&key).unwrap(), &key)
}

fn params(name: &str, hosts: &[&str], is_authority: bool) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|host| host.to_string()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = match is_authority {
        true => IsCa::Ca(BasicConstraints::Unconstrained),
        false => IsCa::ExplicitNoCa,
    };
    params
}

fn valid_at(mut params: CertificateParams, valid: Range<SystemTime>) -> CertificateParams {
    (params.not_before, params.not_after) = (valid.start.into(), valid.end.into());
    params
}

/// A file with exactly these permissions.
pub fn write(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}
