//! The word somebody probably meant.

/// How many candidates are looked at; lists that hostile files make up can be longer.
const MOST_CANDIDATES: usize = 500;
/// Longer words are no slips of anybody, and would cost time.
const LONGEST: usize = 64;

/// The candidate closest to `word`, when it is close enough to be a slip: an edit for each three letters,
/// at most three. Case, and `_` for `-`, do not count.
///
/// ```
/// let keys = ["install", "pkg-manager", "run"];
/// assert_eq!(nd_report::nearest("instlal", keys), Some("install"));
/// assert_eq!(nd_report::nearest("remove", keys), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let fold = |text: &str| text.to_lowercase().replace('_', "-");
    let folded = fold(word);
    let limit = (folded.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .take(MOST_CANDIDATES)
        // A letter has at most four bytes.
        .filter(|candidate| candidate.len() <= (LONGEST + limit) * 4)
        .filter_map(|candidate| Some((edits(&folded, &fold(candidate), limit)?, candidate)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many edits turn `a` into `b`, a swap of neighbours being one; `None` when there are more than
/// `limit`.
pub fn edits(a: &str, b: &str, limit: usize) -> Option<usize> {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row[j] = best;
        }
        if row.iter().all(|edits| *edits > limit) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    Some(last[b.len()]).filter(|edits| *edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_other_words() {
        let keys = [
            "install",
            "environment",
            "pkg-manager",
            "run",
            "user",
            "FSL",
        ];
        for (word, meant) in [
            ("instal", "install"),
            ("enviroment", "environment"),
            ("pkg_manager", "pkg-manager"),
            ("rnu", "run"),
            ("fsl", "FSL"),
        ] {
            assert_eq!(nearest(word, keys), Some(meant));
        }
        assert_eq!(nearest("frobnicate", keys), None);
        assert_eq!(nearest(&"r".repeat(100), keys), None);
    }

    #[test]
    fn counts_edits_up_to_the_limit() {
        for (a, b, limit, wanted) in [
            ("itksanp", "itksnap", 1, Some(1)),
            ("kitten", "sitting", 3, Some(3)),
            ("kitten", "sitting", 2, None),
            ("", "abc", 3, Some(3)),
            ("ü", "u", 1, Some(1)),
        ] {
            assert_eq!(edits(a, b, limit), wanted, "{a} {b}");
        }
    }
}
