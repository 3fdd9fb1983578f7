//! Errors of a sandbox.

use std::{io, path::PathBuf, time::Duration};

/// Reason why a sandbox could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No folder has all three programs.
    #[error(
        "no PostgreSQL server found: initdb, postgres and pg_ctl are neither in PATH nor in a usual folder; install it \
         (Debian: apt-get install postgresql) or set PG_BIN to the folder that holds them"
    )]
    NotInstalled,
    /// The folder given by the caller lacks one of the three programs.
    #[error("PG_BIN {folder}: no executable {program} in this folder")]
    NotInPgBin {
        /// The folder as given.
        folder: PathBuf,
        /// The first program that is missing.
        program: &'static str,
    },
    /// Root started it, and no other account can run the server.
    #[error(
        "root may not run PostgreSQL, and /etc/passwd has neither user postgres nor user nobody"
    )]
    NoAccount,
    /// Root started it, and the server's user cannot enter a folder.
    #[error("{folder} is closed to user {account}, who runs the server because root may not")]
    Closed {
        /// The outermost folder that cannot be entered.
        folder: PathBuf,
        /// The server's user.
        account: String,
    },
    /// The path of a Unix socket would exceed the system's limit.
    #[error(
        "{folder}: a Unix socket in a folder of it would have a path of more than {limit} bytes"
    )]
    PathTooLong {
        /// The folder in which the sandbox was to be made.
        folder: PathBuf,
        /// The longest path, in bytes.
        limit: usize,
    },
    /// The temporary folder could not be made or given to the server's user.
    #[error("cannot make a folder in {parent}")]
    Folder {
        /// The folder in which it was to be made.
        parent: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("cannot run {program}")]
    Run {
        /// The program's path or name.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// The program's name.
        program: &'static str,
        /// The last lines it wrote.
        output: String,
    },
    /// A program exceeded its limit and was killed.
    #[error("{program} took more than {} s", limit.as_secs())]
    Overdue {
        /// The program's name.
        program: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The server ended, or was not ready in time.
    #[error("the server did not start (limit {} s): {log}", limit.as_secs())]
    NotStarted {
        /// The limit; a server that ends is reported at once.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The server did not stop in time.
    #[error("the server is still running after {} s: {log}", limit.as_secs())]
    StillRunning {
        /// The limit.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// No free TCP port was found.
    #[error("no free port between 20000 and 31999 on 127.0.0.1")]
    NoPort,
    /// Only a stopped server can be started again.
    #[error("the server is running already")]
    AlreadyRunning,
}

impl SandboxError {
    /// Whether another port may help; the text is PostgreSQL's, fixed by the C locale.
    pub(super) fn is_address_in_use(&self) -> bool {
        matches!(self, Self::NotStarted { log, .. } if log.contains("Address already in use"))
    }
}
