//! Which ids of the host stand behind the ids inside.

use std::path::PathBuf;

use nd_host::{Environment, Programs};
use serde::{Deserialize, Serialize};

/// How many ids an image has: Debian and everything else hands out 16 bits, `nobody` among them.
pub const IDS: u32 = 65_536;

/// Where the range of a real root begins: above what distributions give to users and to systemd's
/// own containers, below the sign bit.
const ROOT_FIRST: u32 = 0x7000_0000;

/// How ids inside are made from ids of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdMode {
    /// Inside there are many ids. When a real root builds, `0..count` inside are
    /// `first..first + count` outside, so that nothing inside is ever uid 0 of the host. When an
    /// ordinary user builds, 0 inside is that user and `1..=count` are `first..first + count`.
    Range {
        /// First id of the host.
        first: u32,
        /// How many there are.
        count: u32,
    },
    /// Inside there is one id, 0, which is the user outside; changes of owner are answered with
    /// success and forgotten.
    Single,
}

impl IdMode {
    /// The best mode that this user can have on this machine.
    pub fn choose(environment: &Environment, programs: &dyn Programs) -> Self {
        if rustix::process::geteuid().is_root() {
            return Self::for_root(&subordinate("/etc/subuid"), &subordinate("/etc/subgid"));
        }
        let tools = ["newuidmap", "newgidmap"]
            .iter()
            .all(|tool| programs.find(tool).is_some());
        let uid = rustix::process::geteuid().as_raw();
        let name = environment.text("USER").unwrap_or_default();
        let of_user = |path| {
            subordinate(path)
                .into_iter()
                .find(|range| range.owner == uid.to_string() || range.owner == name)
        };
        match (of_user("/etc/subuid"), of_user("/etc/subgid")) {
            // One range for both keeps the mode a pair of numbers; every tool sets them up so.
            (Some(uids), Some(gids)) if tools && uids.first == gids.first => Self::Range {
                first: uids.first,
                count: uids.count.min(gids.count).min(IDS - 1),
            },
            _ => Self::Single,
        }
    }

    /// The name that outputs and records use: `range` or `single`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range { .. } => "range",
            Self::Single => "single",
        }
    }

    /// Whom directories of the host that the engine writes into must belong to: uid and gid of the
    /// host that are 0 inside. `None` when that is the user who builds.
    pub fn owner(self) -> Option<(u32, u32)> {
        match self {
            Self::Range { first, .. } if rustix::process::geteuid().is_root() => {
                Some((first, first))
            }
            _ => None,
        }
    }

    fn for_root(uids: &[Subordinate], gids: &[Subordinate]) -> Self {
        let mut first = ROOT_FIRST;
        let overlaps = |first: u32| {
            uids.iter()
                .chain(gids)
                .find(|range| {
                    first < range.first.saturating_add(range.count)
                        && range.first < first.saturating_add(IDS)
                })
                .map(|range| range.first.saturating_add(range.count))
        };
        // Each turn goes above one more range of a short file.
        while let Some(after) = overlaps(first).filter(|&after| after < u32::MAX - IDS) {
            first = after;
        }
        Self::Range { first, count: IDS }
    }
}

/// A line of `/etc/subuid`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subordinate {
    owner: String,
    first: u32,
    count: u32,
}

fn subordinate(path: &str) -> Vec<Subordinate> {
    parse_subordinate(&fs_err::read_to_string(PathBuf::from(path)).unwrap_or_default())
}

fn parse_subordinate(text: &str) -> Vec<Subordinate> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.trim().split(':');
            let range = Subordinate {
                owner: parts.next()?.to_owned(),
                first: parts.next()?.parse().ok()?,
                count: parts.next()?.parse().ok()?,
            };
            (range.count > 0 && parts.next().is_none()).then_some(range)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    //! Which range a real root takes.

    use super::{IDS, IdMode, ROOT_FIRST, parse_subordinate};

    #[test]
    fn the_range_of_root_lies_beside_those_of_users() {
        let users = parse_subordinate("a:100000:65536\n# comment\nb:nonsense:1\nc:1:0\n");
        assert_eq!(users.len(), 1);
        assert_eq!(
            IdMode::for_root(&users, &[]),
            IdMode::Range {
                first: ROOT_FIRST,
                count: IDS
            }
        );
        let users = parse_subordinate("a:1879048192:10\nb:1879048202:65536\n");
        assert_eq!(
            IdMode::for_root(&users, &users),
            IdMode::Range {
                first: 1_879_048_202 + 65_536,
                count: IDS
            }
        );
    }
}
