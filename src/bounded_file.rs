//! Reading of files that people write by hand, up to a limit: a path to a device or to a
//! log would otherwise fill the memory.

use std::{
    fs::{File, metadata},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
};

/// Opens a file that is read more than once, as all settings, keys and certificates are.
///
/// # Errors
/// Those of the file system, and a pipe: it would be empty the second time, and opening
/// one waits for its writer.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if metadata(path)?.file_type().is_fifo() {
        let rule = "a pipe can be read once, and this is read again: let it be a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, rule));
    }
    File::open(path)
}

/// The whole file.
///
/// # Errors
/// Those of [`open`], and a file of more than `limit` KiB.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?
        .take((limit << 10) + 1)
        .read_to_end(&mut bytes)?;
    if read as u64 > limit << 10 {
        let rule = match limit % 1024 {
            0 => format!("larger than {} MiB", limit / 1024),
            _ => format!("larger than {limit} KiB"),
        };
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, rule));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_refused() {
        for (limit, rule) in [(256, "larger than 256 KiB"), (4096, "larger than 4 MiB")] {
            let error = read(Path::new("/dev/zero"), limit).expect_err("endless");
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert_eq!(error.to_string(), rule);
        }
    }
}
