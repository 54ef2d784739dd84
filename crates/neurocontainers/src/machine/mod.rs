//! Settings of the machine that builds: where it gets packages, through what, and what it trusts.
//!
//! They reach the steps of a build as read-only mounts and build-only variables, and nothing else:
//! not the image, not a step's key, not a log.

mod apt_conf;
pub(crate) mod apt_lists;
mod apt_sources;
mod mirrors;
mod pip_conf;
mod redact;

use std::{
    io,
    path::{Path, PathBuf},
};

use nd_host::Environment;

pub use apt_sources::{AptSource, parse_deb822, parse_list};
pub use mirrors::Mirrors;
use pip_conf::PipConf;
pub use redact::{Redacted, Redactor};

/// Folder in the image that the mounts stand in; nothing of it remains.
const MOUNTS: &str = "/run/nd-build";
/// Largest settings file that is read.
const FILE_LIMIT: u64 = 16 << 20;
/// Variables that name a file of certificates, as different programs call it.
const CERTIFICATES: [&str; 6] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
];
/// Variables about proxies; most programs read one of the two spellings.
const PROXIES: [&str; 10] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];
/// Variables of pip that name no file.
const PIP: [&str; 8] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_PROXY",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_TIMEOUT",
    "PIP_RETRIES",
    "PIP_DISABLE_PIP_VERSION_CHECK",
];

/// What the machine is told about packages, proxies and certificates.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    sources: Vec<AptSource>,
    apt: Vec<(String, String)>,
    pip: PipConf,
    certificates: Option<Vec<u8>>,
    variables: Vec<(String, String)>,
    nameservers: Vec<String>,
}

/// A settings file that exists and cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the machine's settings in `{}`", path.display())]
pub struct MachineError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What the steps of a build see besides the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildOnly {
    /// Files, mounted read-only: absolute path in the image, and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Variables, which the image's own ones of the same name override.
    pub env: Vec<(String, String)>,
    /// Whether steps may share their lists of packages: where the image's APT is known.
    pub share_lists: bool,
}

impl Machine {
    /// Reads the settings below `root` (`/` but for tests) and in the environment.
    pub fn read(root: &Path, environment: &Environment) -> Result<Self, MachineError> {
        let mut machine = Self::default();
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let mut lists = vec![at("etc/apt/sources.list")];
        lists.extend(folder(&at("etc/apt/sources.list.d"))?);
        for path in lists {
            let Some(text) = text(&path)? else { continue };
            match path.extension().and_then(|ext| ext.to_str()) {
                Some("list") => machine.sources.extend(parse_list(&text)),
                Some("sources") => machine.sources.extend(parse_deb822(&text)),
                _ => {}
            }
        }
        let mut confs = folder(&at("etc/apt/apt.conf.d"))?;
        confs.push(at("etc/apt/apt.conf"));
        for path in confs {
            if let Some(text) = text(&path)? {
                machine.apt.extend(apt_conf::parse_apt_conf(&text));
            }
        }
        machine.read_pip(root, environment)?;
        machine.read_certificates(root, environment)?;
        for name in PROXIES.iter().chain(&PIP) {
            if let Some(value) = environment.text(name) {
                machine.variables.push(((*name).into(), value.into()));
            }
        }
        if let Some(text) = text(&at("etc/resolv.conf"))? {
            let servers = text
                .lines()
                .filter_map(|line| line.strip_prefix("nameserver"));
            machine.nameservers = servers
                .map(|address| address.trim().to_owned())
                .filter(|address| !address.starts_with("127.") && address != "::1")
                .collect();
        }
        Ok(machine)
    }

    /// pip reads the machine's file, then the user's, then the one a variable names.
    fn read_pip(&mut self, root: &Path, environment: &Environment) -> Result<(), MachineError> {
        let mut paths = vec![root.join("etc/pip.conf")];
        if let Some(home) = environment.home() {
            paths.push(home.join(".pip/pip.conf"));
            let config = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
            paths.push(
                config
                    .unwrap_or_else(|| home.join(".config"))
                    .join("pip/pip.conf"),
            );
        }
        if let Some(path) = environment.get("PIP_CONFIG_FILE") {
            paths.push(environment.absolute(path));
        }
        for path in paths {
            if let Some(text) = text(&path)? {
                self.pip.add(&text);
            }
        }
        Ok(())
    }

