//! Asking a distribution's archive: which one the bootstrap tool would use, and what it states.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use nd_host::{Invocation, ProgramError, Programs, Stream};
use nd_names::{Sha256, Sha256Hasher};
use nd_report::Cancel;

use super::BaseError;
use crate::machine::{AptSource, parse_list};

/// APT's own way to fetch one file, with its own proxies and certificates.
const HELPER: &str = "/usr/lib/apt/apt-helper";

/// What an archive states of its suites at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArchiveState {
    /// Digest over the suites' statements.
    pub(super) digest: Sha256,
    /// The newest of their dates, seconds since 1970.
    pub(super) date: i64,
    /// The sources that answered.
    pub(super) sources: Vec<AptSource>,
}

/// The archives that the bootstrap tool writes into an image when it is told none.
///
/// The tool is asked rather than known: it runs up to the moment when it has written them.
pub(super) fn default_sources(
    programs: &dyn Programs,
    suite: &str,
) -> Result<Vec<AptSource>, BaseError> {
    let tool = find(programs)?;
    // Up to there it needs no root, and only root is warned of doing without.
    let mode = if rustix::process::geteuid().is_root() {
        "root"
    } else {
        "chrootless"
    };
    let invocation = Invocation::new(tool)
        .args(["--quiet", "--variant=custom"])
        .arg(format!("--mode={mode}"))
        .arg("--setup-hook=cat \"$1/etc/apt/sources.list\"; exit 1")
        .args([suite, "/dev/null"])
        .limit(Duration::from_secs(60));
    let mut said = String::new();
    // It ends with an error, since the hook tells it to stop.
    programs.run(
        &invocation,
        &mut |_, line| {
            said.push_str(&String::from_utf8_lossy(line));
            said.push('\n');
        },
        &Cancel::default(),
    )?;
    let sources = parse_list(&said);
    if sources.is_empty() {
        return Err(BaseError::UnknownSuite {
            suite: suite.into(),
        });
    }
    Ok(sources)
}

/// The bootstrap tool.
pub(super) fn find(programs: &dyn Programs) -> Result<std::path::PathBuf, BaseError> {
    programs.find("mmdebstrap").ok_or(BaseError::Tool {
        program: "mmdebstrap",
        package: "mmdebstrap",
    })
}

/// Fetches what each of the sources states. The first one has to answer; updates that a mirror does
/// not have are left out.
pub(super) fn ask(
    programs: &dyn Programs,
    sources: &[AptSource],
    temporary: &Path,
    note: &mut dyn FnMut(String),
) -> Result<Result<ArchiveState, ProgramError>, BaseError> {
    let helper = programs.find(HELPER).ok_or(BaseError::Tool {
        program: "apt-helper",
        package: "apt",
    })?;
    let folder = tempfile::tempdir_in(temporary).map_err(BaseError::io(temporary))?;
    let mut digest = Sha256Hasher::default();
    let mut state = ArchiveState {
        digest: Sha256::from_bytes([0; 32]),
        date: 0,
        sources: Vec::new(),
    };
    for (number, source) in sources.iter().enumerate() {
        let file = folder.path().join(number.to_string());
        let invocation = Invocation::new(&helper)
            .args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=1"])
            .arg("download-file")
            .arg(source.in_release())
            .arg(&file)
            .limit(Duration::from_secs(120));
        if let Err(error) = programs.check(&invocation) {
            if number == 0 {
                return Ok(Err(error));
            }
            note(format!(
                "the archive has no `{}`, which is left out",
                source.suite
            ));
            continue;
        }
        let bytes = fs_err::read(&file).map_err(BaseError::io(&file))?;
        digest.update(source.suite.as_bytes());
        digest.update([0]);
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(&bytes);
        state.date = state.date.max(release_date(&bytes).unwrap_or(0));
        state.sources.push(source.clone());
    }
    state.digest = digest.finish();
    Ok(Ok(state))
}

/// Months as release files write them.
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The `Date:` of a release file, `Sat, 09 Aug 2025 09:16:30 UTC`, in seconds since 1970.
fn release_date(text: &[u8]) -> Option<i64> {
    let text = String::from_utf8_lossy(text);
    let date = text.lines().find_map(|line| line.strip_prefix("Date:"))?;
    let words: Vec<&str> = date.split_whitespace().collect();
    let [_, day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = day.parse().ok()?;
    let stamp: Timestamp = format!("{year}-{month:02}-{day:02}T{time}Z").parse().ok()?;
    Some(stamp.as_second())
}

/// A line of the tool that people want to see.
pub(super) fn worth_showing(stream: Stream, line: &[u8]) -> bool {
    stream == Stream::Stderr || line.starts_with(b"W:") || line.starts_with(b"E:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_a_release_is_read() {
        let text = b"Suite: x\nDate: Sat, 09 Aug 2025 09:16:30 UTC\nAcquire-By-Hash: yes\n";
        assert_eq!(release_date(text), Some(1_754_730_990));
        assert_eq!(
            release_date(b"Date: Sat, 9 Aug 2025 09:16:30 UTC\n"),
            Some(1_754_730_990)
        );
        assert_eq!(release_date(b"Date: yesterday\n"), None);
        assert_eq!(release_date(b""), None);
    }
}
