//! The key of a row has the same text, whatever the settings of the writing session.

use std::collections::BTreeSet;

use super::{install, role, with_role};
use crate::support::{Database, Reader, TestGateway, Wire};

/// Types whose text depends on a setting, and those that contain such types.
const DEPENDENT: &[(&str, &str)] = &[
    ("timestamptz", "'2026-03-04 23:45:06.789+00'"),
    ("timestamp", "'2026-03-04 23:45:06.789'"),
    ("date", "'2026-03-04'"),
    ("timetz", "'12:00:00+05:30'"),
    ("time", "'12:00:00.5'"),
    ("interval", "'1 year -2 mons 3 days 04:05:06.7'"),
    ("bytea", "decode('00ff5c27', 'hex')"),
    ("money", "1234.5::numeric::money"),
    ("float8", "0.1::float8 + 0.2::float8"),
    ("float4", "0.1::float4 / 3"),
    ("regclass", "'\"Odd Name\"'"),
    ("regproc", "'now'"),
    ("regprocedure", "'public.of(timestamptz)'"),
    ("regoper", "'pg_catalog.||/'"),
    ("regoperator", "'+(integer, integer)'"),
    ("regtype", "'moment'"),
    ("regrole", "'pg_monitor'"),
    ("regnamespace", "'public'"),
    ("regconfig", "'english'"),
    ("regdictionary", "'simple'"),
    ("regcollation", "'\"C\"'"),
    (
        "tstzrange",
        "'[2026-03-04 23:45:06+00, 2026-04-05 00:00+02)'",
    ),
    ("tsrange", "'[2026-03-04 23:45:06,)'"),
    ("daterange", "'[2026-03-04, 2026-04-05)'"),
    (
        "tstzmultirange",
        "'{[2026-03-04 23:45+00, 2026-04-05 00:00+02)}'",
    ),
    ("timestamptz[]", "'{2026-03-04 23:45:06+00}'"),
    ("interval[]", "'{1 day 02:03:04}'"),
    ("bytea[]", "ARRAY[decode('00ff5c27', 'hex')]"),
    ("moment", "'2026-03-04 23:45:06+00'"),
    (
        "pair",
        "('2026-03-04 23:45+00', '1 mon', 'ab', 1.5::numeric::money)",
    ),
    ("of_float", "'[0.1, 0.30000000000000004)'"),
];

/// All other types of keys.
const PLAIN: &[(&str, &str)] = &[
    ("bool", "true"),
    ("\"char\"", "'x'"),
    ("name", "'n'"),
    ("int2", "-1"),
    ("int4", "5"),
    ("int8", "9007199254740993"),
    ("numeric", "1.10"),
    ("oid", "4000000000"),
    ("oidvector", "'1 2'"),
    ("text", "E'a\\n\"é'"),
    ("varchar", "'v'"),
    ("char(5)", "'c'"),
    ("bit(3)", "'101'"),
    ("varbit", "'1011'"),
    ("inet", "'10.0.0.1/8'"),
    ("cidr", "'10.0.0.0/8'"),
    ("macaddr", "'08:00:2b:01:02:03'"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"),
    ("tid", "'(0,1)'"),
    ("tsvector", "'a b'"),
    ("tsquery", "'a & b'"),
    ("jsonb", "'{\"b\": 1, \"a\": [1.50, null]}'"),
    ("xid8", "'7'"),
    ("pg_lsn", "'16/B374D848'"),
    ("mood", "'good'"),
    ("int4range", "'[1,3)'"),
    ("int4multirange", "'{[1,3)}'"),
];

/// It changes the messages between a client and the server, but no notification: that has the
/// server's encoding, and is converted for the listening session.
const OF_THE_CONNECTION: &str = "client_encoding";

/// Values for settings that are texts; for others they are mostly invalid. A machine may lack
/// some of the locales.
fn texts(name: &str) -> &'static [&'static str] {
    match name {
        "DateStyle" => &[
            "ISO, DMY",
            "SQL, DMY",
            "SQL, MDY",
            "Postgres, DMY",
            "German, DMY",
        ],
        "TimeZone" => &["Asia/Kolkata", "America/St_Johns", "<+05>-05"],
        "timezone_abbreviations" => &["Australia", "India"],
        "search_path" => &[
            "",
            "pg_catalog, public",
            "public, pg_catalog",
            "hidden, public",
        ],
        "default_text_search_config" => &["pg_catalog.german"],
        "lc_monetary" | "lc_numeric" | "lc_time" | "lc_messages" => {
            &["C.UTF-8", "de_DE.UTF-8", "en_US.UTF-8", "ja_JP.UTF-8"]
        }
        _ => &["", "x"],
    }
}

/// Settings without which the test would prove nothing.
const NEEDED: [&str; 8] = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "bytea_output",
    "extra_float_digits",
    "quote_all_identifiers",
    "search_path",
    "xmlbinary",
];

