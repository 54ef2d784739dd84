//! What steps of several roles have in common.

use super::List;
use crate::server::{
    description::{Family, Firewall, Volume},
    files::ConfigFile,
    step::{Action, CommandLine, Step, Test, command},
};

impl List<'_> {
    pub(super) fn by_family<'a>(&self, dnf: &'a str, apt: &'a str) -> &'a str {
        match self.description.host.packages {
            Family::Dnf => dnf,
            Family::Apt => apt,
        }
    }

    /// Package and service of the web server.
    pub(super) fn web(&self) -> &'static str {
        self.by_family("httpd", "apache2")
    }

    /// The package of the service that runs what is in `/etc/cron.d`.
    pub(super) fn cron(&self) -> &'static str {
        self.by_family("cronie", "cron")
    }

    /// Squid with the role's configuration.
    pub(super) fn squid(&mut self, title: &str) {
        let path = "/etc/squid/squid.conf";
        self.file("squid", title, path);
        self.service("squid", &[path], Some(command(["squid", "-k", "parse"])));
    }

    /// Where the site that serves the storage is.
    pub(super) fn site_path(&self) -> String {
        let site = |file: &&ConfigFile| file.path.contains("/cvmfs.");
        self.files
            .iter()
            .find(site)
            .map(|file| file.path.clone())
            .unwrap_or_default()
    }

    pub(super) fn program(
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
    pub(super) fn file(&mut self, id: &str, title: &str, path: &str) {
        if let Some(at) = self.files.iter().position(|file| file.path == path) {
            let file = self.files.remove(at);
            self.steps.push(Step::new(id, title, Action::File(file)));
        }
    }

    pub(super) fn release(&mut self) {
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

    pub(super) fn packages(&mut self, names: &[&str]) {
        let action = Action::Packages {
            family: self.description.host.packages,
            names: command(names.iter().copied()),
        };
        self.steps
            .push(Step::new("packages", names.join(", "), action));
    }

    pub(super) fn time_zone(&mut self) {
        if let Some(zone) = &self.description.host.time_zone {
            self.program(
                "time-zone",
                format!("the time zone is {zone}"),
                Test::LeadsTo("/etc/localtime".to_owned(), format!("/zoneinfo/{zone}")),
                vec![command(["timedatectl", "set-timezone", zone.as_str()])],
            );
        }
    }

    pub(super) fn owner(&mut self, user: &str) {
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

    /// Nothing is mounted by looking into it, after `first` was run.
    pub(super) fn autofs_off(&mut self, first: &[CommandLine]) {
        let mut run = first.to_vec();
        run.push(command(["systemctl", "disable", "--now", "autofs"]));
        self.program(
            "autofs",
            "autofs is off",
            Test::Fail(vec![
                command(["systemctl", "is-enabled", "--quiet", "autofs"]),
                command(["systemctl", "is-active", "--quiet", "autofs"]),
            ]),
            run,
        );
    }

    pub(super) fn directory(&mut self, id: &str, path: &str) {
        let action = Action::Directory {
            path: path.to_owned(),
            mode: 0o755,
        };
        self.steps
            .push(Step::new(id, format!("`{path}` exists"), action));
    }

    /// A volume with a file system, mounted now and at each start, which the storage lives on.
    pub(super) fn volume(&mut self, volume: &Volume) {
        let (device, mount) = (&volume.device, volume.mount.as_str());
        let title = format!("`{device}` has a file system");
        let device = device.clone();
        self.steps
            .push(Step::new("format", title, Action::Format { device }));
        self.directory("mount-point", mount);
        self.file("fstab", "the volume is mounted at each start", "/etc/fstab");
        self.program(
            "mount",
            "the volume is mounted",
            Test::Mounted(mount.to_owned()),
            vec![command(["mount", mount])],
        );
        self.link("/srv/cvmfs", &format!("{mount}/cvmfs-storage/srv/cvmfs"));
    }

    pub(super) fn link(&mut self, at: &str, to: &str) {
        let id = at.trim_start_matches('/').replace('/', "-");
        let (at, to) = (at.to_owned(), to.to_owned());
        let title = format!("`{at}` lives at `{to}`");
        self.steps
            .push(Step::new(id, title, Action::Link { at, to }));
    }

    /// Debian's Apache loads what is enabled; others load everything that is installed.
    pub(super) fn apache_modules(&mut self, names: &[&str]) {
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

    pub(super) fn service(&mut self, package: &str, reads: &[&str], test: Option<CommandLine>) {
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

    /// Ports are open.
    pub(super) fn firewall(&mut self, ports: &[u16]) {
        if self.description.host.firewall() == Firewall::None {
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

    pub(super) fn answers(&mut self, server: &str) {
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
