//! Channel rights of a client, and the refusals for channels that it has no right to.

use crate::{
    auth::Grant,
    event::ChannelName,
    transport::protocol::codes::{Code, Refusal},
};

/// Checks the read right for all channels of a request: if one is not readable,
/// the request is refused, with or without a cursor.
pub(super) fn readable(grant: &Grant, channels: &[String]) -> Result<Vec<ChannelName>, Refusal> {
    let readable = channels.iter().map(|name| {
        let channel = ChannelName::new(name)?;
        match grant.may_subscribe(&channel) {
            true => Ok(channel),
            false if channel.is_reserved() => Err(reserved()),
            false => {
                let refusal = unreadable(std::slice::from_ref(name));
                Err(without_right(grant, refusal.message))
            }
        }
    });
    readable.collect()
}

/// Refusal of a reserved channel, for any token.
pub(super) fn reserved() -> Refusal {
    let rule = "channels that begin with `pgfan:` are the gateway's own";
    Refusal::new(Code::Forbidden, rule)
}

/// Refusal of channels that the client may not read.
pub(in crate::transport) fn unreadable(names: &[impl AsRef<str>]) -> Refusal {
    let names: Vec<_> = names
        .iter()
        .map(|name| format!("{:?}", name.as_ref()))
        .collect();
    let (s, names) = (if names.len() == 1 { "" } else { "s" }, names.join(", "));
    Refusal::new(
        Code::Forbidden,
        format!("the channel{s} {names} cannot be read"),
    )
}

/// `message` says which right is missing. If the token grants nothing, its issuer has to
/// look at the claim that names the channels; the log names it, the answer does not.
pub(in crate::transport) fn without_right(grant: &Grant, message: String) -> Refusal {
    let message = match grant.is_empty() {
        true => format!("{message}: the token grants no channel at all"),
        false => message,
    };
    Refusal::new(Code::Forbidden, message)
}
