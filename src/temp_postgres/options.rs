//! What the caller may choose: the server's settings, its place, how it stops.

use std::path::PathBuf;

use super::Binaries;

/// Good for many short runs on a small machine; the caller's settings come later and so win.
const SETTINGS: [(&str, &str); 6] = [
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "16MB"),
    ("max_connections", "50"),
    ("autovacuum", "off"),
];

/// What a sandbox is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's programs.
    pub binaries: Binaries,
    /// Server settings as in `postgresql.conf`, later ones win; `port`, `unix_socket_directories` and where the log
    /// goes are fixed.
    pub settings: Vec<(String, String)>,
    /// Where the folder is made; `None` is the system's temporary folder. `/tmp` takes its place when it is closed
    /// to the server's user or its path is too long for a Unix socket.
    pub parent: Option<PathBuf>,
}

impl Options {
    /// A server of these programs with no settings of the caller's, in the system's temporary folder.
    pub fn new(binaries: Binaries) -> Self {
        Self {
            binaries,
            settings: Vec::new(),
            parent: None,
        }
    }

    /// Adds a server setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In the order in which the server gets them.
    pub(super) fn all_settings(&self) -> Vec<(String, String)> {
        let ours = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        ours.into_iter()
            .chain(self.settings.iter().cloned())
            .collect()
    }
}

/// How a server is asked to stop, after `pg_ctl stop -m`
/// (<https://www.postgresql.org/docs/current/server-shutdown.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No new connections; ends when the last client has left.
    Smart,
    /// Ends every session, writes everything out.
    Fast,
    /// Ends at once; the next start begins with crash recovery.
    Immediate,
}

impl Mode {
    /// As kill(1) names it.
    pub(super) fn signal(self) -> &'static str {
        match self {
            Self::Smart => "TERM",
            Self::Fast => "INT",
            Self::Immediate => "QUIT",
        }
    }
}
