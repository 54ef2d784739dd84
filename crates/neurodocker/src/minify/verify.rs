//! Whether the commands do the same over what is left; what they missed is put back.

use std::{collections::BTreeSet, time::Instant};

use nd_rootfs::Index;
use nd_runtime::Recorded;

use super::{
    Observer,
    error::MinifyError,
    run::{Outcome, Stage},
    show,
    usage::{Removal, Used},
};

/// How many names a note lists.
const NAMED: usize = 5;

/// What goes, found to be right.
pub(super) struct Verified {
    used: Used,
    pub(super) removal: Removal,
    /// What was put back.
    pub(super) put_back: BTreeSet<Vec<u8>>,
    /// Commands whose output is not compared.
    pub(super) unsteady: Vec<String>,
    /// How long the commands took when they were last run.
    pub(super) milliseconds: u64,
}

impl Verified {
    pub(super) fn new(used: Used, removal: Removal) -> Self {
        Self {
            used,
            removal,
            put_back: BTreeSet::new(),
            unsteady: Vec::new(),
            milliseconds: 0,
        }
    }

    /// Runs the commands over what is left until they do what they did over everything.
    ///
    /// When they do not: first, what they look for now and did not look for before is put back (a
    /// program that misses one thing looks for another). Then it is asked whether the output is the
    /// same in two runs over everything. Last, what lies in directories that were looked at is put
    /// back, since names that are only listed are not taken down.
    #[expect(clippy::too_many_arguments, reason = "one caller, which has them all")]
    pub(super) fn verify(
        &mut self,
        stage: &Stage<'_>,
        index: &Index,
        expected: &[Outcome],
        records: &[Recorded],
        plan: &mut dyn FnMut(&Used) -> Removal,
        most: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), MinifyError> {
        let mut steady = vec![None; expected.len()];
        let mut rounds = 0;
        while !self.removal.is_empty() {
            let mask = stage.mask(index, &self.removal)?;
            let began = Instant::now();
            let found = stage.run(Some(&mask))?;
            self.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let Some((number, difference)) = difference(expected, &found, &steady) else {
                return Ok(());
            };
            let command = &stage.commands.lines[number];
            let give_up = || MinifyError::Different {
                command: command.clone(),
                difference: difference.clone(),
                rounds,
            };
            if rounds == most {
                return Err(give_up());
            }
            let (_, now) = stage.record(Some(&mask), &mut |_, _| {})?;
            let mut wanted = self.used.clone();
            for path in now.iter().flat_map(|record| &record.paths) {
                wanted.path(index, path);
            }
            let mut missed = self.missed(index, &wanted);
            if missed.is_empty() && steady.iter().all(Option::is_none) {
                let again = stage.run(None)?;
                for (number, (a, b)) in expected.iter().zip(&again).enumerate() {
                    steady[number] = Some(a == b);
                    if a.status == b.status && a != b {
                        let command = stage.commands.lines[number].clone();
                        observer.note(&format!(
                            "the output of `{command}` differs from run to run: only its exit status is \
                             compared"
                        ));
                        self.unsteady.push(command);
                    }
                }
                if steady.contains(&Some(false)) {
                    continue;
                }
            }
            if missed.is_empty() {
                let looked_at = records.iter().chain(&now);
                let looked_at = looked_at.flat_map(|record| &record.paths);
                self.listed(index, looked_at, &mut wanted);
                missed = self.missed(index, &wanted);
            }
            if missed.is_empty() {
                return Err(give_up());
            }
            rounds += 1;
            Self::tell(&missed, command, &difference, observer);
            self.put_back.extend(missed);
            self.used = wanted;
            self.removal = plan(&self.used);
        }
        Ok(())
    }

    /// Files that go and are wanted.
    fn missed(&self, index: &Index, wanted: &Used) -> Vec<Vec<u8>> {
        let each = index.iter().enumerate();
        each.filter(|(at, _)| wanted.has(*at) && self.removal.has(*at))
            .map(|(_, entry)| entry.path.as_bytes().to_vec())
            .collect()
    }

    /// Marks what lies directly in directories that were looked at.
    fn listed<'a>(
        &self,
        index: &Index,
        looked_at: impl Iterator<Item = &'a Vec<u8>>,
        wanted: &mut Used,
    ) {
        for path in looked_at {
            let Ok(found) = index.resolve(path, true) else {
                continue;
            };
            let Some(dir) = found.entry().filter(|entry| entry.kind.is_dir()) else {
                continue;
            };
            for child in index.children(dir.path.as_bytes()) {
                if self.removal.has_path(index, child.path.as_bytes()) {
                    wanted.path(index, child.path.as_bytes());
                }
            }
        }
    }

    fn tell(missed: &[Vec<u8>], command: &str, difference: &str, observer: &mut dyn Observer) {
        let mut names: Vec<_> = missed
            .iter()
            .take(NAMED)
            .map(|path| format!("`{}`", show(path)))
            .collect();
        if missed.len() > NAMED {
            names.push(format!("{} more", missed.len() - NAMED));
        }
        observer.note(&format!(
            "`{command}` misses something ({difference}); put back: {}",
            names.join(", ")
        ));
    }
}

/// The first command that did something else, and what.
fn difference(
    expected: &[Outcome],
    found: &[Outcome],
    steady: &[Option<bool>],
) -> Option<(usize, String)> {
    for (number, expected) in expected.iter().enumerate() {
        let Some(found) = found.get(number) else {
            // One before it failed, which was said before.
            return Some((number, "it was not run".into()));
        };
        if found.status != expected.status {
            let text = format!("its exit status is {}", found.status);
            return Some((number, text + &last_line(&found.stderr)));
        }
        if steady[number] == Some(false) {
            continue;
        }
        for (name, expected, found) in [
            ("standard output", &expected.stdout, &found.stdout),
            ("standard error", &expected.stderr, &found.stderr),
        ] {
            if expected != found {
                return Some((number, differing_line(name, expected, found)));
            }
        }
    }
    None
}

fn last_line(text: &[u8]) -> String {
    let line = text
        .split(|&byte| byte == b'\n')
        .rfind(|line| !line.is_empty());
    line.map_or(String::new(), |line| {
        format!(" after `{}`", shortened(line))
    })
}

fn differing_line(name: &str, expected: &[u8], found: &[u8]) -> String {
    let mut expected = expected.split(|&byte| byte == b'\n');
    let mut found = found.split(|&byte| byte == b'\n');
    loop {
        match (expected.next(), found.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return format!("its {name} differs"),
            (a, b) => {
                let shown = |line: Option<&[u8]>| {
                    line.map_or("nothing".to_owned(), |line| {
                        format!("`{}`", shortened(line))
                    })
                };
                return format!("its {name} says {} instead of {}", shown(b), shown(a));
            }
        }
    }
}

fn shortened(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
