//! The programs under `examples/` after a loss: each reports it, reconnects, and misses nothing
//! silently.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{pin, process::Command, select};

use crate::support::{
    Database,
    gateway_process::{GatewayProcess, libpq_variables, pgfan},
    pooler::free_port,
    program::{Program, command, run},
    within,
};

struct Example {
    /// Arguments after the gateway's URL and the channel, for programs that take these.
    line: &'static [&'static str],
    live: &'static str,
    event: &'static str,
    gap: &'static str,
    away: &'static str,
}

const PYTHON: Example = Example {
    line: &["python3", "examples/python/sse.py", "URL", "orders"],
    live: "-- live",
    event: "orders hello",
    gap: "-- something may be missing",
    away: "-- nothing is heard",
};

const JAVASCRIPT: Example = Example {
    line: &["node", "examples/javascript/listen.mjs", "URL", "orders"],
    ..PYTHON
};

const SHELL: Example = Example {
    line: &["examples/shell/on-change.sh", "orders"],
    live: "listening",
    event: "changed: {\"type\":\"event\"",
    gap: "everything may have changed",
    away: "what we hold may go stale",
};

impl Example {
    fn start(&self, gateway: SocketAddr) -> Program {
        Program::start(&mut command_of(gateway, self.line))
    }
}

/// A command with the programs of `tests/clients/setup` and pgfan itself in its path.
pub fn command_of(gateway: SocketAddr, line: &[&str]) -> Command {
    let root = env!("CARGO_MANIFEST_DIR");
    let url = format!("http://{gateway}");
    let (program, _) = env!("CARGO_BIN_EXE_pgfan").rsplit_once('/').unwrap();
    let path = format!("{program}:{root}/target/clients/venv-new/bin:/usr/bin:/bin");
    let mut env = command("/usr/bin/env");
    env.current_dir(root)
        .env("PATH", path)
        .env("PGFAN_URL", &url);
    let words = line
        .iter()
        .map(|word| if *word == "URL" { &url } else { *word });
    env.args(words).process_group(0);
    env
}

/// Starts `pgfan serve` at the same address again.
pub async fn serve(database: &Database, at: SocketAddr) -> GatewayProcess {
    let mut command = pgfan();
    command.envs(libpq_variables(&database.url));
    command.args(["serve", "--listen", &at.to_string()]);
    let mut program = Program::start(&mut command);
    program.stderr.line("serving address=").await;
    GatewayProcess {
        address: at,
        program,
    }
}

async fn says_what_is_lost(example: Example) {
    let database = Database::new().await;
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let gateway = serve(&database, at).await;
    gateway.ready().await;
    let mut program = example.start(at);
    program.stdout.line(example.live).await;
    database.notify("orders", "hello").await;
    program.stdout.line(example.event).await;

    // The gateway loses its database.
    assert!(database.terminate().await >= 1);
    for line in [example.away, example.gap, example.live] {
        program.stdout.line(line).await;
    }
    database.notify("orders", "hello").await;
    program.stdout.line(example.event).await;

    // The new gateway process does not know the cursor: the gap comes before `ready`.
    gateway.stop().await;
    program.stdout.line(example.away).await;
    let gateway = serve(&database, at).await;
    for line in [example.gap, example.live] {
        program.stdout.line(line).await;
    }
    database.notify("orders", "hello").await;
    program.stdout.line(example.event).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_over_sse() {
    says_what_is_lost(PYTHON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_over_fetch() {
    says_what_is_lost(JAVASCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell() {
    says_what_is_lost(SHELL).await;
}

/// A closed pipe is a normal end, like Ctrl-C.
#[tokio::test(flavor = "multi_thread")]
async fn they_end_quietly_when_nobody_reads() {
    let database = Database::new().await;
    let table = "CREATE TABLE orders (id int PRIMARY KEY)";
    let rows = "INSERT INTO orders SELECT generate_series(1, 5)";
    database.run(&format!("{table}; {rows}")).await;
    let gateway = GatewayProcess::on(&database).await;
    for line in [
        "python3 examples/python/sse.py $PGFAN_URL orders",
        "python3 examples/python/cache.py $PGFAN_URL orders",
        "node examples/javascript/listen.mjs $PGFAN_URL orders",
    ] {
        let script = format!("set -o pipefail; {line} | head -n 1");
        let shell = ["bash", "-c", &script];
        let mut piped = command_of(gateway.address, &shell);
        let piped = Program::start(piped.envs(libpq_variables(&database.url)));
        let ended = piped.ended();
        pin!(ended);
        // Writes until the program notices that its output is closed.
        let ended = within(line, async {
            loop {
                select! {
                    ended = &mut ended => return ended,
                    () = database.notify("orders", "{}") => {}
                }
            }
        });
        let ended = ended.await;
        assert_eq!(ended.status.code(), Some(0), "{line}: {ended:?}");
        assert_eq!(ended.stderr, "", "{line}");
    }
}

/// The caller must see that it is not subscribed.
#[tokio::test(flavor = "multi_thread")]
async fn the_shell_that_is_refused_says_so_with_its_exit_code() {
    let gateway = GatewayProcess::on(&Database::new().await).await;
    let line = ["examples/shell/on-change.sh", "pgfan:not-for-readers"];
    let ended = run(&mut command_of(gateway.address, &line)).await;
    let listen = run(&mut command_of(
        gateway.address,
        &["pgfan", "listen", line[1]],
    ))
    .await;
    assert_ne!(listen.status.code(), Some(0), "{listen:?}");
    assert_eq!(ended.status.code(), listen.status.code(), "{ended:?}");
    assert!(ended.stderr.contains("(forbidden)"), "{ended:?}");
}
