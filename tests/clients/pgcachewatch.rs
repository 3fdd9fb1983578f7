//! PGCacheWatch's caches with the listener of `examples/python`, through the loss of each component
//! that they depend on.

use std::net::{Ipv4Addr, SocketAddr};

use pgfan::temp_postgres::{Mode, Sandbox};
use tokio::process::Command;

use crate::{
    examples::serve,
    python::{interpreter, python},
    support::{
        Database,
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        own_server,
        pooler::free_port,
        program::{Program, run},
    },
};

const STRATEGIES: [&str; 3] = ["greedy", "windowed", "timed"];

/// PGCacheWatch 0.4.2 on websockets 12, and on the newest.
const ENVIRONMENTS: [&str; 2] = ["venv", "venv-new"];

/// An application with a cache of each strategy, and its gateway.
struct Application {
    server: Sandbox,
    database: Database,
    gateway: GatewayProcess,
    program: Program,
}

impl Application {
    /// Starts it; the caches hold `one`.
    async fn start(environment: &str, flags: &[&str]) -> Self {
        let mut application = Self::begin(environment, flags).await;
        application.all("hit one").await;
        application
    }

    async fn begin(environment: &str, flags: &[&str]) -> Self {
        let server = own_server(&[]).await;
        let database = Database::on(&server, "UTF8").await;
        let table = "CREATE TABLE orders (id int PRIMARY KEY, value text)";
        let row = "INSERT INTO orders VALUES (1, 'one')";
        database.run(&format!("{table}; {row}")).await;
        // Its own triggers.
        let mut install = Command::new(interpreter("venv"));
        install.args(["-m", "pgcachewatch", "install", "orders", "--commit"]);
        let ended = run(install.envs(libpq_variables(&database.url))).await;
        assert!(ended.status.success(), "{ended:#?}");
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let gateway = serve(&database, at).await;
        gateway.ready().await;
        let mut command = python(environment, "pgcachewatch_reconnect.py");
        command.arg(at.to_string()).args(flags);
        let program = Program::start(command.envs(libpq_variables(&database.url)));
        Self {
            server,
            database,
            gateway,
            program,
        }
    }

    /// Waits until the newest result of each cache is this one.
    async fn all(&mut self, result: &str) {
        let find = |said: &[u8]| {
            let said = String::from_utf8_lossy(said);
            let is_newest = |strategy: &str| {
                let newest = newest(&said, strategy);
                newest == Some(&format!("{strategy} {result}"))
            };
            STRATEGIES.iter().all(|name| is_newest(name)).then_some(())
        };
        let what = format!("{result} of each strategy");
        self.program.stdout.until(&what, find).await;
    }

    /// Waits for a line.
    async fn one(&mut self, line: &str) {
        let find = |said: &[u8]| {
            let said = String::from_utf8_lossy(said);
            said.lines().any(|said| said == line).then_some(())
        };
        self.program.stdout.until(line, find).await;
    }

    async fn write(&self, value: &str) {
        let sql = format!("UPDATE orders SET value = '{value}'");
        self.database.run(&sql).await;
    }

    /// Writes while no gateway runs that could report it.
    async fn restart_gateway(self, written: &str) -> Self {
        let at = self.gateway.address;
        self.gateway.stop().await;
        let change = format!("UPDATE orders SET value = '{written}'");
        self.database.run(&change).await;
        let gateway = serve(&self.database, at).await;
        Self { gateway, ..self }
    }

    /// A stopped gateway does not reconnect before the change is committed.
    async fn terminate_session(self, written: &str) -> Self {
        self.gateway.program.signal("STOP").await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'pgfan'";
        let change = format!("UPDATE orders SET value = '{written}'");
        self.database.run(&format!("{sql}; {change}")).await;
        self.gateway.program.signal("CONT").await;
        self
    }

    async fn restart_database(mut self, written: &str) -> Self {
        self.server.stop(Mode::Fast).await.unwrap();
        self.all("failed").await;
        self.gateway.program.signal("STOP").await;
        self.server.start_again().await.unwrap();
        self.database = Database::back(self.database.url.clone()).await;
        self.write(written).await;
        self.gateway.program.signal("CONT").await;
        self
    }

    /// No cache returns an older value after it has returned the newer one.
    fn never_went_back(&self, values: &[&str]) {
        let said = self.program.stdout.text();
        for strategy in STRATEGIES {
            let given = said.lines().filter(|line| line.starts_with(strategy));
            let given = given.filter_map(|line| {
                let value = line.rsplit(' ').next()?;
                values.iter().position(|known| *known == value)
            });
            assert!(given.is_sorted(), "{strategy}: {said}");
        }
    }

