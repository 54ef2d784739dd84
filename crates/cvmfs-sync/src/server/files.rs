//! Every file of a set-up: where it is, what it holds, and by which rule.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::{
    content::{Content, Setting},
    credentials::Credentials,
    description::{
        BEHIND, ClientSection, Description, Family, ProxySection, Stratum0Section, Stratum1Section,
    },
    words::{ProxyAddress, ServerAddress},
};

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Publishes.
    Stratum0,
    /// Copies what is published, and serves clients.
    Stratum1,
    /// Caches for the clients of a site.
    Proxy,
    /// Mounts the repository.
    Client,
}

impl Role {
    /// The name, which is also that of the description's section.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stratum0 => "stratum0",
            Self::Stratum1 => "stratum1",
            Self::Proxy => "proxy",
            Self::Client => "client",
        }
    }
}

/// The description says nothing about a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the description has no `[{}]`", .0.name())]
pub struct NoSection(pub Role);

/// Which program can say whether a file is well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// None.
    Plain,
    /// `squid -k parse`.
    Squid,
    /// Apache's own test.
    Apache,
}

/// A file of a set-up.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Absolute path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What it should hold.
    pub content: Content,
    /// Who can read it.
    pub syntax: Syntax,
    /// Whether its text must not be shown.
    pub secret: bool,
}

impl fmt::Debug for ConfigFile {
    /// Without the content of secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content: &dyn fmt::Debug = if self.secret { &"***" } else { &self.content };
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .field("mode", &format_args!("{:o}", self.mode))
            .field("content", content)
            .finish_non_exhaustive()
    }
}

impl ConfigFile {
    fn new(path: impl Into<String>, content: Content) -> Self {
        Self {
            path: path.into(),
            mode: 0o644,
            content,
            syntax: Syntax::Plain,
            secret: false,
        }
    }

    fn checked_by(self, syntax: Syntax) -> Self {
        Self { syntax, ..self }
    }
}

/// The files of `role` in the order in which they are needed. Without `credentials` the file that
/// holds them is left out.
pub fn files(
    description: &Description,
    role: Role,
    credentials: Option<&Credentials>,
) -> Result<Vec<ConfigFile>, NoSection> {
    let none = || NoSection(role);
    Ok(match role {
        Role::Stratum0 => stratum0(description, description.stratum0.as_ref().ok_or_else(none)?),
        Role::Stratum1 => {
            let section = description.stratum1.as_ref().ok_or_else(none)?;
            stratum1(description, section, credentials)
        }
        Role::Proxy => vec![site_proxy(description.proxy.as_ref().ok_or_else(none)?)],
        Role::Client => client(description, description.client.as_ref().ok_or_else(none)?),
    })
}

/// The line of `fstab` for a volume: mounted by whatever file system it has, and no reason for the
/// machine not to start.
fn fstab(volume: &super::description::Volume) -> ConfigFile {
    let content = Content::Mount {
        device: volume.device.to_string(),
        mount: volume.mount.to_string(),
        rest: "auto defaults,nofail 0 2",
    };
    ConfigFile::new("/etc/fstab", content)
}

fn stratum0(description: &Description, section: &Stratum0Section) -> Vec<ConfigFile> {
    let name = &description.repository.name;
    let mut files: Vec<ConfigFile> = section.volume.iter().map(fstab).collect();
    files.push(storage_site(description));
    // Container images carry file capabilities, and a look at old revisions costs nothing.
    let settings = Content::Settings(vec![
        Setting::new("CVMFS_INCLUDE_XATTRS", "true"),
        Setting::new("CVMFS_VIRTUAL_DIR", "true"),
        Setting::new("CVMFS_AUTO_TAG_TIMESPAN", section.tags_kept.as_str()),
    ]);
    files.push(ConfigFile::new(
        format!("/etc/cvmfs/repositories.d/{name}/server.conf"),
        settings,
    ));
    // A whitelist lasts 30 days, and an expired one stops transactions and clients.
    let resign = format!("0 11 * * 1 root /usr/bin/cvmfs_server resign {name}\n");
    files.push(ConfigFile::new(
        "/etc/cron.d/cvmfs_resign",
        Content::Whole(resign),
    ));
    files
}

