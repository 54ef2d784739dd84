//! The steps of each role, in their order.

mod list;

use super::{
    credentials::Credentials,
    description::{BEHIND, Description},
    files::{ConfigFile, NoSection, Role, files},
    step::{Action, Step, Test, command},
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
        let settings = self.by_family(
            "/etc/dnf/automatic.conf",
            "/etc/apt/apt.conf.d/20auto-upgrades",
        );
        self.file("update-settings", "updates are those of security", settings);
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
}

/// What files of keys end in.
pub(super) const KEYS: [&str; 4] = ["crt", "key", "masterkey", "pub"];