    async fn end(self) {
        self.gateway.stop().await;
    }
}

/// The last line of a cache.
fn newest<'a>(said: &'a str, strategy: &str) -> Option<&'a str> {
    let whole = &said[..said.rfind('\n')?];
    whole.lines().rfind(|line| line.starts_with(strategy))
}

async fn outlives_every_loss(environment: &str) {
    let mut app = Application::start(environment, &[]).await;
    app = app.restart_gateway("two").await;
    app.all("hit two").await;
    app = app.terminate_session("three").await;
    app.all("hit three").await;
    app = app.restart_database("four").await;
    app.all("hit four").await;
    app.never_went_back(&["one", "two", "three", "four"]);
    // Its events are received again.
    app.write("five").await;
    app.one("greedy hit five").await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_outlives_every_loss_on_websockets_12() {
    outlives_every_loss(ENVIRONMENTS[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_outlives_every_loss_on_the_newest_websockets() {
    outlives_every_loss(ENVIRONMENTS[1]).await;
}

/// The reason why `docs/migrating.md` requires another listener: the result of the test above for
/// PGCacheWatch's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_replaced_leaves_the_caches_stale() {
    let app = Application::start(ENVIRONMENTS[0], &["--replace"]).await;
    let mut app = app.restart_gateway("two").await;
    app.all("hit one").await;
    app.end().await;
}

/// `docs/migrating.md`, literally.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_says_outlives_a_restart_of_the_gateway() {
    let mut app = Application::begin(ENVIRONMENTS[0], &["--page"]).await;
    app.one("page healthy one").await;
    app.write("two").await;
    app.one("page healthy two").await;
    app = app.restart_gateway("three").await;
    app.one("page healthy three").await;
    app.end().await;
}

/// Its `connection_healthy()` reads an attribute that no longer exists.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_pgcachewatch_raises_on_the_newest_websockets() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    database
        .run("CREATE TABLE orders (value text); INSERT INTO orders VALUES ('one')")
        .await;
    let mut command = python(ENVIRONMENTS[1], "pgcachewatch_reconnect.py");
    command.args([&gateway.address.to_string(), "--replace"]);
    let ended = run(command.envs(libpq_variables(&database.url))).await;
    assert!(!ended.status.success(), "{ended:#?}");
    assert!(
        ended.stderr.contains("has no attribute 'closed'"),
        "{ended:#?}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cache_is_used_while_the_gateway_does_not_answer() {
    let mut app = Application::start(ENVIRONMENTS[0], &["--lease", "1"]).await;
    app.gateway.program.signal("STOP").await;
    app.write("two").await;
    app.all("bypass two").await;
    app.gateway.program.signal("CONT").await;
    // No gap occurred: no single event clears the others.
    app.one("greedy hit two").await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forked_process_bypasses_its_caches() {
    let mut app = Application::start(ENVIRONMENTS[0], &[]).await;
    app.program.signal("USR1").await;
    let line = app.program.stdout.line("forked").await;
    assert_eq!(line, "forked bypassed");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_refused_ends_and_says_why() {
    let database = Database::new().await;
    let table = "CREATE TABLE orders (value text); INSERT INTO orders VALUES ('one')";
    database.run(table).await;
    let secret = "a secret of at least thirty-two bytes";
    let mut serve = pgfan();
    serve.args(["serve", "--database-url", &database.url]);
    let gateway = GatewayProcess::serve(serve.env("PGFAN_TOKEN_SECRET", secret)).await;
    gateway.ready().await;
    let token = async |channel: &str| {
        let mut token = pgfan();
        token.args(["token", "--subscribe", channel, "--expires", "1h"]);
        let made = run(token.env("PGFAN_TOKEN_SECRET", secret)).await;
        made.stdout.trim().to_owned()
    };
    for environment in ENVIRONMENTS {
        let with = |token: String| {
            let mut command = python(environment, "pgcachewatch_reconnect.py");
            command.args([&gateway.address.to_string(), "--token", &token]);
            command.envs(libpq_variables(&database.url));
            command
        };
        for (token, status) in [("none".to_owned(), "401"), (token("others").await, "403")] {
            let ended = run(&mut with(token)).await;
            assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
            let expected = format!("refused: status {status}");
            assert!(ended.stderr.contains(&expected), "{ended:#?}");
        }
        let mut granted = Program::start(&mut with(token("ch_pgcachewatch_table_change").await));
        granted.stdout.line("greedy hit one").await;
    }
    gateway.stop().await;
}
