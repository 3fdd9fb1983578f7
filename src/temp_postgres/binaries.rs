//! Search for the programs of a PostgreSQL server.

use std::{
    cmp::Reverse,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::SandboxError;

/// Programs that a server needs; Debian's client package has a folder without them.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// Folders with one folder per installed version, the version's prefix in its name, in this order:
/// Debian, the PostgreSQL project's RPMs, Homebrew on ARM and on Intel, Postgres.app.
const VERSIONED: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// Folders to search, besides the usual ones. `tests/postgres/setup` searches the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search<'a> {
    /// `PG_BIN`: the folder of the programs; if given, no other one is searched.
    pub pg_bin: Option<&'a Path>,
    /// `PATH`.
    pub path: Option<&'a OsStr>,
    /// Folder in which `tests/postgres/setup` puts a server (`target/postgres`): its `bin` is searched last.
    pub private: Option<&'a Path>,
}

/// The folder that holds `initdb`, `postgres` and `pg_ctl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Searches only `PG_BIN` if given, else `PATH`, the usual folders (newest version first), the private folder.
    ///
    /// # Errors
    /// [`SandboxError::NotInPgBin`], [`SandboxError::NotInstalled`].
    pub fn find(search: Search<'_>) -> Result<Self, SandboxError> {
        if let Some(folder) = search.pg_bin {
            return Self::named(folder);
        }
        let path = search.path.into_iter().flat_map(std::env::split_paths);
        let usual = VERSIONED
            .iter()
            .flat_map(|(parent, prefix)| versions(Path::new(parent), prefix));
        let private = search.private.map(|folder| folder.join("bin"));
        path.chain(usual)
            .chain(private)
            .find_map(|folder| Self::in_folder(&folder))
            .ok_or(SandboxError::NotInstalled)
    }

    /// The folder of the programs, without links.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn named(folder: &Path) -> Result<Self, SandboxError> {
        match PROGRAMS
            .into_iter()
            .find(|program| !is_executable(&folder.join(program)))
        {
            None => Ok(Self::at(folder)),
            Some(program) => Err(SandboxError::NotInPgBin {
                folder: folder.to_owned(),
                program,
            }),
        }
    }

    /// A folder of `PATH` may hold only a link to `postgres`: then all three are expected in the folder of its target.
    fn in_folder(folder: &Path) -> Option<Self> {
        let linked = fs::canonicalize(folder.join("postgres")).ok();
        let linked = linked.as_deref().and_then(Path::parent);
        linked
            .into_iter()
            .chain([folder])
            .find_map(|folder| Self::named(folder).ok())
    }

    /// Resolves links: the server's user may not be allowed to follow them, and runs in another folder.
    fn at(folder: &Path) -> Self {
        Self {
            folder: fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()),
        }
    }
}

/// The `bin` folders of all versions installed under `parent`, newest first.
fn versions(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some((version(entry.file_name().to_str()?, prefix)?, entry.path())))
        .collect();
    found.sort_by_key(|(version, _)| Reverse(version.clone()));
    found
        .into_iter()
        .map(|(_, folder)| folder.join("bin"))
        .collect()
}

/// `17` or `9.6` after the prefix, as numbers.
fn version(name: &str, prefix: &str) -> Option<Vec<u32>> {
    let numbers = name.strip_prefix(prefix)?.split('.');
    numbers.map(|number| number.parse().ok()).collect()
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with programs that do nothing.
    fn install(folder: &Path, programs: &[&str]) {
        fs::create_dir_all(folder).expect("a folder");
        for program in programs {
            let file = folder.join(program);
            fs::write(&file, "#!/bin/sh\n").expect("a program");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
        }
    }

    #[test]
    fn newest_version_comes_first() {
        let temp = tempfile::tempdir().expect("a folder");
        for name in [
            "pgsql-9.6",
            "pgsql-15",
            "pgsql-9",
            "pgsql-100",
            "pgsql-old",
            "other-200",
        ] {
            fs::create_dir(temp.path().join(name)).expect("a folder");
        }
        let found = versions(temp.path(), "pgsql-");
        let expected = ["pgsql-100", "pgsql-15", "pgsql-9.6", "pgsql-9"];
        assert_eq!(
            found,
            expected.map(|name| temp.path().join(name).join("bin"))
        );
    }

    #[test]
    fn pg_bin_counts_alone_and_the_missing_program_is_named() {
        let temp = tempfile::tempdir().expect("a folder");
        install(temp.path(), &["initdb", "postgres"]);
        let search = Search {
            pg_bin: Some(temp.path()),
            ..Search::default()
        };
        let error = Binaries::find(search).expect_err("pg_ctl is missing");
        assert!(
            error
                .to_string()
                .ends_with("no executable pg_ctl in this folder"),
            "{error}"
        );
        install(temp.path(), &["pg_ctl"]);
        assert_eq!(
            Binaries::find(search).expect("complete").folder(),
            temp.path().canonicalize().expect("there")
        );
    }

    #[test]
    fn a_link_to_postgres_in_path_leads_to_its_folder() {
        let temp = tempfile::tempdir().expect("a folder");
        let (real, links) = (temp.path().join("real"), temp.path().join("links"));
        install(&real, &PROGRAMS);
        install(&links, &[]);
        symlink(real.join("postgres"), links.join("postgres")).expect("a link");
        let found = Binaries::find(Search {
            path: Some(links.as_os_str()),
            ..Search::default()
        });
        assert_eq!(
            found.expect("found").folder(),
            real.canonicalize().expect("there")
        );
    }

    #[test]
    fn a_client_without_a_server_is_passed_over() {
        let temp = tempfile::tempdir().expect("a folder");
        install(temp.path(), &["pg_ctl", "psql"]);
        assert_eq!(Binaries::in_folder(temp.path()), None);
        let private = temp.path().join("private");
        install(&private.join("bin"), &PROGRAMS);
        assert!(Binaries::in_folder(&private.join("bin")).is_some());
    }
}
