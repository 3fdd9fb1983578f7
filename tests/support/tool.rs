//! External programs and libraries.

/// Path of a program that `tests/faults/setup` installed.
pub fn tool(path: &str) -> std::path::PathBuf {
    let made = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/faults");
    let tool = made.join(path);
    assert!(
        tool.exists(),
        "{} is not there: run `make test`",
        tool.display()
    );
    tool
}
