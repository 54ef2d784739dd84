//! The frame of every binary's `main`.

use std::{io::Write as _, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};
use owo_colors::OwoColorize as _;

use crate::{ColorArg, Failure, FailureKind};

/// Parses the arguments, runs `body`, tells what went wrong and gives the exit code.
///
/// `--help` and `--version` end with 0, usage errors with 2, and a broken pipe with 0.
/// `--color` is obeyed before parsing so that usage errors obey it as well.
pub fn run<P: CommandFactory + FromArgMatches>(
    body: impl FnOnce(P) -> Result<(), Failure>,
) -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    early_color(&words).apply();
    let parsed = P::command()
        .try_get_matches_from(words)
        .and_then(|mut matches| P::from_arg_matches_mut(&mut matches));
    let result = match parsed {
        Ok(cli) => body(cli),
        Err(error) => {
            // The stream may be gone; the exit code still says what happened.
            let _ = error.print();
            if error.use_stderr() {
                return ExitCode::from(FailureKind::Usage.exit_code());
            }
            return ExitCode::SUCCESS;
        }
    };
    finish(result)
}

/// Tells what went wrong, if anything did, and gives the exit code; for binaries that parse their
/// arguments themselves.
pub fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn tell(failure: &Failure) {
    if failure.is_broken_pipe() {
        return;
    }
    let mut stderr = anstream::stderr().lock();
    for line in failure.render().lines() {
        let _ = if let Some(rest) = line.strip_prefix("error:") {
            writeln!(stderr, "{}{rest}", "error:".red().bold())
        } else if let Some(rest) = line.strip_prefix("hint:") {
            writeln!(stderr, "{}{rest}", "hint:".cyan().bold())
        } else {
            writeln!(stderr, "{line}")
        };
    }
}

/// The value of `--color` before anything is parsed.
fn early_color(words: &[std::ffi::OsString]) -> ColorArg {
    let words = words
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .take_while(|word| *word != "--");
    let mut value = None;
    let mut next_is_value = false;
    for word in words {
        if next_is_value {
            value = Some(word);
        } else if let Some(given) = word.strip_prefix("--color=") {
            value = Some(given);
        }
        next_is_value = word == "--color";
    }
    match value {
        Some("always") => ColorArg::Always,
        Some("never") => ColorArg::Never,
        _ => ColorArg::Auto,
    }
}
