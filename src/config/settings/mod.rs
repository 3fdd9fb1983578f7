//! All settings: name, default, description and parser. Flags, variables, the file and the table of
//! docs/settings.md are generated from here.

mod access;
mod address;
mod delivery;
mod limits;

use super::{Draft, rule::Rule};

/// One setting. Its name is the flag without dashes and the file's key; its variable is `PGFAN_`
/// and the name in capitals.
#[derive(Clone, Copy)]
pub struct Setting {
    /// As in `--history-events`.
    pub name: &'static str,
    /// As text, for people.
    pub default: &'static str,
    /// Placeholder of the value; empty for a switch.
    pub value: &'static str,
    /// What it does, with its unit and what happens at the limit.
    pub help: &'static str,
    pub(super) apply: fn(&mut Draft, &str) -> Result<(), Rule>,
}

/// Settings of what is bound, connected or started once. SIGHUP reloads all others.
pub(super) const RESTART: &[&str] = &[
    "listen",
    "admin-listen",
    "database-url",
    "heartbeat-interval",
    "heartbeat-timeout",
    "drain-timeout",
    "log-format",
    "otlp-endpoint",
    "console",
];

impl Setting {
    /// Whether SIGHUP applies a changed value.
    pub fn reloads(&self) -> bool {
        !RESTART.contains(&self.name)
    }

    /// The default, if it is a valid value.
    pub(super) fn example(&self) -> Option<&'static str> {
        let is_value = (self.apply)(&mut Draft::default(), self.default).is_ok();
        let is_word = self.default == "none" || self.default.contains(' ');
        Some(self.default).filter(|_| is_value && !is_word)
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        variable(self.name)
    }
}

/// Prefix of pgfan's own variables.
pub(super) const PREFIX: &str = "PGFAN_";

/// Name of the variable for the setting `name`.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"))
}

/// In the order of the help.
const SECTIONS: [&[Setting]; 4] = [
    address::SETTINGS,
    delivery::SETTINGS,
    access::SETTINGS,
    limits::SETTINGS,
];

const COUNT: usize = {
    let [address, delivery, access, limits] = SECTIONS;
    address.len() + delivery.len() + access.len() + limits.len()
};

/// All settings, in the order of the help.
pub const SETTINGS: &[Setting] = &joined();

const fn joined() -> [Setting; COUNT] {
    let mut all = [SECTIONS[0][0]; COUNT];
    let (mut section, mut place, mut count) = (0, 0, 0);
    while section < SECTIONS.len() {
        if place == SECTIONS[section].len() {
            (section, place) = (section + 1, 0);
            continue;
        }
        all[count] = SECTIONS[section][place];
        (place, count) = (place + 1, count + 1);
    }
    all
}
