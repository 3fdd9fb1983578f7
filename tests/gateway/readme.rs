//! What the README says is what the program does.

use pgfan::config::SETTINGS;

use crate::support::{Database, TestGateway, Wire};

const README: &str = include_str!("../../README.md");

#[test]
fn the_settings_table_is_the_programs() {
    let rows = README.lines().filter(|line| line.starts_with("| `--"));
    let rows: Vec<_> = rows.collect();
    let expected: Vec<_> = SETTINGS
        .iter()
        .map(|setting| {
            let default = match setting.default {
                words @ ("off"
                | "none"
                | "the libpq variables"
                | "the gateway's host"
                | "half of --max-readers") => words.to_owned(),
                value => format!("`{value}`"),
            };
            format!("| `--{}` | {default} | {} |", setting.name, setting.help)
        })
        .collect();
    assert_eq!(rows, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_triggers_miss_no_change() {
    let (_, rest) = README.split_once("```sql\n").unwrap();
    let (triggers, _) = rest.split_once("```").unwrap();
    let database = Database::new().await;
    database
        .run("CREATE TABLE orders (id int PRIMARY KEY)")
        .await;
    database.run(triggers).await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::WebSocket, "orders").await;
    for (change, told) in [
        ("INSERT INTO orders VALUES (1)", vec!["1"]),
        ("UPDATE orders SET id = 2", vec!["1", "2"]),
        ("DELETE FROM orders", vec!["2"]),
        ("TRUNCATE orders", vec![""]),
    ] {
        database.run(change).await;
        assert_eq!(reader.payloads(told.len()).await, told, "{change}");
    }
}