/// The storage as Apache serves it: objects never change and live three days, what names the current
/// revision lives a minute, and nothing has an identity besides its name.
fn storage_site(description: &Description) -> ConfigFile {
    let name = &description.repository.name;
    let path = match description.host.packages {
        Family::Dnf => format!("/etc/httpd/conf.d/cvmfs.{name}.conf"),
        Family::Apt => format!("/etc/apache2/conf-enabled/cvmfs.{name}.conf"),
    };
    let storage = format!("/srv/cvmfs/{name}");
    let text = format!(
        r#"Alias "/cvmfs/{name}" "{storage}"
<Directory "{storage}">
    Options -MultiViews +FollowSymLinks
    AllowOverride None
    Require all granted
    EnableMMAP Off
    FileETag None
    Header unset Last-Modified
    <FilesMatch "^\.cvmfs">
        ForceType application/x-cvmfs
    </FilesMatch>
    <FilesMatch "^[^.]*$">
        ForceType application/octet-stream
    </FilesMatch>
    ExpiresActive On
    ExpiresDefault "access plus 3 days"
    ExpiresByType application/x-cvmfs "access plus 61 seconds"
</Directory>
"#
    );
    ConfigFile::new(path, Content::Whole(text)).checked_by(Syntax::Apache)
}

fn stratum1(
    description: &Description,
    section: &Stratum1Section,
    credentials: Option<&Credentials>,
) -> Vec<ConfigFile> {
    let mut files = vec![updates(description.host.packages)];
    files.extend(section.volume.iter().map(fstab));
    files.push(public_key(description));
    let listen = match description.host.packages {
        Family::Dnf => "/etc/httpd/conf/httpd.conf",
        Family::Apt => "/etc/apache2/ports.conf",
    };
    let behind = Setting::new("Listen", format!("127.0.0.1:{BEHIND}"));
    files.push(
        ConfigFile::new(listen, Content::Directives(vec![behind])).checked_by(Syntax::Apache),
    );
    files.push(front(section));
    if let Some(credentials) = credentials {
        files.push(ConfigFile {
            mode: 0o600,
            secret: true,
            ..ConfigFile::new(
                "/etc/cvmfs/server.local",
                Content::Settings(credentials.settings()),
            )
        });
    }
    files.push(ConfigFile::new(
        "/etc/cron.d/cvmfs_stratum1_snapshot",
        Content::Whole(
            "*/5 * * * * root output=$(/usr/bin/cvmfs_server snapshot -a -i 2>&1) || echo \"$output\"\n"
                .to_owned(),
        ),
    ));
    files.push(ConfigFile::new(
        "/etc/logrotate.d/cvmfs",
        Content::Whole(
            "/var/log/cvmfs/*.log {\n    weekly\n    missingok\n    notifempty\n}\n".to_owned(),
        ),
    ));
    files
}

/// Updates that come by themselves. Those of Debian are about security unless somebody says more.
fn updates(family: Family) -> ConfigFile {
    let (path, text) = match family {
        Family::Dnf => (
            "/etc/dnf/automatic.conf",
            "[commands]\nupgrade_type = security\ndownload_updates = yes\napply_updates = yes\n",
        ),
        Family::Apt => (
            "/etc/apt/apt.conf.d/20auto-upgrades",
            "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n",
        ),
    };
    ConfigFile::new(path, Content::Whole(text.to_owned()))
}

/// The cache in front of a replica. It keeps answers of the Geo API alone, since objects come from the
/// disk as fast as from memory, and it asks nobody but the web server behind it, whatever host a
/// request names.
fn front(section: &Stratum1Section) -> ConfigFile {
    let mut text = String::new();
    for port in section.ports.get_ref() {
        let _ = writeln!(text, "http_port {port} accel");
    }
    let _ = write!(
        text,
        "http_access allow all
cache_peer 127.0.0.1 parent {BEHIND} 0 no-query originserver
never_direct allow all
acl CVMFSAPI urlpath_regex ^/cvmfs/[^/]*/api/
cache deny !CVMFSAPI
cache_mem 128 MB
"
    );
    ConfigFile::new("/etc/squid/squid.conf", Content::Whole(text)).checked_by(Syntax::Squid)
}

