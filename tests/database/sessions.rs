//! The two sessions: when they exist, and what keeps them open.

use futures_util::future::{join, join_all};
use tokio_postgres::Row;

use crate::{
    support::{Database, TestGateway, Wire, post, until},
    tap::Tap,
};

/// A backend of the gateway.
struct Session {
    pid: i32,
    listens: bool,
    /// It has been idle for 2 s.
    silent: bool,
}

async fn sessions(database: &Database) -> Vec<Session> {
    // A new session has no `state_change` yet.
    let sql = "SELECT pid, query ~ 'LISTEN|pgfan:', \
               coalesce(clock_timestamp() - state_change > interval '2 s', false) \
               FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'pgfan'";
    let rows = database.client.query(sql, &[]).await.unwrap();
    let session = |row: &Row| Session {
        pid: row.get(0),
        listens: row.get(1),
        silent: row.get(2),
    };
    rows.iter().map(session).collect()
}

/// The pid of the one listening session; there is at most one other.
async fn listening(database: &Database) -> i32 {
    let sessions = sessions(database).await;
    assert!(sessions.len() <= 2, "{} sessions", sessions.len());
    let listens: Vec<_> = sessions.iter().filter(|session| session.listens).collect();
    assert_eq!(listens.len(), 1);
    listens[0].pid
}

async fn publish(gateway: &TestGateway, payload: String) {
    let answer = post(gateway.address, "/v1/channels/a", payload).await;
    assert_eq!(answer.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_listens_and_another_comes_to_publish_and_leaves() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        for channel in ["a", "b"] {
            readers.push(gateway.reader(wire, channel).await);
        }
    }
    let first = listening(&database).await;
    for round in 0..3 {
        let publishing = (0..100).map(|n| publish(&gateway, format!("{round} {n}")));
        let (_, during) = join(join_all(publishing), listening(&database)).await;
        assert_eq!(during, first);
        assert_eq!(readers[0].payloads(100).await.len(), 100);
        let alone = || async { sessions(&database).await.len() == 1 };
        until("the other has left", alone).await;
        assert_eq!(listening(&database).await, first);
    }
}

/// A database may end idle sessions by default; the listening session is
/// normally idle.
#[tokio::test(flavor = "multi_thread")]
async fn silence_does_not_end_it() {
    let database = Database::new().await;
    let name = database.url.rsplit('/').next().unwrap();
    let idle = format!("ALTER DATABASE {name} SET idle_session_timeout = '1s'");
    database.client.batch_execute(&idle).await.unwrap();
    let gateway = TestGateway::with(&database, &[("heartbeat-interval", "1h")]).await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    let first = listening(&database).await;
    let silent = || async {
        let sessions = sessions(&database).await;
        sessions
            .iter()
            .any(|session| session.listens && session.silent)
    };
    until("it was silent for 2 s", silent).await;
    database.notify("a", "after").await;
    assert_eq!(reader.event().await.1, "after", "and nothing before it");
    assert_eq!(listening(&database).await, first);
}

/// As the server reports them; it reads all except the first from its socket.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_gateway_would_be_noticed_by_the_server() {
    let database = Database::new().await;
    let tap = Tap::on(&database.url).await;
    let gateway = TestGateway::starting(&tap.url, &[]);
    gateway.ready().await;
    let seen = tap.seen();
    for setting in [
        "idle_session_timeout = 0",
        "tcp_keepalives_idle = 3",
        "tcp_keepalives_interval = 2",
        "tcp_keepalives_count = 2",
        "tcp_user_timeout = 7000",
    ] {
        let is_set = seen.values.iter().any(|value| value == setting);
        assert!(is_set, "{setting}: {:?}", seen.values);
    }
}

/// Whatever is configured for its role: the statement may take a while, and
/// frees the queue.
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_timeout_ends_the_look_at_the_queue() {
    let database = Database::new().await;
    let name = database.url.rsplit('/').next().unwrap();
    let limit = format!("ALTER DATABASE {name} SET statement_timeout = '30s'");
    database.client.batch_execute(&limit).await.unwrap();
    let tap = Tap::on(&database.url).await;
    let gateway = TestGateway::starting(&tap.url, &[]);
    gateway.ready().await;
    let seen = tap.seen();
    let mut looks = seen.queries.iter();
    let look = looks.find(|query| query.contains("pg_notification_queue_usage"));
    let own = "SELECT pg_catalog.set_config('statement_timeout', '0', true); ";
    assert!(look.unwrap().starts_with(own), "{look:?}");
}

/// A database's `search_path` may put other operators before PostgreSQL's: they
/// would run with the rights of the gateway's role.
#[tokio::test(flavor = "multi_thread")]
async fn no_operator_or_function_of_another_schema_is_run() {
    let database = Database::with_encoding("EUC_JP").await;
    let name = database.url.rsplit('/').next().unwrap();
    let mut sql = "CREATE SCHEMA odd;".to_owned();
    for (function, arguments, result) in [
        ("joined", "text, text", "text"),
        ("same", "text, text", "boolean"),
        ("pg_notify", "text, text", "void"),
        ("set_config", "text, text, boolean", "text"),
        ("current_setting", "text", "text"),
        ("pg_is_in_recovery", "", "boolean"),
        ("pg_notification_queue_usage", "", "float8"),
        ("pg_listening_channels", "", "SETOF text"),
    ] {
        sql += &format!(
            "CREATE FUNCTION odd.{function}({arguments}) RETURNS {result} \
             LANGUAGE plpgsql AS $$ BEGIN RAISE 'odd'; END $$;"
        );
    }
    sql += &format!(
        "CREATE OPERATOR odd.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = odd.joined); \
         CREATE OPERATOR odd.= (LEFTARG = text, RIGHTARG = text, FUNCTION = odd.same); \
         ALTER DATABASE {name} SET search_path = odd, pg_catalog"
    );
    database.run(&sql).await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    publish(&gateway, "heard".to_owned()).await;
    assert_eq!(reader.event().await.1, "heard");
}
