//! The terminal that a program runs in, and SIGHUP: the signal comes when that
//! is closed, and is how a service is told to read its settings again.

use std::fs::{File, read_to_string};

/// Whether the process has a controlling terminal, whatever its input and
/// output are: one that was closed is none any more (tty(4)).
pub(super) fn is_there() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether the process is to end with its terminal. One that was begun with
/// SIGHUP ignored, as by nohup(1), is to outlive it. To be asked before somebody
/// listens for the signal.
pub(super) fn is_lived_in() -> bool {
    is_there() && !ignores_hangup(&read_to_string("/proc/self/status").unwrap_or_default())
}

/// By the mask of proc(5), whose lowest bit is signal 1.
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
