//! The one description of a repository's servers and clients, TOML.

use nd_cvmfs::RepositoryName;
use nd_report::{Diagnostic, FileId, Severity, Sink, Span};
use serde::Deserialize;
use toml::Spanned;

use super::words::{
    Domain, FilePath, Network, ProxyAddress, PublicKey, ReleasePackage, ServerAddress, Suffix,
    TimeSpan, TimeZone, UserName, parsed,
};
use crate::codes;

/// The description of the Neurodesk project's own servers.
pub const NEURODESK: &str = include_str!("../../data/neurodesk.toml");

/// Everything that the servers and clients of one repository need to be told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    version: Spanned<u32>,
    /// The repository.
    pub repository: RepositorySection,
    /// The machine that is set up.
    #[serde(default)]
    pub host: HostSection,
    /// The publisher.
    pub stratum0: Option<Stratum0Section>,
    /// Replicas.
    pub stratum1: Option<Stratum1Section>,
    /// The proxy of a site.
    pub proxy: Option<ProxySection>,
    /// Clients.
    pub client: Option<ClientSection>,
}

/// The repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositorySection {
    /// Its name.
    #[serde(deserialize_with = "parsed")]
    pub name: RepositoryName,
    /// The key that proves it.
    pub public_key: PublicKey,
    /// Where replicas reach the publisher.
    pub stratum0: ServerAddress,
}

impl RepositorySection {
    /// The folder of keys of the repository's domain.
    pub fn key_folder(&self) -> String {
        let domain = self.name.as_str().split_once('.');
        format!(
            "/etc/cvmfs/keys/{}",
            domain.map_or("", |(_, domain)| domain)
        )
    }

    /// The path of the public key.
    pub fn key_path(&self) -> String {
        format!("{}/{}.pub", self.key_folder(), self.name)
    }
}

/// The machine that is set up.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSection {
    /// What installs packages; decides names of packages, services and folders.
    #[serde(default)]
    pub packages: Family,
    /// The time zone.
    pub time_zone: Option<TimeZone>,
    /// The package that names the repository of CVMFS packages.
    pub release: Option<Spanned<ReleasePackage>>,
    /// What keeps ports closed; by default what the family brings.
    pub firewall: Option<Firewall>,
}

impl HostSection {
    /// What keeps ports closed.
    pub fn firewall(&self) -> Firewall {
        self.firewall.unwrap_or(match self.packages {
            Family::Dnf => Firewall::Firewalld,
            Family::Apt => Firewall::None,
        })
    }
}

/// What keeps ports of a host closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firewall {
    /// `firewalld`.
    Firewalld,
    /// Nothing here, perhaps something outside.
    None,
}

/// Families of distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Red Hat Enterprise Linux and what is built from it.
    #[default]
    Dnf,
    /// Debian, Ubuntu.
    Apt,
}

/// A volume that holds the repository's data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The device.
    pub device: FilePath,
    /// Where it is mounted.
    pub mount: FilePath,
}

/// The publisher.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stratum0Section {
    /// Who publishes.
    pub owner: UserName,
    /// Automatic tags that are older are removed.
    pub tags_kept: TimeSpan,
    /// Folder with the four keys, from which they are imported; without it `mkfs` makes new ones.
    pub keys: Option<FilePath>,
    /// The volume of data.
    pub volume: Option<Volume>,
}

/// A replica.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stratum1Section {
    /// Who owns the replica.
    pub owner: UserName,
    /// Ports on which clients are served.
    #[serde(default = "web_port")]
    pub ports: Spanned<Vec<u16>>,
    /// File with account and licence of the geo database.
    pub geo: Option<FilePath>,
    /// The volume of data.
    pub volume: Option<Volume>,
}

fn web_port() -> Spanned<Vec<u16>> {
    Spanned::new(0..0, vec![80])
}

/// The proxy of a site.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxySection {
    /// The port.
    #[serde(default = "proxy_port")]
    pub port: u16,
    /// Networks of the machines that may use it.
    pub clients: Spanned<Vec<Network>>,
    /// Where it may connect to.
    pub destinations: Spanned<Vec<Domain>>,
    /// Size of its cache on disk, in MB.
    #[serde(default = "cache_size")]
    pub cache_mb: u32,
}

