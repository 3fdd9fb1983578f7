//! The configured sources of keys.

use std::{path::Path, sync::Arc};

use super::{
    FileError, Keys, SigningKey, Url,
    jwks::{self, Place, Rotating},
    key_file,
    keys::KeyFingerprint,
    token::{Checked, Rules, TokenError, Unchecked},
    toll::Toll,
};

/// Sources of the keys for tokens.
#[derive(Debug)]
pub struct KeySource(Vec<Source>);

/// One source, fixed or rotating.
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

    /// Combines two sources: tokens signed with a key of either are accepted, as while
    /// one source replaces the other.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The keys of each source, as far as they are known.
    pub(super) fn current(&self) -> Vec<Arc<Keys>> {
        let current = |source: &Source| match source {
            Source::Fixed(keys) => Arc::clone(keys),
            Source::Rotating(rotating) => rotating.current(),
        };
        self.0.iter().map(current).collect()
    }

    /// Checks a token with the known keys and, if these do not match, with reloaded
    /// keys of the rotating sources; these never contain a shared secret.
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

    /// The keys, after another load of the rotating sources if no known key is named
    /// `id`.
    async fn with(&self, id: Option<&str>) -> Vec<Arc<Keys>> {
        for rotating in self.rotating() {
            rotating.with(id).await;
        }
        self.current()
    }

    /// Whether this key is given directly in the settings.
    pub(super) fn is_fixed(&self, key: KeyFingerprint) -> bool {
        let mut sources = self.0.iter();
        sources.any(|source| matches!(source, Source::Fixed(keys) if keys.contains(key)))
    }

    /// The rotating sources.
    pub(super) fn rotating(&self) -> impl Iterator<Item = &Arc<Rotating>> {
        self.0.iter().filter_map(|source| match source {
            Source::Rotating(rotating) => Some(rotating),
            Source::Fixed(_) => None,
        })
    }

    /// Whether the key of the token may be one that was not fetched yet.
    pub(super) fn may_miss(&self, token: &Unchecked<'_>) -> bool {
        self.are_missing() && !token.is_of_secret()
    }

    /// Whether a source has no keys yet.
    pub(super) fn are_missing(&self) -> bool {
        self.rotating()
            .any(|rotating| rotating.current().is_empty())
    }

    /// A file with a shared secret; a line end at its end is not part of it.
    ///
    /// # Errors
    /// The file cannot be read, or the secret is too short.
    pub fn secret_file(path: &Path) -> Result<Self, FileError> {
        Ok(Self::fixed(Keys::of_secret(&key_file::read_secret(path)?)?))
    }

    /// A PEM file with one public key.
    ///
    /// # Errors
    /// The file cannot be read, or contains something else.
    pub fn pem_file(path: &Path) -> Result<Self, FileError> {
        Ok(Self::fixed(Keys::of_pem(&key_file::read(path)?)?))
    }

    /// A file with a JWKS document, which may change.
    ///
    /// # Errors
    /// The file cannot be read now, or contains something else.
    pub fn jwks_file(path: &Path) -> Result<Self, FileError> {
        let keys = jwks::read(path)?;
        let place = Place::File(path.to_owned());
        Ok(Self::changing(Rotating::new(place, keys)))
    }

    /// A JWKS document at a URL, which need not be available yet.
    pub fn jwks_url(url: Url) -> Self {
        Self::changing(Rotating::new(Place::Url(url), Keys::default()))
    }

    fn changing(rotating: Rotating) -> Self {
        Self(vec![Source::Rotating(Arc::new(rotating))])
    }
}

impl SigningKey {
    /// A file with a shared secret; a line end at its end is not part of it.
    ///
    /// # Errors
    /// The file cannot be read, or the secret is too short.
    pub fn of_secret_file(path: &Path) -> Result<Self, FileError> {
        let secret = key_file::read_secret(path)?;
        Keys::of_secret(&secret)?;
        Ok(Self::of_secret(&secret))
    }

    /// A PEM file with one private key.
    ///
    /// # Errors
    /// The file cannot be read, or contains something else.
    pub fn of_pem_file(path: &Path) -> Result<Self, FileError> {
        Ok(Self::of_pem(&key_file::read(path)?)?)
    }
}
