//! Startup parameters of a session: user, database, application name and others.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio_postgres::config::ChannelBinding;

use super::error::{ConnInfoError, Mistakes, Origin};
use super::service::Service;
use super::settings::Settings;
use super::system_user::SystemUser;

/// The default name in `pg_stat_activity`.
pub const DEFAULT_APPLICATION_NAME: &str = "pgfan";

/// The required kind of server. The caller has to check it: a single target cannot know whether a
/// better one follows.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetSessionAttrs {
    /// Any server.
    #[default]
    Any,
    /// Not in hot standby, and transactions are not read-only by default.
    ReadWrite,
    /// In hot standby, or transactions are read-only by default.
    ReadOnly,
    /// Not in hot standby.
    Primary,
    /// In hot standby.
    Standby,
    /// In hot standby if any of the hosts is, else any server.
    PreferStandby,
}

/// A password; its bytes are only sent to the server.
#[derive(Clone)]
pub(super) struct Password(pub(super) Vec<u8>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) user: String,
    pub(super) database: String,
    /// The password from the settings; without it the password file is read at each connect.
    pub(super) password: Option<Password>,
    /// The service that set the password, which is read again at each connect.
    pub(super) service: Option<Service>,
    pub(super) passfile: Option<PathBuf>,
    pub(super) options: Option<String>,
    pub(super) application_name: String,
    pub(super) channel_binding: ChannelBinding,
    pub(super) target_session_attrs: TargetSessionAttrs,
}

impl Session {
    /// Reads the settings; `None` after a mistake that makes a session impossible: an unknown
    /// user.
    pub(super) fn read(
        settings: &Settings,
        system_user: &SystemUser,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        mistakes.catch(check_encoding(settings));
        let channel_binding = mistakes.catch(channel_binding(settings));
        let target_session_attrs = mistakes.catch(target_session_attrs(settings));
        let user = mistakes.catch(user(settings, system_user))?;
        let owned = |keyword| settings.text(keyword).map(str::to_owned);
        Some(Self {
            database: owned("dbname").unwrap_or_else(|| user.clone()),
            user,
            password: owned("password").map(|text| Password(text.into_bytes())),
            service: service(settings),
            passfile: passfile(settings, system_user.home.as_deref()),
            options: owned("options"),
            application_name: owned("application_name")
                .or_else(|| owned("fallback_application_name"))
                .unwrap_or_else(|| DEFAULT_APPLICATION_NAME.to_owned()),
            channel_binding: channel_binding?,
            target_session_attrs: target_session_attrs?,
        })
    }
}

fn user(settings: &Settings, system_user: &SystemUser) -> Result<String, ConnInfoError> {
    let given = settings.text("user").map(str::to_owned);
    given
        .or_else(|| system_user.name.clone())
        .ok_or(ConnInfoError::NoUser)
}

fn service(settings: &Settings) -> Option<Service> {
    let given = settings.get("password")?;
    let service = settings.service.clone();
    service.filter(|_| given.origin == Origin::ServiceFile)
}

fn passfile(settings: &Settings, home: Option<&Path>) -> Option<PathBuf> {
    let given = settings.text("passfile").map(PathBuf::from);
    given.or_else(|| home.map(|home| home.join(".pgpass")))
}

fn channel_binding(settings: &Settings) -> Result<ChannelBinding, ConnInfoError> {
    let words = [
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ];
    Ok(settings
        .choice("channel_binding", &words)?
        .unwrap_or(ChannelBinding::Prefer))
}

fn target_session_attrs(settings: &Settings) -> Result<TargetSessionAttrs, ConnInfoError> {
    let words = [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        ("read-only", TargetSessionAttrs::ReadOnly),
        ("primary", TargetSessionAttrs::Primary),
        ("standby", TargetSessionAttrs::Standby),
        ("prefer-standby", TargetSessionAttrs::PreferStandby),
    ];
    Ok(settings
        .choice("target_session_attrs", &words)?
        .unwrap_or_default())
}

/// Checks for UTF-8, which the session always uses; the server accepts its name in any case and
/// with any punctuation.
fn check_encoding(settings: &Settings) -> Result<(), ConnInfoError> {
    let Some(name) = settings.text("client_encoding") else {
        return Ok(());
    };
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" | "auto" => Ok(()),
        _ => Err(settings.broken("client_encoding", "must be UTF8 or auto")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    fn read(text: &str) -> Result<Session, Vec<String>> {
        let user = SystemUser {
            name: Some("ann".to_owned()),
            home: Some("/home/ann".into()),
        };
        let mut mistakes = Mistakes::default();
        let session = Session::read(&settings(text), &user, &mut mistakes);
        session.ok_or_else(|| {
            mistakes
                .into_vec()
                .iter()
                .map(ToString::to_string)
                .collect()
        })
    }

    #[test]
    fn defaults() {
        let session = read("").expect("the defaults are valid");
        assert_eq!(
            (session.user.as_str(), session.database.as_str()),
            ("ann", "ann")
        );
        assert_eq!(session.application_name, "pgfan");
        assert_eq!(session.passfile, Some("/home/ann/.pgpass".into()));
        assert_eq!(session.target_session_attrs, TargetSessionAttrs::Any);
        assert!(session.password.is_none());
    }

    #[test]
    fn the_database_follows_the_user_that_is_set() {
        assert_eq!(read("user=bob dbname=''").expect("valid").database, "bob");
    }

    #[test]
    fn application_name_comes_before_its_fallback() {
        let name = |text| read(text).expect("valid").application_name;
        assert_eq!(name("fallback_application_name=b"), "b");
        assert_eq!(name("fallback_application_name=b application_name=a"), "a");
        assert_eq!(name("fallback_application_name=b application_name=''"), "b");
    }

    #[test]
    fn only_utf8_is_spoken() {
        for name in ["UTF8", "utf-8", "Unicode", "auto", "''"] {
            assert!(read(&format!("client_encoding={name}")).is_ok(), "{name}");
        }
        let mut mistakes = Mistakes::default();
        mistakes.catch(check_encoding(&settings("client_encoding=latin1")));
        assert_eq!(
            mistakes.into_vec()[0].to_string(),
            "client_encoding (connection string) must be UTF8 or auto"
        );
    }

    #[test]
    fn mistakes_are_told_together() {
        let mistakes = read("channel_binding=x target_session_attrs=master client_encoding=x")
            .expect_err("three");
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    }

    #[test]
    fn without_any_name_there_is_no_session() {
        let mut mistakes = Mistakes::default();
        assert!(Session::read(&settings(""), &SystemUser::default(), &mut mistakes).is_none());
        assert_eq!(mistakes.into_vec(), [ConnInfoError::NoUser]);
    }
}
