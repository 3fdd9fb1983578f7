//! What README and guide say is what the program does, and leads somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use pgfan::{
    config::{SETTINGS, Setting},
    telemetry::METRICS,
    transport::Code,
};

use crate::support::{Database, TestGateway, Wire};

const SETTINGS_PAGE: &str = include_str!("../../docs/settings.md");
const METRICS_PAGE: &str = include_str!("../../docs/metrics.md");
const WIRES: &str = include_str!("../../docs/wires.md");
const PROTO: &str = include_str!("../../proto/pgfan/v1/pgfan.proto");
const CACHING: &str = include_str!("../../docs/caching.md");

/// Defaults that are told in words.
const WORDS: [&str; 6] = [
    "off",
    "none",
    "the libpq variables",
    "the gateway's host",
    "half of --max-readers, or of the open files",
    "half of --max-channels",
];

#[test]
fn the_settings_table_is_the_programs() {
    let rows = SETTINGS.iter().map(|setting| {
        let default = match setting.default {
            words if WORDS.contains(&words) => words.to_owned(),
            value => format!("`{value}`"),
        };
        let Setting { name, help, .. } = setting;
        let restart = match setting.reloads() {
            true => "",
            false => " (takes a restart)",
        };
        format!("| `--{name}` | {default} | {help}{restart} |\n")
    });
    is_on_the_page(
        SETTINGS_PAGE,
        "| `--",
        "settings",
        &rows.collect::<String>(),
    );
}

#[test]
fn the_metrics_table_is_the_programs() {
    let rows = METRICS
        .iter()
        .map(|metric| format!("| `{}` | {} |\n", metric.name, metric.help));
    is_on_the_page(METRICS_PAGE, "| `p", "metrics", &rows.collect::<String>());
}

/// In the comments of the proto file, and on the wires' page.
#[test]
fn the_tables_of_grpc_codes_are_the_programs() {
    // The raw wires' alone.
    let codes = Code::ALL
        .into_iter()
        .filter(|code| *code != Code::Interrupted);
    for code in codes {
        let name = code.as_str();
        let status = screaming(&format!("{:?}", code.grpc()));
        let row = PROTO
            .lines()
            .find_map(|line| line.strip_prefix(&format!("//   {name} ")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the proto file"));
        assert!(row.trim().starts_with(&status), "{name}: {row}");
        if code != Code::NotFound {
            let row = WIRES
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}`")));
            let row = row.unwrap_or_else(|| panic!("{name} is not on the page"));
            assert!(row.contains(&format!("| {status} |")), "{name}: {row}");
        }
    }
}

/// `SCREAMING_CASE` of `CamelCase`.
fn screaming(name: &str) -> String {
    let mut screaming = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !screaming.is_empty() {
            screaming.push('_');
        }
        screaming.push(letter.to_ascii_uppercase());
    }
    screaming
}

/// What it should be is written to `target`, for who has changed it.
fn is_on_the_page(page: &str, begin: &str, name: &str, rows: &str) {
    let should_be = root().join(format!("target/{name}.md"));
    fs::write(&should_be, rows).unwrap();
    let is = page.lines().filter(|line| line.starts_with(begin));
    let is: String = is.map(|line| format!("{line}\n")).collect();
    assert!(is == rows, "the table is not {}", should_be.display());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "packaging"].map(|folder| root().join(folder));
    let entries = folders
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "md"))
        .collect()
}

/// Without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// `](target)`
fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    let links = text.split("](").skip(1);
    links
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The anchors of its headings, as forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let text = prose(text);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c })
            .collect::<String>()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text)
            .iter()
            .filter(|link| !link.starts_with("https://"))
        {
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            let there = || anchors(&fs::read_to_string(&target).unwrap());
            assert!(
                anchor.is_empty() || there().contains(anchor),
                "{}: {link}",
                page.display()
            );
        }
    }
    assert!(count > 50, "{count}");
}

/// What is named in the middle of a text as a file: `hub/log.rs` is under `src/`.
fn named_files(text: &str) -> Vec<String> {
    let text = prose(text);
    let names = text.split('`').skip(1).step_by(2);
    let is_path = |name: &&str| {
        let is_plain = name
            .chars()
            .all(|c| c.is_alphanumeric() || "/._-".contains(c));
        let folders = [
            "src/",
            "tests/",
            "docs/",
            "packaging/",
            "examples/",
            "clients/",
        ];
        let is_ours = name.ends_with(".rs") || folders.iter().any(|f| name.starts_with(f));
        is_plain && is_ours
    };
    names.filter(is_path).map(str::to_owned).collect()
}

#[test]
fn every_file_that_a_page_names_is_there() {
    let mut count = 0;
    for page in pages() {
        for name in named_files(&fs::read_to_string(&page).unwrap()) {
            count += 1;
            let places = [
                root().join(&name),
                root().join("src").join(&name),
                root().join("src/transport").join(&name),
            ];
            assert!(
                places.iter().any(|place| place.exists()),
                "{}: {name}",
                page.display()
            );
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn every_page_of_the_guide_is_in_the_readme() {
    let readme = links(include_str!("../../README.md"));
    for page in pages() {
        let path = page.strip_prefix(root()).unwrap().display().to_string();
        let is_index =
            ["README.md", "docs/README.md", "packaging/README.md"].contains(&path.as_str());
        let is_linked = readme
            .iter()
            .any(|link| link.split('#').next() == Some(&path));
        assert!(is_index || is_linked, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_triggers_miss_no_change() {
    let (_, rest) = CACHING.split_once("```sql\n").unwrap();
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
