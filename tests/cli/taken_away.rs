//! `pgfan listen` when a reload of the gateway removes a channel.

use std::fs;

use tempfile::NamedTempFile;

use crate::{
    listen,
    listen::{WIRES, object},
    support::{
        Database,
        gateway_process::{GatewayProcess, pgfan},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_and_ends_as_the_help_says() {
    let database = Database::new().await;
    let settings = NamedTempFile::new().unwrap();
    fs::write(settings.path(), "channels = 'a,b'").unwrap();
    let mut command = pgfan();
    command.args(["serve", "--database-url", &database.url, "--config"]);
    let mut gateway = GatewayProcess::serve(command.arg(settings.path())).await;
    gateway.ready().await;
    let mut programs = Vec::new();
    for wire in WIRES {
        let mut program = listen(gateway.address.port(), &["a", "b", "--via", wire]);
        object(&mut program, "ready").await;
        programs.push(program);
    }
    fs::write(settings.path(), "channels = 'b'").unwrap();
    gateway.program.signal("HUP").await;
    gateway.logged("the settings were read again").await;
    for (wire, program) in WIRES.into_iter().zip(programs) {
        let ended = program.ended().await;
        assert_eq!(ended.status.code(), Some(1), "{wire}: {ended:?}");
        assert!(ended.stderr.contains("(forbidden)"), "{wire}: {ended:?}");
        let unsubscribed = "{\"type\":\"unsubscribed\",\"channels\":[\"a\"]}\n";
        let is_told = ended.stdout.ends_with(unsubscribed);
        assert_eq!(is_told, wire == "ws", "{wire}: {ended:?}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_a_line_is_in_the_help() {
    let help = crate::ended(&["listen", "--help"]).await.stdout;
    for kind in [
        "ready",
        "event",
        "gap",
        "interrupted",
        "live",
        "unsubscribed",
    ] {
        assert!(help.contains(kind), "{kind}: {help}");
    }
}
