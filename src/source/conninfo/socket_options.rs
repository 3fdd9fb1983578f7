//! Timeouts for a server that does not answer, and TCP options that detect a dead one.

use std::time::Duration;

use tokio_postgres::Config;

use super::error::{ConnInfoError, Mistakes};
use super::settings::Settings;
use super::values::Span;

/// Timeout of one attempt on one host, from the name lookup to the end of authentication.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence on the link before the first probe. The system's default is two hours.
pub const DEFAULT_KEEPALIVES_IDLE: Duration = Duration::from_secs(3);

/// Time between two unanswered probes.
pub const DEFAULT_KEEPALIVES_INTERVAL: Duration = Duration::from_secs(2);

/// Number of unanswered probes after which the link counts as dead: with the two above, after 7 s
/// of silence.
pub const DEFAULT_KEEPALIVES_COUNT: u32 = 2;

/// Maximum time for which sent data may stay unacknowledged; the system's default is about 15
/// minutes.
///
/// A listening session is dropped after 5 s without a sign of life, so a dead link is not needed
/// any longer. Data sent just before an idle link counts as dead, at 7 s, restarts this time: both
/// sides have closed the link within 14 s in all cases.
pub const DEFAULT_TCP_USER_TIMEOUT: Duration = Duration::from_secs(7);

/// Linux's default, for an explicit `keepalives_idle=0` ("the system default"): tcp(7).
const SYSTEM_KEEPALIVES_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct SocketOptions {
    pub(super) connect_timeout: Duration,
    keepalives: bool,
    idle: Duration,
    /// `None`: the system's default.
    interval: Option<Duration>,
    /// `None`: the system's default.
    count: Option<u32>,
    /// `None`: the system's default.
    user_timeout: Option<Duration>,
}

impl SocketOptions {
    pub(super) fn read(settings: &Settings, mistakes: &mut Mistakes) -> Self {
        let mut span = |keyword, unit, default| {
            let span = mistakes.catch(settings.span(keyword, unit)).flatten();
            span.unwrap_or(Span::Limit(default))
        };
        let (second, millisecond) = (Duration::from_secs(1), Duration::from_millis(1));
        let connect_timeout = span("connect_timeout", second, DEFAULT_CONNECT_TIMEOUT);
        let idle = span("keepalives_idle", second, DEFAULT_KEEPALIVES_IDLE);
        let interval = span("keepalives_interval", second, DEFAULT_KEEPALIVES_INTERVAL);
        let user_timeout = span("tcp_user_timeout", millisecond, DEFAULT_TCP_USER_TIMEOUT);
        Self {
            // libpq waits indefinitely at zero; here an unanswered attempt would prevent attempts
            // on the other hosts.
            connect_timeout: connect_timeout.limit().unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            keepalives: mistakes.catch(settings.integer("keepalives")).flatten() != Some(0),
            idle: idle.limit().unwrap_or(SYSTEM_KEEPALIVES_IDLE),
            interval: interval.limit(),
            count: mistakes.catch(count(settings)).flatten(),
            user_timeout: user_timeout.limit(),
        }
    }

    /// Applies the options. One address may take half of the time, so that a dead IPv6 route
    /// leaves the other half to IPv4.
    pub(super) fn apply(&self, config: &mut Config) {
        config
            .connect_timeout(self.connect_timeout / 2)
            .keepalives(self.keepalives)
            .keepalives_idle(self.idle);
        if let Some(interval) = self.interval {
            config.keepalives_interval(interval);
        }
        if let Some(count) = self.count {
            config.keepalives_retries(count);
        }
        if let Some(timeout) = self.user_timeout {
            config.tcp_user_timeout(timeout);
        }
    }
}

fn count(settings: &Settings) -> Result<Option<u32>, ConnInfoError> {
    let number = settings.integer("keepalives_count")?;
    Ok(match number.map(u32::try_from) {
        None => Some(DEFAULT_KEEPALIVES_COUNT),
        Some(number) => number.ok().filter(|&count| count > 0),
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    fn read(text: &str) -> (SocketOptions, usize) {
        let mut mistakes = Mistakes::default();
        (
            SocketOptions::read(&settings(text), &mut mistakes),
            mistakes.into_vec().len(),
        )
    }

    #[test]
    fn unset_means_this_gateways_defaults() {
        let (options, mistakes) = read("");
        let expected = SocketOptions {
            connect_timeout: Duration::from_secs(10),
            keepalives: true,
            idle: Duration::from_secs(3),
            interval: Some(Duration::from_secs(2)),
            count: Some(2),
            user_timeout: Some(Duration::from_secs(7)),
        };
        assert_eq!((options, mistakes), (expected, 0));
    }

    #[test]
    fn zero_means_the_systems_own() {
        let text = "keepalives=0 keepalives_idle=0 keepalives_interval=0 keepalives_count=0 tcp_user_timeout=0";
        let (options, _) = read(&format!("{text} connect_timeout=0"));
        let expected = SocketOptions {
            connect_timeout: Duration::from_secs(10),
            keepalives: false,
            idle: Duration::from_secs(7200),
            interval: None,
            count: None,
            user_timeout: None,
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn tcp_user_timeout_is_in_milliseconds_and_the_rest_in_seconds() {
        let (options, _) = read("tcp_user_timeout=1500 connect_timeout=3 keepalives_idle=60");
        let mut config = Config::new();
        options.apply(&mut config);
        assert_eq!(
            config.get_tcp_user_timeout(),
            Some(&Duration::from_millis(1500))
        );
        assert_eq!(
            config.get_connect_timeout(),
            Some(&Duration::from_millis(1500))
        );
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(60));
        assert_eq!(options.connect_timeout, Duration::from_secs(3));
    }

    #[test]
    fn every_bad_number_is_told() {
        let (_, mistakes) =
            read("keepalives=on keepalives_count=x connect_timeout=10s tcp_user_timeout=''");
        assert_eq!(mistakes, 4);
    }
}
