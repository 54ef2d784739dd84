//! Commands in an image of busybox, in the sandbox and in Apptainer, side by side.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail and say what they skip, as tests do"
)]

mod image;
mod recording;
mod runs;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    nd_sandbox::hook(&[nd_runtime::role()]);
    let arguments = Arguments::from_args();
    let trials = runs::TESTS
        .iter()
        .chain(recording::TESTS)
        .map(|&(name, test)| {
            Trial::test(name, move || {
                match image::usable() {
                    Ok(()) => test(),
                    Err(reason) => println!("skipped: {reason}"),
                }
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
