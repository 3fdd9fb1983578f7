//! The inputs are those of PostgreSQL's own URI tests (`src/interfaces/libpq/t/001_uri.pl`) and of
//! libpq's manual.

use super::*;

fn read(uri: &str) -> Result<String, ConnInfoError> {
    let pairs = parse(uri).expect("it is a URI")?;
    let words: Vec<_> = pairs
        .iter()
        .map(|pair| format!("{}={}", pair.keyword, pair.value))
        .collect();
    Ok(words.join(" "))
}

fn check(table: &[(&str, &str)]) {
    for (uri, expected) in table {
        assert_eq!(read(uri).as_deref(), Ok(*expected), "{uri}");
    }
}

#[test]
fn hosts_users_and_databases() {
    check(&[
        (
            "postgresql://uri-user:secret@host:12345/db",
            "user=uri-user password=secret host=host port=12345 dbname=db",
        ),
        (
            "postgresql://uri-user@host:12345/db",
            "user=uri-user host=host port=12345 dbname=db",
        ),
        (
            "postgresql://uri-user@host/db",
            "user=uri-user host=host dbname=db",
        ),
        (
            "postgresql://host:12345/db",
            "host=host port=12345 dbname=db",
        ),
        ("postgresql://host/db", "host=host dbname=db"),
        (
            "postgresql://uri-user@host:12345/",
            "user=uri-user host=host port=12345",
        ),
        ("postgresql://uri-user@host/", "user=uri-user host=host"),
        ("postgresql://uri-user@", "user=uri-user"),
        ("postgresql://host:12345/", "host=host port=12345"),
        ("postgresql://host:12345", "host=host port=12345"),
        ("postgresql://host/", "host=host"),
        ("postgresql://host", "host=host"),
        ("postgresql://", ""),
        ("postgres://", ""),
        ("postgres:///", ""),
        ("postgres:///db", "dbname=db"),
        ("postgres://uri-user@/db", "user=uri-user dbname=db"),
        ("postgres://@host", "host=host"),
        ("postgres://host:/", "host=host"),
        ("postgres://:12345/", "port=12345"),
        ("postgresql://host?", "host=host"),
        ("postgresql://%68ost/", "host=host"),
        (
            "postgres://%2Fvar%2Flib%2Fpostgresql/dbname",
            "host=/var/lib/postgresql dbname=dbname",
        ),
        (
            "postgresql://u:p%40ss%2Fw%3Ard%25@host/d%C3%A4",
            "user=u password=p@ss/w:rd% host=host dbname=dä",
        ),
        ("postgresql://u:a:b@host", "user=u password=a:b host=host"),
        ("postgresql://host/a/b", "host=host dbname=a/b"),
        ("postgresql://a+b@host", "user=a+b host=host"),
    ]);
}

#[test]
fn parameters() {
    check(&[
        ("postgresql://?hostaddr=127.0.0.1", "hostaddr=127.0.0.1"),
        (
            "postgresql://example.com?hostaddr=63.1.2.4",
            "host=example.com hostaddr=63.1.2.4",
        ),
        (
            "postgresql://host/db?user=uri-user",
            "host=host dbname=db user=uri-user",
        ),
        (
            "postgresql://host/db?user=uri-user&port=12345",
            "host=host dbname=db user=uri-user port=12345",
        ),
        (
            "postgresql://host/db?u%73er=someotheruser&port=12345",
            "host=host dbname=db user=someotheruser port=12345",
        ),
        (
            "postgresql://host/db?u%7aer=someotheruser",
            "host=host dbname=db uzer=someotheruser",
        ),
        (
            "postgresql://host:12345?user=uri-user",
            "host=host port=12345 user=uri-user",
        ),
        ("postgresql://host?user=uri-user", "host=host user=uri-user"),
        ("postgresql://host?uzer=", "host=host uzer="),
        (
            "postgres://?host=/path/to/socket/dir",
            "host=/path/to/socket/dir",
        ),
        (
            "postgres://otheruser@?host=/no/such/directory",
            "user=otheruser host=/no/such/directory",
        ),
        (
            "postgres://otheruser@/?host=/no/such/directory",
            "user=otheruser host=/no/such/directory",
        ),
        (
            "postgres://otheruser@:12345?host=/no/such",
            "user=otheruser port=12345 host=/no/such",
        ),
        (
            "postgres://otheruser@:12345/db?host=/path",
            "user=otheruser port=12345 dbname=db host=/path",
        ),
        (
            "postgres://:12345/db?host=/path/to/socket",
            "port=12345 dbname=db host=/path/to/socket",
        ),
        (
            "postgres://:12345?host=/path/to/socket",
            "port=12345 host=/path/to/socket",
        ),
        (
            "postgresql://host?sslmode=verify-full",
            "host=host sslmode=verify-full",
        ),
        ("postgresql://host?ssl=true", "host=host sslmode=require"),
        ("postgresql://host?ssl=false", "host=host ssl=false"),
        (
            "postgresql://host?options=-c%20a%3Db&",
            "host=host options=-c a=b",
        ),
    ]);
}

