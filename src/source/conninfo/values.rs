//! Typed reading of single values: an enumeration, an integer, a duration.

use std::time::Duration;

use super::error::ConnInfoError;
use super::settings::Settings;

impl Settings {
    /// The meaning of a word; `None` if the keyword is not set.
    ///
    /// # Errors
    /// A word that is not in the list, which includes the empty one unless listed, as in libpq.
    pub(super) fn choice<T: Copy>(
        &self,
        keyword: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, ConnInfoError> {
        let Some(setting) = self.get(keyword) else {
            return Ok(None);
        };
        let chosen = choices.iter().find(|(word, _)| *word == setting.value);
        chosen.map(|(_, meaning)| Some(*meaning)).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.broken(keyword, format!("must be one of {}", words.join(", ")))
        })
    }

    /// A decimal number of 32 bits, blanks around it allowed; `None` if the keyword is not set.
    ///
    /// # Errors
    /// Any other value, including the empty one, as in libpq.
    pub(super) fn integer(&self, keyword: &'static str) -> Result<Option<i32>, ConnInfoError> {
        let Some(setting) = self.get(keyword) else {
            return Ok(None);
        };
        let number = setting.value.trim().parse();
        number
            .map(Some)
            .map_err(|_| self.broken(keyword, "must be a whole number"))
    }

    /// A positive number of units, or [`Span::Unlimited`] for zero and less.
    ///
    /// # Errors
    /// Those of [`Settings::integer`].
    pub(super) fn span(
        &self,
        keyword: &'static str,
        unit: Duration,
    ) -> Result<Option<Span>, ConnInfoError> {
        let number = self.integer(keyword)?;
        Ok(number.map(|number| match u32::try_from(number) {
            Ok(0) | Err(_) => Span::Unlimited,
            Ok(count) => Span::Limit(unit * count),
        }))
    }
}

/// Meaning of a number of seconds or milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Limit(Duration),
    /// No limit for a timeout, the system's default for a socket option.
    Unlimited,
}

impl Span {
    pub(super) fn limit(self) -> Option<Duration> {
        match self {
            Self::Limit(limit) => Some(limit),
            Self::Unlimited => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn numbers() {
        for (value, number) in [
            ("10", Some(10)),
            ("' 10 '", Some(10)),
            ("-1", Some(-1)),
            ("''", None),
            ("1s", None),
        ] {
            let settings = settings(&format!("keepalives_idle={value}"));
            assert_eq!(
                settings.integer("keepalives_idle").ok().flatten(),
                number,
                "{value}"
            );
        }
        let over = settings("keepalives_idle=2147483648")
            .integer("keepalives_idle")
            .expect_err("too large");
        assert_eq!(
            over.to_string(),
            "keepalives_idle (connection string) must be a whole number"
        );
    }

    #[test]
    fn spans() {
        for (value, span) in [
            ("3", Span::Limit(3 * SECOND)),
            ("0", Span::Unlimited),
            ("-1", Span::Unlimited),
        ] {
            let settings = settings(&format!("connect_timeout={value}"));
            assert_eq!(settings.span("connect_timeout", SECOND), Ok(Some(span)));
        }
        assert_eq!(settings("").span("connect_timeout", SECOND), Ok(None));
    }

    #[test]
    fn choices() {
        let words = [("disable", 1), ("random", 2)];
        assert_eq!(
            settings("load_balance_hosts=random").choice("load_balance_hosts", &words),
            Ok(Some(2))
        );
        assert_eq!(settings("").choice("load_balance_hosts", &words), Ok(None));
        for value in ["Random", "''", "x"] {
            let settings = settings(&format!("load_balance_hosts={value}"));
            let mistake = settings
                .choice("load_balance_hosts", &words)
                .expect_err(value);
            assert_eq!(
                mistake.to_string(),
                "load_balance_hosts (connection string) must be one of disable, random"
            );
        }
    }
}
