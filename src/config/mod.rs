//! From flags, environment and file to each layer's settings. Nothing else
//! reads the environment. All mistakes are reported at once.

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

/// Everything the gateway is set to.
#[derive(Debug)]
pub struct Config {
    /// Where to serve.
    pub listen: SocketAddr,
    /// Where to serve what is for those who run it, if not there too.
    pub admin_listen: Option<SocketAddr>,
    /// How to reach PostgreSQL.
    pub database: Arc<ConnInfo>,
    /// What the port speaks TLS with, if it does.
    pub tls: Option<transport::Tls>,
    /// Who is let in.
    pub auth: auth::Config,
    /// Whether that is for loopback addresses alone.
    pub is_for_loopback: bool,
    /// How browsers are.
    pub browsers: transport::Browsers,
    /// How long the end may take.
    pub drain_timeout: Duration,
    /// The source's settings.
    pub source: source::Config,
    /// The hub's settings.
    pub hub: hub::Config,
    /// The transports' settings.
    pub transport: transport::Settings,
    /// What one client may have.
    pub limits: transport::Limits,
    /// What is no mistake, and should be said.
    pub warnings: Vec<Mistake>,
    /// How the log's lines look.
    pub log_format: LogFormat,
    /// Where spans are exported to, if anywhere.
    pub otlp: Option<OtlpSettings>,
    /// Those that take a restart.
    pub fixed: RestartOnly,
}

/// What `pgfan token` needs of the settings.
#[derive(Debug)]
pub struct TokenSettings {
    /// What tokens must say.
    pub rules: Rules,
    /// The secret, if that is what they are checked with.
    pub signing: Option<SigningKey>,
}

/// The setting that was given, and where.
type Origins = HashMap<&'static str, SettingOrigin>;

/// A text that somebody gave. No `Debug`: it may hold a password.
#[derive(Clone)]
struct Given {
    place: SettingOrigin,
    text: String,
}

/// Settings on their way: everything but the database is good at any time.
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
    /// `flags` by name, then variables, then `file`; then, for the database
    /// alone, `DATABASE_URL` and the libpq variables; then the defaults.
    ///
    /// # Errors
    /// Every mistake there is, none of them with a secret in it.
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
    /// Whether others than this machine may reach it.
    pub fn is_far(&self) -> bool {
        let addresses = [Some(self.listen), self.admin_listen];
        addresses.iter().flatten().any(access::is_far)
    }
}

/// How the log's lines are to look: needed before anything else is. A mistake is
/// told later, with all others.
pub fn log_format(
    flags: &HashMap<String, String>,
    environment: Environment<'_>,
    file: Option<&Path>,
) -> LogFormat {
    let (draft, _) = Draft::read(flags, environment, file, &mut Vec::new());
    draft.log_format
}

impl TokenSettings {
    /// As the gateway's, without a look at the rest.
    ///
    /// # Errors
    /// Every mistake there is, none of them with a secret in it.
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
    /// Each text by itself; what holds between settings is looked at later. The
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
            // Who writes the default changes nothing.
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

/// Secrets among the arguments, and an open door.
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

/// Meant while one takes the other's place; left over, it is a key that nobody
/// thinks of any more.
fn several_keys(given: &Origins) -> Option<String> {
    let places = access::KEYS.iter().filter_map(|name| given.get(name));
    let places: Vec<_> = places.map(SettingOrigin::to_string).collect();
    (places.len() > 1).then(|| {
        let all = places.join(", ");
        format!("{all}: tokens of each of them are taken; leave out what is no longer used")
    })
}

/// The text that counts. An empty variable is an unset one, as in libpq: who
/// starts a container can often empty a variable and not remove it.
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
