//! The Debian package: its content, and with `make try-deb` the package itself,
//! in a separate Debian.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde::Deserialize;

use crate::support::{
    Database,
    gateway_process::libpq_variables,
    pooler::free_port,
    program::{command, run, run_within},
};

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    version: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    deb: Deb,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Deb {
    assets: Vec<[String; 3]>,
    conf_files: Vec<String>,
    maintainer_scripts: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifest() -> Package {
    let manifest: Manifest = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
    manifest.package
}

/// The path at which an asset is installed.
fn installed([from, to, _]: &[String; 3]) -> String {
    let name = Path::new(from).file_name().unwrap().to_str().unwrap();
    match to.strip_suffix('/') {
        Some(folder) => format!("/{folder}/{name}"),
        None => format!("/{to}"),
    }
}

#[test]
fn it_is_made_of_what_is_there() {
    let deb = manifest().metadata.deb;
    let sources = deb
        .assets
        .iter()
        .map(|[from, ..]| from.trim_end_matches("/*"));
    for from in sources.filter(|from| !from.starts_with("target/")) {
        assert!(root().join(from).exists(), "{from}");
    }
    let files: Vec<_> = deb.assets.iter().map(installed).collect();
    let settings = files.iter().filter(|file| file.starts_with("/etc/"));
    let settings: Vec<_> = settings.collect();
    assert_eq!(settings, deb.conf_files.iter().collect::<Vec<_>>());
    // Files that the unit and the service manager refer to.
    for file in [
        "/usr/bin/pgfan",
        "/etc/pgfan/pgfan.toml",
        "/etc/default/pgfan",
    ] {
        assert!(files.iter().any(|other| other == file), "{file}");
        for service in ["systemd/pgfan.service", "debian/pgfan.init"] {
            let service = fs::read_to_string(root().join("packaging").join(service)).unwrap();
            assert!(service.contains(file), "{file}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_scripts_are_shell() {
    let scripts = root().join(manifest().metadata.deb.maintainer_scripts);
    for name in ["postinst", "prerm", "postrm", "pgfan.init"] {
        let script = scripts.join(name);
        let mode = fs::metadata(&script).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
        let said = run(command("/bin/sh").arg("-n").arg(&script)).await;
        assert_eq!(said.status.code(), Some(0), "{said:?}");
    }
}

/// The first run takes minutes, because it creates a Debian.
const LIMIT: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and a package: make try-deb"]
async fn it_installs_serves_and_leaves_nothing() {
    let version = manifest().version;
    let package = format!("target/debian/pgfan_{version}-1_amd64.deb");
    let database = Database::new().await;
    let mut trial = command(root().join("tests/packaging/trial"));
    trial.arg(root().join(package)).arg(free_port().to_string());
    trial.envs(libpq_variables(&database.url));
    let said = run_within(LIMIT, &mut trial).await;
    println!("{}", said.stdout);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    for step in [
        "runs as: pgfan",
        "is ready",
        "delivers",
        "delivers after a reload",
        "ends its readers",
        "leaves nothing",
    ] {
        assert!(
            said.stdout.contains(&format!("trial: {step}\n")),
            "{step}: {said:?}"
        );
    }
}
