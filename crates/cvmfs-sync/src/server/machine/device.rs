//! Devices: whether one is empty, and nothing else may ever be formatted.

use std::io::{self, Read as _};

use nd_host::Outcome;

use super::{Allowed, Machine, StepError, io_at};
use crate::server::{step::State, words::FilePath};

/// How much of a device has to be zero to count as empty: tables of partitions and heads of volumes
/// are there.
const HEAD: u64 = 1 << 20;

impl Machine<'_> {
    pub(super) fn device_state(&self, device: &FilePath) -> Result<State, StepError> {
        let path = device.as_str();
        if self
            .root
            .node(path.as_bytes(), true)
            .map_err(io_at(path))?
            .is_none()
        {
            return Ok(State::Pending(format!("`{path}` is not there")));
        }
        // `blkid` ends with 2 when it finds nothing, and also when it cannot read: what it finds is
        // believed, that it finds nothing is not.
        let words = ["blkid", "--probe", "--output", "export", path].map(str::to_owned);
        let found = self.run(&words.to_vec())?;
        match found.outcome {
            Outcome::Code(0) => {
                let text = found.text();
                let value = |name: &str| {
                    let line = |line: &str| line.strip_prefix(name).map(str::to_owned);
                    text.lines().find_map(line)
                };
                return Ok(match (value("USAGE="), value("TYPE=")) {
                    (Some(usage), Some(_)) if usage == "filesystem" => State::Done,
                    (_, Some(kind)) => State::Different(format!("`{path}` holds `{kind}`")),
                    _ => State::Different(format!("`{path}` has partitions")),
                });
            }
            Outcome::Code(2) => {}
            outcome => {
                let text = format!("`blkid` cannot say what `{path}` holds: {outcome}");
                return Ok(State::Different(text));
            }
        }
        let words = [
            "lsblk",
            "--noheadings",
            "--raw",
            "--output",
            "NAME,MOUNTPOINT",
            path,
        ];
        let parts = self
            .run(&words.map(str::to_owned).to_vec())?
            .success()?
            .text();
        if parts.lines().count() != 1 || parts.split_whitespace().count() != 1 {
            let text = format!("`{path}` has partitions or is in use");
            return Ok(State::Different(text));
        }
        Ok(if self.is_blank(path).map_err(io_at(path))? {
            State::Pending(format!("`{path}` is empty"))
        } else {
            State::Different(format!("`{path}` holds something that is no file system"))
        })
    }

    fn is_blank(&self, path: &str) -> io::Result<bool> {
        let path = self.base.join(path.trim_start_matches('/'));
        let mut head = Vec::new();
        fs_err::File::open(path)?
            .take(HEAD)
            .read_to_end(&mut head)?;
        Ok(!head.is_empty() && head.iter().all(|&byte| byte == 0))
    }

    pub(super) fn format(&self, device: &FilePath, allowed: &Allowed) -> Result<(), StepError> {
        if allowed.format.as_ref() != Some(device) {
            let text = format!("`--format {device}` allows to make a file system there");
            return Err(StepError::Refused(text));
        }
        // Once more at the last moment.
        match self.device_state(device)? {
            State::Done => return Ok(()),
            State::Different(why) => return Err(StepError::Refused(why)),
            State::Pending(_) => {}
        }
        let words = ["mkfs.ext4", "-q", device.as_str()].map(str::to_owned);
        self.run(&words.to_vec())?.success()?;
        Ok(())
    }
}
