//! The merged settings: connection string over service file over environment over defaults, as in
//! libpq.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConnInfoError, Mistakes, Origin};
use super::keywords::{self, Handling, KEYWORDS};
use super::service::{self, Service};
use super::{key_value, uri};

/// Keywords with their values, in the order they were written; the keywords are not checked yet.
pub(super) type Pairs = Vec<(String, String)>;

/// Reads an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One value for each keyword that some layer has set. No `Debug`: it holds the password.
#[derive(Default)]
pub(super) struct Settings {
    values: BTreeMap<&'static str, Setting>,
    /// The service that gave some of them.
    pub(super) service: Option<Service>,
}

/// A value and the layer that gave it.
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) origin: Origin,
}

impl Settings {
    /// Merges all layers. A layer with a mistake gives what could be read of it.
    pub(super) fn gather(
        connection_string: Option<&str>,
        environment: Environment<'_>,
        home: Option<&Path>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut settings = Self::default();
        if let Some(pairs) = mistakes.catch(parse(connection_string.unwrap_or_default())) {
            settings.add(pairs, Origin::ConnectionString, mistakes);
        }
        settings.fill_from_service(environment, home, mistakes);
        settings.fill_from_environment(environment);
        settings.check_handling(mistakes);
        settings
    }

    /// The setting, also when its value is empty: an empty value hides the layers below, as in
    /// libpq.
    pub(super) fn get(&self, keyword: &'static str) -> Option<&Setting> {
        debug_assert!(
            keywords::find(keyword).is_some(),
            "{keyword} is in the table"
        );
        self.values.get(keyword)
    }

    /// The value, if it is set and not empty.
    pub(super) fn text(&self, keyword: &'static str) -> Option<&str> {
        self.get(keyword)
            .map(|setting| setting.value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The mistake of breaking `rule`, the rest of a sentence that begins with the keyword.
    pub(super) fn broken(&self, keyword: &'static str, rule: impl Into<String>) -> ConnInfoError {
        let origin = self
            .get(keyword)
            .map_or(Origin::Default, |setting| setting.origin);
        ConnInfoError::Value {
            keyword,
            origin,
            rule: rule.into(),
        }
    }

    /// Within one layer the last value of a keyword counts for a string and the first for a service
    /// file.
    fn add(&mut self, pairs: Pairs, origin: Origin, mistakes: &mut Mistakes) {
        let mut layer = Self::default();
        for (keyword, value) in pairs {
            let Some(known) = keywords::find(&keyword) else {
                mistakes.add(ConnInfoError::UnknownKeyword { keyword, origin });
                continue;
            };
            if origin == Origin::ServiceFile {
                layer.fill(known.name, value, origin);
            } else {
                layer.values.insert(known.name, Setting { value, origin });
            }
        }
        for (keyword, setting) in layer.values {
            self.values.entry(keyword).or_insert(setting);
        }
    }

    fn fill(&mut self, keyword: &'static str, value: String, origin: Origin) {
        self.values
            .entry(keyword)
            .or_insert(Setting { value, origin });
    }

    fn fill_from_service(
        &mut self,
        environment: Environment<'_>,
        home: Option<&Path>,
        mistakes: &mut Mistakes,
    ) {
        for (keyword, variable) in [("service", "PGSERVICE"), ("servicefile", "PGSERVICEFILE")] {
            if let Some(value) = environment(variable) {
                self.fill(keyword, value, Origin::Variable(variable));
            }
        }
        let Some(name) = self.text("service").map(str::to_owned) else {
            return;
        };
        let files = service::files(self.text("servicefile"), environment("PGSYSCONFDIR"), home);
        if let Some(pairs) = mistakes.catch(service::find(&name, &files)) {
            self.add(pairs, Origin::ServiceFile, mistakes);
            self.service = Some(Service { name, files });
        }
    }

    fn fill_from_environment(&mut self, environment: Environment<'_>) {
        for keyword in KEYWORDS {
            let Some(variable) = keyword.variable else {
                continue;
            };
            if let Some(value) = environment(variable) {
                self.fill(keyword.name, value, Origin::Variable(variable));
            }
        }
        // Older than PGSSLMODE and still read by libpq; not honouring it would send passwords in
        // the clear.
        if environment("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
            self.fill(
                "sslmode",
                "require".to_owned(),
                Origin::Variable("PGREQUIRESSL"),
            );
        }
    }

    fn check_handling(&self, mistakes: &mut Mistakes) {
        for keyword in KEYWORDS {
            let Handling::Only(values, reason) = keyword.handling else {
                continue;
            };
            let value = self.text(keyword.name);
            if value.is_some_and(|value| !values.contains(&value)) {
                mistakes.add(self.broken(keyword.name, refusal(values, reason)));
            }
        }
    }
}

pub(super) fn parse(connection_string: &str) -> Result<Pairs, ConnInfoError> {
    uri::parse(connection_string).unwrap_or_else(|| key_value::parse(connection_string))
}

fn refusal(values: &[&str], reason: &str) -> String {
    if values.is_empty() {
        format!("cannot be honoured: {reason}")
    } else {
        format!("must be one of {}: {reason}", values.join(", "))
    }
}

#[cfg(test)]
pub(super) mod tests;
