//! The folder of a sandbox, and the programs that run in it as the server's user.

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::timeout;

use super::{Binaries, SandboxError, USER, account::Account};

/// Length limit of a Unix socket's path: `sun_path` less the closing zero, on Linux (unix(7)) and on macOS.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Longest suffix of the parent's path: `/pgfan-` with tempfile's six letters, `/.s.PGSQL.` with a port.
const SOCKET_PATH_TAIL: usize = "/pgfan-123456/.s.PGSQL.65535".len();

/// Open to every user on every Unix, and short.
const LAST_RESORT: &str = "/tmp";

/// Timeout of `initdb` and `pg_ctl`; half a second is usual for the first, 5 ms for the second.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// Limit of the bytes kept from the end of a failed program's output.
const OUTPUT_LIMIT: usize = 2000;

/// A temporary folder, open to the server's user alone and removed on drop.
#[derive(Debug)]
pub(super) struct Place {
    binaries: Binaries,
    account: Option<Account>,
    folder: TempDir,
}

impl Place {
    /// Makes the folder in `parent`, or in `/tmp` if `parent` is not usable.
    pub(super) fn create(binaries: Binaries, parent: Option<&Path>) -> Result<Self, SandboxError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let (folder, account) = match make(&parent) {
            Err(SandboxError::Closed { .. } | SandboxError::PathTooLong { .. }) => {
                make(Path::new(LAST_RESORT))?
            }
            made => made?,
        };
        if let Some(account) = &account {
            account.can_reach(binaries.folder())?;
        }
        Ok(Self {
            binaries,
            account,
            folder,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub(super) fn pg_ctl(&self) -> PathBuf {
        self.binaries.program("pg_ctl")
    }

    /// Makes the database cluster; not written through to the disk (`-N`), as it does not outlive the folder.
    pub(super) async fn init(&self) -> Result<(), SandboxError> {
        let mut command = self.command(&self.binaries.program("initdb"));
        command.arg("-D").arg(self.data());
        command.args([
            "-U",
            USER,
            "-A",
            "trust",
            "-N",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        self.run("initdb", command).await
    }

    /// Copies the running server of this connection string, as a standby of it.
    pub(super) async fn copy(&self, primary: &str) -> Result<(), SandboxError> {
        let mut command = self.command(&self.binaries.program("pg_basebackup"));
        command.arg("-D").arg(self.data());
        command.args(["-d", primary, "-R", "-c", "fast", "--no-sync"]);
        self.run("pg_basebackup", command).await
    }

    /// Sends a signal, named without `SIG`, to a process of the server's user.
    pub(super) async fn signal(&self, pid: u32, signal: &str) -> Result<(), SandboxError> {
        let mut command = self.command(&self.pg_ctl());
        command.args(["kill", signal, &pid.to_string()]);
        self.run("pg_ctl", command).await
    }

    /// The server in the foreground, with its log on standard error, in English; the last value of a setting counts.
    pub(super) fn server(&self, port: u16, settings: &[(String, String)]) -> Command {
        let mut command = self.command(&self.binaries.program("postgres"));
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder());
        command.args(["-p", &port.to_string()]);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for fixed in [
            "logging_collector=off",
            "log_destination=stderr",
            "lc_messages=C",
        ] {
            command.args(["-c", fixed]);
        }
        command
    }

    /// Removes the file of a killed postmaster, so that its process id is not taken for a living one.
    pub(super) fn forget_pid(&self) {
        // A missing file is as good as removed; a start would detect anyway that the process has ended.
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
    }

    /// A program as the server's user, in the folder, in a process group of its own: Ctrl-C in the terminal goes to the
    /// caller's group. With `TZ` set, initdb does not search the system's zones: that is half of its time.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder()).process_group(0);
        command.env("LC_ALL", "C").env("TZ", "UTC");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(account) = &self.account {
            account.apply_to(&mut command);
        }
        command
    }

    pub(super) fn cannot_run(&self, program: &str, source: io::Error) -> SandboxError {
        SandboxError::Run {
            program: self.binaries.program(program),
            source,
        }
    }

    /// Runs a program to its end; dropping the future kills it.
    async fn run(&self, program: &'static str, command: Command) -> Result<(), SandboxError> {
        let mut command = tokio::process::Command::from(command);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let ended = timeout(RUN_LIMIT, command.output()).await;
        let overdue = SandboxError::Overdue {
            program,
            limit: RUN_LIMIT,
        };
        let output = ended
            .map_err(|_| overdue)?
            .map_err(|source| self.cannot_run(program, source))?;
        if output.status.success() {
            return Ok(());
        }
        let output = last_part(&[output.stdout, output.stderr].concat());
        Err(SandboxError::Failed { program, output })
    }
}

/// Makes the folder and gives it to the server's user.
fn make(parent: &Path) -> Result<(TempDir, Option<Account>), SandboxError> {
    let failed = |source| SandboxError::Folder {
        parent: parent.to_owned(),
        source,
    };
    let parent = fs::canonicalize(parent).map_err(failed)?;
    if parent.as_os_str().as_bytes().len() + SOCKET_PATH_TAIL > SOCKET_PATH_LIMIT {
        return Err(SandboxError::PathTooLong {
            folder: parent,
            limit: SOCKET_PATH_LIMIT,
        });
    }
    let closed = fs::Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new()
        .prefix("pgfan-")
        .permissions(closed)
        .tempdir_in(&parent)
        .map_err(failed)?;
    // A new folder belongs to its creator: so the caller is known without a system call, which std lacks.
    let caller = fs::metadata(folder.path()).map_err(failed)?.uid();
    let account = Account::instead_of(caller)?;
    if let Some(account) = &account {
        account.can_reach(&parent)?;
        chown(folder.path(), Some(account.uid), Some(account.gid)).map_err(failed)?;
    }
    Ok((folder, account))
}

fn last_part(output: &[u8]) -> String {
    let start = output.len().saturating_sub(OUTPUT_LIMIT);
    String::from_utf8_lossy(&output[start..]).trim().to_owned()
}
