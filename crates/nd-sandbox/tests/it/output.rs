//! What a step writes and how that arrives.

use std::time::{Duration, Instant};

use crate::support::{Image, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        "output::both_streams_come_as_bytes_line_by_line",
        both_streams,
    ),
    (
        "output::long_lines_come_in_pieces_and_nothing_is_lost",
        long_lines,
    ),
    (
        "output::a_child_left_behind_does_not_hold_the_step",
        background,
    ),
    ("output::a_step_that_closes_its_output_goes_on", closed),
    ("output::signals_and_codes_are_told_apart", ends),
];

fn both_streams() {
    let image = Image::new();
    let outcome = image.sh("echo one; printf '\\377\\376\\n'; echo two >&2; printf last; exit 3");
    assert_eq!(
        outcome.exit.as_deref(),
        Ok("Code(3)"),
        "{}",
        outcome.shown()
    );
    assert_eq!(outcome.out, [&b"one"[..], b"\xff\xfe", b"last"]);
    assert_eq!(outcome.err, [b"two"]);
}

fn long_lines() {
    let image = Image::new();
    let outcome = image.sh("head -c 200000 /dev/zero | tr '\\0' x; echo; seq 100000");
    let sizes: Vec<_> = outcome.out.iter().take(4).map(Vec::len).collect();
    assert_eq!(sizes, [65_536, 65_536, 65_536, 200_000 - 3 * 65_536]);
    assert_eq!(outcome.out.len(), 4 + 100_000);
    assert_eq!(outcome.out.last().unwrap(), b"100000");
}

fn background() {
    let image = Image::new();
    let begin = Instant::now();
    let outcome = image.sh("sleep 1000 & echo done");
    assert_eq!(outcome.text(), "done");
    assert!(begin.elapsed() < Duration::from_secs(500));
}

fn closed() {
    let image = Image::new();
    let outcome = image.sh("exec >&- 2>&-; sleep 0.2; exit 4");
    assert_eq!(outcome.exit.as_deref(), Ok("Code(4)"));
}

fn ends() {
    let image = Image::new();
    for (script, expected) in [
        ("exit 0", "Code(0)"),
        ("exit 255", "Code(255)"),
        ("kill -9 $$", "Signal(9)"),
        ("kill -TERM $$", "Signal(15)"),
        // Rust programs ignore this signal; what they start must not.
        ("yes | head -n 1 > /dev/null; kill -PIPE $$", "Signal(13)"),
    ] {
        let outcome = image.sh(script);
        assert_eq!(outcome.exit.as_deref(), Ok(expected), "{script}");
    }
}
