//! What is wrong with the settings, and what to do about it.

use std::fmt;

use super::origin_of_setting::SettingOrigin;

/// One mistake: where it was made, against which rule, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    says: String,
    remedy: String,
    /// Of the settings file.
    line: Option<usize>,
}

impl Mistake {
    /// Made at `origin`, against `rule`, which names what was given unless that is a secret.
    pub(super) fn new(origin: impl fmt::Display, rule: impl fmt::Display) -> Self {
        Self::from(format!("{origin}: {rule}"))
    }

    pub(super) fn with_remedy(self, remedy: impl ToString) -> Self {
        let remedy = remedy.to_string();
        Self { remedy, ..self }
    }

    /// Where the file has it: a file is mended from its first line on.
    pub(super) fn at(self, place: &SettingOrigin) -> Self {
        let line = place.line();
        Self { line, ..self }
    }

    pub(super) fn line(&self) -> Option<usize> {
        self.line
    }

    /// What to do; empty where the mistake itself says all there is to say.
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
    /// Without the remedy: one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

/// All that is wrong with the settings, each with its origin.
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
