//! Graceful shutdown: one signal for all tasks, one tracker, one time limit.

use std::{io, time::Duration};

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// Signals within this time count as one: a program that signals a process and then its process
/// group, as timeout(1) does, sends two, and no person is this fast.
const ECHO: Duration = Duration::from_millis(100);

/// Shutdown state. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled when the shutdown begins: no new client is admitted.
    pub begun: CancellationToken,
    /// Cancelled when every reader's stream was ended: connections close when
    /// they have nothing left to send.
    pub told: CancellationToken,
    /// Tasks that the shutdown waits for.
    pub tasks: TaskTracker,
}

impl Shutdown {
    /// Begins the shutdown at the first SIGINT or SIGTERM; exits at once at a
    /// later one, unless it comes within `ECHO` of the first.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let begun = self.begun.clone();
        tokio::spawn(async move {
            let mut first = None;
            loop {
                select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                let Some(first) = first else {
                    info!("ending");
                    begun.cancel();
                    first = Some(Instant::now());
                    continue;
                };
                if first.elapsed() > ECHO {
                    warn!("a second signal: ending at once");
                    std::process::exit(1);
                }
            }
        });
        Ok(())
    }

    /// Begins the shutdown at SIGHUP too: its terminal was closed.
    ///
    /// # Errors
    /// The signal handler cannot be installed.
    pub fn on_hangup(&self) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let begun = self.begun.clone();
        tokio::spawn(async move {
            if hangup.recv().await.is_some() {
                begun.cancel();
            }
        });
        Ok(())
    }

    /// Waits until every task has ended, at most until `limit`; the remaining
    /// tasks are dropped with the runtime.
    pub async fn ended(&self, limit: Instant) {
        self.tasks.close();
        if timeout_at(limit, self.tasks.wait()).await.is_err() {
            warn!(left = self.tasks.len(), "the drain time is over");
        }
    }
}
