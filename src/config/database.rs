//! Mistakes in the database's settings: their origin and remedy.

use super::Mistake;
use crate::source::conninfo::{ConnInfoError, FileProblem, Meant, Origin};

/// `url_origin` is where the connection string was given.
pub(super) fn mistake(error: &ConnInfoError, url_origin: &str) -> Mistake {
    Mistake::new(place(error, url_origin), error).with_remedy(remedy_of_database(error))
}

/// Origin of a mistake: that of the connection string if it is in there; every other mistake names
/// its variable or file itself.
fn place<'a>(mistake: &ConnInfoError, url_origin: &'a str) -> &'a str {
    match mistake {
        ConnInfoError::Syntax { .. }
        | ConnInfoError::Foreign { .. }
        | ConnInfoError::UnknownKeyword {
            origin: Origin::ConnectionString,
            ..
        }
        | ConnInfoError::Value {
            origin: Origin::ConnectionString,
            ..
        } => url_origin,
        _ => "database",
    }
}

/// How to fix it.
pub(crate) fn remedy_of_database(mistake: &ConnInfoError) -> &'static str {
    match mistake {
        ConnInfoError::Syntax { .. } => {
            "write it as postgresql://USER@HOST:PORT/DATABASE, with %XX for what means something \
             there, or as key=value pairs"
        }
        ConnInfoError::Foreign { remedy, .. } => remedy,
        ConnInfoError::UnknownKeyword {
            meant: Meant::Foreign { remedy, .. },
            ..
        } => remedy,
        ConnInfoError::UnknownKeyword { .. } => {
            "write it as libpq does: host, port, dbname, user, sslmode, …; in a value `&` is \
             written as `%26` in a URI, and a value with blanks stands in quotes"
        }
        ConnInfoError::Value { .. } => "give it a value that libpq takes, or leave it out",
        ConnInfoError::File {
            keyword, problem, ..
        } if problem.is_absence() => match *keyword {
            "sslrootcert" => {
                "put the certificate of the server's authority into that file, or name the one \
                 that has it: PGSSLROOTCERT, or sslrootcert in the connection string"
            }
            _ => "create the file, or name one that exists",
        },
        ConnInfoError::File {
            problem: FileProblem::Unfit(_),
            ..
        } => "mend what the message names, or name another file",
        ConnInfoError::File { .. } => "let this user read the file, or name another",
        ConnInfoError::UnknownService { .. } => {
            "name a section of the service file (PGSERVICE, PGSERVICEFILE)"
        }
        ConnInfoError::NoUser => "name the role: PGUSER",
    }
}