/// The proxy of a site: its own clients, and no destination but the servers.
fn site_proxy(section: &ProxySection) -> ConfigFile {
    let mut text = format!("http_port {}\n", section.port);
    for network in section.clients.get_ref() {
        let _ = writeln!(text, "acl local_nodes src {network}");
    }
    for domain in section.destinations.get_ref() {
        let _ = writeln!(text, "acl stratum_ones dstdomain {domain}");
    }
    // The largest object is set before the cache, which takes over what stands by then.
    let _ = write!(
        text,
        "http_access deny !stratum_ones
http_access allow local_nodes
http_access allow localhost
http_access deny all
minimum_expiry_time 0
maximum_object_size 1024 MB
maximum_object_size_in_memory 128 KB
cache_mem 128 MB
cache_dir ufs /var/spool/squid {} 16 256
",
        section.cache_mb
    );
    ConfigFile::new("/etc/squid/squid.conf", Content::Whole(text)).checked_by(Syntax::Squid)
}

fn public_key(description: &Description) -> ConfigFile {
    let key = description.repository.public_key.as_str().trim();
    let path = description.repository.key_path();
    ConfigFile::new(path, Content::Whole(format!("{key}\n")))
}

fn client(description: &Description, section: &ClientSection) -> Vec<ConfigFile> {
    let servers = client_servers(description, section.servers.get_ref(), section.geo_api);
    let mut settings = vec![
        Setting::new("CVMFS_HTTP_PROXY", proxies(section)),
        Setting::new("CVMFS_QUOTA_LIMIT", section.quota_mb.to_string()),
    ];
    if let Some(cache) = &section.cache {
        settings.push(Setting::new("CVMFS_CACHE_BASE", cache.as_str()));
    }
    let mut files = vec![
        public_key(description),
        servers,
        ConfigFile::new("/etc/cvmfs/default.local", Content::Settings(settings)),
        ConfigFile::new(
            "/usr/share/module.sh",
            Content::Whole(include_str!("../../data/module.sh").to_owned()),
        ),
    ];
    if !section.autofs {
        let name = &description.repository.name;
        let content = Content::Mount {
            device: name.to_string(),
            mount: format!("/cvmfs/{name}"),
            rest: "cvmfs defaults,_netdev,nodev 0 0",
        };
        files.push(ConfigFile::new("/etc/fstab", content));
    }
    for mode in &section.modes {
        let servers = client_servers(description, mode.servers.get_ref(), mode.geo_api);
        files.push(ConfigFile {
            path: format!("{}.{}", servers.path, mode.suffix),
            ..servers
        });
    }
    files
}

/// The file that tells clients which servers there are, the first is asked first; with `geo_api` the
/// servers order themselves by distance.
pub fn client_servers(
    description: &Description,
    servers: &[ServerAddress],
    geo_api: bool,
) -> ConfigFile {
    let repository = &description.repository;
    let urls: Vec<String> = servers
        .iter()
        .map(|server| format!("{server}/cvmfs/@fqrn@"))
        .collect();
    let text = format!(
        "CVMFS_USE_GEOAPI={}\nCVMFS_SERVER_URL=\"{}\"\nCVMFS_KEYS_DIR=\"{}/\"\n",
        if geo_api { "yes" } else { "no" },
        urls.join(";"),
        repository.key_folder(),
    );
    let path = format!("/etc/cvmfs/config.d/{}.conf", repository.name);
    ConfigFile::new(path, Content::Whole(text))
}

/// Proxies as clients read them: members of one group share the load, a direct connection comes last.
fn proxies(section: &ClientSection) -> String {
    let group: Vec<&str> = section.proxies.iter().map(ProxyAddress::as_str).collect();
    match (group.join("|"), section.direct) {
        (group, _) if group.is_empty() => "DIRECT".to_owned(),
        (group, true) => format!("{group};DIRECT"),
        (group, false) => group,
    }
}
