//! Malformed connection strings. `PW` is the password.

/// Each with the rule that the message names.
pub const FORMS: &[(&str, &str)] = &[
    // Other programs.
    (
        "postgresql+asyncpg://u:PW@h/d?ssl=require",
        "character 1: SQLAlchemy's form",
    ),
    (
        "postgresql+psycopg2://u:PW@h/d",
        "character 1: SQLAlchemy's form",
    ),
    (
        "postgres+psycopg://u:PW@h/d",
        "character 1: SQLAlchemy's form",
    ),
    (
        "jdbc:postgresql://h:5432/d?user=u&password=PW",
        "character 1: JDBC's form",
    ),
    (
        "Host=h;Username=u;Password=PW;Database=d",
        "character 7: `;` between settings, the form of Npgsql",
    ),
    ("Server=h;User Id=u;Password=PW", "the form of Npgsql"),
    (
        "host=h;user=u;password=PW",
        "character 7: `;` between settings",
    ),
    ("host=h,user=u,password=PW", "`,` or `&` between settings"),
    (
        "postgresql://u:PW@h/d?schema=public",
        "`schema` is a setting of Prisma",
    ),
    (
        "postgresql://u:PW@h/d?pgbouncer=true&connection_limit=1",
        "`pgbouncer` is a setting of Prisma",
    ),
    (
        "prisma+postgres://h/?api_key=PW",
        "Prisma Accelerate's form",
    ),
    (
        "postgresql://u:PW@h/d?ssl=verify-full",
        "`ssl` is a setting of asyncpg",
    ),
    (
        "postgresql://h/d?currentSchema=a&user=u&password=PW",
        "a setting of JDBC",
    ),
    ("postgis://u:PW@h/d", "a scheme of Django's dj-database-url"),
    (
        "ecto://u:PW@h/d?pool_size=5",
        "a scheme that names a library",
    ),
    (
        "mysql://u:PW@h/d?sslmode=require",
        "the address of another kind of server",
    ),
    ("PostgreSQL://u:PW@h/d", "a scheme in capital letters"),
    (
        "psql postgresql://u:PW@h/d?sslmode=require",
        "a command before the connection string",
    ),
    (
        "DATABASE_URL=postgresql://u:PW@h/d",
        "a variable's name and `=`",
    ),
    // Mistakes.
    (
        "\"postgresql://u:PW@h/d?sslmode=require\"",
        "a quote around the connection string",
    ),
    (
        "'postgresql://u:PW@h/d'",
        "a quote around the connection string",
    ),
    (
        " postgresql://u:PW@h/d?sslmode=require",
        "a blank, or a byte order mark",
    ),
    ("u:PW@h/d", "no scheme before the user"),
    ("u:PW@h/d?sslmode=require", "no scheme before the user"),
    ("//u:PW@h/d?sslmode=require", "no scheme before the user"),
    (
        "postgresql:/u:PW@h/d?sslmode=require",
        "no `://` behind the scheme",
    ),
    (
        "postgresql:u:PW@h/d?sslmode=require",
        "no `://` behind the scheme",
    ),
    (
        "postgresql%3A%2F%2Fu%3APW%40h%2Fd%3Fsslmode=require",
        "character 1: libpq has no keyword",
    ),
    ("PW", "a keyword without `=`"),
    ("PW=PW", "libpq has no keyword of this name"),
    // Passwords that were not percent-encoded.
    ("postgresql://u:x@PW@h/d", "`@` in a host"),
    ("postgresql://u:PW@@h/d", "`@` in a host"),
    ("postgresql://u:PW/x@h/d", "`@` behind the host"),
    ("postgresql://u:12/PW@h/d", "`@` behind the host"),
    ("postgresql://u:x@h/PW@h/d", "`@` behind the host"),
    ("postgresql://u/PW@h/d", "`@` behind the host"),
    ("postgresql://u:x%PW@h/d", "`%` itself is written as `%25`"),
    ("postgresql://u:x@y#PW@h/d", "`@` in a host"),
    ("postgresql://u:x@h;PW/d", "must be a name or an address"),
    ("postgresql://u:x@y?PW@h/d", "no `=` in the parameter"),
    (
        "postgresql://u:x@y?PW@h/d?a=b",
        "libpq has no keyword of this name",
    ),
    (
        "postgresql://h/d?password=x&PW=y",
        "libpq has no keyword of this name",
    ),
    ("postgresql://h/d;user=u;password=PW", "dbname ("),
    ("postgresql://u%3APW@h/d", "user ("),
    ("postgresql://u%3APW%40h/d", "host ("),
    ("postgresql://u:PW", "port ("),
    // keyword=value.
    ("host=h password=x PW", "a keyword without `=`"),
    (
        "host=h password=x PW=y",
        "libpq has no keyword of this name",
    ),
    (
        "host=h password='x PW",
        "a quoted value without its closing quote",
    ),
    ("host=h password:PW", "a keyword without `=`"),
    ("host=h:password=PW", "host ("),
    ("host=h user=u dbname=d?password=PW", "dbname ("),
    ("host=u:PW@h", "host ("),
    ("host=h dbname=postgresql://u:PW@h/d", "dbname ("),
    ("host=h port=PW sslmode=PW connect_timeout=PW", "port ("),
    (
        "service=postgresql://u:PW@h/d",
        "definition of service not found",
    ),
    (
        "host=h sslmode=verify-ca sslrootcert=postgresql://u:PW@h/d",
        "sslrootcert: ",
    ),
    ("{\"host\":\"h\",\"password\":\"PW\"}", "JSON"),
    ("${PW}", "a placeholder"),
];
