//! The server's process, and its phase as read from its log.
//!
//! All processes of the server share one standard error, so its end of file means that all of them have ended,
//! including the postmaster's children, which only the postmaster can wait for.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{error::Elapsed, timeout},
};

use super::SandboxError;

/// Limit of the log lines kept for an error's text.
const LINES_KEPT: usize = 12;

/// Limit of the characters kept of a line.
const LINE_LIMIT: usize = 400;

/// A postmaster and its log.
#[derive(Debug)]
pub(super) struct Server {
    postmaster: Child,
    log: watch::Receiver<Log>,
}

#[derive(Debug, Default)]
struct Log {
    phase: Phase,
    last_lines: VecDeque<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Ready,
    Ended,
}

impl Server {
    /// Starts the server; a thread reads its log, so that the server never waits for a busy runtime.
    pub(super) fn spawn(mut command: Command) -> io::Result<Self> {
        let mut postmaster = command.stderr(Stdio::piped()).spawn()?;
        let (sender, log) = watch::channel(Log::default());
        let stderr = postmaster.stderr.take();
        let mut server = Self { postmaster, log };
        let follower = thread::Builder::new().name("postgres-log".to_owned());
        let follower = follower.spawn(move || follow(stderr.into_iter(), &sender));
        match follower {
            Ok(_) => Ok(server),
            Err(error) => {
                server.kill();
                server.reap();
                Err(error)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.postmaster.id()
    }

    /// Waits until the server accepts connections.
    pub(super) async fn ready(&mut self, limit: Duration) -> Result<(), SandboxError> {
        let decided = self.phase(limit, |phase| phase != Phase::Starting).await;
        match decided {
            Ok(Phase::Ready) => Ok(()),
            _ => Err(SandboxError::NotStarted {
                limit,
                log: self.last_lines(),
            }),
        }
    }

    /// Waits until every process of the server has ended.
    pub(super) async fn ended(&mut self, limit: Duration) -> Result<(), SandboxError> {
        match self.phase(limit, |phase| phase == Phase::Ended).await {
            Ok(_) => Ok(()),
            Err(_) => Err(SandboxError::StillRunning {
                limit,
                log: self.last_lines(),
            }),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.log.borrow().phase == Phase::Ended
    }

    /// Kills the postmaster, if it is alive.
    pub(super) fn kill(&mut self) {
        // Fails only for a process that has ended already.
        let _ = self.postmaster.kill();
    }

    /// Waits until the postmaster, which was asked to end, has ended.
    pub(super) fn reap(&mut self) {
        // The status adds nothing to the log; it fails only for a process that was reaped before.
        let _ = self.postmaster.wait();
    }

    async fn phase(
        &mut self,
        limit: Duration,
        wanted: fn(Phase) -> bool,
    ) -> Result<Phase, Elapsed> {
        let seen = timeout(limit, self.log.wait_for(|log| wanted(log.phase))).await?;
        // The thread that reads the log ends only after it has sent `Ended`.
        Ok(seen.map_or(Phase::Ended, |log| log.phase))
    }

    fn last_lines(&self) -> String {
        let log = self.log.borrow();
        log.last_lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl Log {
    /// The text is PostgreSQL's own, the same in all versions; a standby logs "to accept read-only connections".
    fn add(&mut self, line: &str) {
        if self.phase == Phase::Starting && line.contains("database system is ready to accept") {
            self.phase = Phase::Ready;
        }
        if self.last_lines.len() == LINES_KEPT {
            self.last_lines.pop_front();
        }
        self.last_lines
            .push_back(line.chars().take(LINE_LIMIT).collect());
    }
}

/// Reads the log to its end.
fn follow(log: impl Iterator<Item = impl Read>, seen: &watch::Sender<Log>) {
    let lines = log.flat_map(|log| BufReader::new(log).split(b'\n'));
    for line in lines.map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        tracing::debug!(%line, "postgres");
        seen.send_modify(|log| log.add(&line));
    }
    seen.send_modify(|log| log.phase = Phase::Ended);
}
