//! The difference of two texts, for people.

use std::fmt::Write as _;

/// Lines shown around each change.
const CONTEXT: usize = 2;

/// The difference in unified form, with `name` as name of both sides; empty for equal texts.
///
/// Lines are compared one by one when both texts have equally many, as edits inside lines leave
/// them; otherwise everything between the first and the last difference is one change.
pub fn unified_diff(name: &str, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let mut text = format!("--- {name}\n+++ {name}\n");
    for (before, after) in changes(&old, &new) {
        let start = before.start.saturating_sub(CONTEXT);
        let end = (before.end + CONTEXT).min(old.len());
        let grown = after.len() as isize - before.len() as isize;
        let new_start = after.start - (before.start - start);
        let _ = writeln!(
            text,
            "@@ -{},{} +{},{} @@",
            start + 1,
            end - start,
            new_start + 1,
            (end - start).saturating_add_signed(grown),
        );
        let mut say = |mark: char, line: &str| {
            let _ = writeln!(text, "{mark}{}", line.trim_end_matches('\n'));
        };
        old[start..before.start]
            .iter()
            .for_each(|line| say(' ', line));
        old[before.clone()].iter().for_each(|line| say('-', line));
        new[after].iter().for_each(|line| say('+', line));
        old[before.end..end].iter().for_each(|line| say(' ', line));
    }
    text
}

type Lines = std::ops::Range<usize>;

/// Lines of the old text and those that replace them.
fn changes(old: &[&str], new: &[&str]) -> Vec<(Lines, Lines)> {
    if old.len() != new.len() {
        let same = |(a, b): &(&&str, &&str)| a == b;
        let start = old.iter().zip(new).take_while(same).count();
        let rest = old.len().min(new.len()) - start;
        let end = old
            .iter()
            .rev()
            .zip(new.iter().rev())
            .take(rest)
            .take_while(same)
            .count();
        return vec![(start..old.len() - end, start..new.len() - end)];
    }
    let mut found: Vec<Lines> = Vec::new();
    for (at, _) in old.iter().zip(new).enumerate().filter(|(_, (a, b))| a != b) {
        match found.last_mut() {
            // Changes whose context would overlap are one.
            Some(last) if at <= last.end + 2 * CONTEXT => last.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found
        .into_iter()
        .map(|lines| (lines.clone(), lines))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_changes_with_their_surroundings() {
        assert_eq!(unified_diff("f", "a\n", "a\n"), "");
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";
        assert_eq!(
            unified_diff("f", old, &old.replace('2', "two").replace('9', "nine")),
            "--- f\n+++ f\n@@ -1,4 +1,4 @@\n 1\n-2\n+two\n 3\n 4\n@@ -7,4 +7,4 @@\n 7\n 8\n-9\n+nine\n 10\n"
        );
        assert_eq!(
            unified_diff("f", "1\n2\n3\n", "1\n2\n2b\n3\n"),
            "--- f\n+++ f\n@@ -1,3 +1,4 @@\n 1\n 2\n+2b\n 3\n"
        );
    }
}
