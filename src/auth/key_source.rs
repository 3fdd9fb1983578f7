//! Keys from where the settings say.

use std::{path::Path, sync::Arc};

use super::{
    FileError, Keys, SigningKey, Url,
    jwks::{self, Place, Rotating},
    keys::KeyFingerprint,
    small_file,
    token::{Checked, Rules, TokenError, Unchecked},
    toll::Toll,
};

/// Where the keys for tokens come from.
#[derive(Debug)]
pub struct KeySource(Vec<Source>);

/// Whether they may change.
#[derive(Debug)]
enum Source {
    Fixed(Arc<Keys>),
    Rotating(Arc<Rotating>),
}

impl KeySource {
    /// Keys that never change.
    pub fn fixed(keys: Keys) -> Self {
        Self(vec![Source::Fixed(Arc::new(keys))])
    }

    /// The keys of both: tokens of each of them are taken, as while one takes the
    /// other's place.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The keys of each, as far as they are known.
    pub(super) fn current(&self) -> Vec<Arc<Keys>> {
        let current = |source: &Source| match source {
            Source::Fixed(keys) => Arc::clone(keys),
            Source::Rotating(rotating) => rotating.current(),
        };
        self.0.iter().map(current).collect()
    }

    /// With the keys that are known, and where these do not do after another look
    /// at those that may change: a shared secret is never one of them.
    pub(super) async fn check(
        &self,
        token: &Unchecked<'_>,
        rules: &Rules,
        toll: &mut Toll<'_>,
    ) -> Result<Checked, TokenError> {
        let known = self.current();
        let checked = token.check(&known, rules, toll).await;
        let is_of_another = checked.as_ref().is_err_and(TokenError::is_of_key);
        if !is_of_another || token.is_of_secret() {
            return checked;
        }
        let newer = self.with(token.key_id()).await;
        let mut pairs = known.iter().zip(&newer);
        match pairs.all(|(known, newer)| Arc::ptr_eq(known, newer)) {
            true => checked,
            false => token.check(&newer, rules, toll).await,
        }
    }

    /// The same, after another look where none of them is called `id`.
    async fn with(&self, id: Option<&str>) -> Vec<Arc<Keys>> {
        for rotating in self.rotating() {
            rotating.with(id).await;
        }
        self.current()
    }

    /// Whether this key is given by the settings themselves.
    pub(super) fn is_fixed(&self, key: KeyFingerprint) -> bool {
        let mut sources = self.0.iter();
        sources.any(|source| matches!(source, Source::Fixed(keys) if keys.contains(key)))
    }

    /// Those that may change.
    pub(super) fn rotating(&self) -> impl Iterator<Item = &Arc<Rotating>> {
        self.0.iter().filter_map(|source| match source {
            Source::Rotating(rotating) => Some(rotating),
            Source::Fixed(_) => None,
        })
    }

    /// Whether the token may be of one that is still to be had.
    pub(super) fn may_miss(&self, token: &Unchecked<'_>) -> bool {
        self.are_missing() && !token.is_of_secret()
    }

    /// Whether some are still to be had.
    pub(super) fn are_missing(&self) -> bool {
        self.rotating()
            .any(|rotating| rotating.current().is_empty())
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
        Ok(Self::changing(Rotating::new(place, keys)))
    }

    /// A JWKS document on the network, which need not be there yet.
    pub fn jwks_url(url: Url) -> Self {
        Self::changing(Rotating::new(Place::Url(url), Keys::default()))
    }

    fn changing(rotating: Rotating) -> Self {
        Self(vec![Source::Rotating(Arc::new(rotating))])
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
