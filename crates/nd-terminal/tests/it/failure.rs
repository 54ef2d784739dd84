//! Exit codes and the text of failures.

use std::io;

use nd_terminal::{Failure, FailureKind};

#[test]
fn exit_codes_are_those_of_the_page() {
    let codes: Vec<u8> = FailureKind::ALL.map(FailureKind::exit_code).to_vec();
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 70, 130]);
}

#[test]
fn a_broken_pipe_is_success_and_a_full_disk_has_its_own_code() {
    let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(gone.exit_code(), 0);
    let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
    assert_eq!(full.exit_code(), 7);
}

#[test]
fn causes_and_hints_are_lines_of_their_own() {
    let failure = Failure::new(FailureKind::Tool, "`mmdebstrap` is missing")
        .hint("install the package `mmdebstrap`")
        .hint("install the package `mmdebstrap`");
    assert_eq!(
        failure.render(),
        "error: `mmdebstrap` is missing\nhint: install the package `mmdebstrap`\n"
    );
}
