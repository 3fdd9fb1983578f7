//! An external program as a process: its output and its end.

use std::{
    ffi::OsStr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use super::{LIMIT, environment, within};

/// Most output of a program on one stream that is read; beyond it the program blocks
/// on a full pipe until the test's timeout.
const OUTPUT_LIMIT: usize = 16 << 20;

/// Killed when it is dropped; with its group, if it leads one (`process_group(0)`),
/// because a shell leaves its children behind.
pub struct Program {
    child: Child,
    pub stdout: Output,
    pub stderr: Output,
}

/// Output on one stream so far.
pub struct Output {
    said: watch::Receiver<Vec<u8>>,
    /// End of what was read line by line.
    read: usize,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A command without the test's own environment, in which any variable of PostgreSQL
/// or pgfan would be a setting.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().kill_on_drop(true);
    for name in ["PATH", "PG_BIN", "TMPDIR"] {
        if let Some(value) = environment(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a program to its end.
pub async fn run(command: &mut Command) -> Ended {
    run_within(LIMIT, command).await
}

pub async fn run_within(limit: Duration, command: &mut Command) -> Ended {
    Program::start(command).ended_within(limit).await
}

/// Sends a signal by the shell's own `kill`, which is on every machine. Returns
/// whether there was such a process.
pub async fn signal(pid: u32, name: &str) -> bool {
    let mut kill = command("/bin/sh");
    let script = r#"kill -s "$1" "$2" 2>/dev/null"#;
    kill.args(["-c", script, "kill", name, &pid.to_string()]);
    within("kill ends", kill.status()).await.unwrap().success()
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Output::follow(child.stdout.take().unwrap());
        let stderr = Output::follow(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for yet")
    }

    /// Sends a signal; `name` is as in kill(1).
    pub async fn signal(&self, name: &str) {
        let pid = self.pid();
        assert!(signal(pid, name).await, "kill -s {name} {pid}");
    }

    pub async fn ended(self) -> Ended {
        self.ended_within(LIMIT).await
    }

    pub async fn ended_within(mut self, limit: Duration) -> Ended {
        let ending = async {
            let status = self.child.wait().await.unwrap();
            Ended {
                status,
                stdout: self.stdout.whole().await,
                stderr: self.stderr.whole().await,
            }
        };
        match timeout(limit, ending).await {
            Ok(ended) => ended,
            Err(_) => panic!("the program has not ended within {limit:?}"),
        }
    }
}

impl Drop for Program {
    /// A failing test shows the output of its programs.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("pid {:?}: {}", self.child.id(), self.stderr.text());
        }
        // The process was not waited for yet, so its id is not reused. If it leads no
        // group, no group has this id, and nothing is killed.
        if let Some(group) = self.child.id().and_then(|id| Pid::from_raw(id as i32)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Output {
    fn follow(mut stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut part = [0; 8 << 10];
            while let Ok(length @ 1..) = stream.read(&mut part).await {
                sender.send_modify(|said| said.extend_from_slice(&part[..length]));
                if sender.borrow().len() > OUTPUT_LIMIT {
                    return std::future::pending().await;
                }
            }
        });
        Self {
            said: receiver,
            read: 0,
        }
    }

    /// The first result of `find` on the output so far.
    pub async fn until<T>(&mut self, what: &str, find: impl Fn(&[u8]) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = find(&self.said.borrow_and_update()) {
                    return Some(found);
                }
                self.said.changed().await.ok()?;
            }
        };
        let found = timeout(LIMIT, search).await.ok().flatten();
        found.unwrap_or_else(|| panic!("no {what} in what was said: {:?}", self.text()))
    }

    /// The next line that contains `text`.
    pub async fn line(&mut self, text: &str) -> String {
        let from = self.read;
        let find = |said: &[u8]| {
            let said = String::from_utf8_lossy(said.get(from..)?).into_owned();
            let at = said.find(text)?;
            let length = said[at..].find('\n')?;
            let begin = said[..at].rfind('\n').map_or(0, |newline| newline + 1);
            Some((said[begin..at + length].to_owned(), at + length))
        };
        let (line, length) = self.until(&format!("line with {text:?}"), find).await;
        self.read = from + length;
        line
    }

    /// The first `count` blocks, each of which ends with an empty line.
    pub async fn blocks(&mut self, count: usize) -> String {
        let find = |said: &[u8]| {
            let text = String::from_utf8_lossy(said);
            let mut ends = text.match_indices("\n\n");
            ends.nth(count - 1).map(|(at, _)| text[..at + 2].to_owned())
        };
        self.until(&format!("block {count}"), find).await
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.borrow()).into_owned()
    }

    /// The complete output, once the stream has ended.
    async fn whole(&mut self) -> String {
        while self.said.changed().await.is_ok() {}
        self.text()
    }
}
