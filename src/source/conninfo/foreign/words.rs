//! Keywords of other programs, and their equivalents in libpq's settings.

use strsim::damerau_levenshtein;

use super::super::keywords::KEYWORDS;

/// Maximum edit distance at which a keyword is still recognised; smaller for short keywords.
const SLIPS: usize = 2;

/// Probable meaning of an unknown keyword. The word itself is not kept: a part of a password can
/// look like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// Unknown.
    Nothing,
    /// This keyword of libpq.
    Keyword(&'static str),
    /// A setting of another program.
    Foreign {
        /// The word in that program's spelling.
        word: &'static str,
        /// The program.
        of: &'static str,
        /// The replacement.
        remedy: &'static str,
    },
}

const LEAVE_OUT: &str = "leave it out: it is of no use to a gateway that only listens and notifies";
const SSL_MODE: &str = "write sslmode=require, sslmode=verify-full or another mode of libpq";
const DIRECT: &str = "leave it out, and connect past the pooler or to its session mode";
const OPTIONS: &str =
    "leave it out, or write options=-cNAME=VALUE (in a URI options=-cNAME%3DVALUE)";
const ENDPOINT: &str = "write options=endpoint=ID (in a URI options=endpoint%3DID)";

const PRISMA: &str = "Prisma";
const JDBC: &str = "JDBC";
const GO: &str = "Go's drivers";
const RAILS: &str = "Rails";
const NODE: &str = "node-postgres";
const ASYNCPG: &str = "asyncpg and SQLAlchemy";

/// Word, program, remedy.
const WORDS: &[(&str, &str, &str)] = &[
    ("schema", PRISMA, LEAVE_OUT),
    ("connection_limit", PRISMA, LEAVE_OUT),
    ("pool_timeout", PRISMA, LEAVE_OUT),
    ("pgbouncer", PRISMA, DIRECT),
    ("sslaccept", PRISMA, SSL_MODE),
    (
        "sslidentity",
        PRISMA,
        "write sslcert and sslkey, as PEM files",
    ),
    ("statement_cache_size", ASYNCPG, LEAVE_OUT),
    ("prepared_statement_cache_size", ASYNCPG, LEAVE_OUT),
    ("async_fallback", ASYNCPG, LEAVE_OUT),
    ("ssl", "asyncpg, JDBC and node-postgres", SSL_MODE),
    ("rejectUnauthorized", NODE, SSL_MODE),
    ("uselibpqcompat", NODE, LEAVE_OUT),
    ("currentSchema", JDBC, LEAVE_OUT),
    ("sslfactory", JDBC, SSL_MODE),
    ("prepareThreshold", JDBC, LEAVE_OUT),
    ("socketTimeout", "JDBC and Prisma", LEAVE_OUT),
    ("loginTimeout", JDBC, "write connect_timeout"),
    ("targetServerType", JDBC, "write target_session_attrs"),
    ("stringtype", JDBC, LEAVE_OUT),
    ("reWriteBatchedInserts", JDBC, LEAVE_OUT),
    ("search_path", GO, LEAVE_OUT),
    ("statement_timeout", GO, OPTIONS),
    ("timezone", GO, LEAVE_OUT),
    ("binary_parameters", GO, LEAVE_OUT),
    ("default_query_exec_mode", "pgx", LEAVE_OUT),
    ("statement_cache_capacity", "pgx", LEAVE_OUT),
    ("pool_max_conns", "pgx", LEAVE_OUT),
    ("pool_min_conns", "pgx", LEAVE_OUT),
    ("pool_size", "Ecto and SQLAlchemy", LEAVE_OUT),
    ("adapter", RAILS, LEAVE_OUT),
    ("encoding", RAILS, LEAVE_OUT),
    ("pool", RAILS, LEAVE_OUT),
    ("prepared_statements", RAILS, LEAVE_OUT),
    ("serverVersion", "Doctrine", LEAVE_OUT),
    ("charset", "Doctrine", LEAVE_OUT),
    ("supa", "Supabase", LEAVE_OUT),
    ("workaround", "Supabase", LEAVE_OUT),
    ("endpoint", "Neon", ENDPOINT),
    ("pooling", "Npgsql", LEAVE_OUT),
    ("trust server certificate", "Npgsql", SSL_MODE),
];

