//! The shell scripts of the repository: a shell can parse each of them, and
//! only one file installs packages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::program::{command, run};

/// The only file that installs packages: it renews package lists, which a bare
/// machine lacks, and takes a lock.
const PACKAGES: &str = "tests/support/debian.sh";

/// Folders with scripts; of `fuzz`, which also contains generated files, only
/// one file.
const FOLDERS: [&str; 5] = ["tests", "benches", "examples", "packaging", ".ci"];
const FUZZ: &str = "fuzz/run";

struct Script {
    name: String,
    /// Shell named in the first line.
    shell: &'static str,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

fn scripts() -> Vec<Script> {
    let folders = FOLDERS
        .iter()
        .flat_map(|folder| files(&root().join(folder)));
    let files = folders.chain([root().join(FUZZ)]);
    files.filter_map(script).collect()
}

/// `None` for a binary file or a script of another interpreter.
fn script(path: PathBuf) -> Option<Script> {
    let text = fs::read_to_string(&path).ok()?;
    let shell = match text.lines().next()? {
        "#!/bin/sh" | "# shellcheck shell=sh" => "/bin/sh",
        "#!/usr/bin/env bash" => "/bin/bash",
        _ => return None,
    };
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    Some(Script { name, shell, text })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_can_parse_each() {
    let scripts = scripts();
    for known in [PACKAGES, FUZZ, ".ci/run", "tests/postgres/setup"] {
        assert!(scripts.iter().any(|script| script.name == known), "{known}");
    }
    for script in scripts {
        let mut parse = command(script.shell);
        let said = run(parse.arg("-n").arg(root().join(&script.name))).await;
        assert_eq!(said.status.code(), Some(0), "{}: {said:?}", script.name);
    }
}

/// A step that runs apt-get itself depends on existing package lists, and
/// cannot run concurrently with another step.
#[test]
fn one_file_installs_packages() {
    for script in scripts() {
        let by_itself = script.text.lines().find(|line| {
            let words =
                ["install", "update", "download", "-q"].map(|word| format!("apt-get {word}"));
            let at = words.iter().find_map(|words| line.find(words.as_str()));
            // Not in a comment or in a message.
            at.is_some_and(|at| !line[..at].contains(['#', '"', '\'']))
        });
        assert!(
            script.name == PACKAGES || by_itself.is_none(),
            "{}: {by_itself:?}",
            script.name
        );
    }
}
