//! `pgfan listen`: prints events to a terminal or a pipe.

mod lines;

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _},
    pin::pin,
    time::{Duration, SystemTime},
};

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser, value_parser};
use futures_util::{FutureExt as _, StreamExt as _};
use humantime::format_rfc3339_micros;
use tokio::{
    io::{AsyncWriteExt as _, Stdout, stdout},
    select,
};

use self::lines::Style;
use super::{
    CommandResult, gateway,
    output::{in_colour, printable, tell},
};
use crate::{
    client::{Ended, FollowEvent, Message, ReadOptions, Wire, follow},
    event::ChannelName,
    shutdown::Shutdown,
};

/// Limit of the bytes in one write; messages that are already received share it.
const TOGETHER: usize = 64 << 10;

pub(super) fn command() -> Command {
    let channels = Arg::new("channel")
        .value_name("CHANNEL")
        .required(true)
        .num_args(1..)
        .value_parser(gateway::channel)
        .help("The exact names, 1 to 63 bytes each");
    let via = Arg::new("via")
        .long("via")
        .value_name("WIRE")
        .value_parser(PossibleValuesParser::new(["ws", "sse", "grpc"]))
        .default_value("ws")
        .help("Which way; what is heard is the same on each");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("One JSON object a line, on a terminal too");
    let since = Arg::new("since")
        .long("since")
        .value_name("CURSOR")
        .default_value("")
        .hide_default_value(true)
        .help("Begin after this id or cursor; what can no longer be had is told by a gap");
    let count = Arg::new("count")
        .long("count")
        .value_name("COUNT")
        .value_parser(value_parser!(u64).range(1..))
        .help("End after so many events");
    let keepalive = Arg::new("keepalive")
        .long("keepalive")
        .value_name("TIME")
        .value_parser(keepalive)
        .default_value("15s")
        .help("As the gateway's --keepalive: silence of twice that is a lost connection");
    Command::new("listen")
        .about("Show the events of channels: for people on a terminal, else one JSON object a line")
        .args([channels, via, json, since, count, keepalive])
        .args(gateway::arguments())
        .after_help(EXAMPLES)
}

const EXAMPLES: &str = "\
Examples:
  pgfan listen orders customers
  pgfan listen orders | jq -r 'select(.type == \"event\").payload'
  pgfan listen orders --count 1 > /dev/null && make pages
  pgfan listen orders --since e2f6-8 --via grpc --url https://events.example.com

The objects are those of WebSocket and SSE: ready, event, gap, interrupted, live; and over ws, \
where one of several channels is taken away by other settings of the gateway, unsubscribed with \
its name, after which it ends with 1. A connection that \
is lost is one more `interrupted`, with `code` and `message`; it is tried again for ever, with \
growing pauses up to 10 s, from the last cursor: what was missed comes first, or one gap, and \
then `ready`. Each try that fails is reported on standard error.

Where nobody answers from the first, it ends at once: that is more often a wrong --url. To wait \
for a gateway that is yet to come: until pgfan health; do sleep 1; done.

Exit code 0: ended by Ctrl-C, by --count, or because nobody reads the output any more. \
1: the gateway refused for good, or was never there. 2: not understood.";

fn keepalive(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "not a time, like 15s".to_owned())?;
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    let is_good = range.contains(&time);
    is_good
        .then_some(time)
        .ok_or_else(|| "must be between 100ms and 1h".to_owned())
}

pub(super) async fn run(matches: &ArgMatches) -> CommandResult {
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    shutdown.on_hangup()?;
    let gateway = gateway::gateway(matches)?;
    let is_terminal = io::stdout().is_terminal();
    let style = match is_terminal && !matches.get_flag("json") {
        true => Style::Text {
            in_colour: in_colour(),
        },
        false => Style::Json,
    };
    let mut output = Output {
        stdout: stdout(),
        style,
        left: matches.get_one::<u64>("count").copied(),
        cursor: String::new(),
        told_remedy: false,
    };
    let reader = follow(gateway, reading(matches));
    let ended = select! {
        ended = output.write_all(reader) => ended,
        () = shutdown.begun.cancelled() => Ok(()),
    };
    if is_terminal && !output.cursor.is_empty() {
        tell(format_args!(
            "to go on from here: --since {}",
            shell_word(&output.cursor)
        ));
    }
    ended
}

