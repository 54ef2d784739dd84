//! Whether a file that holds something else is anybody's work, or as its package or we ourselves left it.

use nd_host::ProgramError;

use super::{Machine, OWN, StepError};
use crate::server::step::{CommandLine, command};

impl Machine<'_> {
    /// Whether nobody has changed a file of this text since its package or we wrote it.
    pub(super) fn is_untouched(&self, path: &str, text: &str) -> Result<bool, StepError> {
        Ok(self.is_ours(path, text)? || self.is_as_packaged(path)?)
    }

    /// Whether we wrote a file of this text.
    pub(super) fn is_ours(&self, path: &str, text: &str) -> Result<bool, StepError> {
        let digest = digest(text);
        let written = self.text(&record(path))?.unwrap_or_default();
        Ok(written.lines().any(|line| line == digest))
    }

    /// Remembers what we are about to write in place of what is there. Both count as ours from here on,
    /// whichever of them a kill leaves.
    pub(super) fn remember(
        &self,
        path: &str,
        now: Option<&str>,
        new: &str,
    ) -> Result<(), StepError> {
        let mut text = String::new();
        for written in now.into_iter().chain([new]) {
            text.push_str(&digest(written));
            text.push('\n');
        }
        self.put(&record(path), &text, 0o644)
    }

    /// Whether a package has this file and finds it as it was installed. Without either of the two
    /// systems of packages nothing is known, which is no.
    fn is_as_packaged(&self, path: &str) -> Result<bool, StepError> {
        let asked = self.answer_of(&command(["dpkg-query", "--search", path]))?;
        // `PACKAGE: PATH`, several packages with commas between.
        let owner = asked
            .as_deref()
            .and_then(|text| text.split([':', ',']).next());
        let verify = if let Some(package) = owner {
            command(["dpkg", "--verify", package])
        } else {
            let owned = command(["rpm", "--query", "--file", path]);
            if self.answer_of(&owned)?.is_none() {
                return Ok(false);
            }
            command(["rpm", "--verify", "--file", path])
        };
        match self.run(&verify) {
            Ok(finished) => {
                let text = finished.text();
                // Each file of the package that was changed has a line. `rpm` also ends with 1 then;
                // without a line that would mean something else.
                let told = finished.outcome.success() || !text.is_empty();
                Ok(told && !text.lines().any(|line| line.ends_with(path)))
            }
            Err(ProgramError::Missing { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What a program prints when it ends with success.
    fn answer_of(&self, words: &CommandLine) -> Result<Option<String>, StepError> {
        match self.run(words) {
            Ok(finished) if finished.outcome.success() => Ok(Some(finished.text())),
            Ok(_) | Err(ProgramError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The file with the digests of what we wrote.
fn record(path: &str) -> String {
    format!("{OWN}/written{path}")
}

fn digest(text: &str) -> String {
    nd_names::Sha256::of(text).hex()
}