fn table(name: &str, columns: &[(&str, &str)]) -> String {
    let (mut of_types, mut names, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (n, (of_type, value)) in columns.iter().enumerate() {
        of_types.push(format!("k{n} {of_type}"));
        names.push(format!("k{n}"));
        values.push((*value).to_owned());
    }
    format!(
        "CREATE TABLE {name} ({}, note int, PRIMARY KEY ({}));\nINSERT INTO {name} VALUES ({}, 0);",
        of_types.join(", "),
        names.join(", "),
        values.join(", ")
    )
}

async fn tables(database: &Database) {
    let types = "CREATE DOMAIN moment AS timestamptz; CREATE TYPE mood AS ENUM ('good'); \
                 CREATE TYPE pair AS (at timestamptz, length interval, raw bytea, price money); \
                 CREATE TYPE of_float AS RANGE (subtype = float8); \
                 CREATE TABLE \"Odd Name\" (); CREATE SCHEMA hidden; \
                 CREATE FUNCTION of(timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1';";
    let (dependent, plain) = (table("dependent", DEPENDENT), table("plain", PLAIN));
    database.run(&format!("{types}{dependent}{plain}")).await;
    let missing = "SELECT t.typname::text FROM pg_opclass AS o JOIN pg_am AS a ON a.oid = o.opcmethod \
                   JOIN pg_type AS t ON t.oid = o.opcintype \
                   WHERE a.amname = 'btree' AND o.opcdefault AND t.typtype <> 'p' \
                   AND t.oid NOT IN (SELECT atttypid FROM pg_attribute \
                   WHERE attrelid IN ('dependent'::regclass, 'plain'::regclass))";
    let missing = database.client.query(missing, &[]).await.unwrap();
    let missing: Vec<String> = missing.iter().map(|row| row.get(0)).collect();
    assert!(
        missing.is_empty(),
        "keys can be of these types too: {missing:?}"
    );
}

const WRITES: &str =
    "BEGIN; UPDATE dependent SET note = note + 1; UPDATE plain SET note = note + 1; COMMIT";

/// The payloads for the rows, without the time.
async fn keys(reader: &mut Reader) -> [String; 2] {
    let payloads = reader.payloads(2).await;
    let keys = payloads.iter().map(|payload| {
        let (_, keys) = payload
            .split_once("\"keys\"")
            .unwrap_or_else(|| panic!("{payload}"));
        keys.to_owned()
    });
    keys.collect::<Vec<_>>().try_into().unwrap()
}

async fn installed(database: &Database) -> (TestGateway, Reader, [String; 2]) {
    tables(database).await;
    let gateway = TestGateway::on(database).await;
    let mut reader = gateway.reader(Wire::Sse, "rows").await;
    let arguments = [
        "dependent",
        "plain",
        "--keys",
        "--changed",
        "--channel",
        "rows",
    ];
    install(database, &arguments).await;
    database.run(WRITES).await;
    let expected = keys(&mut reader).await;
    (gateway, reader, expected)
}

/// Each setting that a session can change, with each of its values or its minimum and maximum.
async fn settings(database: &Database) -> Vec<(String, String)> {
    let sql = "SELECT name, vartype, enumvals, min_val, max_val FROM pg_settings \
               WHERE context IN ('user', 'superuser') ORDER BY name";
    let mut settings = Vec::new();
    for row in database.client.query(sql, &[]).await.unwrap() {
        let (name, vartype): (String, String) = (row.get(0), row.get(1));
        let values: Vec<String> = match vartype.as_str() {
            "bool" => vec!["on".to_owned(), "off".to_owned()],
            "enum" => row.get(2),
            "integer" | "real" => vec![row.get(3), row.get(4)],
            _ => texts(&name).iter().map(|text| (*text).to_owned()).collect(),
        };
        settings.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_of_a_session_changes_the_text_of_a_key() {
    let database = Database::new().await;
    let (_gateway, mut reader, expected) = installed(&database).await;
    let mut written = BTreeSet::new();
    let settings = settings(&database).await;
    for (name, value) in &settings {
        if name == OF_THE_CONNECTION {
            continue;
        }
        // A new session: one that has called the function before holds it parsed.
        let writer = Database::at(database.url.clone()).await;
        let set = format!("SELECT set_config('{name}', '{value}', false)");
        let is_set = writer.client.batch_execute(&set).await.is_ok();
        // A row that cannot be written makes nothing stale.
        if is_set && writer.client.batch_execute(WRITES).await.is_ok() {
            assert_eq!(keys(&mut reader).await, expected, "{name} = {value}");
            written.insert(name.as_str());
        }
    }
    let unset: Vec<_> = NEEDED
        .iter()
        .filter(|name| !written.contains(*name))
        .collect();
    assert!(unset.is_empty(), "{unset:?}");
    assert!(
        written.len() > 100,
        "{} of {}",
        written.len(),
        settings.len()
    );
}

/// Several settings at once, for a role that is not a superuser.
#[tokio::test(flavor = "multi_thread")]
async fn no_settings_of_a_role_change_the_text_of_a_key() {
    let database = Database::new().await;
    let (_gateway, mut reader, expected) = installed(&database).await;
    let role = role(&database, "writer").await;
    let grant = format!("GRANT SELECT, UPDATE ON dependent, plain TO {role}");
    database.run(&grant).await;
    for settings in [
        &[
            "DateStyle = 'German, DMY'",
            "TimeZone = 'Asia/Kolkata'",
            "bytea_output = escape",
        ][..],
        &[
            "IntervalStyle = iso_8601",
            "TimeZone = 'America/St_Johns'",
            "extra_float_digits = -15",
        ],
        &[
            "search_path = hidden, public",
            "quote_all_identifiers = on",
            "xmlbinary = hex",
        ],
        &[
            "IntervalStyle = sql_standard",
            "DateStyle = 'SQL, DMY'",
            "search_path = ''",
        ],
    ] {
        for setting in settings {
            database
                .run(&format!("ALTER ROLE {role} SET {setting}"))
                .await;
        }
        let writer = with_role(&database, &role).await;
        let writes = WRITES.replace("UPDATE ", "UPDATE public.");
        writer.run(&writes).await;
        assert_eq!(keys(&mut reader).await, expected, "{settings:?}");
        database.run(&format!("ALTER ROLE {role} RESET ALL")).await;
    }
}
