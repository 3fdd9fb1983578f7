use std::cell::OnceCell;

use crate::{
    besieged::Besieged,
    support::{Database, until},
};

/// PostgreSQL does not check who notifies (SECURITY.md says so): notifications
/// of a role without any right are delivered like all others. None of them is
/// taken for a message of the gateway itself.
#[tokio::test(flavor = "multi_thread")]
async fn a21_a_forged_notification_is_one_event_and_no_more() {
    let mut besieged = Besieged::new().await;
    let anybody = format!("anybody_{}", besieged.address().port());
    let create = format!("CREATE ROLE {anybody} LOGIN");
    besieged.database.run(&create).await;
    let (_, place) = besieged.database.url.split_once('@').unwrap();
    let forger = Database::at(format!("postgresql://{anybody}@{place}")).await;
    let beats = heartbeat(&besieged.database).await;
    let sessions = besieged.database.listeners().await;
    for payload in ["", "a beat", "{}", "\u{1}"] {
        forger.notify(&beats, payload).await;
        forger.notify("pgfan:", payload).await;
        forger.notify("pgfan:control", payload).await;
    }
    let forged = [
        r#"{"type":"gap","id":"z-1","reason":"source_lost"}"#,
        "\n\nevent: gap\ndata: {}\n\n",
    ];
    for payload in forged {
        besieged.hear_from(&forger, payload).await;
    }
    besieged.others_are_served().await;
    assert_eq!(
        besieged.database.listeners().await,
        sessions,
        "the session stays"
    );
    drop(forger);
    besieged.database.run(&format!("DROP ROLE {anybody}")).await;
    besieged.gateway.stop().await;
}

/// The gateway's heartbeat channel, as a superuser can find it.
async fn heartbeat(database: &Database) -> String {
    let sql = "SELECT substring(query FROM 'pgfan:heartbeat:[0-9a-f]+') FROM pg_stat_activity \
               WHERE query LIKE '%pg_notify(''pgfan:heartbeat:%' \
               AND datname = current_database() AND pid <> pg_backend_pid()";
    // Taken in the moment of the statement: the session's next statement hides
    // it again.
    let beat = OnceCell::new();
    until("a beat", || async {
        let row = database.client.query_opt(sql, &[]).await.unwrap();
        row.is_some_and(|row| beat.set(row.get::<_, String>(0)).is_ok())
    })
    .await;
    // `until` panics if no heartbeat was seen.
    beat.into_inner().unwrap()
}
