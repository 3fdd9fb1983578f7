//! The gateway that a command connects to, and the credentials for it.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, value_parser};

use super::output::printable;
use crate::{
    client::{Address, Ended, Gateway, Token},
    config::{Mistakes, environment},
    event::ChannelName,
};

const DEFAULT_URL: &str = "http://127.0.0.1:8000";

pub(super) fn arguments() -> [Arg; 2] {
    let url = Arg::new("url")
        .long("url")
        .value_name("URL")
        .help("The gateway [env: PGFAN_URL] [default: http://127.0.0.1:8000]");
    let token_file = Arg::new("token-file")
        .long("token-file")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("A file with the token to show, read for each connection [env: PGFAN_TOKEN, the token itself]");
    [url, token_file]
}

/// Returns all mistakes at once.
pub(super) fn gateway(matches: &ArgMatches) -> Result<Gateway, Mistakes> {
    let mut mistakes = Vec::new();
    let variable = |name| environment(name).filter(|text| !text.is_empty());
    let (origin, url) = match (matches.get_one::<String>("url"), variable("PGFAN_URL")) {
        (Some(url), _) => ("--url", url.clone()),
        (None, Some(url)) => ("PGFAN_URL", url),
        (None, None) => ("--url", DEFAULT_URL.to_owned()),
    };
    let address = url.parse::<Address>();
    let address = address.map_err(|error| mistakes.push(format!("{origin}: {error}")));
    let file = matches.get_one::<PathBuf>("token-file").cloned();
    let (origin, token) = match (file, variable("PGFAN_TOKEN")) {
        (Some(file), _) => ("--token-file", Token::File(file)),
        (None, Some(token)) => ("PGFAN_TOKEN", Token::Text(token)),
        (None, None) => ("PGFAN_TOKEN", Token::None),
    };
    if let Err(error) = token.header() {
        mistakes.push(format!("{origin}: {error}"));
    }
    match address {
        Ok(address) if mistakes.is_empty() => Ok(Gateway { address, token }),
        _ => Err(Mistakes(mistakes.into_iter().map(Into::into).collect())),
    }
}

/// A valid channel name. A URL would be a valid one too, and would be shown as a name with its
/// password.
pub(super) fn channel(name: &str) -> Result<ChannelName, String> {
    if name.contains("://") {
        return Err("a URL is no channel's name: --url URL says where the gateway is".to_owned());
    }
    ChannelName::new(name).map_err(|error| error.to_string())
}

/// The error, and its remedy on a second line.
pub(super) fn explained(ended: &Ended) -> String {
    // The text can contain the gateway's own message.
    let ended_text = ended.to_string();
    let says = printable(&ended_text);
    match ended.remedy() {
        Some(remedy) => format!("{says}\n{remedy}"),
        None => says.into_owned(),
    }
}
