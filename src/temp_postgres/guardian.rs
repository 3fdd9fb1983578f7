//! A process that cleans up after its owner, however the owner ends.
//!
//! Rust's destructors do not run when a process is killed. The guardian is a shell that waits for the end of its
//! standard input. Only the owner holds the other end, which the kernel closes when the owner ends. So it needs no
//! signal, no polling and nothing specific to Linux.

use std::{
    path::Path,
    process::{Child, Stdio},
};

use super::{SandboxError, place::Place};

/// Time for the server to end before it is killed, in seconds; PostgreSQL itself kills processes that ignore an
/// immediate shutdown after 5 s.
pub(super) const LIMIT_SECONDS: &str = "8";

/// `$1` is pg_ctl, `$2` the sandbox's folder, `$3` the limit. The first line of postmaster.pid is the process id.
/// Children of a killed initdb keep writing for a moment, so the folder may fill again while it is emptied: removal is
/// retried for 5 s.
const SCRIPT: &str = r#"
read -r end
cd /
"$1" stop -m immediate -t "$3" -D "$2/data" ||
    { read -r pid <"$2/data/postmaster.pid" && kill -9 "$pid"; }
tries=50
until rm -rf "$2" || [ -z "$(ls -A "$2")" ] || [ "$tries" = 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
done
"#;

/// The guardian of one sandbox.
#[derive(Debug)]
pub(super) struct Guardian {
    pub(super) process: Child,
}

impl Guardian {
    /// Guards the folder of `place`, and a server in it, from now on.
    ///
    /// If root made the folder in a place to which the server's user may not write (`/tmp` is not one), the guardian of
    /// a killed owner empties the folder and leaves it.
    pub(super) fn of(place: &Place) -> Result<Self, SandboxError> {
        let shell = Path::new("/bin/sh");
        let mut command = place.command(shell);
        command.args(["-c", SCRIPT, "pgfan-guardian"]);
        command
            .arg(place.pg_ctl())
            .arg(place.folder())
            .arg(LIMIT_SECONDS);
        let process = command.stdin(Stdio::piped()).spawn();
        let process = process.map_err(|source| SandboxError::Run {
            program: shell.to_owned(),
            source,
        })?;
        Ok(Self { process })
    }

    /// Starts the cleanup now; `false` if the guardian has ended, so that no cleanup will happen.
    pub(super) fn release(&mut self) -> bool {
        drop(self.process.stdin.take());
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Waits until the cleanup is done: at most the limit and the time to remove the folder.
    pub(super) fn wait(&mut self) {
        // Fails only for a process that was reaped before; then there is nothing to wait for.
        let _ = self.process.wait();
    }
}
