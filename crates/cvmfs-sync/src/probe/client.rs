//! What a mounted client says: attributes of the mount, and answers of `cvmfs_talk`.

use std::path::Path;

use nd_cvmfs::RepositoryName;
use nd_host::{Invocation, ProgramError, Programs};
use nd_report::Cancel;

/// The longest value of an attribute that is read, in bytes.
const MAX_VALUE: usize = 64 << 10;

/// What a mounted client says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientState {
    /// Name of the repository that is mounted.
    pub name: Option<String>,
    /// Its revision.
    pub revision: Option<u64>,
    /// Hash of its root catalogue.
    pub root: Option<String>,
    /// Address of the repository on the server in use.
    pub host: Option<String>,
    /// The proxy in use.
    pub proxy: Option<String>,
}

impl ClientState {
    /// Reads the attributes of a mount, each of which may be missing. On a folder that is no mounted
    /// repository all are.
    pub fn of_mount(mount: &Path) -> Self {
        let get = |name: &str| {
            let mut value = vec![0; MAX_VALUE];
            let count = rustix::fs::getxattr(mount, name, &mut value[..]).ok()?;
            let text = String::from_utf8(value.get(..count)?.to_vec()).ok()?;
            let text = text.trim_end_matches(['\0', '\n']);
            let shown = !text.is_empty() && !text.contains(|c: char| c.is_control());
            shown.then(|| text.to_owned())
        };
        Self {
            name: get("user.fqrn"),
            revision: get("user.revision").and_then(|text| text.parse().ok()),
            root: get("user.root_hash"),
            host: get("user.host"),
            proxy: get("user.proxy"),
        }
    }
}

/// A server as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientServer {
    /// Address of the repository there.
    pub url: String,
    /// What the client knows about it, such as `34 ms` or `host down`.
    pub note: String,
}

/// The servers of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostInfo {
    /// All of them in the client's order.
    pub servers: Vec<ClientServer>,
    /// Which one is in use.
    pub active: Option<usize>,
}

impl HostInfo {
    /// Asks the client of `name` that runs on this machine.
    pub fn ask(
        name: &RepositoryName,
        programs: &dyn Programs,
        cancel: &Cancel,
    ) -> Result<Self, ProgramError> {
        let invocation = Invocation::new("cvmfs_talk")
            .args(["-i", name.as_str(), "host", "info"])
            .env("LC_ALL", "C")
            .limit(std::time::Duration::from_secs(10));
        let finished = programs.run(&invocation, &mut |_, _| {}, cancel)?;
        Ok(Self::parse(&finished.success()?.text()))
    }

    /// Reads the answer to `host info`; lines that are no servers are passed over.
    pub fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for line in text.lines() {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix("Active host ") {
                info.active = rest
                    .split_once(':')
                    .and_then(|(number, _)| number.parse().ok());
            } else if let Some((_, rest)) = line
                .strip_prefix('[')
                .and_then(|line| line.split_once("] "))
            {
                let (url, note) = rest.split_once(' ').unwrap_or((rest, ""));
                let note = note.trim().trim_start_matches('(').trim_end_matches(')');
                info.servers.push(ClientServer {
                    url: url.to_owned(),
                    note: note.to_owned(),
                });
            }
        }
        info.active = info.active.filter(|&active| active < info.servers.len());
        info
    }
}

#[cfg(test)]
mod tests {
    //! The answers that are documented.

    use super::*;

    #[test]
    fn every_kind_of_line_is_read() {
        let text = "  [0] http://a.example/cvmfs/x.y (34 ms)\n  [1] http://b.example/cvmfs/x.y (geographically \
                    ordered)\n  [2] http://c.example/cvmfs/x.y (unprobed)\n  [3] http://d.example/cvmfs/x.y (host \
                    down)\nActive host 2: http://c.example/cvmfs/x.y\n";
        let info = HostInfo::parse(text);
        let notes: Vec<&str> = info
            .servers
            .iter()
            .map(|server| server.note.as_str())
            .collect();
        assert_eq!(
            notes,
            ["34 ms", "geographically ordered", "unprobed", "host down"]
        );
        assert_eq!(info.active, Some(2));
        assert_eq!(info.servers[2].url, "http://c.example/cvmfs/x.y");
        assert_eq!(HostInfo::parse("No hosts defined\n"), HostInfo::default());
        assert_eq!(HostInfo::parse("Active host 7: x\n[\n[]\n").active, None);
    }
}
