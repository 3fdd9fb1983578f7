//! `pgfan token`: makes a development token that fits the settings of the
//! gateway.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{
    CommandResult, flag, flags,
    output::{print, tell},
    settings_file,
};
use crate::{
    auth::{Pattern, SigningKey, Wish, mint},
    config::{Mistakes, SETTINGS, TokenSettings, environment},
    text::path_prefix,
};

/// Settings with which the gateway validates a token.
const OF_THE_GATEWAY: [&str; 6] = [
    "token-secret",
    "token-secret-file",
    "token-audience",
    "token-issuer",
    "token-type",
    "token-claim",
];

pub(super) fn command() -> Command {
    let settings = SETTINGS.iter().filter(|s| OF_THE_GATEWAY.contains(&s.name));
    let channels = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("PATTERN")
            .action(ArgAction::Append)
            .value_delimiter(',')
            .value_parser(value_parser!(Pattern))
            .help(help)
    };
    Command::new("token")
        .about("Make a token for development")
        .arg(channels(
            "subscribe",
            "Channels to read, like orders.*; may be repeated",
        ))
        .arg(channels(
            "publish",
            "Channels to publish on; may be repeated",
        ))
        .arg(
            Arg::new("metrics")
                .long("metrics")
                .action(ArgAction::SetTrue)
                .help("Let it see the gateway's metrics too"),
        )
        .arg(
            Arg::new("expires")
                .long("expires")
                .value_name("TIME")
                .default_value("1h")
                .value_parser(lifetime)
                .help("From now on"),
        )
        .arg(
            Arg::new("key-file")
                .long("key-file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Sign with this private key, as PEM (PKCS #8), and not with the secret"),
        )
        .arg(
            Arg::new("key-id")
                .long("key-id")
                .value_name("NAME")
                .help("The name of the key in the gateway's JWKS document (`kid`)"),
        )
        .arg(super::config_flag())
        .args(settings.map(|setting| flag(setting).help_heading("As the gateway has them")))
        .after_help(
            "Examples:\n  \
             PGFAN_TOKEN_SECRET=… pgfan token --subscribe 'orders.*' --publish orders.new\n\n\
             The secret is that of the gateway: PGFAN_TOKEN_SECRET, or --token-secret-file. \
             Who has the token has its rights until it expires.",
        )
}

/// Warning only: such a token is needed to test what a gateway refuses.
const NO_RIGHTS: &str = "this token may read and publish nothing: give it channels with \
    --subscribe PATTERN and --publish PATTERN";

/// A year: longer-lived tokens are never rotated.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

fn lifetime(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "not a time, like 15m or 1h")?;
    match (Duration::from_secs(1)..=LONGEST).contains(&time) {
        true => Ok(time),
        false => Err("must be between 1s and 366days".into()),
    }
}

pub(super) fn run(matches: &ArgMatches) -> CommandResult {
    let file = settings_file(matches);
    let settings = TokenSettings::resolve(&flags(matches), &environment, file.as_deref())?;
    let key = match matches.get_one::<PathBuf>("key-file") {
        Some(path) => private_key(path)?,
        None => settings.signing.ok_or_else(no_key)?,
    };
    let patterns = |name| {
        matches
            .get_many::<Pattern>(name)
            .unwrap_or_default()
            .cloned()
    };
    let wish = Wish {
        subscribe: patterns("subscribe").collect(),
        publish: patterns("publish").collect(),
        // The flag has a default.
        lifetime: matches.get_one("expires").copied().unwrap_or_default(),
        metrics: matches.get_flag("metrics"),
        key_id: matches.get_one("key-id").cloned(),
    };
    if wish.is_empty() {
        tell(NO_RIGHTS);
    }
    let token = mint(&key, &wish, &settings.rules)?;
    print(format_args!("{token}\n"))
}

fn private_key(path: &Path) -> Result<SigningKey, Mistakes> {
    let key = SigningKey::of_pem_file(path);
    key.map_err(|error| format!("--key-file: {}{error}", path_prefix(path)).into())
}

fn no_key() -> Mistakes {
    let rule = "nothing to sign with: PGFAN_TOKEN_SECRET, --token-secret-file or --key-file";
    rule.to_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_a_year_at_most() {
        assert_eq!(lifetime("90s"), Ok(Duration::from_secs(90)));
        for text in ["", "60", "0s", "999ms", "367days", "-1s"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
