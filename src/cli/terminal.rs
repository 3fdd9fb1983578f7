//! The controlling terminal, and SIGHUP: the signal arrives when the terminal
//! is closed, and also asks a service to reload its settings.

use std::fs::{File, read_to_string};

/// Whether the process has a controlling terminal, independent of its input and
/// output; false after it was closed (tty(4)).
pub(super) fn is_there() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether the process should end with its terminal. One started with SIGHUP
/// ignored, as by nohup(1), should outlive it. Call it before a handler for the
/// signal is installed.
pub(super) fn is_lived_in() -> bool {
    is_there() && !ignores_hangup(&read_to_string("/proc/self/status").unwrap_or_default())
}

/// Reads the mask of proc(5), whose lowest bit is signal 1.
fn ignores_hangup(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn the_lowest_bit_is_hangup() {
        let status = |mask: &str| format!("Name:\tpgfan\nSigBlk:\t0\nSigIgn:\t{mask}\n");
        assert!(ignores_hangup(&status("0000000000000001")));
        assert!(ignores_hangup(&status("0000000000001003")));
        assert!(!ignores_hangup(&status("0000000000001000")));
        assert!(!ignores_hangup(""));
    }
}
