//! Converts flags, environment and file to each layer's settings; no other
//! module reads the environment. Reports all mistakes at once.

mod access;
mod advice;
mod database;
mod environment;
mod file;
mod limits;
mod mistakes;
mod origin_of_setting;
mod origins;
mod restart_only;
mod rule;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod unknown;
mod values;

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use crate::{
    auth::{self, Rules, SigningKey},
    hub,
    source::{
        self,
        conninfo::{ConnInfo, holds_password},
    },
    telemetry::{Endpoint, LogFormat, OtlpSettings},
    transport,
};
use access::Access;
pub(crate) use database::remedy_of_database;
pub use environment::{Environment, environment, unknown_variables};
use limits::Limits;
pub use mistakes::{Mistake, Mistakes};
use origin_of_setting::SettingOrigin;
pub use restart_only::RestartOnly;
pub use settings::{SETTINGS, Setting};
use tls::TlsSettings;

/// All settings of the gateway.
#[derive(Debug)]
pub struct Config {
    /// Address of the port.
    pub listen: SocketAddr,
    /// Address for the operators' endpoints, if not the same.
    pub admin_listen: Option<SocketAddr>,
    /// How to connect to PostgreSQL.
    pub database: Arc<ConnInfo>,
    /// TLS settings of the port, if it has TLS.
    pub tls: Option<transport::Tls>,
    /// Authentication and grants.
    pub auth: auth::Config,
    /// Whether those are safe only on loopback addresses.
    pub is_for_loopback: bool,
    /// Settings for browsers.
    pub browsers: transport::Browsers,
    /// Timeout for draining readers at the shutdown.
    pub drain_timeout: Duration,
    /// The source's settings.
    pub source: source::Config,
    /// The hub's settings.
    pub hub: hub::Config,
    /// The transports' settings.
    pub transport: transport::Settings,
    /// Limits of one client.
    pub limits: transport::Limits,
    /// Warnings about settings that are valid.
    pub warnings: Vec<Mistake>,
    /// Format of the log's lines.
    pub log_format: LogFormat,
    /// Export of spans and metrics, if configured.
    pub otlp: Option<OtlpSettings>,
    /// Settings that take a restart.
    pub fixed: RestartOnly,
}

/// Settings of `pgfan token`.
#[derive(Debug)]
pub struct TokenSettings {
    /// Rules for the claims of tokens.
    pub rules: Rules,
    /// The secret, if tokens are verified with one.
    pub signing: Option<SigningKey>,
}

/// Given settings, with their origins.
type Origins = HashMap<&'static str, SettingOrigin>;

/// A given text. No `Debug`: it may hold a password.
#[derive(Clone)]
struct Given {
    place: SettingOrigin,
    text: String,
}

/// Settings while they are read; valid at any time, except for the database.
struct Draft {
    listen: SocketAddr,
    admin_listen: Option<SocketAddr>,
    log_format: LogFormat,
    otlp: Option<Endpoint>,
    fixed: RestartOnly,
    database_url: Option<String>,
    access: Access,
    tls: TlsSettings,
    drain_timeout: Duration,
    source: source::Config,
    hub: hub::Config,
    transport: transport::Settings,
    limits: Limits,
    files: Vec<advice::Named>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            admin_listen: None,
            log_format: LogFormat::default(),
            otlp: None,
            fixed: RestartOnly::default(),
            database_url: None,
            access: Access::default(),
            tls: TlsSettings::default(),
            drain_timeout: Duration::from_secs(10),
            source: source::Config::default(),
            hub: hub::Config::default(),
            transport: transport::Settings::default(),
            limits: Limits::default(),
            files: Vec::new(),
        }
    }
}

impl Config {
    /// Precedence: `flags`, variables, `file`; then, for the database,
    /// `DATABASE_URL` and the libpq variables; then the defaults.
    ///
    /// # Errors
    /// All mistakes, none of them with a secret in it.
    pub fn resolve(
        flags: &HashMap<String, String>,
        environment: Environment<'_>,
        file: Option<&Path>,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let (mut draft, given) = Draft::read(flags, environment, file, &mut mistakes);
        let addresses = [
            ("listen", Some(draft.listen)),
            ("admin-listen", draft.admin_listen),
        ];
        draft.access.check(&addresses, &given, &mut mistakes);
        let tls = std::mem::take(&mut draft.tls).read(&given, &mut mistakes);
        let otlp = draft.otlp.take().map(|endpoint| {
            OtlpSettings::read(endpoint, environment, |origin, rule, remedy| {
                mistakes.push(Mistake::new(origin, rule).with_remedy(remedy));
            })
        });
        let url_origin = given
            .get("database-url")
            .map_or("DATABASE_URL".to_owned(), SettingOrigin::to_string);
        let url = draft.database_url.take();
        let url = url.or_else(|| environment("DATABASE_URL"));
        match ConnInfo::resolve(url.as_deref(), environment) {
            Ok(database) if mistakes.is_empty() => {
                let warnings = warnings(&given, url.as_deref(), draft.admin_listen);
                let warnings = warnings.into_iter().map(Mistake::from);
                let warnings = warnings.chain(advice::of_audience(&given));
                let warnings = warnings.chain(advice::of_modes(&draft.files)).collect();
                Ok(draft.with(database, (tls, otlp), warnings))
            }
            Ok(_) => Err(Mistakes(mistakes)),
            Err(more) => {
                let more = more.iter();
                mistakes.extend(more.map(|error| database::mistake(error, &url_origin)));
                Err(Mistakes(mistakes))
            }
        }
    }
}