/// Other names of libpq's keywords: Npgsql, ODBC, PDO, Rails, Django.
const SYNONYMS: &[(&str, &str)] = &[
    ("server", "host"),
    ("hostname", "host"),
    ("datasource", "host"),
    ("addr", "host"),
    ("username", "user"),
    ("userid", "user"),
    ("uid", "user"),
    ("role", "user"),
    ("pwd", "password"),
    ("pass", "password"),
    ("passwd", "password"),
    ("database", "dbname"),
    ("db", "dbname"),
    ("initialcatalog", "dbname"),
    ("searchpath", "options"),
    ("timeout", "connect_timeout"),
];

/// Schemes of other programs, each with the rule and the remedy.
const SCHEMES: &[(&[&str], &str, &str)] = &[
    (
        &[
            "postgis",
            "pgsql",
            "psql",
            "pg",
            "timescale",
            "timescaledb",
            "timescalegis",
        ],
        "a scheme of Django's dj-database-url or another library",
        "write postgresql:// in its place",
    ),
    (
        &["ecto", "asyncpg", "psycopg2", "psycopg", "pgx", "npgsql"],
        "a scheme that names a library",
        "write postgresql:// in its place",
    ),
    (
        &[
            "mysql",
            "mysql2",
            "mariadb",
            "mssql",
            "sqlserver",
            "sqlite",
            "sqlite3",
            "oracle",
            "mongodb",
            "mongodb+srv",
            "redis",
            "rediss",
            "amqp",
            "amqps",
            "nats",
            "kafka",
        ],
        "the address of another kind of server",
        "give the address of a PostgreSQL server: pgfan reads the notifications of no other",
    ),
    (
        &["http", "https", "ws", "wss", "tcp"],
        "an address of another protocol",
        "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    ),
];

/// Lower-case letters and digits of `word`, without other characters.
fn plain(word: &str) -> String {
    let kept = word.chars().filter(char::is_ascii_alphanumeric);
    kept.collect::<String>().to_ascii_lowercase()
}

/// Whether libpq or another program has a setting of this name, in any spelling.
pub(super) fn is_known(word: &str) -> bool {
    exactly(word).is_some()
}

/// Rule and remedy for a scheme, given in lower case.
pub(super) fn scheme(scheme: &str) -> Option<(&'static str, &'static str)> {
    let mut known = SCHEMES.iter();
    let found = known.find(|(names, ..)| names.contains(&scheme))?;
    Some((found.1, found.2))
}

/// Probable meaning of `word`, which is not a keyword of libpq.
pub(in super::super) fn meant(word: &str) -> Meant {
    exactly(word).unwrap_or_else(|| nearly(word))
}

fn exactly(word: &str) -> Option<Meant> {
    let word = plain(word);
    let mut keywords = KEYWORDS.iter().map(|keyword| keyword.name);
    let same = keywords.find(|name| plain(name) == word);
    let synonym = || {
        let found = SYNONYMS.iter().find(|(name, _)| *name == word);
        found.map(|(_, keyword)| *keyword)
    };
    if let Some(keyword) = same.or_else(synonym) {
        return Some(Meant::Keyword(keyword));
    }
    let foreign = WORDS.iter().find(|(name, ..)| plain(name) == word);
    foreign.map(|&(word, of, remedy)| Meant::Foreign { word, of, remedy })
}

fn nearly(word: &str) -> Meant {
    let keyword = KEYWORDS.iter().map(|keyword| keyword.name);
    // A much longer word is not a misspelling, and would take long to compare.
    let slips = |name: &str| SLIPS.min(name.len() / 3);
    let alike = keyword.filter(|name| name.len().abs_diff(word.len()) <= slips(name));
    let distances = alike.map(|name| (damerau_levenshtein(name, word), name));
    let near = distances.filter(|(distance, name)| *distance <= slips(name));
    near.min()
        .map_or(Meant::Nothing, |(_, name)| Meant::Keyword(name))
}
