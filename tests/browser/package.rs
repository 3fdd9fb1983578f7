//! The module itself: its package and its exports.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    hearing::Hearing,
    support::{Database, TestGateway},
};

const TYPES: &str = include_str!("../../clients/js/pgfan.d.ts");
const PACKAGE: &str = include_str!("../../clients/js/package.json");

/// npm packs it beside the module, whatever `files` contains, if it is a file of the
/// folder.
#[test]
fn the_licence_comes_with_it() {
    let licence = include_str!("../../clients/js/LICENSE");
    assert!(licence == include_str!("../../LICENSE"));
}

/// The identifier after each occurrence of this keyword in the types.
fn declared(word: &str) -> Vec<&str> {
    let after = TYPES.lines().filter_map(|line| line.strip_prefix(word));
    let end = |c: char| !c.is_alphanumeric();
    after.filter_map(|rest| rest.split(end).next()).collect()
}

/// The names that one of the interfaces has, at its first level.
fn members(interface: &str) -> Vec<&str> {
    let (_, body) = TYPES
        .split_once(&format!("export interface {interface} {{\n"))
        .unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("  "));
    let lines = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let names = lines.map(|line| line.trim_start_matches("readonly "));
    names
        .filter_map(|line| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_name_what_there_is() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut hearing = Hearing::on(gateway.address).await;
    let mut functions = declared("export function ");
    functions.sort_unstable();
    assert_eq!(
        hearing.page.eval("Object.keys(pgfan).sort()").await,
        json!(functions)
    );

    // Received events, gaps and statuses have no other fields.
    let keep = "globalThis.kept = { event: {}, status: {}, gap: {} }; \
                const keep = (name) => (object) => Object.assign(kept[name], object); \
                globalThis.handlers = { onEvent: keep('event'), onGap: keep('gap'), onStatus: keep('status') };";
    hearing.page.run(keep).await;
    hearing
        .page
        .run("globalThis.one = pgfan.subscribe('a', handlers); globalThis.client = pgfan.connect()")
        .await;
    hearing.page.until("kept.status.live").await;
    database.notify("a", "x").await;
    hearing.page.until("kept.event.payload === 'x'").await;
    database.terminate().await;
    hearing.page.until("kept.gap.reason").await;
    assert_eq!(
        hearing.page.eval("Object.keys(kept.event).sort()").await,
        sorted("PgfanEvent")
    );
    for (object, interface) in [("kept.gap", "Gap"), ("kept.status", "Status")] {
        for key in hearing
            .page
            .eval(&format!("Object.keys({object})"))
            .await
            .as_array()
            .unwrap()
        {
            assert!(
                members(interface).contains(&key.as_str().unwrap()),
                "{interface}: {key}"
            );
        }
    }
    for (object, interface) in [("one", "Subscription"), ("client", "Client")] {
        for name in members(interface) {
            let is_there = format!("{object}.{name} !== undefined");
            assert_eq!(
                hearing.page.eval(&is_there).await,
                true,
                "{interface}.{name}"
            );
        }
    }
}

fn sorted(interface: &str) -> Value {
    let mut names = members(interface);
    names.sort_unstable();
    json!(names)
}

/// As `npm pack` would build it.
#[test]
fn the_package_has_all_it_names() {
    let package: Value = serde_json::from_str(PACKAGE).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/js");
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(package["license"], env!("CARGO_PKG_LICENSE"));
    let files: Vec<_> = package["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    for name in &files {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let entry = &package["exports"]["."];
    for path in [&entry["types"], &entry["default"], &package["types"]] {
        let name = path.as_str().unwrap().strip_prefix("./").unwrap();
        assert!(files.contains(&name), "{name}");
    }
    // npm adds these by itself.
    assert!(fs::exists(folder.join("README.md")).unwrap());
    assert_eq!(package["dependencies"], Value::Null);
}
