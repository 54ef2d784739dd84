//! The difference of two texts, for people.

use std::{fmt::Write as _, ops::Range};

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
    let mut rest = changes(&old, &new).into_iter().peekable();
    while let Some(change) = rest.next() {
        // Changes whose surroundings touch are shown together.
        let mut hunk = vec![change];
        let near = |last: &Change, next: &Change| next.old.start <= last.old.end + 2 * CONTEXT;
        while let Some(next) = rest.next_if(|next| hunk.last().is_some_and(|last| near(last, next)))
        {
            hunk.push(next);
        }
        say_hunk(&hunk, &old, &new, &mut text);
    }
    text
}

/// Lines of the old text and those that replace them.
#[derive(Debug)]
struct Change {
    old: Range<usize>,
    new: Range<usize>,
}

fn say_hunk(hunk: &[Change], old: &[&str], new: &[&str], text: &mut String) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else {
        return;
    };
    let start = first.old.start.saturating_sub(CONTEXT);
    let end = (last.old.end + CONTEXT).min(old.len());
    let new_start = first.new.start - (first.old.start - start);
    let new_end = last.new.end + (end - last.old.end);
    let _ = writeln!(
        text,
        "@@ -{},{} +{},{} @@",
        start + 1,
        end - start,
        new_start + 1,
        new_end - new_start,
    );
    let mut say = |mark: char, lines: &[&str]| {
        for line in lines {
            let _ = writeln!(text, "{mark}{}", line.trim_end_matches('\n'));
        }
    };
    let mut shown = start;
    for change in hunk {
        say(' ', &old[shown..change.old.start]);
        say('-', &old[change.old.clone()]);
        say('+', &new[change.new.clone()]);
        shown = change.old.end;
    }
    say(' ', &old[shown..end]);
}

fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    if old.len() != new.len() {
        let same = |(a, b): &(&&str, &&str)| a == b;
        let start = old.iter().zip(new).take_while(same).count();
        let rest = old.len().min(new.len()) - start;
        let ends = old.iter().rev().zip(new.iter().rev()).take(rest);
        let end = ends.take_while(same).count();
        return vec![Change {
            old: start..old.len() - end,
            new: start..new.len() - end,
        }];
    }
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in old.iter().zip(new).enumerate().filter(|(_, (a, b))| a != b) {
        match found.last_mut().filter(|last| last.end == at) {
            Some(last) => last.end = at + 1,
            None => found.push(at..at + 1),
        }
    }
    let both = |lines: Range<usize>| Change {
        old: lines.clone(),
        new: lines,
    };
    found.into_iter().map(both).collect()
}

#[cfg(test)]
mod tests {
    //! Changes with their surroundings.

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
