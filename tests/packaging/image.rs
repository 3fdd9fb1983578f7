//! The Dockerfile. Docker is not available to the tests; without it they check
//! that its linter accepts it, that the build context has everything that is
//! needed and nothing else, and that the program's path and flags are right.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    made,
    support::program::{command, run},
};

const DOCKERFILE: &str = include_str!("../../packaging/docker/Dockerfile");
const IGNORE: &str = include_str!("../../packaging/docker/Dockerfile.dockerignore");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The build context of `.dockerignore`: everything is excluded except the
/// lines with a `!`.
fn given() -> Vec<&'static str> {
    assert!(IGNORE.lines().any(|line| line == "*"));
    IGNORE
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect()
}

/// Instructions by name, in the last stage.
fn image() -> HashMap<&'static str, Vec<&'static str>> {
    let (_, last) = DOCKERFILE.rsplit_once("\nFROM ").unwrap();
    let mut image: HashMap<_, Vec<_>> = HashMap::new();
    for line in last.lines().skip(1).filter(|line| !line.starts_with('#')) {
        if let Some((name, rest)) = line.split_once(' ') {
            image.entry(name).or_default().push(rest);
        }
    }
    image
}

/// `["a", "b"]`
fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_linter_is_content() {
    let mut hadolint = command(made("venv/bin/hadolint"));
    hadolint
        .arg("--no-color")
        .arg(root().join("packaging/docker/Dockerfile"));
    let said = run(&mut hadolint).await;
    assert_eq!(said.status.code(), Some(0), "{}", said.stdout);
}

/// The files that cargo itself requires before it compiles, and those that the
/// sources include.
#[tokio::test(flavor = "multi_thread")]
async fn the_build_has_what_it_needs() {
    let context = TempDir::new().unwrap();
    for path in given() {
        let to = context.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let mut copy = command("cp");
        let said = run(copy.arg("-R").arg(root().join(path)).arg(&to)).await;
        assert_eq!(said.status.code(), Some(0), "{said:?}");
    }
    let mut cargo = command(env!("CARGO"));
    cargo.current_dir(context.path()).env("HOME", home());
    let said =
        run(cargo.args(["metadata", "--locked", "--no-deps", "--format-version", "1"])).await;
    assert_eq!(said.status.code(), Some(0), "{}", said.stderr);
    for (file, included) in included(&root().join("src")) {
        let path = file.parent().unwrap().join(&included);
        let path = fs::canonicalize(path).unwrap();
        let path = path.strip_prefix(root()).unwrap();
        let is_given = given().iter().any(|given| path.starts_with(given));
        // Files that only unit tests include are not part of the build.
        assert!(
            is_given || path.starts_with("tests"),
            "{}: {included}",
            file.display()
        );
    }
}

fn home() -> String {
    crate::support::environment("HOME").unwrap_or_default()
}

/// Each `include_str!("…")` and similar macro, with its file.
fn included(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(included(&path));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for macro_name in ["include_str!(\"", "include_bytes!(\""] {
            let names = text.split(macro_name).skip(1);
            let names = names.filter_map(|rest| rest.split('"').next());
            found.extend(names.map(|name| (path.clone(), name.to_owned())));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_starts_is_what_it_has() {
    let image = image();
    let copied: Vec<_> = image["COPY"]
        .iter()
        .map(|copy| copy.rsplit(' ').next().unwrap().to_owned())
        .collect();
    let entry = words(image["ENTRYPOINT"][0]);
    let (_, health) = image["HEALTHCHECK"][0].split_once(" CMD ").unwrap();
    let health = words(health);
    assert!(
        copied.contains(&entry[0]) && copied.contains(&health[0]),
        "{copied:?}"
    );
    let uid = image["USER"][0].split(':').next().unwrap();
    assert!(uid.parse::<u32>().unwrap() > 0, "{uid}");
    // Each is accepted: only the added flag is not.
    for arguments in [words(image["CMD"][0]), health[1..].to_vec()] {
        let mut pgfan = command(env!("CARGO_BIN_EXE_pgfan"));
        let said = run(pgfan.args(&arguments).arg("--nonsense")).await;
        assert!(said.stderr.contains("'--nonsense'"), "{said:?}");
    }
}

/// With the image's default environment, access is not open by accident.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_about_tokens_it_does_not_start() {
    let image = image();
    let variables = image["ENV"]
        .iter()
        .map(|pair| pair.split_once('=').unwrap());
    let mut pgfan = command(env!("CARGO_BIN_EXE_pgfan"));
    let said = run(pgfan.arg("serve").envs(variables)).await;
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    assert!(said.stderr.contains("say --anonymous"), "{said:?}");
}
