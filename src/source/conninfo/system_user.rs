//! User of this process: libpq's default user name, and the home of its default files.

use std::path::PathBuf;

use super::{read_file, settings::Environment};

/// The operating system's user. Either part can be unknown, as in a container that runs with only
/// a numeric user id.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SystemUser {
    pub(super) name: Option<String>,
    pub(super) home: Option<PathBuf>,
}

impl SystemUser {
    /// The current user. The name is that of the effective user, as in libpq. `USER` is the login
    /// name, which differs after `su` or under a service manager, so it is only used if
    /// `/etc/passwd` has no entry (a directory service, a system without `/proc`). For the home
    /// folder `HOME` takes precedence, as in libpq.
    pub(super) fn current(environment: Environment<'_>) -> Self {
        let account = account();
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        Self {
            name: account.name.or_else(|| variable("USER")),
            home: variable("HOME").map(PathBuf::from).or(account.home),
        }
    }
}

/// The entry of `/etc/passwd` for this process.
fn account() -> SystemUser {
    let read = |path: &str| String::from_utf8(read_file(path.as_ref()).ok()?).ok();
    let entry = || {
        entry(
            &read("/etc/passwd")?,
            effective_id(&read("/proc/self/status")?)?,
        )
    };
    entry().unwrap_or_default()
}

/// The effective id in the line `Uid:` of proc(5): real, effective, saved, file system.
fn effective_id(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

/// The entry with this id in passwd(5): name, password, id, group, comment, home, shell.
fn entry(passwd: &str, id: u32) -> Option<SystemUser> {
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let entry = fields
        .into_iter()
        .find(|fields| fields.get(2).and_then(|text| text.parse().ok()) == Some(id))?;
    let nonempty = |at: usize| entry.get(at).copied().filter(|field| !field.is_empty());
    Some(SystemUser {
        name: nonempty(0).map(str::to_owned),
        home: nonempty(5).map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000:,,,:/home/ann:/bin/sh\nbare:x:7:7::\n";

    #[test]
    fn effective_id_is_the_second_number() {
        assert_eq!(
            effective_id("Name:\tpgfan\nUid:\t1\t1000\t3\t4\nGid:\t5\t5\t5\t5\n"),
            Some(1000)
        );
        assert_eq!(effective_id("Name:\tpgfan\n"), None);
    }

    #[test]
    fn entries_are_found_by_id() {
        let user = |name: &str, home: Option<&str>| SystemUser {
            name: Some(name.into()),
            home: home.map(Into::into),
        };
        assert_eq!(entry(PASSWD, 1000), Some(user("ann", Some("/home/ann"))));
        assert_eq!(entry(PASSWD, 7), Some(user("bare", None)));
        assert_eq!(entry(PASSWD, 5), None);
    }

    #[test]
    fn home_follows_the_variable() {
        let user = SystemUser::current(&|name| (name == "HOME").then(|| "/elsewhere".to_owned()));
        assert_eq!(user.home, Some(PathBuf::from("/elsewhere")));
    }
}
