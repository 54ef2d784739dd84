//! The programs of a machine, played for tests of its set-up.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Mutex,
};

use nd_host::{Finished, Invocation, Outcome, ProgramError, Programs, Stream};
use nd_report::Cancel;

use crate::life::put;

/// The programs of a machine that starts empty: each does to the folder what the real one would be seen
/// to have done, and the machine answers accordingly.
pub(crate) struct Played {
    root: PathBuf,
    ran: Mutex<Vec<String>>,
    /// The command with this number fails, once.
    pub(crate) fails: Mutex<Option<usize>>,
}

/// Files that packages bring: path, package, text.
pub(crate) const PACKAGED: [(&str, &str, &str); 3] = [
    (
        "/etc/squid/squid.conf",
        "squid",
        "# the default\nhttp_port 3128\n",
    ),
    (
        "/etc/httpd/conf/httpd.conf",
        "httpd",
        "Listen 80\nServerAdmin root@localhost\n",
    ),
    ("/etc/apache2/ports.conf", "apache2", "Listen 80\n"),
];

fn owner(path: &str) -> Option<&'static str> {
    PACKAGED
        .iter()
        .find(|(other, ..)| *other == path)
        .map(|(_, package, _)| *package)
}

impl Played {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            ran: Mutex::default(),
            fails: Mutex::new(None),
        }
    }

    pub(crate) fn ran(&self) -> Vec<String> {
        self.ran.lock().unwrap().clone()
    }

    fn has_run(&self, start: &str, word: &str) -> bool {
        let ran = self.ran.lock().unwrap();
        ran.iter()
            .any(|line| line.starts_with(start) && line.split(' ').any(|other| other == word))
    }

    fn put(&self, path: &str, text: &str) {
        put(&self.root.join(path), text.as_bytes());
    }

    fn publish(&self, revision: u64) {
        let zero = "0".repeat(40);
        let manifest =
            format!("C{zero}\nRd41d8cd98f00b204e9800998ecf8427e\nD240\nS{revision}\n--\n{zero}\n");
        self.put(
            "storage/cvmfs-storage/srv/cvmfs/software.example.org/.cvmfspublished",
            &manifest,
        );
    }

    /// What a question is answered; `None` for what is no question.
    fn answer(&self, words: &[&str]) -> Option<(bool, &'static str)> {
        Some(match *words {
            ["rpm", "--query", "--quiet", "cvmfs-release"] => (
                self.has_run(
                    "dnf",
                    "https://packages.example.org/cvmfs/release-latest.noarch.rpm",
                ),
                "",
            ),
            ["rpm", "--query", "--quiet", name] => (self.has_run("dnf", name), ""),
            ["dpkg-query", "--show", "cvmfs-release"] => {
                (self.has_run("apt-get", "/root/release.deb"), "")
            }
            ["dpkg-query", "--show", _, name] => (self.has_run("apt-get", name), "installed"),
            ["dpkg-query", "--search", path] => {
                (self.has_run("apt-get", owner(path)?), owner(path)?)
            }
            ["rpm", "--query", "--file", path] => (self.has_run("dnf", owner(path)?), ""),
            // The whole package is looked at; only `rpm` has an exit code for what it finds.
            ["dpkg", "--verify", _] => (true, self.changed()),
            ["rpm", "--verify", "--file", _] => (false, self.changed()),
            ["getent", "passwd", user] => (self.has_run("useradd", user), ""),
            ["systemctl", "is-enabled" | "is-active", "--quiet", "autofs"] => {
                (!self.has_run("systemctl disable", "autofs"), "")
            }
            ["systemctl", "is-enabled", "--quiet", name] => {
                (self.has_run("systemctl enable", name), "")
            }
            ["systemctl", "is-active", "--quiet", name] => {
                (self.has_run("systemctl restart", name), "")
            }
            ["firewall-cmd", "--quiet", "--permanent", port]
                if port.starts_with("--query-port") =>
            {
                (
                    self.has_run("firewall-cmd", &port.replace("query", "add")),
                    "",
                )
            }
            // What is permanent counts after the next reload.
            ["firewall-cmd", "--quiet", port] if port.starts_with("--query-port") => {
                let ran = self.ran();
                let added = ran
                    .iter()
                    .position(|line| line.ends_with(&port.replace("query", "add")));
                let reloaded = |at: usize| ran[at..].iter().any(|line| line.ends_with("--reload"));
                (added.is_some_and(reloaded), "")
            }
            ["test", "-s", _] => (true, ""),
            ["blkid", ..] => (true, "TYPE=ext4\nUSAGE=filesystem"),
            ["cvmfs_config", "chksetup"] => (self.has_run("cvmfs_config", "setup"), ""),
            _ => return None,
        })
    }

    /// A line for the one file of a package that is not as it was installed.
    fn changed(&self) -> &'static str {
        let [squid, httpd, ports] = PACKAGED.map(|(path, _, text)| {
            let now = fs_err::read_to_string(self.root.join(&path[1..]));
            now.is_ok_and(|now| now != text)
        });
        match (squid, httpd || ports) {
            (true, _) => "S.5....T.  c /etc/squid/squid.conf\n..5......  c /etc/other",
            (_, true) => {
                "S.5....T.  c /etc/httpd/conf/httpd.conf\n??5??????  c /etc/apache2/ports.conf"
            }
            _ => "..5......  c /etc/other",
        }
    }

    fn effect(&self, words: &[&str]) {
        if ["dnf", "apt-get"].contains(&words[0]) {
            for (path, package, text) in PACKAGED {
                if words.contains(&package) {
                    self.put(&path[1..], text);
                }
            }
        }
        let (folder, name) = (
            "etc/cvmfs/repositories.d/software.example.org",
            "software.example.org",
        );
        match *words {
            ["timedatectl", "set-timezone", zone] => {
                fs_err::create_dir_all(self.root.join("etc")).unwrap();
                symlink(
                    format!("../usr/share/zoneinfo/{zone}"),
                    self.root.join("etc/localtime"),
                )
                .unwrap();
            }
            ["mount", place] => {
                self.put(
                    "proc/self/mountinfo",
                    &format!("1 1 0:1 / {place} rw - ext4 /dev/vdb rw\n"),
                );
            }
            ["a2enmod", _, module] => {
                self.put(&format!("etc/apache2/mods-enabled/{module}.load"), "x");
            }
            ["cvmfs_server", "mkfs", ..] => {
                self.put(&format!("{folder}/server.conf"), "CVMFS_USER=cvmfs\n");
                for end in ["crt", "key", "masterkey", "pub"] {
                    self.put(&format!("etc/cvmfs/keys/{name}.{end}"), "key");
                    self.effect(&["chmod", "640", &format!("/etc/cvmfs/keys/{name}.{end}")]);
                }
                self.publish(2);
            }
            ["cvmfs_server", "transaction", name] => {
                let lock = format!("storage/spool/cvmfs/{name}/in_transaction.lock");
                assert!(!self.root.join(&lock).exists(), "a transaction is open");
                self.put(&lock, "");
            }
            ["cvmfs_server", "publish", _] => self.publish(3),
            ["cvmfs_server", "add-replica", ..] => {
                self.put(&format!("{folder}/replica.conf"), "x");
            }
            ["cvmfs_server", "snapshot", _] => self.publish(7),
            ["cvmfs_server", "update-geodb"] => self.put("var/lib/cvmfs-server/geo/GeoLite2", "x"),
            ["cvmfs_server", "resign", ..] => {
                let print = ["00"; 20].join(":");
                let text = format!("20260101000000\nE20260201000000\nN{name}\n{print}\n--\n");
                self.put(
                    &format!("storage/cvmfs-storage/srv/cvmfs/{name}/.cvmfswhitelist"),
                    &text,
                );
            }
            ["cvmfs_config", "stat", ..] => self.put(&format!("cvmfs/{name}/containers"), "x"),
            ["chmod", mode, ref paths @ ..] => {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = u32::from_str_radix(mode, 8).unwrap();
                for path in paths {
                    let path = self.root.join(path.trim_start_matches('/'));
                    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            _ => {}
        }
    }
}

impl Programs for Played {
    fn find(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from("/usr/bin").join(name))
    }

    fn run(
        &self,
        invocation: &Invocation,
        _: &mut dyn FnMut(Stream, &[u8]),
        _: &Cancel,
    ) -> Result<Finished, ProgramError> {
        let line: Vec<&str> = std::iter::once(invocation.program())
            .chain(invocation.arguments())
            .map(|word| word.to_str().unwrap())
            .collect();
        let (good, stdout) = if let Some(answer) = self.answer(&line) {
            answer
        } else {
            let number = self.ran.lock().unwrap().len();
            let fails = self.fails.lock().unwrap().take_if(|fails| *fails == number);
            if fails.is_none() {
                self.effect(&line);
                self.ran.lock().unwrap().push(line.join(" "));
            }
            (fails.is_none(), "")
        };
        Ok(Finished {
            shown: invocation.shown(),
            outcome: Outcome::Code(i32::from(!good)),
            stdout: stdout.as_bytes().to_vec(),
            last_lines: Vec::new(),
        })
    }
}
