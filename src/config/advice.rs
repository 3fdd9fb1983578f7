//! Warnings about settings that are valid and probably unsafe: modes of files, and
//! tokens of an identity provider without an audience.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    Given, Origins, access::paths, mistakes::Mistake, origin_of_setting::SettingOrigin,
    rule::of_file,
};
use crate::source::conninfo::holds_password;

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Only the owner should read it.
    Secret,
    /// A user who can write it can grant access.
    Public,
}

/// A file that a setting names, or the settings file.
pub(super) struct Named {
    /// `None` for the settings file.
    place: Option<SettingOrigin>,
    path: PathBuf,
    holds: Holds,
}

/// The settings that name files.
const NAMING: [(&str, Holds); 6] = [
    ("token-secret-file", Holds::Secret),
    ("tls-key", Holds::Secret),
    ("token-key-file", Holds::Public),
    ("jwks-file", Holds::Public),
    ("tls-cert", Holds::Public),
    ("tls-client-ca", Holds::Public),
];

/// The files that `given` names as the setting `name`, if it names any.
pub(super) fn named_by(name: &str, given: &Given) -> Vec<Named> {
    let naming = NAMING.iter().find(|(naming, _)| *naming == name);
    let Some((_, holds)) = naming else {
        return Vec::new();
    };
    let named = |path: &str| Named {
        place: Some(given.place.clone()),
        path: path.into(),
        holds: *holds,
    };
    // A list that is too long is reported as a mistake.
    let paths = paths(&given.text).unwrap_or_default();
    paths.into_iter().map(named).collect()
}

/// The settings file; `keys` is its content.
pub(super) fn settings_file(path: &Path, keys: &HashMap<String, Given>) -> Named {
    let is_secret = |name: &str| match name {
        "token-secret" | "token-secret-previous" => true,
        "database-url" => keys.get(name).is_some_and(|key| holds_password(&key.text)),
        _ => false,
    };
    let holds = match keys.keys().any(|name| is_secret(name)) {
        true => Holds::Secret,
        false => Holds::Public,
    };
    Named {
        place: None,
        path: path.to_owned(),
        holds,
    }
}

/// Warnings for files with unsafe modes, by libpq's rule for keys: a secret is for
/// the owner alone, and for the group too if root owns the file. libpq refuses such a
/// file; here it is a warning, because the modes of a container's volumes often
/// cannot be chosen.
pub(super) fn of_modes(files: &[Named]) -> impl Iterator<Item = Mistake> {
    files.iter().filter_map(|file| {
        // A file that is not accessible is reported as a mistake.
        let metadata = fs::metadata(&file.path).ok()?;
        let mode = metadata.mode() & 0o7777;
        let (fault, remedy) = file.holds.fault(mode, metadata.uid() == 0)?;
        let rule = format!("its mode is {mode:04o}: {fault}");
        let rule = of_file(&file.path.to_string_lossy(), rule);
        let warning = match &file.place {
            Some(place) => Mistake::new(place, rule),
            None => Mistake::from(rule),
        };
        Some(warning.with_remedy(remedy))
    })
}

impl Holds {
    fn fault(self, mode: u32, is_roots: bool) -> Option<(&'static str, &'static str)> {
        let is_secret = self == Self::Secret;
        let readers = if is_roots { 0o007 } else { 0o077 };
        if mode & 0o022 != 0 {
            let remedy = match is_secret {
                true => "let its owner alone do so: chmod go-rwx FILE",
                false => "let its owner alone do so: chmod go-w FILE",
            };
            return Some(("others than its owner can write into it", remedy));
        }
        (is_secret && mode & readers != 0).then_some((
            "others than its owner can read the secret in it",
            "let pgfan's user own it, and nobody else read it: chmod go-rwx FILE; or root, and \
             pgfan's group read it: chmod 0640 FILE",
        ))
    }
}

/// The warning for an identity provider without an audience: it makes tokens for
/// other programs too.
pub(super) fn of_audience(given: &Origins) -> Option<Mistake> {
    let place = given.get("jwks-url")?;
    if given.contains_key("token-audience") {
        return None;
    }
    let rule = "tokens that this provider makes for other programs are taken too, as no audience \
                is asked for";
    let remedy = "give --token-audience TEXT: what the provider writes into `aud` for pgfan";
    Some(Mistake::new(place, rule).with_remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_owners_and_what_is_public_is_written_by_nobody_else() {
        for (holds, mode, is_roots, fault) in [
            (Holds::Secret, 0o600, false, None),
            (Holds::Secret, 0o400, false, None),
            (Holds::Secret, 0o640, true, None),
            (Holds::Secret, 0o640, false, Some("read")),
            (Holds::Secret, 0o604, false, Some("read")),
            (Holds::Secret, 0o644, true, Some("read")),
            (Holds::Secret, 0o620, true, Some("write")),
            (Holds::Secret, 0o602, true, Some("write")),
            (Holds::Public, 0o644, false, None),
            (Holds::Public, 0o444, true, None),
            (Holds::Public, 0o664, true, Some("write")),
            (Holds::Public, 0o646, false, Some("write")),
        ] {
            let found = holds.fault(mode, is_roots).map(|(fault, _)| fault);
            let is_so = match fault {
                None => found.is_none(),
                Some(word) => found.is_some_and(|found| found.contains(word)),
            };
            assert!(is_so, "{holds:?} {mode:o} {is_roots}: {found:?}");
        }
    }
}
