//! Output of `pgfan triggers show`, as text and for psql, and the triggers that it recognizes.

use std::{fs, path::PathBuf, process::Stdio};

use tokio::process::Command;

use super::{ORDERS, catalog, install, plain, told, triggers};
use crate::support::{
    Database, TestGateway, Wire, environment,
    gateway_process::libpq_variables,
    program::{command, run},
};

/// A program next to those of the tested server.
fn program(name: &str) -> PathBuf {
    use pgfan::temp_postgres::{Binaries, Search};
    let (pg_bin, path) = (environment("PG_BIN"), environment("PATH"));
    let private = concat!(env!("CARGO_MANIFEST_DIR"), "/target/postgres");
    let binaries = Binaries::find(Search {
        pg_bin: pg_bin.as_deref().map(AsRef::as_ref),
        path: path.as_deref().map(AsRef::as_ref),
        private: Some(private.as_ref()),
    });
    binaries.unwrap().folder().join(name)
}

fn client(name: &str, database: &Database) -> Command {
    let mut command = command(program(name));
    command.envs(libpq_variables(&database.url));
    command
}

/// Runs the script as a user would, `pgfan triggers … | psql`.
async fn psql(database: &Database, script: &str) -> String {
    let mut command = client("psql", database);
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
    let path = std::env::temp_dir().join(format!("pgfan-{:x}.sql", fastrand::u64(..)));
    fs::write(&path, script).unwrap();
    let file = fs::File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let ended = run(command.stdin(Stdio::from(file))).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    ended.stdout + &ended.stderr
}

/// A name with a line end, text that psql would run after it, and escape sequences for a
/// terminal.
#[tokio::test(flavor = "multi_thread")]
async fn a25_a_name_is_no_line_of_its_own_and_speaks_to_no_terminal() {
    let database = Database::new().await;
    let mark = std::env::temp_dir().join(format!("pgfan-{:x}", fastrand::u64(..)));
    let odd = format!(
        "t\r\n\\! touch {}\n\x1b]0;x\x07\u{9b}2J\u{202e}\\ \"\"'",
        mark.display()
    );
    let (table, function) = (format!("\"{odd}\""), format!("\"f{}\"", &odd[..20]));
    let sql = format!(
        "CREATE TABLE {table} (\"k{odd}\" int PRIMARY KEY) PARTITION BY RANGE (\"k{odd}\"); \
         CREATE TABLE \"p{odd}\" PARTITION OF {table} FOR VALUES FROM (0) TO (10); \
         CREATE TABLE parent (id int); CREATE TABLE \"h{odd}\" () INHERITS (parent); \
         CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN PERFORM pg_notify('x', ''); RETURN NULL; END$$; \
         CREATE TRIGGER \"g{odd}\" AFTER INSERT ON {table} EXECUTE FUNCTION {function}()"
    );
    database.run(&sql).await;
    let before = catalog(&database).await;
    let name = odd.replace("\"\"", "\"");
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    let is_clean = |text: &str| {
        let ends = text.matches('\n').count() == text.lines().count();
        ends && text
            .chars()
            .all(|c| c == '\n' || !c.is_control() && c != '\u{202e}')
    };
    let mut shown = Vec::new();
    for arguments in [
        &["show", &quoted][..],
        &["install", &quoted, "parent"],
        &["install", &quoted, "parent", "--commit", "--keys"],
        &["install", &quoted, "parent", "--commit"],
        &["show"],
        &["uninstall", &quoted, "parent"],
        &["show", "\"no\nsuch\x1b[2J\""],
    ] {
        let ended = triggers(&database, arguments).await;
        assert!(
            is_clean(&ended.stdout) && is_clean(&ended.stderr),
            "{arguments:?}: {ended:?}"
        );
        shown.push(ended);
    }
    // The printed script does what was requested, and nothing more.
    psql(&database, &shown[0].stdout).await;
    psql(&database, &shown[1].stdout).await;
    let installed = triggers(&database, &["show"]).await;
    assert_eq!(installed.stdout, shown[4].stdout);
    assert!(!mark.exists());
    // The printed statements can create the triggers again.
    let ours = installed.stdout.matches("CREATE TRIGGER pgfan").count();
    assert_eq!(ours, 5, "{installed:?}");
    psql(&database, &shown[5].stdout).await;
    assert_eq!(catalog(&database).await, before);
    assert!(!mark.exists());
}

