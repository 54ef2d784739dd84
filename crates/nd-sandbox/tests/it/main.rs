//! Processes in the sandbox, for real: what they see, what they cannot do, and that nothing is left.
//!
//! The engine is this program itself, so `main` is ours.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "helpers of tests fail and say what they skip, as tests do"
)]

mod hostile;
mod layers;
mod lifetime;
mod limits;
mod modes;
mod mounts;
mod output;
mod support;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    nd_sandbox::hook(&[support::ROLE]);
    let words: Vec<_> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("be-a-caller") => {
            lifetime::be_a_caller(&words[2]);
            return std::process::ExitCode::SUCCESS;
        }
        Some("start-an-engine") => {
            modes::start_an_engine();
            return std::process::ExitCode::SUCCESS;
        }
        Some("run-a-step") => {
            modes::run_a_step();
            return std::process::ExitCode::SUCCESS;
        }
        Some("fill-a-disk") => {
            limits::fill_a_disk();
            return std::process::ExitCode::SUCCESS;
        }
        Some("be-a-user") => {
            modes::be_a_user();
            return std::process::ExitCode::SUCCESS;
        }
        Some("write-to-myself") => {
            let writable = std::fs::OpenOptions::new()
                .write(true)
                .open("/proc/self/exe");
            println!("{}", writable.map_or("refused", |_| "opened"));
            return std::process::ExitCode::SUCCESS;
        }
        _ => {}
    }
    let arguments = Arguments::from_args();
    let trials = [
        hostile::TESTS,
        layers::TESTS,
        lifetime::TESTS,
        limits::TESTS,
        modes::TESTS,
        mounts::TESTS,
        output::TESTS,
    ];
    let trials = trials
        .into_iter()
        .flatten()
        .map(|&(name, test)| {
            Trial::test(name, move || {
                match support::usable() {
                    Ok(()) => test(),
                    Err(reason) => println!("skipped: {reason}"),
                }
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
