//! What programs print about the machine's mirrors, as if they had used the public archive.

use nd_report::{Event, Reporter};

use super::Mirrors;

/// Replaces addresses of the machine in text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redactor {
    /// What is replaced by what, longest first.
    pairs: Vec<(String, String)>,
}

impl Redactor {
    pub(super) fn new(mirrors: &Mirrors, addresses: &[String]) -> Self {
        let mut pairs: Vec<(String, String)> = mirrors
            .private()
            .into_iter()
            .map(|(mirror, public)| (mirror.to_owned(), public.to_owned()))
            .collect();
        for address in addresses {
            if !pairs.iter().any(|(known, _)| known == address) {
                pairs.push((address.clone(), "(this machine's)".to_owned()));
            }
        }
        pairs.sort_by_key(|(address, _)| std::cmp::Reverse(address.len()));
        Self { pairs }
    }

    /// The line without addresses of the machine.
    pub fn line(&self, line: &[u8]) -> Vec<u8> {
        let mut line = line.to_vec();
        for (address, replacement) in &self.pairs {
            let mut at = 0;
            while let Some(found) = find(&line[at..], address.as_bytes()) {
                let range = at + found..at + found + address.len();
                at = range.start + replacement.len();
                line.splice(range, replacement.bytes());
            }
        }
        line
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

/// Passes events on, with the output of programs redacted.
pub struct Redacted<'a> {
    /// Who gets them.
    pub to: &'a dyn Reporter,
    /// What is replaced.
    pub redactor: Redactor,
}

impl std::fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redacted").finish_non_exhaustive()
    }
}

impl Reporter for Redacted<'_> {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Output { id, line } => {
                let line = self.redactor.line(line);
                self.to.event(Event::Output { id, line: &line });
            }
            other => self.to.event(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mirrors, parse_list};
    use super::*;

    #[test]
    fn output_looks_as_if_the_public_archive_had_been_used() {
        let public = parse_list("deb http://deb.example/debian bullseye main\n");
        let machine = parse_list("deb http://10.0.0.1:80/pub/debian bookworm main\n");
        let mirrors = Mirrors::find(&public, &machine);
        let redactor = Redactor::new(
            &mirrors,
            &["http://10.0.0.1:80/pub/debian".into(), "10.0.0.1:80".into()],
        );
        let line =
            redactor.line(b"Get:1 http://10.0.0.1:80/pub/debian bullseye \xff; failed 10.0.0.1:80");
        assert_eq!(
            line,
            b"Get:1 http://deb.example/debian bullseye \xff; failed (this machine's)"
        );
    }
}
