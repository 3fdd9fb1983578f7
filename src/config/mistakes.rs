//! Mistakes in the settings, with remedies.

use std::fmt;

use super::origin_of_setting::SettingOrigin;

/// One mistake: its origin, the violated rule and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    says: String,
    remedy: String,
    /// Line in the settings file.
    line: Option<usize>,
}

impl Mistake {
    /// A mistake at `origin`. `rule` repeats the value unless that is a secret.
    pub(super) fn new(origin: impl fmt::Display, rule: impl fmt::Display) -> Self {
        Self::from(format!("{origin}: {rule}"))
    }

    pub(super) fn with_remedy(self, remedy: impl ToString) -> Self {
        let remedy = remedy.to_string();
        Self { remedy, ..self }
    }

    /// Sets the line in the file: mistakes in a file are reported in its order.
    pub(super) fn at(self, place: &SettingOrigin) -> Self {
        let line = place.line();
        Self { line, ..self }
    }

    pub(super) fn line(&self) -> Option<usize> {
        self.line
    }

    /// The remedy; empty if the mistake's text contains it.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl From<String> for Mistake {
    fn from(says: String) -> Self {
        Self {
            says,
            remedy: String::new(),
            line: None,
        }
    }
}

impl fmt::Display for Mistake {
    /// One line, without the remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

/// All mistakes in the settings, each with its origin.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

impl From<String> for Mistakes {
    fn from(says: String) -> Self {
        Self(vec![says.into()])
    }
}
