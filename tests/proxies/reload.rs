//! Reload of nginx. The old worker keeps its streams until they end; when it is
//! terminated the readers see an end, and lose nothing.

use std::fs;

use crate::{
    proxy::{Kind, Proxy},
    support::{Database, Reader, Said, TestGateway, Wire, program::signal, until, within},
};

/// The workers of this master.
fn workers(master: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
    let children = children.unwrap();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// The id of the event; PGCacheWatch has no ids.
async fn hears(reader: &mut Reader, payload: &str) -> String {
    let (id, heard) = reader.event().await;
    assert_eq!(heard, payload);
    id
}

async fn sees_its_end(reader: &mut Reader) {
    match reader.said().await {
        Said::Closed(..) => {}
        other => panic!("not an end but {other:?}"),
    }
}

/// Gone, or a zombie (proc(5), `stat`).
fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_nginx() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let proxy = Proxy::start(Kind::Nginx, gateway.address).await;
    let master = proxy.program.pid();
    until("it has workers", async || !workers(master).is_empty()).await;
    let workers = workers(master);
    drop(proxy);
    let all_gone = async || workers.iter().all(|pid| is_gone(*pid));
    until("the workers are gone", all_gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_nginx_costs_no_event() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let proxy = Proxy::start(Kind::Nginx, gateway.address).await;
    let mut readers = Vec::new();
    for wire in Wire::ALL {
        let mut reader = proxy.reader(wire, None).await;
        reader.ready().await;
        readers.push((wire, reader));
    }
    let master = proxy.program.pid();
    let old = workers(master);
    assert_eq!(old.len(), 1);
    proxy.program.signal("HUP").await;
    until("the old worker accepts nobody any more", || async {
        let title = fs::read_to_string(format!("/proc/{}/cmdline", old[0])).unwrap();
        title.contains("shutting down") && workers(master).len() == 2
    })
    .await;

    // Both at once: the old streams, and new readers.
    let mut newcomer = proxy.reader(Wire::Sse, None).await;
    newcomer.ready().await;
    database.notify("a", "after the reload").await;
    hears(&mut newcomer, "after the reload").await;
    let mut cursors = Vec::new();
    for (_, reader) in &mut readers {
        cursors.push(hears(reader, "after the reload").await);
    }

    // The effect of `worker_shutdown_timeout`.
    assert!(signal(old[0], "TERM").await);
    for (_, reader) in &mut readers {
        within("the end", sees_its_end(reader)).await;
    }
    database.notify("a", "while they were away").await;
    let mut back = Vec::new();
    for ((wire, _), cursor) in readers.iter().zip(&cursors) {
        let cursor = Some(cursor.as_str()).filter(|cursor| !cursor.is_empty());
        let mut reader = proxy.reader(*wire, cursor).await;
        if cursor.is_some() {
            hears(&mut reader, "while they were away").await;
        }
        reader.ready().await;
        back.push(reader);
    }
    hears(&mut newcomer, "while they were away").await;
    database.notify("a", "and on").await;
    for reader in back.iter_mut().chain([&mut newcomer]) {
        hears(reader, "and on").await;
    }
}
