//! Signatures of tokens, made with the cryptography that TLS already brings.
//!
//! `jsonwebtoken` checks the claims and leaves signatures to a provider. Each of its
//! own providers would bring a second cryptography library.

use std::sync::Once;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, new_error},
    signature::{self, Signer, Verifier},
};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        self as schemes, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding,
        RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use x509_cert::der::{Decode as _, Reader as _, SliceReader, asn1::UintRef};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        let scheme = of_one_family(*algorithm, key.family())?;
        let (algorithm, key) = (*algorithm, key.clone());
        Ok(Box::new(Signing {
            algorithm,
            scheme,
            key,
        }))
    },
    verifier_factory: |algorithm, key| {
        let scheme = of_one_family(*algorithm, key.family())?;
        let (algorithm, key) = (*algorithm, key.clone());
        Ok(Box::new(Verifying {
            algorithm,
            scheme,
            key,
        }))
    },
    // Only needed to make JWKs, which pgfan does not.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Installs the provider. Must be called before the first use of a key.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The program installs no other provider.
        let _ = PROVIDER.install_default();
    });
}

/// The scheme of `algorithm`, if it is of this family: a public key is never used as a
/// secret.
fn of_one_family(algorithm: Algorithm, family: AlgorithmFamily) -> Result<Scheme, Error> {
    let scheme = scheme(algorithm).filter(|_| algorithm.family() == family);
    scheme.ok_or_else(|| new_error(ErrorKind::InvalidAlgorithm))
}

/// Length of a signature of this key, if it is known (RFC 7518, section 3; RFC 8037).
/// A signature of another length needs no verification.
pub(super) fn signature_bytes(algorithm: Algorithm, key: &DecodingKey) -> Option<usize> {
    match scheme(algorithm)? {
        Scheme::Hmac(algorithm) => Some(algorithm.digest_algorithm().output_len()),
        Scheme::Rsa(..) => match key.kind() {
            DecodingKeyKind::SecretOrDer(der) => modulus_bytes(der),
            DecodingKeyKind::RsaModulusExponent { n, .. } => {
                Some(n.iter().skip_while(|byte| **byte == 0).count())
            }
        },
        Scheme::Ec(..) if algorithm == Algorithm::ES384 => Some(96),
        Scheme::Ec(..) | Scheme::Ed(_) => Some(64),
    }
}

/// Length of the modulus of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn modulus_bytes(der: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(der).ok()?;
    let modulus = reader.sequence(|reader| {
        let modulus = UintRef::decode(reader)?.as_bytes().len();
        UintRef::decode(reader)?;
        Ok(modulus)
    });
    modulus.ok()
}

struct Verifying {
    algorithm: Algorithm,
    scheme: Scheme,
    key: DecodingKey,
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (self.key.kind(), &self.scheme) {
            (DecodingKeyKind::SecretOrDer(secret), Scheme::Hmac(algorithm)) => {
                hmac::verify(&hmac::Key::new(*algorithm, secret), message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), Scheme::Rsa(parameters, _)) => {
                UnparsedPublicKey::new(*parameters, key).verify(message, signature)
            }
            (DecodingKeyKind::RsaModulusExponent { n, e }, Scheme::Rsa(parameters, _)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (
                DecodingKeyKind::SecretOrDer(key),
                Scheme::Ec(algorithm, _) | Scheme::Ed(algorithm),
            ) => UnparsedPublicKey::new(*algorithm, key).verify(message, signature),
            (DecodingKeyKind::RsaModulusExponent { .. }, _) => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

struct Signing {
    algorithm: Algorithm,
    scheme: Scheme,
    key: EncodingKey,
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let (key, random) = (self.key.as_bytes(), SystemRandom::new());
        match &self.scheme {
            Scheme::Hmac(algorithm) => {
                let tag = hmac::sign(&hmac::Key::new(*algorithm, key), message);
                Ok(tag.as_ref().to_vec())
            }
            Scheme::Rsa(_, encoding) => sign_rsa(key, *encoding, &random, message),
            Scheme::Ec(_, algorithm) => {
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, key, &random);
                let pair = pair.map_err(|_| signature::Error::new())?;
                let signed = pair.sign(&random, message);
                let signed = signed.map_err(|_| signature::Error::new())?;
                Ok(signed.as_ref().to_vec())
            }
            Scheme::Ed(_) => {
                // A key made by OpenSSL does not include its public part.
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key);
                let pair = pair.map_err(|_| signature::Error::new())?;
                Ok(pair.sign(message).as_ref().to_vec())
            }
        }
    }
}

fn sign_rsa(
    key: &[u8],
    encoding: &'static dyn RsaEncoding,
    random: &SystemRandom,
    message: &[u8],
) -> Result<Vec<u8>, signature::Error> {
    let pair = rsa::KeyPair::from_der(key).map_err(|_| signature::Error::new())?;
    let mut signed = vec![0; pair.public().modulus_len()];
    pair.sign(encoding, random, message, &mut signed)
        .map_err(|_| signature::Error::new())?;
    Ok(signed)
}

/// Signature scheme (RFC 7518, section 3, and RFC 8037). RSA keys have at least 2048
/// bits.
enum Scheme {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters, &'static dyn RsaEncoding),
    Ec(
        &'static dyn VerificationAlgorithm,
        &'static EcdsaSigningAlgorithm,
    ),
    Ed(&'static dyn VerificationAlgorithm),
}

fn scheme(algorithm: Algorithm) -> Option<Scheme> {
    use Algorithm::*;
    let scheme = match algorithm {
        HS256 => Scheme::Hmac(hmac::HMAC_SHA256),
        HS384 => Scheme::Hmac(hmac::HMAC_SHA384),
        HS512 => Scheme::Hmac(hmac::HMAC_SHA512),
        RS256 => Scheme::Rsa(
            &schemes::RSA_PKCS1_2048_8192_SHA256,
            &schemes::RSA_PKCS1_SHA256,
        ),
        RS384 => Scheme::Rsa(
            &schemes::RSA_PKCS1_2048_8192_SHA384,
            &schemes::RSA_PKCS1_SHA384,
        ),
        RS512 => Scheme::Rsa(
            &schemes::RSA_PKCS1_2048_8192_SHA512,
            &schemes::RSA_PKCS1_SHA512,
        ),
        PS256 => Scheme::Rsa(&schemes::RSA_PSS_2048_8192_SHA256, &schemes::RSA_PSS_SHA256),
        PS384 => Scheme::Rsa(&schemes::RSA_PSS_2048_8192_SHA384, &schemes::RSA_PSS_SHA384),
        PS512 => Scheme::Rsa(&schemes::RSA_PSS_2048_8192_SHA512, &schemes::RSA_PSS_SHA512),
        ES256 => Scheme::Ec(
            &schemes::ECDSA_P256_SHA256_FIXED,
            &schemes::ECDSA_P256_SHA256_FIXED_SIGNING,
        ),
        ES384 => Scheme::Ec(
            &schemes::ECDSA_P384_SHA384_FIXED,
            &schemes::ECDSA_P384_SHA384_FIXED_SIGNING,
        ),
        EdDSA => Scheme::Ed(&schemes::ED25519),
        // `Algorithm` may gain more variants.
        _ => return None,
    };
    Some(scheme)
}
