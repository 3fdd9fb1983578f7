//! Options of a sandbox: server settings, folder, shutdown modes.

use std::path::PathBuf;

use super::Binaries;

/// Suited to many short runs on a small machine; the caller's settings come later and so override these.
const SETTINGS: [(&str, &str); 6] = [
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "16MB"),
    ("max_connections", "50"),
    ("autovacuum", "off"),
];

/// Options of a sandbox.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's programs.
    pub binaries: Binaries,
    /// Server settings as in `postgresql.conf`, later ones override; `port`, `unix_socket_directories` and the log's
    /// destination are fixed.
    pub settings: Vec<(String, String)>,
    /// The folder's parent; `None` is the system's temporary folder. `/tmp` replaces it if it is closed to the server's
    /// user or its path is too long for a Unix socket.
    pub parent: Option<PathBuf>,
}

impl Options {
    /// Options for a server of these programs, without settings, in the system's temporary folder.
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

    /// All settings, in the order in which the server gets them.
    pub(super) fn all_settings(&self) -> Vec<(String, String)> {
        let ours = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        ours.into_iter()
            .chain(self.settings.iter().cloned())
            .collect()
    }
}

/// Shutdown mode, after `pg_ctl stop -m` (<https://www.postgresql.org/docs/current/server-shutdown.html>).
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
    /// Its signal, named as in kill(1).
    pub(super) fn signal(self) -> &'static str {
        match self {
            Self::Smart => "TERM",
            Self::Fast => "INT",
            Self::Immediate => "QUIT",
        }
    }
}
