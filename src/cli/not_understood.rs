//! Errors of the command line. clap repeats the argument that it rejects, which may be a password
//! or a token.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};

use super::output::tell;
use crate::text::may_be_secret;

/// Replaces a hidden argument.
const HIDDEN: &str = "…";

/// Prints an error; clap has help and version as errors too.
pub(super) fn not_understood(mut error: clap::Error) -> ExitCode {
    let is_mistake = error.use_stderr();
    let hidden = match is_mistake {
        true => hide(&mut error),
        false => None,
    };
    if is_mistake && holds_secret(&error.render().to_string()) {
        tell("error: a connection string stands where none is understood; see --help");
    } else {
        // A closed terminal does not change the exit code.
        let _ = error.print();
        if let Some(number) = hidden.and_then(|text| number_of(&text)) {
            tell(format_args!(
                "'{HIDDEN}' is argument {number}, which may hold a secret"
            ));
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Last check, after [`hide`], for anything else that clap may repeat.
fn holds_secret(text: &str) -> bool {
    text.contains("://") || text.contains("password=")
}

/// Position of the argument, from 1; a flag may stand before its text, as in `--flag=text`.
fn number_of(text: &str) -> Option<usize> {
    let is_it = |argument: std::ffi::OsString| argument.to_string_lossy().ends_with(text);
    std::env::args_os().skip(1).position(is_it).map(|at| at + 1)
}

/// Removes the argument from the error and returns it, unless it is a flag's name or cannot be a
/// secret.
fn hide(error: &mut clap::Error) -> Option<String> {
    // A command that resembles a real one is a typing error; any other text may be a secret.
    let has_tip = error.get(ContextKind::SuggestedSubcommand).is_some();
    let is_hidden = |kind, text: &str| match kind {
        ContextKind::InvalidArg => !is_name_of_argument(text),
        ContextKind::InvalidSubcommand => !(has_tip && is_word(text)),
        _ => may_be_secret(text),
    };
    let mut hidden = None;
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
        ContextKind::InvalidValue,
    ] {
        let given = error.get(kind);
        if let Some(ContextValue::String(text)) = given
            && is_hidden(kind, text)
        {
            hidden = Some(text.clone());
            error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
            // Its text may repeat the argument: "to pass '…' as a value".
            error.remove(ContextKind::Suggested);
        }
    }
    hidden
}

/// Lowercase letters only, as in every command's name.
fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase())
}

/// `--flag`, `--flag <VALUE>`, `-f`, `<VALUE>...`, `[VALUE]`: all forms of clap's own names.
fn is_name_of_argument(text: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphabetic() || " -<>[].:|…".contains(c);
    text.starts_with(['-', '<', '[']) && text.chars().all(is_of_name)
}
