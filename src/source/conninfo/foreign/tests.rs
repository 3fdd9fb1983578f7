use crate::source::conninfo::ConnInfo;

/// Parts of the secret; none of them may appear in any text.
const PARTS: [&str; 3] = ["s3cr", "cana", "ry9"];

/// A secret in the position of another part, as if it were the password.
const SECRET: &str = "s3cr.canary9";

/// All output for `text`: each mistake, as `Display` and as `Debug`.
fn told(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let resolved = ConnInfo::resolve(Some(text), &environment);
    let mistakes = resolved.expect_err(text);
    let told = mistakes.iter().map(ToString::to_string).collect();
    let all = format!("{told:?}{mistakes:?}");
    for part in PARTS {
        assert!(!all.contains(part), "{text}: {all}");
    }
    told
}

fn check(table: &[(&str, &str)]) {
    for (text, start) in table {
        let text = text.replace("PW", SECRET);
        let told = told(&text, &[("USER", "ann")]);
        let is_told = told.iter().any(|line| line.starts_with(start));
        assert!(is_told, "{text}: {told:?} and not {start:?}");
    }
}

#[test]
fn the_forms_of_other_programs_are_named() {
    let begin = "connection string, character";
    let rows = [
        ("postgresql+asyncpg://u:PW@h/d", 1, "SQLAlchemy's form"),
        (
            "postgresql+asyncpg://u:PW@h/d?ssl=require",
            1,
            "SQLAlchemy's",
        ),
        ("postgres+psycopg2://u:PW@h/d", 1, "SQLAlchemy's form"),
        ("jdbc:postgresql://h/d?user=u&password=PW", 1, "JDBC's form"),
        ("r2dbc:postgresql://u:PW@h/d", 1, "JDBC's form"),
        (
            "Host=h;Username=u;Password=PW",
            7,
            "`;` between settings, the",
        ),
        (
            "Server=h;Port=1;User Id=u;Password=PW;Database=d",
            9,
            "`;` between",
        ),
        ("host=h;user=u;password=PW", 7, "`;` between settings, the"),
        (
            "host=h,user=u,password=PW",
            7,
            "`,` or `&` between settings",
        ),
        (
            "host=h&user=u&password=PW",
            7,
            "`,` or `&` between settings",
        ),
        (
            "prisma+postgres://h/?api_key=PW",
            1,
            "Prisma Accelerate's form",
        ),
        ("prisma://h/?api_key=PW", 1, "Prisma Accelerate's form"),
        ("postgis://u:PW@h/d", 1, "a scheme of Django's"),
        ("ecto://u:PW@h/d", 1, "a scheme that names a library"),
        ("mysql://u:PW@h/d", 1, "the address of another kind"),
        ("https://u:PW@h/d", 1, "an address of another protocol"),
        (
            "whatever://u:PW@h/d?sslmode=require",
            1,
            "a scheme that libpq",
        ),
        ("PostgreSQL://u:PW@h/d", 1, "a scheme in capital letters"),
        ("postgresql:/u:PW@h/d?x=1", 11, "no `://` behind the scheme"),
        ("postgres:u:PW@h/d", 9, "no `://` behind the scheme"),
        (
            "\"postgresql://u:PW@h/d?sslmode=require\"",
            1,
            "a quote around",
        ),
        ("'postgresql://u:PW@h/d'", 1, "a quote around"),
        ("\u{201c}postgresql://u:PW@h/d\u{201d}", 1, "a quote around"),
        ("u:PW@h/d", 1, "no scheme before"),
        ("u:PW@h/d?sslmode=require", 1, "no scheme before"),
        ("//u:PW@h/d", 1, "no scheme before"),
        ("h:5432/d?password=PW", 1, "libpq has no keyword"),
        (" postgresql://u:PW@h/d", 1, "a blank, or a byte order mark"),
        (
            "\u{feff}postgresql://u:PW@h/d",
            1,
            "a blank, or a byte order",
        ),
        ("DATABASE_URL=postgresql://u:PW@h/d", 1, "a variable's name"),
        ("DATABASE_URL='postgres://u:PW@h/d'", 1, "a variable's name"),
        (
            "export DATABASE_URL=postgres://u:PW@h/d",
            1,
            "a command before",
        ),
        ("psql postgresql://u:PW@h/d", 1, "a command before"),
        (
            "psql 'postgresql://u:PW@h/d?sslmode=require'",
            1,
            "a command before",
        ),
        ("${PW}", 1, "a placeholder"),
        ("{\"host\":\"h\",\"password\":\"PW\"}", 1, "JSON"),
        (
            "postgresql%3A%2F%2Fu%3APW%40h%2Fd",
            1,
            "a keyword without `=`",
        ),
        (
            "postgresql%3A%2F%2Fu%3APW%40h%2Fd%3Fsslmode=x",
            1,
            "libpq has no",
        ),
        ("\u{521}PW://h", 1, "no scheme before"),
        ("PW", 1, "a keyword without `=`"),
        ("PW=x", 1, "libpq has no keyword of this name"),
        ("host=h PW", 8, "a keyword without `=`"),
        (
            "host=h password=x PW=y",
            19,
            "libpq has no keyword of this name",
        ),
        ("host=h password='x PW", 17, "a quoted value without"),
        ("host=h password:PW", 8, "a keyword without `=`"),
    ];
    for (text, position, rule) in rows {
        check(&[(text, &format!("{begin} {position}: {rule}"))]);
    }
}

