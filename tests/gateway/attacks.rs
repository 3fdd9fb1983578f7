//! The table of attacks in SECURITY.md, and the tests that it names.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const ATTACKS: usize = 41;

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// `| 6 | slow clients | `a06_…`, `a06_…` |`
fn rows(text: &str) -> Vec<(usize, Vec<String>)> {
    let row = |line: &str| {
        let (first, tests) = line.strip_prefix("| ")?.rsplit_once(" | ")?;
        let number = first.split(" | ").next()?.parse().ok()?;
        let names = tests.split('`').skip(1).step_by(2);
        Some((number, names.map(str::to_owned).collect()))
    };
    text.lines().filter_map(row).collect()
}

/// Collects the names of all functions of the tests.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let names = text.lines().filter_map(|line| {
                let (_, rest) = line.trim_start().split_once("fn ")?;
                rest.split_once("()").map(|(name, _)| name.to_owned())
            });
            found.extend(names);
        }
    }
}

/// The number in `a06_…` and `attack_12_…`.
fn number(name: &str) -> Option<usize> {
    let rest = name
        .strip_prefix("attack_")
        .or_else(|| name.strip_prefix('a'))?;
    rest.split_once('_')?.0.parse().ok()
}

#[test]
fn each_attack_has_its_tests_and_each_test_its_attack() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let rows = rows(&text);
    let numbers: Vec<_> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=ATTACKS).collect::<Vec<_>>());
    let mut functions_of_tests = BTreeSet::new();
    functions(&root().join("tests"), &mut functions_of_tests);
    for (attack, names) in &rows {
        assert!(!names.is_empty(), "attack {attack} has no test");
        for name in names {
            assert!(
                functions_of_tests.contains(name),
                "attack {attack}: there is no test {name}"
            );
            assert!(
                number(name).is_none_or(|of| of == *attack),
                "attack {attack}: {name}"
            );
        }
    }
    let named: BTreeSet<_> = rows.iter().flat_map(|(_, names)| names).collect();
    let unnamed = functions_of_tests
        .iter()
        .filter(|name| number(name).is_some());
    let unnamed: Vec<_> = unnamed.filter(|name| !named.contains(name)).collect();
    assert!(
        unnamed.is_empty(),
        "SECURITY.md names no attack for {unnamed:?}"
    );
}

#[test]
fn a_row_is_read_as_it_is_written() {
    let text = "| | attack | tests |\n| 6 | slow `clients` | `a06_one`, `two` |\n| x | y | `z` |\n";
    assert_eq!(
        rows(text),
        [(6, vec!["a06_one".to_owned(), "two".to_owned()])]
    );
    assert_eq!(number("a06_one"), Some(6));
    assert_eq!(number("attack_12_one"), Some(12));
    assert_eq!(number("a_row"), None);
    assert_eq!(number("f16_one"), None);
}
