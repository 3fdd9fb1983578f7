//! Keys from where the settings say.

use std::{path::Path, sync::Arc};

use super::{
    FileError, Keys, SigningKey, Url,
    jwks::{self, Place, Rotating},
    small_file,
};

/// Where the keys for tokens come from.
#[derive(Debug)]
pub struct KeySource(pub(super) Source);

/// Whether they may change.
#[derive(Debug)]
pub(super) enum Source {
    Fixed(Arc<Keys>),
    Rotating(Arc<Rotating>),
}

impl KeySource {
    /// Keys that never change.
    pub fn fixed(keys: Keys) -> Self {
        Self(Source::Fixed(Arc::new(keys)))
    }

    /// The secret in a file, without the line's end.
    ///
    /// # Errors
    /// It cannot be read, or is too short.
    pub fn secret_file(path: &Path) -> Result<Self, FileError> {
        Ok(Self::fixed(Keys::of_secret(&small_file::read_secret(
            path,
        )?)?))
    }

    /// A PEM file with one public key.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn pem_file(path: &Path) -> Result<Self, FileError> {
        Ok(Self::fixed(Keys::of_pem(&small_file::read(path)?)?))
    }

    /// A JWKS document, which may change.
    ///
    /// # Errors
    /// It cannot be read now, or holds something else.
    pub fn jwks_file(path: &Path) -> Result<Self, FileError> {
        let keys = jwks::read(path)?;
        let place = Place::File(path.to_owned());
        Ok(Self(Source::Rotating(Arc::new(Rotating::new(place, keys)))))
    }

    /// A JWKS document on the network, which need not be there yet.
    pub fn jwks_url(url: Url) -> Self {
        let rotating = Rotating::new(Place::Url(url), Keys::default());
        Self(Source::Rotating(Arc::new(rotating)))
    }
}

impl SigningKey {
    /// The secret in a file, without the line's end.
    ///
    /// # Errors
    /// It cannot be read, or is too short.
    pub fn of_secret_file(path: &Path) -> Result<Self, FileError> {
        let secret = small_file::read_secret(path)?;
        Keys::of_secret(&secret)?;
        Ok(Self::of_secret(&secret))
    }

    /// A PEM file with one private key.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn of_pem_file(path: &Path) -> Result<Self, FileError> {
        Ok(Self::of_pem(&small_file::read(path)?)?)
    }
}
