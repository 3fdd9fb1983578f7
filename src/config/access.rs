//! Access settings, which are only valid together.

use std::{net::SocketAddr, path::Path, str::FromStr};

use super::{
    Origins,
    mistakes::Mistake,
    rule::{Rule, refused},
};
use crate::{
    auth::{
        self, FileError, KeySource, Keys, Pattern, Patterns, Rules, SigningKey, TokenType, Url,
    },
    transport::Browsers,
    turns::Turns,
};

/// Settings of keys that tokens are verified with. Several are meant for a
/// rotation.
pub(super) const KEYS: [&str; 6] = [
    "token-secret",
    "token-secret-previous",
    "token-secret-file",
    "token-key-file",
    "jwks-file",
    "jwks-url",
];

/// Limit of the files in one setting. A rotation has two keys; each costs a
/// forged token one more signature.
const MAX_FILES: usize = 4;

/// Access settings while they are read.
pub(super) struct Access {
    pub(super) anonymous: bool,
    pub(super) allow_publish: bool,
    pub(super) channels: Patterns,
    pub(super) rules: Rules,
    pub(super) browsers: Browsers,
    pub(super) keys: Option<KeySource>,
    /// The signing key, if the keys are a secret.
    pub(super) signing: Option<SigningKey>,
    pub(super) jwks_url: Option<String>,
    pub(super) jwks_insecure: bool,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            anonymous: false,
            allow_publish: false,
            channels: Patterns::all(),
            rules: Rules::default(),
            browsers: Browsers::default(),
            keys: None,
            signing: None,
            jwks_url: None,
            jwks_insecure: false,
        }
    }
}

impl Access {
    /// One secret, as in a variable. `pgfan token` signs with it.
    pub(super) fn secret(&mut self, text: &str) -> Result<(), Rule> {
        self.previous_secret(text)?;
        self.signing = Some(SigningKey::of_secret(text.as_bytes()));
        Ok(())
    }

    /// A previous secret, whose tokens are still accepted.
    pub(super) fn previous_secret(&mut self, text: &str) -> Result<(), Rule> {
        let keys = Keys::of_secret(text.as_bytes()).map_err(|error| error.to_string())?;
        self.add(KeySource::fixed(keys));
        Ok(())
    }

    /// `pgfan token` signs with the first one.
    pub(super) fn secret_files(&mut self, text: &str) -> Result<(), Rule> {
        for path in paths(text)? {
            let signing = SigningKey::of_secret_file(Path::new(path));
            let signing = signing.map_err(|error| Rule::file(path, error))?;
            self.signing.get_or_insert(signing);
            self.key_file(path, KeySource::secret_file)?;
        }
        Ok(())
    }

    pub(super) fn key_files(
        &mut self,
        text: &str,
        read: fn(&Path) -> Result<KeySource, FileError>,
    ) -> Result<(), Rule> {
        for path in paths(text)? {
            self.key_file(path, read)?;
        }
        Ok(())
    }

    pub(super) fn key_file(
        &mut self,
        path: &str,
        read: fn(&Path) -> Result<KeySource, FileError>,
    ) -> Result<(), Rule> {
        let keys = read(Path::new(path)).map_err(|error| Rule::file(path, error))?;
        self.add(keys);
        Ok(())
    }

    fn add(&mut self, keys: KeySource) {
        self.keys = Some(match self.keys.take() {
            None => keys,
            Some(others) => others.and(keys),
        });
    }

