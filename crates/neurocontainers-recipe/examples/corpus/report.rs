//! Counting what is equal and saying what is not.

use serde_json::Value;

/// Differences that are allowed, by the rule they follow from. Upstream's mode has none.
pub(crate) const ALLOWED: &[&str] = &[];

/// One place where our result is another one.
#[derive(Debug)]
pub(crate) struct Difference {
    /// What differs: `readme`, `instructions[12]`.
    pub(crate) what: String,
    /// The rule that explains it, of [`ALLOWED`].
    pub(crate) rule: Option<&'static str>,
    /// What was recorded.
    pub(crate) expected: String,
    /// What we have.
    pub(crate) found: String,
}

/// All counts.
#[derive(Debug, Default)]
pub(crate) struct Report {
    total: usize,
    equal: usize,
    allowed: usize,
    other_failures: usize,
}

/// Counts of one part.
#[derive(Debug)]
pub(crate) struct Part {
    name: String,
    total: usize,
    equal: usize,
    allowed: usize,
    not_exact: usize,
}

impl Report {
    /// Ends a part and counts it.
    pub(crate) fn end(&mut self, part: &Part) {
        let Part {
            name,
            total,
            equal,
            allowed,
            not_exact,
        } = part;
        let exact = match not_exact {
            0 => String::new(),
            count => format!(" ({count} not byte for byte)"),
        };
        println!("{name}: {equal} of {total} equal, {allowed} allowed{exact}");
        self.total += total;
        self.equal += equal;
        self.allowed += allowed;
    }

    /// Ends a part that is not counted; failures in it still fail the run.
    pub(crate) fn end_uncounted(&mut self, part: &Part) {
        println!("{}: {} of {} read", part.name, part.equal, part.total);
        self.other_failures += part.total - part.equal;
    }

    /// Whether anything is different without permission.
    pub(crate) fn failed(&self) -> bool {
        self.equal + self.allowed < self.total || self.other_failures > 0
    }

    /// The last line.
    pub(crate) fn summary(&self) -> String {
        format!(
            "corpus: {} of {} equal, {} allowed",
            self.equal, self.total, self.allowed
        )
    }
}

/// Says that a part is not there.
pub(crate) fn missing(name: &str) {
    println!("{name}: not there");
}

impl Part {
    /// Begins a part.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            total: 0,
            equal: 0,
            allowed: 0,
            not_exact: 0,
        }
    }

    /// Prints what differs and does not count.
    pub(crate) fn beyond(&mut self, case: &str, differences: &[Difference]) {
        self.not_exact += usize::from(!differences.is_empty());
        self.print(case, " (does not count)", differences);
    }

    /// Counts a case and prints its differences.
    pub(crate) fn case(&mut self, case: &str, differences: &[Difference]) {
        self.total += 1;
        if differences.is_empty() {
            self.equal += 1;
            return;
        }
        let allowed = differences
            .iter()
            .all(|difference| difference.rule.is_some_and(|r| ALLOWED.contains(&r)));
        self.allowed += usize::from(allowed);
        self.print(case, "", differences);
    }

    fn print(&self, case: &str, remark: &str, differences: &[Difference]) {
        for Difference {
            what,
            rule,
            expected,
            found,
        } in differences
        {
            let rule = rule.map(|rule| format!(" [{rule}]")).unwrap_or_default();
            println!(
                "{} {case}{remark}: {what}{rule}: expected {}, found {}",
                self.name,
                short(expected),
                short(found)
            );
        }
    }
}

fn short(text: &str) -> String {
    let text = text.escape_debug().to_string();
    if text.chars().count() <= 300 {
        return text;
    }
    text.chars().take(300).chain("…".chars()).collect()
}

/// Replaces `_` and twelve hex digits by `_#`. Upstream tells files of equal names apart by a digest
/// of their path on the machine that compiled them, which nobody else can know; the digest of a
/// download depends on the home folder alone and is equal as it is.
fn without_digests(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('_') {
        let after = &rest[at + 1..];
        let digits = after
            .bytes()
            .take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            .count();
        out.push_str(&rest[..=at]);
        rest = after;
        if digits == 12 && !after[12..].starts_with(|c: char| c.is_alphanumeric()) {
            out.push('#');
            rest = &after[12..];
        }
    }
    out.push_str(rest);
    out
}

/// Compares two texts; a difference shows where it begins.
pub(crate) fn text(what: &str, expected: &str, found: &str, out: &mut Vec<Difference>) {
    if expected == found || without_digests(expected) == without_digests(found) {
        return;
    }
    let same = expected
        .chars()
        .zip(found.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let from = same.saturating_sub(30);
    let rest = |text: &str| text.chars().skip(from).collect::<String>();
    out.push(Difference {
        what: format!("{what} from character {from}"),
        rule: None,
        expected: rest(expected),
        found: rest(found),
    });
}

/// Compares two values, the order of keys included; a difference names the first place.
pub(crate) fn value(what: &str, expected: &Value, found: &Value, out: &mut Vec<Difference>) {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |map: &serde_json::Map<String, Value>| {
                map.keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            if keys(a) != keys(b) {
                text(&format!("keys of {what}"), &keys(a), &keys(b), out);
                return;
            }
            for ((key, a), b) in a.iter().zip(b.values()) {
                value(&format!("{what}.{key}"), a, b, out);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                let (a, b) = (format!("{} items", a.len()), format!("{} items", b.len()));
                text(what, &a, &b, out);
            }
            let before = out.len();
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                value(&format!("{what}[{at}]"), a, b, out);
                if out.len() > before {
                    return;
                }
            }
        }
        (Value::String(a), Value::String(b)) => text(what, a, b, out),
        _ if expected == found => {}
        _ => text(what, &expected.to_string(), &found.to_string(), out),
    }
}
