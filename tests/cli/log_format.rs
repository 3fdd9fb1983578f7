//! Errors that keep `pgfan serve` from starting, in the configured log format.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::{
    gateway_process::pgfan,
    program::{Ended, run},
};

async fn serve(arguments: &[&str]) -> Ended {
    let mut command = pgfan();
    let url = "postgresql://me@127.0.0.1:1/db";
    command.args(["serve", "--database-url", url]);
    run(command.args(arguments)).await
}

/// `level`, `message` and `remedy` of each line.
fn lines(ended: &Ended) -> Vec<[String; 3]> {
    let object = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let field = |object: &Value, name| object[name].as_str().unwrap_or_default().to_owned();
    let objects = ended.stderr.lines().map(object);
    objects
        .map(|object| ["level", "message", "remedy"].map(|name| field(&object, name)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_json_gets_nothing_else() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let json = ["--log-format", "json"];
    let mistakes = serve(&[&json[..], &["--linger", "60", "--listen", "nowhere"]].concat()).await;
    assert_eq!(mistakes.status.code(), Some(2), "{mistakes:?}");
    let expected = [
        [
            "ERROR",
            "--listen: \"nowhere\": not an address and port, like 127.0.0.1:8000",
            "give ADDRESS:PORT, as in the default: --listen 127.0.0.1:8000",
        ],
        [
            "ERROR",
            "--linger: \"60\": not a time, like 15s or 10m",
            "give TIME, as in the default: --linger 60s",
        ],
    ];
    assert_eq!(lines(&mistakes), expected);
    let failed = serve(&[&json[..], &["--listen", &taken]].concat()).await;
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let [[level, message, _]] = &lines(&failed)[..] else {
        panic!("{failed:?}")
    };
    let is_told = message.starts_with(&format!("cannot listen on {taken} (--listen): "));
    assert!(level == "ERROR" && is_told, "{failed:?}");
}

/// Nor is it lost if logging is off.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_lines() {
    let told = "--listen: \"nowhere\": not an address and port, like 127.0.0.1:8000\n\
                remedy: give ADDRESS:PORT, as in the default: --listen 127.0.0.1:8000\n";
    for format in ["text", "json"] {
        let mut command = pgfan();
        command.args(["serve", "--listen", "nowhere", "--log-format", format]);
        let user = [("RUST_LOG", "off"), ("PGUSER", "me")];
        let ended = run(command.envs(user)).await;
        assert_eq!(ended.stderr, told, "{format}");
    }
}
