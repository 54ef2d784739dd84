//! The steps of a publisher.

use super::{KEYS, List};
use crate::server::{
    description::Stratum0Section,
    step::{CommandLine, Test, command},
};

/// Hours that a whitelist should still be good.
const WHITELIST_HOURS: i64 = 10 * 24;

impl List<'_> {
    pub(super) fn stratum0(&mut self, section: &Stratum0Section) {
        let cron = self.cron();
        self.release();
        self.packages(&["cvmfs", "cvmfs-server", self.web(), cron]);
        self.time_zone();
        self.owner(section.owner.as_str());
        // On a publisher the repository is mounted by the tools of the server.
        self.autofs_off(&[]);
        if let Some(volume) = &section.volume {
            self.volume(volume);
            self.link("/var/spool/cvmfs", &format!("{}/spool/cvmfs", volume.mount));
        }
        self.storage_site();
        self.repository(section);
        self.first_transaction();
        self.file(
            "resign-timer",
            "the whitelist is signed weekly",
            "/etc/cron.d/cvmfs_resign",
        );
        self.service(cron, &[], None);
        self.answers("http://localhost");
    }

    fn storage_site(&mut self) {
        self.apache_modules(&["expires", "headers"]);
        let site = self.site_path();
        self.file("web-site", "the storage is served", &site);
        let test = command(["apachectl", "configtest"]);
        self.service(self.web(), &[&site], Some(test));
        self.firewall(&[80]);
    }

    /// The repository, its keys and its settings.
    fn repository(&mut self, section: &Stratum0Section) {
        let name = self.description.repository.name.as_str();
        let folder = format!("/etc/cvmfs/repositories.d/{name}");
        if let Some(keys) = &section.keys {
            let there = |end| command(["test", "-s", &format!("{keys}/{name}.{end}")]);
            self.program(
                "keys",
                format!("the four keys are in `{keys}`"),
                Test::Succeed(KEYS.map(there).into()),
                Vec::new(),
            );
        }
        self.program(
            "mkfs",
            "the repository exists",
            Test::ExistsWithout(
                format!("{folder}/server.conf"),
                format!("{folder}/replica.conf"),
            ),
            vec![mkfs(section, name)],
        );
        let chmod = |mode: &str, ends: [&str; 2]| {
            let mut words = command(["chmod", mode]);
            words.extend(ends.map(|end| format!("/etc/cvmfs/keys/{name}.{end}")));
            words
        };
        self.program(
            "key-modes",
            "private keys are root's alone",
            Test::KeyModes {
                folder: "/etc/cvmfs/keys".to_owned(),
                name: name.to_owned(),
            },
            vec![
                chmod("600", ["key", "masterkey"]),
                chmod("644", ["crt", "pub"]),
            ],
        );
        let settings = format!("{folder}/server.conf");
        self.file("settings", "settings for container images", &settings);
    }

    /// `mkfs` leaves revision 2; an empty transaction proves that publishing works. One that was opened
    /// before a kill is not opened again.
    fn first_transaction(&mut self) {
        let name = self.description.repository.name.as_str();
        let storage = format!("/srv/cvmfs/{name}");
        let published = Test::Revision(storage.clone(), 3);
        let open = Test::Exists(format!("/var/spool/cvmfs/{name}/in_transaction.lock"));
        self.program(
            "transaction",
            "a transaction can be opened",
            Test::AnyOf(vec![published.clone(), open]),
            vec![command(["cvmfs_server", "transaction", name])],
        );
        self.program(
            "publish",
            "publishing works",
            published,
            vec![command(["cvmfs_server", "publish", name])],
        );
        self.program(
            "resign",
            "the whitelist is good for ten days and more",
            Test::Whitelist(storage, WHITELIST_HOURS),
            vec![command(["cvmfs_server", "resign", "-f", name])],
        );
    }
}

/// Makes the repository. The web server is set up by us (`-p`); automatic tags go after a while, so that
/// what no revision needs can be collected (`-z`).
fn mkfs(section: &Stratum0Section, name: &str) -> CommandLine {
    let (owner, kept) = (section.owner.as_str(), section.tags_kept.as_str());
    let mut words = command(["cvmfs_server", "mkfs", "-o", owner]);
    words.extend(command(["-f", "overlayfs", "-p", "-z", "-G", kept]));
    if let Some(keys) = &section.keys {
        words.extend(command(["-k", keys.as_str()]));
    }
    words.push(name.to_owned());
    words
}
