//! Bounded reading of files that operators write by hand.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Maximum size, 4 MiB: twenty times a system's bundle of root certificates. A path to a device or
/// to a log would otherwise fill the memory.
const LIMIT: u64 = 4 << 20;

/// Reads the whole file.
///
/// # Errors
/// Those of the file system, and a file above 4 MiB.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if read as u64 > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 4 MiB",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_refused() {
        assert_eq!(
            read(Path::new("/dev/zero")).expect_err("endless").kind(),
            io::ErrorKind::FileTooLarge
        );
    }
}
