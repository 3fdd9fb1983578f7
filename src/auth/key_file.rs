//! Files with keys and secrets, written by operators or their tools.

use std::{io, path::Path};

use super::keys::KeyError;
use crate::bounded_file;

/// Maximum size in KiB, the same as for downloads.
pub(crate) const MAX_KEY_FILE: u64 = 256;

/// Reason why a file contains no keys.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read, or is larger than 256 KiB.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The file contains something else.
    #[error("{0}")]
    Key(#[from] KeyError),
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    bounded_file::read(path, MAX_KEY_FILE)
}

/// Reads a secret without the line end that editors append.
pub(super) fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = read(path)?;
    while bytes
        .last()
        .is_some_and(|last| matches!(last, b'\n' | b'\r'))
    {
        bytes.pop();
    }
    Ok(bytes)
}
