//! The merged settings, with libpq's precedence: connection string, service file, environment,
//! defaults.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConnInfoError, Mistakes, Origin};
use super::keywords::{self, Handling, KEYWORDS};
use super::pair::{Pair, Pairs};
use super::service::{self, Service};
use super::{foreign, key_value, uri};

/// Reads an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One value for each keyword that is set in some layer. No `Debug`: it contains the password.
#[derive(Default)]
pub(super) struct Settings {
    values: BTreeMap<&'static str, Setting>,
    /// The service that set some of them.
    pub(super) service: Option<Service>,
}

/// A value and the layer that set it.
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) origin: Origin,
}

impl Settings {
    /// Merges all layers. A layer with a mistake contributes the part that could be read.
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
        settings.check_names(mistakes);
        settings
    }

    /// The setting, even if its value is empty: an empty value hides the layers below, as in
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

    /// Adds a layer. If a keyword is repeated, a string uses the last value and a service file the
    /// first.
    fn add(&mut self, pairs: Pairs, origin: Origin, mistakes: &mut Mistakes) {
        let mut layer = Self::default();
        for Pair {
            keyword,
            value,
            position,
        } in pairs
        {
            let Some(known) = keywords::find(&keyword) else {
                mistakes.add(ConnInfoError::UnknownKeyword {
                    position,
                    origin,
                    meant: foreign::meant(&keyword),
                });
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
        let origin = self.get("service").map_or(Origin::Default, |s| s.origin);
        let files = service::files(self.text("servicefile"), environment("PGSYSCONFDIR"), home);
        if let Some(pairs) = mistakes.catch(service::find(&name, origin, &files)) {
            self.add(pairs, Origin::ServiceFile, mistakes);
            self.service = Some(Service {
                name,
                origin,
                files,
            });
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
        // Older than PGSSLMODE and still supported by libpq; ignoring it would send passwords in
        // plain text.
        if environment("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
            self.fill(
                "sslmode",
                "require".to_owned(),
                Origin::Variable("PGREQUIRESSL"),
            );
        }
    }

    /// Rejects names that look like a connection string: names are written to the log, sent to the
    /// server, and repeated in its messages.
    fn check_names(&self, mistakes: &mut Mistakes) {
        for keyword in [
            "dbname",
            "user",
            "application_name",
            "fallback_application_name",
        ] {
            if self
                .text(keyword)
                .is_some_and(foreign::is_connection_string)
            {
                mistakes.add(self.broken(keyword, foreign::NOT_A_NAME));
            }
        }
        let is_url = |text: &str| text.contains("://") || text.contains("password=");
        if self.text("options").is_some_and(is_url) {
            mistakes.add(self.broken(
                "options",
                "holds a connection string; it takes `-c NAME=VALUE`",
            ));
        }
        let is_pair = |user: &str| user.contains(':');
        if self.get("password").is_none() && self.text("user").is_some_and(is_pair) {
            let rule = "holds a `:`: the password goes into a setting of its own (password, \
                        PGPASSWORD); in a URI the `:` between the two is not percent-encoded";
            mistakes.add(self.broken("user", rule));
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
    if let Some(read) = uri::parse(connection_string) {
        return read;
    }
    match foreign::form(connection_string) {
        Some(foreign) => Err(foreign),
        None => key_value::parse(connection_string),
    }
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