#[test]
fn several_hosts() {
    check(&[
        (
            "postgresql://host1:123,host2:456/somedb",
            "host=host1,host2 port=123,456 dbname=somedb",
        ),
        (
            "postgresql://u@a,b:5433,c/d",
            "user=u host=a,b,c port=,5433, dbname=d",
        ),
        ("postgresql://a,b", "host=a,b port=,"),
        (
            "postgresql://[::1]:1,%2Frun%2Fpg,c:3",
            "host=::1,/run/pg,c port=1,,3",
        ),
    ]);
}

#[test]
fn ipv6_addresses() {
    check(&[
        (
            "postgresql://[::1]:12345/db",
            "host=::1 port=12345 dbname=db",
        ),
        ("postgresql://[::1]/db", "host=::1 dbname=db"),
        ("postgresql://[2001:db8::1234]/", "host=2001:db8::1234"),
        ("postgresql://[200z:db8::1234]/", "host=200z:db8::1234"),
        ("postgresql://[::1]", "host=::1"),
        ("postgresql://[::1]?user=u", "host=::1 user=u"),
    ]);
}

#[test]
fn other_texts_are_no_uris() {
    for text in [
        "",
        "postgre://",
        "host=postgresql://",
        "Postgres://",
        "mydb",
    ] {
        assert!(parse(text).is_none(), "{text}");
    }
}

#[test]
fn mistakes_name_the_place_and_the_rule() {
    for (uri, position, rule) in [
        ("postgres://[::1", 13, "no `]` after the IPv6 address"),
        ("postgres://[]", 13, "the IPv6 address is empty"),
        (
            "postgres://[::1]z",
            17,
            "expected `:`, `,`, `/` or `?` after the IPv6 address",
        ),
        ("postgresql://host?zzz", 19, "no `=` in the parameter"),
        (
            "postgresql://host?value1&value2",
            19,
            "no `=` in the parameter",
        ),
        (
            "postgresql://host?user=u&&port=1",
            26,
            "no `=` in the parameter",
        ),
        (
            "postgresql://host?key=key=value",
            19,
            "more than one `=` in the parameter",
        ),
        ("postgres://host?dbname=%XXfoo", 24, BARE_PERCENT),
        ("postgresql://a%00b", 14, "`%00` is forbidden"),
        ("postgresql://%zz", 14, BARE_PERCENT),
        ("postgresql://%1", 14, BARE_PERCENT),
        ("postgresql://%", 14, BARE_PERCENT),
        ("postgresql://%+1", 14, BARE_PERCENT),
        (
            "postgresql://ä:%FF@host",
            16,
            "not UTF-8 after percent-decoding",
        ),
        ("postgresql://u:p@ss@host", 18, AT_IN_HOST),
        ("postgresql://u:1/w@host/d", 18, AT_IN_DATABASE),
        ("postgresql://u:p@h/w@host/d", 20, AT_IN_DATABASE),
    ] {
        assert_eq!(
            read(uri),
            Err(ConnInfoError::Syntax { position, rule }),
            "{uri}"
        );
    }
}