    /// The machine's certificates are only brought along where it has some of its own, or its
    /// archives need any: images usually bring theirs.
    fn read_certificates(
        &mut self,
        root: &Path,
        environment: &Environment,
    ) -> Result<(), MachineError> {
        let named = CERTIFICATES
            .iter()
            .find_map(|name| environment.get(name))
            .map(|path| environment.absolute(path));
        let own = !folder(&root.join("usr/local/share/ca-certificates"))?.is_empty();
        let https = self
            .sources
            .iter()
            .any(|source| source.uri.starts_with("https:"));
        if named.is_some() || own || https || self.pip.names_certificates() {
            let path = named.unwrap_or_else(|| root.join("etc/ssl/certs/ca-certificates.crt"));
            self.certificates = bytes(&path)?;
        }
        Ok(())
    }

    /// The machine's own lists of archives.
    pub fn sources(&self) -> &[AptSource] {
        &self.sources
    }

    /// APT's settings about reaching archives, each as one statement of its configuration.
    pub fn apt_settings(&self) -> Vec<String> {
        let text = apt_conf::reaching(&self.apt);
        let statements = text
            .lines()
            .map(|line| line.trim_end_matches(';').to_owned());
        statements.collect()
    }

    /// What steps get: `lists` are the image's own files of sources (absolute path and text), which
    /// appear rewritten to the machine's mirrors.
    pub fn build_only(&self, mirrors: &Mirrors, lists: &[(String, String)]) -> BuildOnly {
        let mut out = BuildOnly::default();
        let mut apt = apt_conf::reaching(&self.apt);
        if !lists.is_empty() {
            // A third of what every `apt-get update` fetches and unpacks, for nobody to read.
            apt.push_str("Acquire::Languages \"none\";\n");
            // Larger than by xz, and unpacked several times as fast.
            apt.push_str("Acquire::CompressionTypes::Order:: \"gz\";\n");
            out.share_lists = true;
        }
        if let Some(certificates) = &self.certificates {
            let path = format!("{MOUNTS}/certificates.crt");
            for name in CERTIFICATES {
                out.env.push((name.into(), path.clone()));
            }
            apt.extend(["Acquire::https::CaInfo \"", &path, "\";\n"]);
            out.files.push((path, certificates.clone()));
        }
        if !apt.is_empty() {
            out.files
                .push(("/etc/apt/apt.conf.d/90nd-build".into(), apt.into_bytes()));
        }
        for (path, text) in lists {
            let rewritten = mirrors.rewrite(text);
            if rewritten != *text {
                out.files.push((path.clone(), rewritten.into_bytes()));
            }
        }
        let pip = self.pip.for_another_root();
        if !pip.is_empty() {
            let path = format!("{MOUNTS}/pip.conf");
            out.env.push(("PIP_CONFIG_FILE".into(), path.clone()));
            out.files.push((path, pip.into_bytes()));
        }
        out.env.extend(self.variables.iter().cloned());
        out
    }

