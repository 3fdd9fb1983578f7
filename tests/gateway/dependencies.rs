//! `deny.toml`, checked against cargo's metadata: what `make deny` checks with
//! cargo-deny, without building it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use semver::{Version, VersionReq};
use serde::Deserialize;
use serde_json::Value;
use spdx::{Expression, ParseMode};

#[derive(Deserialize)]
struct Deny {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Rule>,
    skip: Vec<Rule>,
}

/// `name` or `name@versions`.
#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

impl Rule {
    fn is_about(&self, package: &Package) -> bool {
        let (name, versions) = self.spec.split_once('@').unwrap_or((&self.spec, "*"));
        let versions = VersionReq::parse(versions).unwrap();
        name == package.name && versions.matches(&package.version)
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: Version,
    license: Option<String>,
    source: Option<String>,
}

fn deny() -> Deny {
    toml::from_str(include_str!("../../deny.toml")).unwrap()
}

/// All packages of the gateway with all features, including build and test
/// dependencies.
fn packages(target: &str) -> Vec<Package> {
    let mut cargo = Command::new(env!("CARGO"));
    // Not `--offline`: the fuzzer's own packages may not be downloaded.
    cargo.args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--all-features",
    ]);
    cargo.args(["--filter-platform", target]);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let said = cargo.args(["--manifest-path", manifest]).output().unwrap();
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{error}");
    let metadata: Value = serde_json::from_slice(&said.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let reached = reached(&metadata["resolve"]);
    let packages = packages.map(|package| Package::deserialize(package).unwrap());
    packages
        .filter(|package| reached.contains(&package.id))
        .collect()
}

/// Ids of the packages that are reachable from the gateway's own.
fn reached(resolve: &Value) -> BTreeSet<String> {
    let texts = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
    let nodes = resolve["nodes"].as_array().unwrap().iter();
    let uses: BTreeMap<&str, Vec<String>> = nodes
        .map(|node| (node["id"].as_str().unwrap(), texts(&node["dependencies"])))
        .collect();
    let mut reached = BTreeSet::new();
    let mut next = vec![resolve["root"].as_str().unwrap().to_owned()];
    while let Some(id) = next.pop() {
        if reached.insert(id.clone()) {
            next.extend(uses[id.as_str()].iter().cloned());
        }
    }
    reached
}

/// Target of the machine that runs the tests: cargo may lack packages of other
/// targets.
fn here(deny: &Deny) -> &str {
    let arch = std::env::consts::ARCH;
    let mut targets = deny.graph.targets.iter();
    targets.find(|target| target.starts_with(arch)).unwrap()
}

fn breaches(deny: &Deny, packages: &[Package]) -> Vec<String> {
    let mut breaches = Vec::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        if !is_allowed(deny, package.license.as_deref().unwrap_or_default()) {
            breaches.push(format!("{name}: licence {:?}", package.license));
        }
        if let Some(rule) = deny.bans.deny.iter().find(|rule| rule.is_about(package)) {
            breaches.push(format!("{name} is banned: {}", rule.reason));
        }
        let is_registered = |source: &String| source.starts_with("registry+");
        if package.name != "pgfan" && !package.source.as_ref().is_some_and(is_registered) {
            breaches.push(format!("{name} is from {:?}", package.source));
        }
    }
    breaches.extend(duplicates(deny, packages));
    breaches
}

fn is_allowed(deny: &Deny, license: &str) -> bool {
    let is_allowed = |name: String| deny.licenses.allow.contains(&name);
    // `MIT/Apache-2.0` is the old notation.
    let expression = Expression::parse_mode(license, ParseMode::LAX);
    expression.is_ok_and(|expression| expression.evaluate(|asked| is_allowed(asked.to_string())))
}

/// Duplicate versions that are not skipped with a reason, and reasons that no
/// longer apply.
fn duplicates(deny: &Deny, packages: &[Package]) -> Vec<String> {
    let skip = &deny.bans.skip;
    let is_skipped = |package: &&Package| skip.iter().any(|rule| rule.is_about(package));
    let (skipped, others): (Vec<_>, Vec<_>) = packages.iter().partition(is_skipped);
    let mut names = BTreeSet::new();
    let twice = others
        .into_iter()
        .filter(|package| !names.insert(&package.name));
    let mut breaches: Vec<_> = twice
        .map(|package| format!("{}: more than one version", package.name))
        .collect();
    for rule in skip {
        if !skipped.iter().any(|package| rule.is_about(package)) || rule.reason.is_empty() {
            breaches.push(format!(
                "{}: there is no such crate, or no reason",
                rule.spec
            ));
        }
    }
    breaches
}

#[test]
fn the_dependencies_are_as_deny_toml_has_them() {
    let deny = deny();
    let packages = packages(here(&deny));
    assert!(packages.len() > 150, "{}", packages.len());
    assert_eq!(breaches(&deny, &packages), Vec::<String>::new());
}

fn package(name: &str, version: &str, license: &str, source: Option<&str>) -> Package {
    Package {
        id: name.to_owned(),
        name: name.to_owned(),
        version: version.parse().unwrap(),
        license: Some(license.to_owned()),
        source: source.map(str::to_owned),
    }
}

/// Checks that each rule can fail.
#[test]
fn each_rule_can_be_broken() {
    let deny = deny();
    let registry = Some("registry+x");
    let others = packages(here(&deny));
    for (name, version, license, source, expected) in [
        ("x", "1.0.0", "GPL-3.0-only", registry, "licence"),
        ("x", "1.0.0", "MIT AND GPL-3.0-only", registry, "licence"),
        ("x", "1.0.0", "", registry, "licence"),
        ("x", "1.0.0", "MIT", Some("git+x"), "is from"),
        ("x", "1.0.0", "MIT", None, "is from"),
        (
            "aws-lc-rs",
            "1.0.0",
            "MIT/Apache-2.0",
            registry,
            "is banned",
        ),
        ("openssl", "0.1.0", "MIT", registry, "is banned"),
        (
            "tokio",
            "0.1.0",
            "GPL-3.0-only OR MIT",
            registry,
            "more than one version",
        ),
    ] {
        let mut packages = others.clone();
        packages.push(package(name, version, license, source));
        let breaches = breaches(&deny, &packages);
        assert!(
            breaches.len() == 1 && breaches[0].contains(expected),
            "{breaches:?}"
        );
    }
    let old = [package("h2", "0.4.17", "MIT", registry)];
    assert!(breaches(&deny, &old)[0].contains("h2 0.4.17 is banned"));
    let none = breaches(&deny, &[]);
    assert_eq!(none.len(), deny.bans.skip.len(), "{none:?}");
}
