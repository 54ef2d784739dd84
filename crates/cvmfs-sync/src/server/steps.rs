//! The steps of each role, in their order.

use super::{
    credentials::Credentials,
    description::{BEHIND, Description, Family, Volume},
    files::{ConfigFile, NoSection, Role, files},
    step::{Action, CommandLine, Step, Test, command},
};

/// Hours that a whitelist should still be good.
const WHITELIST_HOURS: i64 = 10 * 24;

/// The steps that make a machine what the description says.
pub fn steps(
    description: &Description,
    role: Role,
    credentials: Option<&Credentials>,
) -> Result<Vec<Step>, NoSection> {
    let mut list = List {
        description,
        files: files(description, role, credentials)?,
        steps: Vec::new(),
    };
    match role {
        Role::Stratum0 => list.stratum0(),
        Role::Stratum1 => list.stratum1(),
        Role::Proxy => list.proxy(),
        Role::Client => list.client(),
    }
    Ok(list.steps)
}

struct List<'a> {
    description: &'a Description,
    files: Vec<ConfigFile>,
    steps: Vec<Step>,
}

impl List<'_> {
    fn stratum0(&mut self) {
        let Some(section) = &self.description.stratum0 else {
            return;
        };
        let name = self.description.repository.name.as_str();
        let (web, cron) = (self.web(), self.by_family("cronie", "cron"));
        self.release();
        self.packages(&["cvmfs", "cvmfs-server", web, cron]);
        self.time_zone();
        self.owner(section.owner.as_str());
        // On a publisher the repository is mounted by the tools of the server.
        self.program(
            "autofs",
            "autofs is off",
            Test::Fail(vec![
                command(["systemctl", "is-enabled", "--quiet", "autofs"]),
                command(["systemctl", "is-active", "--quiet", "autofs"]),
            ]),
            vec![command(["systemctl", "disable", "--now", "autofs"])],
        );
        if let Some(volume) = &section.volume {
            self.volume(volume);
            self.link("/var/spool/cvmfs", &format!("{}/spool/cvmfs", volume.mount));
        }
        self.apache_modules(&["expires", "headers"]);
        let site = self.site_path();
        self.file("web-site", "the storage is served", &site);
        self.service(web, &[&site], Some(command(["apachectl", "configtest"])));
        self.firewall(&[80]);
        let mut mkfs = command(["cvmfs_server", "mkfs"]);
        // The web server is set up above; automatic tags go after a while, so that what no revision
        // needs can be collected.
        mkfs.extend(command([
            "-o",
            section.owner.as_str(),
            "-f",
            "overlayfs",
            "-p",
            "-z",
        ]));
        mkfs.extend(command(["-G", section.tags_kept.as_str()]));
        if let Some(keys) = &section.keys {
            self.program(
                "keys",
                format!("the four keys are in `{keys}`"),
                Test::Succeed(
                    KEYS.iter()
                        .map(|end| command(["test", "-s", &format!("{keys}/{name}.{end}")]))
                        .collect(),
                ),
                Vec::new(),
            );
            mkfs.extend(command(["-k", keys.as_str()]));
        }
        mkfs.push(name.to_owned());
        let folder = format!("/etc/cvmfs/repositories.d/{name}");
        self.program(
            "mkfs",
            "the repository exists",
            Test::ExistsWithout(
                format!("{folder}/server.conf"),
                format!("{folder}/replica.conf"),
            ),
            vec![mkfs],
        );
        let modes = Test::KeyModes {
            folder: "/etc/cvmfs/keys".to_owned(),
            name: name.to_owned(),
        };
        let path = |end: &str| format!("/etc/cvmfs/keys/{name}.{end}");
        let mode = |mode: &str, ends: [&str; 2]| {
            let mut words = command(["chmod", mode]);
            words.extend(ends.map(path));
            words
        };
        self.program(
            "key-modes",
            "private keys are root's alone",
            modes,
            vec![
                mode("600", ["key", "masterkey"]),
                mode("644", ["crt", "pub"]),
            ],
        );
        let settings = format!("{folder}/server.conf");
        self.file("settings", "settings for container images", &settings);
        // `mkfs` leaves revision 2; an empty transaction proves that publishing works.
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
        self.file(
            "resign-timer",
            "the whitelist is signed weekly",
            "/etc/cron.d/cvmfs_resign",
        );
        self.service(cron, &[], None);
        self.answers("http://localhost");
    }

    fn stratum1(&mut self) {
        let Some(section) = &self.description.stratum1 else {
            return;
        };
        let repository = &self.description.repository;
        let name = repository.name.as_str();
        let (web, cron) = (self.web(), self.by_family("cronie", "cron"));
        let wsgi = self.by_family("python3-mod_wsgi", "libapache2-mod-wsgi-py3");
        let updates = self.by_family("dnf-automatic", "unattended-upgrades");
        self.release();
        self.packages(&[
            "cvmfs-server",
            web,
            wsgi,
            "squid",
            cron,
            "logrotate",
            updates,
        ]);
        let timer = self.by_family("dnf-automatic-install.timer", "unattended-upgrades.service");
        self.program(
            "updates",
            "updates are installed by themselves",
            Test::Succeed(vec![command(["systemctl", "is-enabled", "--quiet", timer])]),
            vec![command(["systemctl", "enable", "--now", timer])],
        );
        self.time_zone();
        self.owner(section.owner.as_str());
        if let Some(volume) = &section.volume {
            self.volume(volume);
        }
        let listen = self.by_family("/etc/httpd/conf/httpd.conf", "/etc/apache2/ports.conf");
        self.file("web-port", "the web server stands behind the cache", listen);
        self.service(web, &[listen], Some(command(["apachectl", "configtest"])));
        self.file("key", "the public key", &repository.key_path());
        let address = repository.stratum0.repository(&repository.name);
        let mut add = command(["cvmfs_server", "add-replica", "-o", section.owner.as_str()]);
        add.extend([address, repository.key_folder()]);
        self.program(
            "add-replica",
            "the replica exists",
            Test::Exists(format!("/etc/cvmfs/repositories.d/{name}/replica.conf")),
            vec![add],
        );
        self.program(
            "snapshot",
            "the repository is copied",
            Test::Revision(format!("/srv/cvmfs/{name}"), 1),
            vec![command(["cvmfs_server", "snapshot", name])],
        );
        let timer = "/etc/cron.d/cvmfs_stratum1_snapshot";
        self.file("snapshot-timer", "the copy is brought up to date", timer);
        self.service(cron, &[], None);
        self.file("log-rotation", "logs are rotated", "/etc/logrotate.d/cvmfs");
        self.file(
            "geo-licence",
            "account and licence of the geo database",
            "/etc/cvmfs/server.local",
        );
        self.file("cache", "the cache in front", "/etc/squid/squid.conf");
        self.service(
            "squid",
            &["/etc/squid/squid.conf"],
            Some(command(["squid", "-k", "parse"])),
        );
        self.firewall(section.ports.get_ref());
        if section.geo.is_some() {
            self.program(
                "geo-database",
                "the geo database is here",
                Test::Listed("/var/lib/cvmfs-server/geo".to_owned()),
                vec![command(["cvmfs_server", "update-geodb"])],
            );
        }
        self.answers(&format!("http://localhost:{BEHIND}"));
        for port in section.ports.get_ref() {
            self.answers(&format!("http://localhost:{port}"));
        }
    }

    fn proxy(&mut self) {
        let Some(section) = &self.description.proxy else {
            return;
        };
        self.packages(&["squid"]);
        self.file(
            "proxy",
            "the proxy's configuration",
            "/etc/squid/squid.conf",
        );
        self.service(
            "squid",
            &["/etc/squid/squid.conf"],
            Some(command(["squid", "-k", "parse"])),
        );
        self.firewall(&[section.port]);
    }

    fn client(&mut self) {
        let name = self.description.repository.name.as_str();
        self.release();
        self.packages(&["cvmfs"]);
        for file in std::mem::take(&mut self.files) {
            let id = file
                .path
                .rsplit('/')
                .next()
                .unwrap_or(&file.path)
                .to_owned();
            let title = format!("`{}`", file.path);
            self.steps.push(Step::new(id, title, Action::File(file)));
        }
        self.program(
            "setup",
            "CVMFS says that it is set up",
            Test::Succeed(vec![command(["cvmfs_config", "chksetup"])]),
            vec![command(["cvmfs_config", "setup"])],
        );
        self.program(
            "mounted",
            "the repository can be listed",
            Test::Listed(format!("/cvmfs/{name}")),
            vec![command(["cvmfs_config", "stat", "-v", name])],
        );
    }

    fn by_family<'a>(&self, dnf: &'a str, apt: &'a str) -> &'a str {
        match self.description.host.packages {
            Family::Dnf => dnf,
            Family::Apt => apt,
        }
    }

    /// Package and service of the web server.
    fn web(&self) -> &'static str {
        self.by_family("httpd", "apache2")
    }

    fn site_path(&self) -> String {
        let site = |file: &&ConfigFile| file.path.contains("/cvmfs.");
        self.files
            .iter()
            .find(site)
            .map(|file| file.path.clone())
            .unwrap_or_default()
    }

    fn program(
        &mut self,
        id: impl Into<String>,
        title: impl Into<String>,
        done: Test,
        run: Vec<CommandLine>,
    ) {
        self.steps
            .push(Step::new(id, title, Action::Program { done, run }));
    }

    /// The step for one of the role's files, if the role has it.
    fn file(&mut self, id: &str, title: &str, path: &str) {
        if let Some(at) = self.files.iter().position(|file| file.path == path) {
            let file = self.files.remove(at);
            self.steps.push(Step::new(id, title, Action::File(file)));
        }
    }

    fn release(&mut self) {
        let Some(release) = &self.description.host.release else {
            return;
        };
        let release = release.get_ref().as_str();
        let (asked, run) = match self.description.host.packages {
            Family::Dnf => (
                command(["rpm", "--query", "--quiet", "cvmfs-release"]),
                vec![command(["dnf", "--assumeyes", "install", release])],
            ),
            Family::Apt => (
                command(["dpkg-query", "--show", "cvmfs-release"]),
                vec![
                    command(["apt-get", "--yes", "install", release]),
                    command(["apt-get", "update"]),
                ],
            ),
        };
        let title = "the host knows where CVMFS packages are";
        self.program("release", title, Test::Succeed(vec![asked]), run);
    }

    fn packages(&mut self, names: &[&str]) {
        let action = Action::Packages {
            family: self.description.host.packages,
            names: command(names.iter().copied()),
        };
        self.steps
            .push(Step::new("packages", names.join(", "), action));
    }

    fn time_zone(&mut self) {
        if let Some(zone) = &self.description.host.time_zone {
            self.program(
                "time-zone",
                format!("the time zone is {zone}"),
                Test::LeadsTo("/etc/localtime".to_owned(), format!("/zoneinfo/{zone}")),
                vec![command(["timedatectl", "set-timezone", zone.as_str()])],
            );
        }
    }

    fn owner(&mut self, user: &str) {
        let mut run = command(["useradd", "--system", "--user-group"]);
        run.extend(command([
            "--home-dir",
            "/var/lib/cvmfs",
            "--shell",
            "/sbin/nologin",
            user,
        ]));
        self.program(
            "owner",
            format!("the user `{user}` exists"),
            Test::Succeed(vec![command(["getent", "passwd", user])]),
            vec![run],
        );
    }

    /// A volume with a file system, mounted now and at each start, which the storage lives on.
    fn volume(&mut self, volume: &Volume) {
        let (device, mount) = (&volume.device, volume.mount.as_str());
        let title = format!("`{device}` has a file system");
        let device = device.clone();
        self.steps
            .push(Step::new("format", title, Action::Format { device }));
        let directory = Action::Directory {
            path: mount.to_owned(),
            mode: 0o755,
        };
        self.steps.push(Step::new(
            "mount-point",
            format!("`{mount}` exists"),
            directory,
        ));
        self.file("fstab", "the volume is mounted at each start", "/etc/fstab");
        self.program(
            "mount",
            "the volume is mounted",
            Test::Mounted(mount.to_owned()),
            vec![command(["mount", mount])],
        );
        self.link("/srv/cvmfs", &format!("{mount}/cvmfs-storage/srv/cvmfs"));
    }

    fn link(&mut self, at: &str, to: &str) {
        let id = at.trim_start_matches('/').replace('/', "-");
        let (at, to) = (at.to_owned(), to.to_owned());
        let title = format!("`{at}` lives at `{to}`");
        self.steps
            .push(Step::new(id, title, Action::Link { at, to }));
    }

    /// Debian's Apache loads what is enabled; others load everything that is installed.
    fn apache_modules(&mut self, names: &[&str]) {
        if self.description.host.packages == Family::Apt {
            for name in names {
                self.program(
                    format!("web-module-{name}"),
                    format!("the web server has `{name}`"),
                    Test::Exists(format!("/etc/apache2/mods-enabled/{name}.load")),
                    vec![command(["a2enmod", "--quiet", name])],
                );
            }
        }
    }

    fn service(&mut self, package: &str, reads: &[&str], test: Option<CommandLine>) {
        let name = if package == "cronie" {
            "crond"
        } else {
            package
        };
        let action = Action::Service {
            name: name.to_owned(),
            reads: command(reads.iter().copied()),
            test,
        };
        let title = format!("`{name}` runs, now and at each start");
        self.steps
            .push(Step::new(format!("service-{name}"), title, action));
    }

    /// Ports are open. Debian has no firewall of its own.
    fn firewall(&mut self, ports: &[u16]) {
        if self.description.host.packages == Family::Apt {
            return;
        }
        let firewall =
            |words: &[&str]| command(["firewall-cmd", "--quiet"].iter().chain(words).copied());
        for port in ports {
            let port = format!("{port}/tcp");
            self.program(
                format!("firewall-{}", port.replace('/', "-")),
                format!("the firewall lets {port} in"),
                // Now and after the next start: a reload that never came would show in neither alone.
                Test::Succeed(vec![
                    firewall(&["--permanent", &format!("--query-port={port}")]),
                    firewall(&[&format!("--query-port={port}")]),
                ]),
                vec![
                    firewall(&["--permanent", &format!("--add-port={port}")]),
                    firewall(&["--reload"]),
                ],
            );
        }
    }

    fn answers(&mut self, server: &str) {
        let name = &self.description.repository.name;
        let address = format!("{server}/cvmfs/{name}");
        let id = format!(
            "test-{}",
            server.trim_start_matches("http://").replace(':', "-")
        );
        let title = format!("`{server}` answers");
        self.steps
            .push(Step::new(id, title, Action::Answers { address }));
    }
}

/// What files of keys end in.
pub(super) const KEYS: [&str; 4] = ["crt", "key", "masterkey", "pub"];