impl Config {
    /// Whether other machines may reach one of the addresses.
    pub fn is_far(&self) -> bool {
        let addresses = [Some(self.listen), self.admin_listen];
        addresses.iter().flatten().any(access::is_far)
    }
}

/// Format of the log, needed before all else. A mistake in it is reported
/// later, with all others.
pub fn log_format(
    flags: &HashMap<String, String>,
    environment: Environment<'_>,
    file: Option<&Path>,
) -> LogFormat {
    let (draft, _) = Draft::read(flags, environment, file, &mut Vec::new());
    draft.log_format
}

impl TokenSettings {
    /// As for the gateway, without checks of the other settings.
    ///
    /// # Errors
    /// All mistakes, none of them with a secret in it.
    pub fn resolve(
        flags: &HashMap<String, String>,
        environment: Environment<'_>,
        file: Option<&Path>,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let (Draft { access, .. }, _) = Draft::read(flags, environment, file, &mut mistakes);
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        Ok(Self {
            rules: access.rules,
            signing: access.signing,
        })
    }
}

impl Draft {
    /// Reads each text by itself; rules between settings are checked later. The
    /// file's mistakes come last, line by line.
    fn read(
        flags: &HashMap<String, String>,
        environment: Environment<'_>,
        file: Option<&Path>,
        mistakes: &mut Vec<Mistake>,
    ) -> (Self, Origins) {
        let path = file;
        let file = path.map_or_else(HashMap::new, |path| file::read(path, mistakes));
        let mut draft = Self::default();
        draft
            .files
            .extend(path.map(|path| advice::settings_file(path, &file)));
        let mut origins = Origins::new();
        for setting in SETTINGS {
            let Some(given) = first_given(setting, flags, environment, &file) else {
                continue;
            };
            if let Err(rule) = (setting.apply)(&mut draft, &given.text) {
                mistakes.push(rule.broken(setting, &given.place));
            }
            draft.files.extend(advice::named_by(setting.name, &given));
            // Setting the default explicitly is not a change.
            if !setting.reloads() && given.text != setting.default {
                draft.fixed.note(setting.name, &given.text);
            }
            origins.insert(setting.name, given.place);
        }
        mistakes.sort_by_key(Mistake::line);
        (draft, origins)
    }

    fn with(
        mut self,
        database: ConnInfo,
        (tls, otlp): (Option<transport::Tls>, Option<OtlpSettings>),
        warnings: Vec<Mistake>,
    ) -> Config {
        if tls.is_some() {
            self.fixed.note("tls-cert", "on");
        }
        let is_for_loopback = self.access.is_for_loopback();
        let max_channels = self.hub.max_channels;
        self.hub.max_channels_per_client = self.limits.channels_per_client(max_channels);
        let (auth, browsers) = self.access.done(self.transport.max_header_bytes);
        Config {
            listen: self.listen,
            admin_listen: self.admin_listen,
            log_format: self.log_format,
            otlp,
            fixed: self.fixed,
            database: Arc::new(database),
            tls,
            auth,
            is_for_loopback,
            browsers,
            drain_timeout: self.drain_timeout,
            source: self.source,
            hub: self.hub,
            transport: self.transport,
            limits: self.limits.done(
                self.hub.max_readers,
                transport::room(transport::open_files()),
            ),
            warnings,
        }
    }
}

/// Warns of secrets in arguments, of several keys, of an open admin port.
fn warnings(given: &Origins, url: Option<&str>, admin_listen: Option<SocketAddr>) -> Vec<String> {
    let rule = "the arguments of a process are public; the variable or a file is not";
    let url = url.filter(|url| holds_password(url));
    let secrets = [
        Some("token-secret"),
        Some("token-secret-previous"),
        url.map(|_| "database-url"),
    ];
    let origins = secrets.iter().flatten().filter_map(|name| given.get(name));
    let public = origins.filter(|place| matches!(place, SettingOrigin::Flag(_)));
    let secrets = public.map(|place| format!("{place}: {rule}"));
    let admin = admin_listen.filter(access::is_far);
    let rule = "speaks plain HTTP, and shows its numbers to whoever reaches it: it belongs on a \
                private network";
    let admin = admin.map(|address| format!("{address}: {rule}"));
    secrets.chain(several_keys(given)).chain(admin).collect()
}

/// Several keys are meant for a rotation; one left over is a forgotten key that
/// still works.
fn several_keys(given: &Origins) -> Option<String> {
    let places = access::KEYS.iter().filter_map(|name| given.get(name));
    let places: Vec<_> = places.map(SettingOrigin::to_string).collect();
    (places.len() > 1).then(|| {
        let all = places.join(", ");
        format!("{all}: tokens of each of them are taken; leave out what is no longer used")
    })
}

/// The text by precedence. An empty variable counts as unset, as in libpq: in a
/// container it can often be emptied but not removed.
fn first_given(
    setting: &Setting,
    flags: &HashMap<String, String>,
    environment: Environment<'_>,
    file: &HashMap<String, Given>,
) -> Option<Given> {
    let flag = || {
        let text = flags.get(setting.name)?.clone();
        let place = SettingOrigin::Flag(setting.name);
        Some(Given { place, text })
    };
    let variable = || {
        let name = setting.variable();
        let text = environment(&name).filter(|text| !text.is_empty())?;
        let place = SettingOrigin::Variable(name);
        Some(Given { place, text })
    };
    let key = || file.get(setting.name).cloned();
    flag().or_else(variable).or_else(key)
}
