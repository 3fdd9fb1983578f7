//! Packages and service definitions.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no public face, and fails by panicking"
)]

#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared by all test binaries; each uses a part"
)]
mod support;

/// The Debian package.
mod debian;

/// The container.
mod image;

/// The manifests of Kubernetes.
mod kubernetes;

/// The settings file.
mod settings_file;

/// The status for a service manager.
mod supervised;

/// The systemd unit.
mod unit;

use std::path::{Path, PathBuf};

/// Path of what `tests/packaging/setup` made.
fn made(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/packaging");
    assert!(target.exists(), "it is not there: run `make test`");
    target.join(path)
}
