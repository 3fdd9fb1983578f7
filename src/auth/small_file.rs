//! Reads small files written by operators or their tools: keys and secrets.

use std::{
    fs::{File, metadata},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
};

use super::keys::KeyError;

/// Maximum file size, the same as for downloads. The path of a device would otherwise
/// fill the memory.
const MAX_BYTES: u64 = 256 << 10;

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

/// Opens a file that can be read again, which all of these are. A pipe would be empty
/// the second time, and opening one blocks until there is a writer.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if metadata(path)?.file_type().is_fifo() {
        let rule = "a pipe can be read once, and this is read again: let it be a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, rule));
    }
    File::open(path)
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_BYTES {
        let kind = io::ErrorKind::FileTooLarge;
        return Err(io::Error::new(kind, "larger than 256 KiB"));
    }
    Ok(bytes)
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