/// Quoted for a shell if needed, so that any cursor from a gateway is one word.
fn shell_word(cursor: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    match cursor.chars().all(is_plain) {
        true => Cow::Borrowed(cursor),
        false => Cow::Owned(format!("'{}'", cursor.replace('\'', r"'\''"))),
    }
}

fn reading(matches: &ArgMatches) -> ReadOptions {
    let channels = matches.get_many::<ChannelName>("channel");
    let keepalive = matches.get_one::<Duration>("keepalive").copied();
    ReadOptions {
        wire: match matches.get_one::<String>("via").map(String::as_str) {
            Some("sse") => Wire::Sse,
            Some("grpc") => Wire::Grpc,
            _ => Wire::WebSocket,
        },
        channels: channels.into_iter().flatten().cloned().collect(),
        cursor: matches
            .get_one::<String>("since")
            .cloned()
            .unwrap_or_default(),
        keepalive: keepalive.unwrap_or(Duration::from_secs(15)),
    }
}

struct Output {
    stdout: Stdout,
    style: Style,
    /// Events left of `--count`.
    left: Option<u64>,
    /// Cursor of the last event written.
    cursor: String,
    /// Whether the remedy was printed: once is enough.
    told_remedy: bool,
}

impl Output {
    /// Writes until `--count` or the end of the stream. Waits for each write: slow output slows
    /// down the stream from the gateway.
    async fn write_all(
        &mut self,
        reader: impl futures_util::Stream<Item = Result<FollowEvent, Ended>>,
    ) -> CommandResult {
        let mut reader = pin!(reader);
        let mut lines = String::new();
        while let Some(first) = reader.next().await {
            let (mut next, mut end) = (Some(first), None);
            while let Some(heard) = next {
                end = match heard {
                    Ok(heard) => self.take_in(heard, &mut lines).then_some(Ok(())),
                    Err(ended) => Some(Err(gateway::explained(&ended).into())),
                };
                let more = end.is_none() && lines.len() < TOGETHER;
                next = more
                    .then(|| reader.next().now_or_never())
                    .flatten()
                    .flatten();
            }
            if !self.write(&mut lines).await? {
                return Ok(());
            }
            if let Some(end) = end {
                return end;
            }
        }
        Ok(())
    }

    /// True after the last event wanted.
    fn take_in(&mut self, heard: FollowEvent, lines: &mut String) -> bool {
        match heard {
            FollowEvent::Message(message) => {
                self.style.push(lines, &message);
                message
                    .cursor()
                    .unwrap_or_default()
                    .clone_into(&mut self.cursor);
                if let (Message::Event { .. }, Some(left)) = (&message, &mut self.left) {
                    *left -= 1;
                }
            }
            FollowEvent::Away {
                ended,
                was_ready,
                pause,
            } => {
                if was_ready {
                    let lost = Message::Interrupted {
                        since: format_rfc3339_micros(SystemTime::now()).to_string(),
                        code: Some(ended.code),
                        message: Some(ended.message),
                    };
                    self.style.push(lines, &lost);
                } else {
                    let told = std::mem::replace(&mut self.told_remedy, true);
                    let remedy = ended.remedy().filter(|_| !told);
                    let says = ended.to_string();
                    let says = printable(&says);
                    tell(format_args!("{says}: trying again in {pause:.1?}"));
                    remedy.iter().for_each(tell);
                }
            }
        }
        self.left == Some(0)
    }

    /// False if the output was closed.
    async fn write(&mut self, lines: &mut String) -> io::Result<bool> {
        let written = async {
            self.stdout.write_all(lines.as_bytes()).await?;
            self.stdout.flush().await
        };
        let written = written.await;
        lines.clear();
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            written => written.map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn a_cursor_is_one_word_of_a_shell() {
        assert_eq!(shell_word("e2f6-8"), "e2f6-8");
        assert_eq!(shell_word("x'; rm -rf ~"), r"'x'\''; rm -rf ~'");
    }
}