    /// Checks these settings together with the addresses.
    pub(super) fn check(
        &mut self,
        addresses: &[(&str, Option<SocketAddr>)],
        given: &Origins,
        mistakes: &mut Vec<Mistake>,
    ) {
        let keys: Vec<_> = KEYS.iter().filter_map(|name| given.get(name)).collect();
        if let Some(text) = self.jwks_url.take() {
            match Url::parse(&text, self.jwks_insecure) {
                Ok(url) => self.add(KeySource::jwks_url(url)),
                Err(error) => {
                    let mistake = Mistake::new(&given["jwks-url"], error);
                    let remedy = "give https://HOST/PATH of the identity provider's keys";
                    mistakes.push(mistake.with_remedy(remedy));
                }
            }
        }
        let addresses = addresses.iter();
        let mut far = addresses.filter_map(|(name, address)| Some((*name, address.as_ref()?)));
        let far = far.find(|(_, address)| is_far(address));
        if let Some((name, address)) = far
            && keys.is_empty()
            && !self.anonymous
        {
            let rule = "whoever reaches this address could read every channel: let it check \
                        tokens (--token-secret-file, --token-key-file, --jwks-file or \
                        --jwks-url), or say --anonymous";
            // The default address is a loopback one, so this one was given.
            let mistake = Mistake::new(&given[name], format!("\"{address}\": {rule}"));
            let remedy = "make a secret: openssl rand -hex 32 > FILE, and --token-secret-file \
                          FILE; or serve this machine alone: 127.0.0.1:8000";
            mistakes.push(mistake.with_remedy(remedy));
        }
        if let Some(origin) = given.get("allow-publish").filter(|_| self.allow_publish) {
            let needs_token = !keys.is_empty() && !self.anonymous;
            let rule = if far.is_some() {
                "only on a loopback address; elsewhere publishing needs a token"
            } else if needs_token {
                "it is for clients without a token, and here each needs one"
            } else {
                return;
            };
            let remedy = "leave it out, and give those who publish a token: pgfan token --publish";
            mistakes.push(Mistake::new(origin, rule).with_remedy(remedy));
        }
    }

    /// Whether only the loopback address makes these settings safe.
    pub(super) fn is_for_loopback(&self) -> bool {
        (self.keys.is_none() && !self.anonymous) || self.allow_publish
    }

    /// Settings of `auth`; `max_token` is the room in a request's head.
    pub(super) fn done(self, max_token: usize) -> (auth::Config, Browsers) {
        let config = auth::Config {
            anonymous: self.anonymous || self.keys.is_none(),
            keys: self.keys,
            rules: self.rules,
            allow_publish: self.allow_publish,
            channels: self.channels,
            max_token,
            turns: Turns::of_the_process(),
        };
        (config, self.browsers)
    }
}

/// Whether other machines may reach the address.
pub(super) fn is_far(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// A comma-separated list, or one existing file with commas in its name.
pub(super) fn paths(text: &str) -> Result<Vec<&str>, Rule> {
    if Path::new(text).exists() {
        return Ok(vec![text]);
    }
    let paths: Vec<_> = text.split(',').map(str::trim).collect();
    match paths.len() <= MAX_FILES {
        true => Ok(paths),
        false => Err(format!("names more than {MAX_FILES} files").into()),
    }
}

/// A comma-separated list.
pub(super) fn channels(slot: &mut Patterns, text: &str) -> Result<(), Rule> {
    *slot = list::<Pattern>(text)?.into_iter().collect();
    Ok(())
}

pub(super) fn list<T: FromStr<Err: ToString>>(text: &str) -> Result<Vec<T>, Rule> {
    let items = text.split(',').map(str::trim);
    items
        .map(|item| {
            let parsed = item.parse::<T>();
            parsed.map_err(|error| refused(item, error.to_string()))
        })
        .collect()
}

/// A media type.
pub(super) fn token_type(slot: &mut Option<TokenType>, text: &str) -> Result<(), Rule> {
    let parsed = text.parse().map_err(|error| refused(text, error))?;
    *slot = Some(parsed);
    Ok(())
}

/// A non-empty text.
pub(super) fn some(slot: &mut Option<String>, text: &str) -> Result<(), Rule> {
    if text.is_empty() {
        return Err("cannot be empty".into());
    }
    *slot = Some(text.to_owned());
    Ok(())
}
