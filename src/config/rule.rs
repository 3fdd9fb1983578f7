//! The rule that a setting's text violates, and the remedy.

use std::{fmt, io, path::Path};

use super::{mistakes::Mistake, origin_of_setting::SettingOrigin, settings::Setting};
use crate::{
    auth::FileError,
    telemetry::EndpointError,
    text::{may_be_secret, path_prefix},
};

/// Longer texts are cut: their start identifies them.
const MAX_SHOWN: usize = 60;

/// A violated rule. It repeats the text, unless that may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rule {
    /// The text is not a valid value.
    #[error("{0}")]
    Value(String),
    /// The text names an unusable file.
    #[error("{}", of_file(.path, .error))]
    File { path: String, error: FileError },
    /// The text is not a collector's address.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
}

impl From<String> for Rule {
    fn from(rule: String) -> Self {
        Self::Value(rule)
    }
}

impl From<&str> for Rule {
    fn from(rule: &str) -> Self {
        rule.to_owned().into()
    }
}

impl Rule {
    pub(super) fn file(path: &str, error: FileError) -> Self {
        let path = path.to_owned();
        Self::File { path, error }
    }

    /// The rule as a mistake in the text that `setting` was given at `place`.
    pub(super) fn broken(&self, setting: &Setting, place: &SettingOrigin) -> Mistake {
        Mistake::new(place, self)
            .at(place)
            .with_remedy(self.remedy(setting, place))
    }

    /// Shows the form of a value at this origin, by the default if that is a value.
    fn remedy(&self, setting: &Setting, place: &SettingOrigin) -> String {
        let kind = match setting.value {
            "" => "on or off",
            kind => kind,
        };
        let written = place.written(kind);
        match (self, setting.example()) {
            (Self::Endpoint(EndpointError::NotBuilt), _) => {
                "build with --features otlp, or leave it out".to_owned()
            }
            (Self::File { error, .. }, _) if is_absence(error) => {
                format!("create the file, or give the path of one that exists: {written}")
            }
            (_, Some(default)) => {
                format!("give {kind}, as in the default: {}", place.written(default))
            }
            (_, None) => format!("give {kind}: {written}, or leave it out"),
        }
    }
}

fn is_absence(error: &FileError) -> bool {
    matches!(error, FileError::Read(error) if error.kind() == io::ErrorKind::NotFound)
}

/// A rule with the text that violates it. The text is not repeated if it may hold a password, given
/// in the wrong place.
pub(super) fn refused(text: &str, rule: impl fmt::Display) -> Rule {
    Rule::Value(match text.char_indices().nth(MAX_SHOWN) {
        _ if may_be_secret(text) => rule.to_string(),
        Some((end, _)) => format!("{:?}…: {rule}", &text[..end]),
        None => format!("{text:?}: {rule}"),
    })
}

/// A rule with the file that violates it. If the path may be the file's content, given by mistake,
/// it is not repeated; a path that exists is.
pub(super) fn of_file(path: &str, rule: impl fmt::Display) -> String {
    format!("{}{rule}", path_prefix(Path::new(path)))
}

#[cfg(test)]
mod tests {
    use super::refused;

    #[test]
    fn what_was_given_is_named_as_far_as_it_is_no_secret() {
        let refused = |text: &str, rule: &str| refused(text, rule).to_string();
        assert_eq!(refused("a\nb", "no"), "\"a\\nb\": no");
        let long = refused(&"ü ".repeat(31), "no");
        assert_eq!(long, format!("\"{}\"…: no", "ü ".repeat(30)));
        for secret in [
            "postgresql://u:s3cret@h/d",
            "host=h PASSWORD=s3cret",
            "host=h pass=s3cret",
            "user:s3cret@host",
            "eyJhbGciOiJI.s3cret",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(refused(secret, "no"), "no");
        }
    }
}
