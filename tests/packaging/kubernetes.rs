//! The manifests, by the schemas of Kubernetes; and the relations between their
//! numbers, and with the program.

use std::path::Path;

use serde_json::Value;

use crate::{
    made,
    support::program::{command, run},
};

const MANIFESTS: &str = "packaging/kubernetes/pgfan.yaml";

/// The newest that `tests/packaging/requirements.txt` has, and the oldest in
/// which `preStop` can sleep without a feature gate.
const VERSIONS: [&str; 2] = ["1.37", "1.30"];

/// The manifests as JSON, by the YAML library that came with the schemas.
async fn manifests() -> Vec<Value> {
    let script =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let mut python = command(made("venv/bin/python"));
    python.current_dir(env!("CARGO_MANIFEST_DIR"));
    let said = run(python.args(["-c", script, MANIFESTS])).await;
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
}

async fn kind(kind: &str) -> Value {
    let mut all = manifests().await.into_iter();
    all.find(|manifest| manifest["kind"] == kind).unwrap()
}

async fn validated(version: &str, file: &Path) -> (Option<i32>, String) {
    let mut validate = command(made("venv/bin/kubernetes-validate"));
    validate
        .args(["--strict", "--kubernetes-version", version])
        .arg(file);
    let said = run(&mut validate).await;
    (said.status.code(), said.stdout + &said.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn their_schemas_hold() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(MANIFESTS);
    for version in VERSIONS {
        let (code, said) = validated(version, &file).await;
        assert_eq!(code, Some(0), "{version}: {said}");
    }
    // Shows that a mistake would be found.
    let folder = tempfile::TempDir::new().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(
        &wrong,
        text.replace("readOnlyRootFilesystem", "readOnlyRoot"),
    )
    .unwrap();
    let (code, said) = validated(VERSIONS[0], &wrong).await;
    assert_ne!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_has_the_time_to_drain() {
    let pod = &kind("Deployment").await["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let variables = container["env"].as_array().unwrap();
    let drain = variables
        .iter()
        .find(|v| v["name"] == "PGFAN_DRAIN_TIMEOUT");
    let drain = drain.unwrap()["value"].as_str().unwrap();
    let drain: u64 = drain.strip_suffix('s').unwrap().parse().unwrap();
    let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_u64()
        .unwrap();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > pause + drain, "{grace} {pause} {drain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_name_what_the_program_has() {
    let deployment = kind("Deployment").await;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    // A value from the pod itself is a part of another variable.
    let variables = variables.filter(|v| v["valueFrom"].is_null());
    let variables = variables.map(|v| (text(&v["name"]), text(&v["value"])));
    let variables: Vec<_> = variables.collect();
    let known = |name: &str| pgfan::config::SETTINGS.iter().any(|s| s.variable() == name);
    for (name, _) in &variables {
        assert!(known(name), "{name}");
    }
    assert!(variables.contains(&("PGFAN_LISTEN".into(), "0.0.0.0:8000".into())));
    assert_eq!(container["ports"][0]["containerPort"], 8000);
    assert_eq!(
        container["image"],
        format!("pgfan:{}", env!("CARGO_PKG_VERSION"))
    );
    // The same label selects the pods everywhere.
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&kind("Service").await["spec"]["selector"], labels);
    for (name, selector) in [
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ] {
        assert_eq!(
            &kind(name).await["spec"][selector]["matchLabels"],
            labels,
            "{name}"
        );
    }
}
