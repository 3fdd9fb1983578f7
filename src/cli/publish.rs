//! `pgfan publish`: sends one notification through the gateway's HTTP API.

use std::io;

use clap::{Arg, ArgMatches, Command};
use tokio::{
    io::{AsyncReadExt as _, stdin},
    select,
};

use super::{CommandResult, gateway, output::printable};
use crate::{
    client,
    config::Mistakes,
    event::{ChannelName, Payload},
    shutdown::Shutdown,
};

pub(super) fn command() -> Command {
    Command::new("publish")
        .about("Notify a channel, and return after the commit")
        .arg(
            Arg::new("channel")
                .value_name("CHANNEL")
                .required(true)
                .value_parser(gateway::channel)
                .help("The exact name, 1 to 63 bytes"),
        )
        .arg(
            Arg::new("payload")
                .value_name("PAYLOAD")
                .allow_hyphen_values(true)
                .default_value("")
                .hide_default_value(true)
                .help("A text of at most 7999 bytes, nothing by default; - reads it from standard input, exactly"),
        )
        .args(gateway::arguments())
        .after_help(
            "Examples:\n  \
             pgfan publish orders '{\"id\": 5}'\n  \
             date | pgfan publish clock -\n\n\
             Exit code 0: committed. 1: refused, or it is unknown whether it was committed. \
             2: not understood.",
        )
}

const FORBIDDEN: &str =
    "a token has to grant it; without one it takes `pgfan serve --allow-publish`";

pub(super) async fn run(matches: &ArgMatches) -> CommandResult {
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    shutdown.on_hangup()?;
    let gateway = gateway::gateway(matches)?;
    // clap requires the channel, and the payload has a default.
    let channel = matches.get_one::<ChannelName>("channel");
    let text = matches.get_one::<String>("payload");
    let (Some(channel), Some(text)) = (channel, text) else {
        return Ok(());
    };
    let publishing = async {
        let payload = payload(text).await?;
        let published = client::publish(&gateway, channel, &payload).await;
        published.map_err(|ended| match ended.code.as_str() {
            // No grant covers a reserved channel, so the remedy is not for it.
            "forbidden" if !channel.is_reserved() => {
                let ended = ended.to_string();
                format!("{}\n{FORBIDDEN}", printable(&ended)).into()
            }
            _ => gateway::explained(&ended).into(),
        })
    };
    select! {
        published = publishing => published,
        () = shutdown.begun.cancelled() => {
            Err("interrupted: it is unknown whether it was committed".into())
        }
    }
}

/// An invalid payload is reported by its length only.
async fn payload(text: &str) -> Result<Payload, Box<dyn std::error::Error>> {
    let payload = match text {
        "-" => standard_input().await?,
        text => Payload::new(text.to_owned()).map_err(|error| error.to_string()),
    };
    payload.map_err(|rule| Mistakes::from(format!("PAYLOAD: {rule}")).into())
}

/// Reads only as much as is needed to see that it is too long.
async fn standard_input() -> io::Result<Result<Payload, String>> {
    let mut bytes = Vec::new();
    let limit = Payload::MAX_BYTES + 1;
    stdin().take(limit as u64).read_to_end(&mut bytes).await?;
    if bytes.len() == limit {
        let rule = format!("a payload has at most {} bytes", Payload::MAX_BYTES);
        return Ok(Err(rule));
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned());
    Ok(text.and_then(|text| Payload::new(text).map_err(|error| error.to_string())))
}
