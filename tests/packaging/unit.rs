//! The systemd unit, checked by systemd's own tools.

use std::{fs, path::Path};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    made,
    support::program::{Ended, command, run},
};

const UNIT: &str = include_str!("../../packaging/systemd/pgfan.service");

/// 10 is fully exposed. The remaining exposure is the network, which it needs: 1.1, as systemd 252
/// counts.
const MOST_EXPOSED: f64 = 1.5;

/// systemd-analyze of the machine, or the one of `tests/packaging/setup` if there is none.
fn analyze() -> Command {
    let own = made("systemd/usr/bin/systemd-analyze");
    if !own.exists() {
        return command("systemd-analyze");
    }
    let mut analyze = command(own);
    analyze.env("LD_LIBRARY_PATH", made("lib"));
    // The units that each unit depends on, such as sysinit.target, are in its package too.
    let units = made("systemd").display().to_string();
    let units = format!("{units}/lib/systemd/system:{units}/usr/lib/systemd/system:");
    analyze.env("SYSTEMD_UNIT_PATH", units);
    analyze
}

/// As it is installed, except for the program, which is the one that was built.
fn installed() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pgfan.service");
    let program = env!("CARGO_BIN_EXE_pgfan");
    assert_eq!(UNIT.matches("/usr/bin/pgfan ").count(), 1);
    fs::write(
        &path,
        UNIT.replace("/usr/bin/pgfan ", &format!("{program} ")),
    )
    .unwrap();
    let path = path.display().to_string();
    (folder, path)
}

async fn judged(arguments: &[&str]) -> Ended {
    run(analyze().args(["--no-pager"]).args(arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_no_mistake() {
    let (_folder, path) = installed();
    let said = judged(&["verify", "--man=no", &path]).await;
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    assert_eq!(said.stderr, "", "{said:?}");
    // Shows that a mistake would be found.
    fs::write(&path, UNIT.replace("Restart=on-failure", "Restart=perhaps")).unwrap();
    let said = judged(&["verify", "--man=no", &path]).await;
    assert!(said.stderr.contains("perhaps"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_no_more_than_it_needs() {
    let (_folder, path) = installed();
    let said = judged(&["security", "--offline=yes", &path]).await;
    let (_, score) = said.stdout.split_once("pgfan.service: ").unwrap();
    let score: f64 = score.split(' ').next().unwrap().parse().unwrap();
    assert!(score <= MOST_EXPOSED, "{}", said.stdout);
}

/// The command line is valid for this program.
#[tokio::test(flavor = "multi_thread")]
async fn it_starts_the_program_as_it_wants_to_be_started() {
    let line = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/pgfan "));
    let arguments = line
        .unwrap()
        .replace("/etc/pgfan/pgfan.toml", "packaging/pgfan.toml");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pgfan = command(env!("CARGO_BIN_EXE_pgfan"));
    pgfan.current_dir(root).args(arguments.split(' '));
    // The added mistake is reported before anything is done, and is the only one.
    let said = run(pgfan.args(["--linger", "soon"])).await;
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    let remedies = said
        .stderr
        .lines()
        .filter(|line| line.starts_with("remedy: "));
    assert_eq!(remedies.count(), 1, "{said:?}");
}
