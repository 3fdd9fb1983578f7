//! Resource usage of the process, if it is cheap to read.

use std::{fs, time::Duration};

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// Resource usage; `None` if a value is not available.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    /// User and system time since the start.
    pub(super) cpu: Duration,
    /// Bytes in memory (`VmRSS`, proc(5)).
    pub(super) resident: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) max_files: Option<u64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(cpu.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(cpu.tv_nsec).unwrap_or(0);
        Self {
            cpu: Duration::new(seconds, nanos),
            resident: resident(),
            open_files: open_files(),
            max_files: getrlimit(Resource::Nofile).current,
        }
    }
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let rest = status.split_once("VmRSS:")?.1;
    let kilobytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}

/// The folder's size on Linux 6.2 and later; before, its entries are counted.
fn open_files() -> Option<u64> {
    let folder = "/proc/self/fd";
    match fs::metadata(folder).ok()?.len() {
        0 => Some(fs::read_dir(folder).ok()?.count() as u64),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_on_linux() {
        let process = Process::now();
        assert!(process.cpu > Duration::ZERO);
        assert!(process.resident.is_some_and(|bytes| bytes > 1 << 20));
        let (open, max) = (process.open_files.unwrap(), process.max_files);
        assert!(
            open >= 3 && max.is_none_or(|max| open <= max),
            "{process:?}"
        );
    }
}
