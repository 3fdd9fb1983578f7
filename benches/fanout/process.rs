//! Resource usage of a server's processes, as the kernel counts it (proc(5)).

use std::{
    fs,
    io::{self, ErrorKind},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

/// Timeout for a server to end after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(3);

/// CPU time and memory of a process and its descendants.
#[derive(Debug, Default, Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    /// Shared pages count in part (PSS).
    pub memory: u64,
}

/// CPU time only: cheap to read, unlike memory.
pub fn cpu(root: u32) -> Duration {
    family(root).into_iter().map(cpu_of).sum()
}

pub fn usage(root: u32) -> Usage {
    Usage {
        cpu: cpu(root),
        memory: family(root).into_iter().map(memory_of).sum(),
    }
}

/// CPU time of the calling thread.
pub fn own_thread_cpu() -> Duration {
    run_time("/proc/thread-self/schedstat".into())
}

/// Sum over all living threads: a server's live as long as it does.
fn cpu_of(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .map(|task| run_time(task.path().join("schedstat")))
        .sum()
}

/// The first field: nanoseconds on a CPU, user and system.
fn run_time(schedstat: PathBuf) -> Duration {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

fn memory_of(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

/// A process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let mut family = vec![root];
    let mut at = 0;
    while let Some(process) = family.get(at) {
        family.extend(children(*process));
        at += 1;
    }
    family
}

fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let texts = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let texts: String = texts.map(Result::unwrap_or_default).collect();
    let numbers = texts.split_whitespace();
    numbers.filter_map(|word| word.parse().ok()).collect()
}

/// A process started by the benchmark, with its descendants.
pub struct Family {
    child: Child,
}

impl Family {
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let command = command.stdin(Stdio::null()).kill_on_drop(true);
        let child = command.spawn()?;
        Ok(Self { child })
    }

    pub fn root(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// The process's output; each stream can be taken once.
    pub fn output(&mut self) -> io::Result<ChildStdout> {
        self.child.stdout.take().ok_or(ErrorKind::BrokenPipe.into())
    }

    pub fn log(&mut self) -> io::Result<ChildStderr> {
        self.child.stderr.take().ok_or(ErrorKind::BrokenPipe.into())
    }

    /// Sends SIGTERM; kills it and its descendants after the limit.
    pub async fn end(mut self) {
        let family = family(self.root());
        signal(self.root(), Signal::TERM);
        if timeout(END_LIMIT, self.child.wait()).await.is_err() {
            for process in family {
                signal(process, Signal::KILL);
            }
            let _ = timeout(END_LIMIT, self.child.wait()).await;
        }
    }
}

impl Drop for Family {
    /// For an interrupted benchmark: an nginx killed alone leaves its worker.
    fn drop(&mut self) {
        if let Some(root) = self.child.id() {
            for process in family(root) {
                signal(process, Signal::TERM);
            }
        }
    }
}

fn signal(process: u32, signal: Signal) {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended already.
        let _ = kill_process(pid, signal);
    }
}