    /// Everything by which the machine, its mirrors and its proxies could be recognised: whole
    /// addresses and their hosts. Hosts of public archives are not among them.
    pub fn addresses(&self, mirrors: &Mirrors) -> Vec<String> {
        let mut out = Vec::new();
        let mut add = |address: &str| {
            let host = apt_sources::authority(address);
            for word in [address, host] {
                if !word.is_empty() && !out.iter().any(|known| known == word) {
                    out.push(word.to_owned());
                }
            }
        };
        for (mirror, _) in mirrors.private() {
            add(mirror);
        }
        let proxies = self.variables.iter().filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            name.ends_with("proxy") && name != "no_proxy" || name.ends_with("url")
        });
        let apt = self
            .apt
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().ends_with("proxy"));
        let values = proxies
            .chain(apt)
            .map(|(_, value)| value.as_str())
            .chain(self.pip.values());
        for word in values.flat_map(str::split_whitespace) {
            // The public index of Python is everybody's.
            if word.contains("://") && apt_sources::authority(word) != "pypi.org" {
                add(word);
            }
        }
        out.extend(self.nameservers.iter().cloned());
        out
    }

    /// Replaces the machine's addresses in what is shown and kept.
    pub fn redactor(&self, mirrors: &Mirrors) -> Redactor {
        Redactor::new(mirrors, &self.addresses(mirrors))
    }
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, MachineError> {
    let fail = |source| MachineError {
        path: path.into(),
        source,
    };
    let mut out = Vec::new();
    match fs_err::read_dir(path) {
        Ok(entries) => {
            for entry in entries {
                out.push(entry.map_err(fail)?.path());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    out.sort();
    Ok(out)
}

fn bytes(path: &Path) -> Result<Option<Vec<u8>>, MachineError> {
    use io::Read as _;
    let fail = |source| MachineError {
        path: path.into(),
        source,
    };
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(fail(error)),
    };
    if file.metadata().map_err(fail)?.is_dir() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    Ok(Some(bytes))
}

fn text(path: &Path) -> Result<Option<String>, MachineError> {
    Ok(bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)], variables: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }
        let environment = Environment::new(variables.iter().copied(), root.path());
        let machine = Machine::read(root.path(), &environment).unwrap();
        (root, machine)
    }

    #[test]
    fn settings_reach_steps_and_every_address_is_known() {
        let (_root, machine) = machine(
            &[
                (
                    "etc/apt/sources.list.d/a.sources",
                    "Types: deb\nURIs: https://mirror.example/debian\nSuites: bookworm\nComponents: main\n",
                ),
                (
                    "etc/apt/sources.list.d/off.disabled",
                    "deb http://off.example/debian x main\n",
                ),
                (
                    "etc/apt/apt.conf.d/1",
                    "Acquire::http::Proxy \"http://proxy.example:1\";",
                ),
                (
                    "etc/pip.conf",
                    "[global]\nindex-url = http://pip.example/simple\n",
                ),
                ("etc/ssl/certs/ca-certificates.crt", "CERT"),
                (
                    "etc/resolv.conf",
                    "nameserver 192.0.2.53\nnameserver 127.0.0.1\n",
                ),
            ],
            &[("https_proxy", "http://secure.example:2")],
        );
        let public = parse_list("deb http://deb.example/debian bullseye main\n");
        let mirrors = Mirrors::find(&public, machine.sources());
        let lists = [(
            "/etc/apt/sources.list".to_owned(),
            "deb http://deb.example/debian bullseye main\n".to_owned(),
        )];
        let only = machine.build_only(&mirrors, &lists);
        let file = |path: &str| {
            let found = only.files.iter().find(|(at, _)| at == path);
            String::from_utf8_lossy(&found.unwrap().1).into_owned()
        };
        assert_eq!(
            file("/etc/apt/sources.list"),
            "deb https://mirror.example/debian bullseye main\n"
        );
        assert!(file("/etc/apt/apt.conf.d/90nd-build").contains("proxy.example"));
        assert!(
            file("/etc/apt/apt.conf.d/90nd-build")
                .contains("CaInfo \"/run/nd-build/certificates.crt\"")
        );
        assert!(file("/run/nd-build/pip.conf").contains("pip.example"));
        assert!(
            only.env
                .contains(&("https_proxy".into(), "http://secure.example:2".into()))
        );
        let addresses = machine.addresses(&mirrors);
        for host in [
            "mirror.example",
            "proxy.example:1",
            "pip.example",
            "secure.example:2",
            "192.0.2.53",
        ] {
            assert!(
                addresses.iter().any(|known| known == host),
                "{host} in {addresses:?}"
            );
        }
        assert!(
            !addresses
                .iter()
                .any(|known| known.contains("deb.example") || known.contains("off."))
        );
    }

    #[test]
    fn a_machine_without_settings_adds_nothing() {
        let (_root, machine) = machine(&[], &[]);
        let mirrors = Mirrors::find(&[], machine.sources());
        assert_eq!(machine.build_only(&mirrors, &[]), BuildOnly::default());
        assert!(machine.addresses(&mirrors).is_empty());
    }
}
