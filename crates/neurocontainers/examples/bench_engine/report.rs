//! The table at the end.

use nd_terminal::{Align, Table, human_bytes, human_duration};

use crate::measure::Taken;

/// Rows of comparisons.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<[String; 7]>,
}

impl Report {
    /// Adds a comparison. `limit` is the largest ratio that is good.
    pub(crate) fn compare(
        &mut self,
        what: &str,
        ours: Taken,
        peer: &str,
        theirs: Taken,
        limit: f64,
    ) {
        let ratio = ours.time.as_secs_f64() / theirs.time.as_secs_f64();
        let verdict = if ratio <= limit { "ok" } else { "MISSED" };
        self.rows.push([
            what.into(),
            time(ours),
            memory(ours),
            peer.into(),
            time(theirs),
            memory(theirs),
            format!("{ratio:.2} of {limit:.2} {verdict}"),
        ]);
        eprintln!("{what}: {} against {peer}: {}", time(ours), time(theirs));
    }

    /// Adds a figure held against a limit of its own.
    pub(crate) fn limit(&mut self, what: &str, found: String, limit: &str, good: bool) {
        let verdict = if good { "ok" } else { "MISSED" };
        let empty = String::new;
        self.rows.push([
            what.into(),
            found,
            empty(),
            empty(),
            empty(),
            empty(),
            format!("{limit} {verdict}"),
        ]);
    }

    /// Says that a comparison could not be made.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        let empty = String::new;
        self.rows.push([
            what.into(),
            empty(),
            empty(),
            why.into(),
            empty(),
            empty(),
            "skipped".into(),
        ]);
    }

    pub(crate) fn render(&self) -> String {
        let mut table = Table::new([
            ("what", Align::Left),
            ("ours", Align::Right),
            ("memory", Align::Right),
            ("peer", Align::Left),
            ("theirs", Align::Right),
            ("memory", Align::Right),
            ("ratio", Align::Left),
        ]);
        for row in &self.rows {
            table.row(row.clone());
        }
        table.render(140)
    }
}

/// Starts of programs are told apart by fractions of milliseconds.
fn time(taken: Taken) -> String {
    if taken.time.as_millis() < 100 {
        format!("{:.2} ms", taken.time.as_secs_f64() * 1000.0)
    } else {
        human_duration(taken.time)
    }
}

fn memory(taken: Taken) -> String {
    if taken.memory == 0 {
        String::new()
    } else {
        human_bytes(taken.memory)
    }
}