#[test]
fn characters_of_a_password_that_were_not_encoded() {
    for (password, start) in [
        ("x@PW", "connection string, character 18: `@` in a host"),
        (
            "x/PW",
            "connection string, character 18: `@` behind the host",
        ),
        (
            "12/PW",
            "connection string, character 19: `@` behind the host",
        ),
        (
            "x@h/PW",
            "connection string, character 20: `@` behind the host",
        ),
        ("x%PW", "connection string, character 16: `%` without two"),
        (
            "x@h?PW&x",
            "connection string, character 20: no `=` in the parameter",
        ),
        (
            "x@h?PW=1",
            "connection string, character 20: more than one `=`",
        ),
        ("x@h#PW", "connection string, character 18: `@` in a host"),
        ("x@h:PW", "port (connection string) must be a number"),
        ("x@PW,y", "connection string, character 31: `@` in a host"),
    ] {
        let text = format!("postgresql://u:{password}@h/d?a=b");
        check(&[(&text, start)]);
    }
    check(&[
        (
            "postgresql://h/d?password=x&PW=1",
            "connection string, character 29: libpq has no keyword of this name",
        ),
        (
            "postgresql://u%3APW@h/d",
            "user (connection string) holds a `:`",
        ),
        (
            "postgresql://u%3APW%40h/d",
            "host (connection string) holds a connection string",
        ),
        (
            "postgresql://h/d;user=u;password=PW",
            "dbname (connection string) holds a connection string",
        ),
        (
            "postgresql://u:x@h;PW/d",
            "host (connection string) must be a name or an address",
        ),
    ]);
}

#[test]
fn a_connection_string_in_place_of_a_name() {
    let uri = format!("postgresql://u:{SECRET}@h/d");
    let bare = format!("u:{SECRET}@h/d");
    let pairs = format!("h;password={SECRET}");
    for variable in [
        "PGHOST",
        "PGUSER",
        "PGDATABASE",
        "PGSERVICE",
        "PGPORT",
        "PGHOSTADDR",
    ] {
        for text in [&uri, &bare, &pairs] {
            let home = ("HOME", "/nonexistent");
            let told = told(
                "",
                &[(variable, text), home, ("PGSYSCONFDIR", "/nonexistent")],
            );
            let named = told.iter().any(|line| line.contains(variable));
            assert!(named, "{variable}: {told:?}");
        }
    }
    for variable in [
        "PGOPTIONS",
        "PGAPPNAME",
        "PGSSLKEY",
        "PGSSLCERT",
        "PGSSLROOTCERT",
    ] {
        let more = [
            ("PGSSLMODE", "verify-ca"),
            ("USER", "u"),
            ("HOME", "/nonexistent"),
        ];
        told("host=h", &[&[(variable, uri.as_str())][..], &more].concat());
    }
}

#[test]
fn words_of_other_programs_are_named_with_what_to_write() {
    for (text, start) in [
        (
            "postgresql://h/d?schema=public",
            "connection string, character 18: `schema` is a setting of Prisma",
        ),
        (
            "postgresql://h/d?pgbouncer=true",
            "connection string, character 18: `pgbouncer` is",
        ),
        (
            "postgresql://h/d?ssl=require",
            "connection string, character 18: `ssl` is a setting of asyncpg",
        ),
        (
            "postgresql://h/d?currentSchema=a",
            "connection string, character 18: `currentSchema` is a setting of JDBC",
        ),
        (
            "postgresql://h/d?connect_timout=1",
            "connection string, character 18: libpq has no keyword of this name, but `connect_timeout`",
        ),
        (
            "database=d",
            "connection string, character 1: libpq has no keyword of this name, but `dbname`",
        ),
        (
            "Host=h",
            "connection string, character 1: libpq has no keyword of this name, but `host`",
        ),
    ] {
        check(&[(text, start)]);
    }
}

#[test]
fn what_libpq_takes_is_taken() {
    for text in [
        "",
        "host=a,b port=1,2 password=x;y,z&w dbname=d",
        "host=db_1.example-x dbname='a b' user=u@server password='p@ss:word'",
        "host=/run/pg@14 dbname=d",
        "host=::1",
        "host=fe80::1%eth0",
        "hostaddr=10.0.0.1 host=h",
        "user='a:b' password=''",
        "dbname=a/b options='-c application_name=x'",
        "application_name=https://app.example",
        "postgresql://u%40server:p%40%2F%3A@h.example:5432/d?application_name=x",
        "postgresql://u:p?w#x y;z=1&host@h/d",
        "postgresql://%2Frun%2Fpg/d%40e",
    ] {
        let home = |name: &str| (name == "HOME").then(|| "/nonexistent".to_owned());
        let resolved = ConnInfo::resolve(Some(text), &home);
        assert!(resolved.is_ok(), "{text}: {:?}", resolved.err());
    }
}

#[test]
fn a_host_is_a_name_or_an_address() {
    for (host, rule) in [
        ("'[::1]'", "must be an IPv6 address without brackets"),
        ("db:5432", "must be a name without a port"),
        ("'a b'", "must be a name or an address"),
        ("dä", "must be a name of ASCII letters"),
        ("@abstract", "must not begin with `@`"),
        ("a,db:5432", "must be a name without a port"),
    ] {
        let start = format!("host (connection string) {rule}");
        check(&[(&format!("host={host}"), &start)]);
    }
}