fn proxy_port() -> u16 {
    3128
}

fn cache_size() -> u32 {
    5000
}

/// Clients.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSection {
    /// Servers, the first is asked first.
    pub servers: Spanned<Vec<ServerAddress>>,
    /// Whether the servers order themselves by distance from the client.
    pub geo_api: bool,
    /// Proxies of the site, between which clients choose at random.
    #[serde(default)]
    pub proxies: Vec<ProxyAddress>,
    /// Whether clients may go without a proxy, where there are any.
    #[serde(default = "yes")]
    pub direct: bool,
    /// Size of a client's cache, in MB.
    #[serde(default = "cache_size")]
    pub quota_mb: u32,
    /// Folder of a client's cache.
    pub cache: Option<FilePath>,
    /// Whether the repository is mounted when somebody looks into it; else it is at each start.
    #[serde(default = "yes")]
    pub autofs: bool,
    /// Configurations that lie ready beside the one in use.
    #[serde(default, rename = "mode")]
    pub modes: Vec<ModeSection>,
}

fn yes() -> bool {
    true
}

/// A configuration that lies ready beside the one in use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeSection {
    /// What the name of its file ends in.
    pub suffix: Suffix,
    /// Whether the servers order themselves by distance from the client.
    pub geo_api: bool,
    /// Servers, the first is asked first.
    pub servers: Spanned<Vec<ServerAddress>>,
}

impl Description {
    /// Reads a description. What is wrong with it goes to `out`; then there is none.
    pub fn parse(text: &str, file: FileId, out: &mut Sink) -> Option<Self> {
        let problem = |code, place: std::ops::Range<usize>, message: String| {
            Diagnostic::new(code, Severity::Error, message).at(Span::new(file, place), "")
        };
        let description: Self = match toml::from_str(text) {
            Ok(description) => description,
            Err(error) => {
                let place = error.span().unwrap_or(0..0);
                out.push(problem(
                    codes::DESCRIPTION,
                    place,
                    error.message().to_owned(),
                ));
                return None;
            }
        };
        let mut wrong = |place, message: &str| {
            out.push(problem(codes::DESCRIPTION_RULE, place, message.to_owned()));
        };
        let version = &description.version;
        if *version.get_ref() != 1 {
            wrong(
                version.span(),
                "this program reads version 1 of descriptions",
            );
        }
        if let Some(release) = &description.host.release {
            let (text, end) = (
                release.get_ref().as_str(),
                match description.host.packages {
                    Family::Dnf => ".rpm",
                    Family::Apt => ".deb",
                },
            );
            if !text.ends_with(end) {
                wrong(
                    release.span(),
                    &format!("packages of this host end in `{end}`"),
                );
            } else if end == ".deb" && !text.starts_with('/') {
                wrong(
                    release.span(),
                    "apt installs files; download the package and name the file",
                );
            }
        }
        if let Some(stratum1) = &description.stratum1
            && (stratum1.ports.get_ref().is_empty() || stratum1.ports.get_ref().contains(&BEHIND))
        {
            let text =
                format!("at least one port, and not {BEHIND}, which the web server behind has");
            wrong(stratum1.ports.span(), &text);
        }
        if let Some(proxy) = &description.proxy {
            if proxy.clients.get_ref().is_empty() {
                wrong(
                    proxy.clients.span(),
                    "a proxy without clients serves nobody",
                );
            }
            if proxy.destinations.get_ref().is_empty() {
                wrong(
                    proxy.destinations.span(),
                    "a proxy without destinations fetches nothing",
                );
            }
        }
        if let Some(client) = &description.client {
            let modes = client.modes.iter().map(|mode| &mode.servers);
            for servers in modes.chain([&client.servers]) {
                if servers.get_ref().is_empty() {
                    wrong(servers.span(), "clients need at least one server");
                }
            }
        }
        (!out.has_errors()).then_some(description)
    }
}

/// The port of the web server behind the cache of a replica.
pub(super) const BEHIND: u16 = 8080;
