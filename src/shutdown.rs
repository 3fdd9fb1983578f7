//! One signal for all, one tracker of what must end, one time limit.

use std::{io, time::Duration};

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// Signals that come within it are one: whoever ends a program and then its process group, as
/// timeout(1) does, tells it twice, and no person is so quick.
const ECHO: Duration = Duration::from_millis(100);

/// Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled when the end begins: nobody new is let in.
    pub begun: CancellationToken,
    /// Cancelled when every reader was told: connections end when they have
    /// nothing more to say.
    pub told: CancellationToken,
    /// What is waited for.
    pub tasks: TaskTracker,
}

impl Shutdown {
    /// Begins the end at the first SIGINT or SIGTERM; exits at once at the
    /// second, where that is no echo of the first.
    ///
    /// # Errors
    /// The signals cannot be listened for.
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

    /// Begins the end at SIGHUP too: the terminal that it runs in was closed.
    ///
    /// # Errors
    /// The signal cannot be listened for.
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

    /// Waits until every task has ended, at most until `limit`; what is left
    /// then is dropped with the runtime.
    pub async fn ended(&self, limit: Instant) {
        self.tasks.close();
        if timeout_at(limit, self.tasks.wait()).await.is_err() {
            warn!(left = self.tasks.len(), "the drain time is over");
        }
    }
}
