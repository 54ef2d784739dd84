//! A service of systemd that watches a catalogue, in place of a line for cron.

use std::fmt::Write as _;

/// A word that a unit cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a word of a unit must not contain {found:?}")]
pub struct UnitError {
    /// The character.
    pub found: char,
}

/// The unit that runs `program` with `words` as `user`.
pub fn systemd_unit(
    repository: &str,
    program: &str,
    user: &str,
    words: &[String],
) -> Result<String, UnitError> {
    let mut start = quoted(program)?;
    for word in words {
        let _ = write!(start, " {}", quoted(word)?);
    }
    let user = quoted(user)?;
    Ok(format!(
        "[Unit]\n\
         Description=Keeps {repository} as its catalogue has it\n\
         Documentation=man:cvmfs-sync(1)\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=exec\n\
         User={user}\n\
         WorkingDirectory=/\n\
         ExecStart={start}\n\
         Restart=on-failure\n\
         RestartSec=5min\n\
         Nice=10\n\
         IOSchedulingClass=idle\n\
         KillMode=mixed\n\
         TimeoutStopSec=30min\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    ))
}

/// A word as `ExecStart=` reads it.
fn quoted(word: &str) -> Result<String, UnitError> {
    if let Some(found) = word.chars().find(|c| c.is_control()) {
        return Err(UnitError { found });
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Ok(word.to_owned());
    }
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '%' => out.push_str("%%"),
            '$' => out.push_str("$$"),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(out)
}

#[cfg(test)]
mod tests {
    //! Words that systemd would read otherwise.

    use super::*;

    #[test]
    fn words_stay_words() {
        let words = ["watch", "--state", "/a b/$c", "100%", "x\"y\\"].map(str::to_owned);
        let unit = systemd_unit("x.org", "/usr/bin/cvmfs-sync", "cvmfs", &words).unwrap();
        assert!(
            unit.contains(
                "\nExecStart=/usr/bin/cvmfs-sync watch --state \"/a b/$$c\" \"100%%\" \"x\\\"y\\\\\"\n"
            ),
            "{unit}"
        );
        let odd = ["a\nExecStartPre=/bin/false".to_owned()];
        assert!(systemd_unit("x.org", "/x", "cvmfs", &odd).is_err());
    }
}
