//! The account that runs the server if root starts it: PostgreSQL refuses to run as root.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use super::SandboxError;

/// Users without rights of their own, in order of preference.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// A user in `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The user that runs the server instead of the caller; `None` if the caller is not root and may run it.
    pub(super) fn instead_of(caller: u32) -> Result<Option<Self>, SandboxError> {
        if caller != 0 {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        match NAMES.into_iter().find_map(|name| Self::named(name, &users)) {
            Some(account) => Ok(Some(account)),
            None => Err(SandboxError::NoAccount),
        }
    }

    /// Makes a program run as this user; std then also drops the caller's supplementary groups.
    pub(super) fn apply_to(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Whether this user can reach `path`, which has no links; an error names the outermost closed folder.
    pub(super) fn can_reach(&self, path: &Path) -> Result<(), SandboxError> {
        match path
            .ancestors()
            .filter(|folder| !self.may_enter(folder))
            .last()
        {
            None => Ok(()),
            Some(folder) => Err(self.closed(folder.to_owned())),
        }
    }

    fn closed(&self, folder: PathBuf) -> SandboxError {
        SandboxError::Closed {
            folder,
            account: self.name.clone(),
        }
    }

    /// By the permission bits alone; access lists are ignored.
    fn may_enter(&self, folder: &Path) -> bool {
        fs::metadata(folder).is_ok_and(|data| {
            let shift = match data {
                _ if data.uid() == self.uid => 6,
                _ if data.gid() == self.gid => 3,
                _ => 0,
            };
            data.mode() >> shift & 1 == 1
        })
    }

    /// Parses `name:password:uid:gid:…`, see passwd(5); root under another name does not count.
    fn named(name: &str, users: &str) -> Option<Self> {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        let (uid, gid) = (ids.next()?.ok()?, ids.next()?.ok()?);
        (uid != 0).then(|| Self {
            name: name.to_owned(),
            uid,
            gid,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_root_needs_another_user() {
        assert_eq!(Account::instead_of(1000).expect("may run it"), None);
    }

    #[test]
    fn a_line_of_passwd_is_read_and_root_by_another_name_is_not() {
        let users = "root:x:0:0::/root:/bin/sh\npostgresql:x:7:7:::\n\
                     postgres:x:101:104:admin,,,:/var:/bin/sh\nnobody:x:0:0:::";
        let expected = Account {
            name: "postgres".to_owned(),
            uid: 101,
            gid: 104,
        };
        assert_eq!(Account::named("postgres", users), Some(expected));
        assert_eq!(Account::named("nobody", users), None);
        assert_eq!(Account::named("daemon", users), None);
    }

    #[test]
    fn the_outermost_closed_folder_is_named() {
        let temp = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp");
        let temp = temp.expect("a folder");
        let (closed, inner) = (temp.path().join("closed"), temp.path().join("closed/inner"));
        fs::create_dir_all(&inner).expect("folders");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("closed");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).expect("closed");
        let stranger = Account {
            name: "stranger".to_owned(),
            uid: 4_000_000,
            gid: 4_000_000,
        };
        assert!(stranger.can_reach(temp.path()).is_ok());
        let error = stranger.can_reach(&inner).expect_err("closed");
        assert!(
            matches!(&error, SandboxError::Closed { folder, .. } if *folder == closed),
            "{error}"
        );
    }
}