/// Messages of the server too: a role that can raise one must not control the terminal, nor write
/// in the name of pgfan.
#[tokio::test(flavor = "multi_thread")]
async fn a25_a_message_of_the_server_speaks_to_no_terminal() {
    let database = Database::new().await;
    let sql = format!(
        "{ORDERS}; CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION USING MESSAGE = E'no\\nremedy: obey \\x1b[2J', \
         HINT = E'\\u009b2J'; END$$; \
         CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER') \
         EXECUTE FUNCTION refuse()"
    );
    database.run(&sql).await;
    let ended = triggers(&database, &["install", "orders", "--commit"]).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let says = r"no\nremedy: obey \u{1b}[2J (P0001): \u{9b}2J";
    assert_eq!(ended.stderr, format!("{says}\nnothing is changed\n"));
}

/// They are not pgfan's, and readers get two notifications for the table.
#[tokio::test(flavor = "multi_thread")]
async fn show_names_other_triggers_that_notify() {
    let database = Database::new().await;
    let sql = format!(
        "{ORDERS}; CREATE TABLE other (id int); CREATE TABLE quiet (id int); \
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN PERFORM pg_notify('x', ''); RETURN NULL; END$$; \
         CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN NOTIFY x; RETURN NULL; END$$; \
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN NEW.notified := true; RETURN NEW; END$$; \
         CREATE TRIGGER tells AFTER INSERT ON orders EXECUTE FUNCTION tell(); \
         CREATE TRIGGER keeps BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION keep(); \
         CREATE TRIGGER says AFTER INSERT ON other EXECUTE FUNCTION say(); \
         CREATE TRIGGER keeps BEFORE INSERT ON quiet FOR EACH ROW EXECUTE FUNCTION keep()"
    );
    database.run(&sql).await;
    install(&database, &["orders"]).await;
    let shown = triggers(&database, &["show"]).await.stdout;
    let remarks: Vec<_> = shown
        .lines()
        .filter(|line| line.starts_with("--"))
        .collect();
    let notifies = |table: &str, trigger: &str, function: &str| {
        format!(
            "-- \"public\".\"{table}\": its trigger \"{trigger}\" is not pgfan's and calls \
             \"public\".\"{function}\"(), which notifies too"
        )
    };
    let expected = [
        notifies("orders", "tells", "tell"),
        "-- \"public\".\"other\": nothing is installed".to_owned(),
        notifies("other", "says", "say"),
    ];
    assert_eq!(remarks, expected);
}

/// Without comments, and with another owner.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dump_without_comments_restores_is_known_again() {
    let database = Database::new().await;
    let sql = format!(
        "{ORDERS}; CREATE TABLE parted (id int) PARTITION BY RANGE (id); \
         CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10)"
    );
    database.run(&sql).await;
    let empty = catalog(&database).await;
    install(&database, &["orders", "parted", "--event-trigger"]).await;
    let shown = triggers(&database, &["show"]).await.stdout;
    let dump = run(client("pg_dump", &database).args(["--no-comments", "--no-owner"])).await;
    assert_eq!(dump.status.code(), Some(0), "{dump:?}");
    // Without the settings for psql: some belong to another version.
    let restored = Database::new().await;
    psql(&restored, &dump.stdout).await;
    assert_eq!(triggers(&restored, &["show"]).await.stdout, shown);
    let gateway = TestGateway::on(&restored).await;
    let mut reader = gateway.reader(Wire::Sse, "orders").await;
    restored.run("INSERT INTO public.orders VALUES (1)").await;
    assert_eq!(told(&mut reader).await, plain("insert", "orders"));
    install(&restored, &["orders", "parted", "--event-trigger"]).await;
    assert_eq!(triggers(&restored, &["show"]).await.stdout, shown);
    let arguments = [
        "uninstall",
        "orders",
        "parted",
        "--event-trigger",
        "--commit",
    ];
    let ended = triggers(&restored, &arguments).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(catalog(&restored).await, empty);
}
