//! The steps of a replica.

use super::List;
use crate::server::{
    description::{BEHIND, Stratum1Section},
    step::{Test, command},
};

impl List<'_> {
    pub(super) fn stratum1(&mut self, section: &Stratum1Section) {
        let cron = self.cron();
        let wsgi = self.by_family("python3-mod_wsgi", "libapache2-mod-wsgi-py3");
        let updates = self.by_family("dnf-automatic", "unattended-upgrades");
        let web = self.web();
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
        self.updates();
        self.time_zone();
        self.owner(section.owner.as_str());
        if let Some(volume) = &section.volume {
            self.volume(volume);
        }
        let listen = self.by_family("/etc/httpd/conf/httpd.conf", "/etc/apache2/ports.conf");
        self.file("web-port", "the web server stands behind the cache", listen);
        self.service(web, &[listen], Some(command(["apachectl", "configtest"])));
        self.replica(section);
        let timer = "/etc/cron.d/cvmfs_stratum1_snapshot";
        self.file("snapshot-timer", "the copy is brought up to date", timer);
        self.service(cron, &[], None);
        self.file("log-rotation", "logs are rotated", "/etc/logrotate.d/cvmfs");
        let licence = "account and licence of the geo database";
        self.file("geo-licence", licence, "/etc/cvmfs/server.local");
        self.squid("the cache in front");
        self.firewall(section.ports.get_ref());
        if section.geo.is_some() {
            self.program(
                "geo-database",
                "the geo database is here",
                Test::Listed("/var/lib/cvmfs-server/geo".to_owned()),
                vec![command(["cvmfs_server", "update-geodb"])],
            );
        }
        for port in [BEHIND].iter().chain(section.ports.get_ref()) {
            self.answers(&format!("http://localhost:{port}"));
        }
    }

    fn updates(&mut self) {
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
    }

    /// The key, the replica and its first copy.
    fn replica(&mut self, section: &Stratum1Section) {
        let repository = &self.description.repository;
        let name = repository.name.as_str();
        self.file("key", "the public key", &repository.key_path());
        let mut add = command(["cvmfs_server", "add-replica", "-o", section.owner.as_str()]);
        add.push(repository.stratum0.repository(&repository.name));
        add.push(repository.key_folder());
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
    }
}
