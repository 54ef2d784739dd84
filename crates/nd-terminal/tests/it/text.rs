//! Sizes, durations and tables.

use std::time::Duration;

use nd_terminal::{Align, Table, human_bytes, human_duration};
use proptest::prelude::*;

#[test]
fn sizes_have_three_digits() {
    let shown = [0, 999, 1000, 12_345_678, 999_600, 1_200_000_000].map(human_bytes);
    assert_eq!(
        shown,
        ["0 B", "999 B", "1.00 kB", "12.3 MB", "1.00 MB", "1.20 GB"]
    );
}

#[test]
fn durations_lose_what_does_not_matter() {
    let shown =
        [4, 1250, 48_100, 125_000, 3_780_000].map(|ms| human_duration(Duration::from_millis(ms)));
    assert_eq!(
        shown,
        ["4 ms", "1.25 s", "48.1 s", "2 min 5 s", "1 h 3 min"]
    );
}

#[test]
fn a_narrow_terminal_shortens_text_and_keeps_numbers() {
    let mut table = Table::new([("what", Align::Left), ("size", Align::Right)]);
    table.row(["a rather long description", "12.3 MB"]);
    assert_eq!(
        table.render(20),
        "what            size\na rather l…  12.3 MB\n"
    );
}

proptest! {
    #[test]
    fn no_line_is_wider_than_asked(cells in proptest::collection::vec("\\PC{0,40}", 1..6), width in 20_usize..90) {
        let mut table = Table::new([("text", Align::Left), ("n", Align::Right)]);
        for cell in cells {
            table.row([cell, "1".to_owned()]);
        }
        for line in table.render(width).lines() {
            prop_assert!(unicode_width::UnicodeWidthStr::width(line) <= width.max(11));
        }
    }
}
