//! `pgfan completions`, the help, and `make help`.

use crate::{
    ended,
    support::program::{command, run},
};

const COMMANDS: [&str; 9] = [
    "serve",
    "check",
    "demo",
    "token",
    "listen",
    "publish",
    "health",
    "triggers",
    "completions",
];

#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_commands_and_flags() {
    let program = env!("CARGO_BIN_EXE_pgfan");
    for (typed, completed) in [
        ("pgfan lis", "listen"),
        ("pgfan listen --vi", "--via"),
        ("pgfan listen --via s", "sse"),
        ("pgfan completions f", "fish"),
    ] {
        let script = format!(
            "source <(\"$0\" completions bash); COMP_WORDS=({typed}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _pgfan pgfan \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = command("/bin/bash");
        let said = run(bash.args(["--norc", "-c", &script, program])).await;
        assert_eq!(said.stdout.trim(), completed, "{typed} {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_shells_have_every_command() {
    for (shell, begin) in [("zsh", "#compdef pgfan"), ("fish", "# Print an optspec")] {
        let script = ended(&["completions", shell]).await;
        assert_eq!(script.status.code(), Some(0), "{script:?}");
        assert!(script.stdout.starts_with(begin), "{}", script.stdout);
        for name in COMMANDS {
            assert!(script.stdout.contains(name), "{shell}: {name}");
        }
    }
    let refused = ended(&["completions", "tcsh"]).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

/// `check` counts such a setting as a finding, the other commands as a usage
/// error; the page documents the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_not_understood_has_the_exit_codes_of_the_page() {
    for (command, code) in [("serve", 2), ("check", 1)] {
        let said = ended(&[command, "--max-readers", "many"]).await;
        assert_eq!(said.status.code(), Some(code), "{said:?}");
    }
    let page = include_str!("../../docs/command-line.md");
    let check = "To `check` a setting that was not understood is one more of its failures: 1.";
    assert!(page.contains(check));
    let help = ended(&["check", "--help"]).await.stdout;
    assert!(
        help.contains("1: something did, a setting that is not understood too."),
        "{help}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_a_help_with_an_example() {
    let all = ended(&["--help"]).await;
    assert!(all.stdout.contains("\nExamples:\n"), "{all:?}");
    for name in COMMANDS {
        assert!(all.stdout.contains(&format!("\n  {name} ")), "{name}");
        let help = ended(&[name, "--help"]).await;
        assert_eq!(help.status.code(), Some(0), "{help:?}");
        let (_, examples) = help.stdout.split_once("\nExamples:\n").unwrap();
        assert!(examples.contains(&format!("pgfan {name} ")), "{help:?}");
    }
}

/// The note is only in the help of commands for the gateway, which can be restarted.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_restart_is_told_of_the_gateway_alone() {
    let note = "(takes a restart)";
    for gateway in ["serve", "check"] {
        let help = ended(&[gateway, "--help"]).await;
        assert!(help.stdout.contains(note), "{help:?}");
    }
    for other in [&["demo"][..], &["token"], &["triggers", "install"]] {
        let help = ended(&[other, &["--help"]].concat()).await;
        assert_eq!(help.status.code(), Some(0), "{help:?}");
        assert!(!help.stdout.contains(note), "{help:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn make_help_tells_of_every_goal() {
    let root = env!("CARGO_MANIFEST_DIR");
    let said = run(command("make").current_dir(root).arg("help")).await;
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let makefile = include_str!("../../Makefile");
    let goals = makefile
        .lines()
        .find_map(|line| line.strip_prefix(".PHONY: "));
    for goal in goals.unwrap().split(' ') {
        let told = said.stdout.lines().any(|line| {
            let text = line.strip_prefix(goal).unwrap_or_default();
            text.starts_with(' ') && !text.trim().is_empty()
        });
        assert!(told, "{goal} is not in\n{}", said.stdout);
    }
}
