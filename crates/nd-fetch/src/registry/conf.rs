//! `registries.conf`: short names, mirrors, other places, as the containers tools read them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use nd_host::Environment;
use oci_spec::distribution::Reference;
use serde::Deserialize;

use super::{RegistryError, parse_reference};

/// Where images are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistriesConf {
    search: Vec<String>,
    aliases: BTreeMap<String, String>,
    registries: Vec<Entry>,
}

/// Which places of an image are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Places {
    /// Those that the configuration names, then the registry of the name itself.
    #[default]
    All,
    /// Those that the configuration names and that are not the registry of the name itself.
    Configured,
    /// The registry of the name itself, unless the configuration puts another in its place.
    Own,
}

/// One place of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) registry: String,
    pub(crate) repository: String,
    /// Spoken to without encryption.
    pub(crate) plain: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct File {
    #[serde(rename = "unqualified-search-registries")]
    search: Option<Vec<String>>,
    aliases: BTreeMap<String, String>,
    registry: Vec<Entry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Entry {
    prefix: Option<String>,
    location: Option<String>,
    insecure: bool,
    blocked: bool,
    #[serde(rename = "mirror-by-digest-only")]
    by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Mirror {
    location: String,
    insecure: bool,
    #[serde(rename = "pull-from-mirror")]
    pulls: Pulls,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pulls {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

impl Entry {
    fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref().or(self.location.as_deref())
    }

    /// The part of `name` that this entry is about, if it is.
    fn matches<'a>(&self, name: &'a str) -> Option<&'a str> {
        let prefix = self.prefix()?;
        if let Some(domain) = prefix.strip_prefix('*') {
            let host = name.split('/').next()?;
            let bare = host.split(':').next()?;
            let found = bare.ends_with(domain) || host.ends_with(domain);
            return (found && !domain.contains('/')).then_some(host);
        }
        let rest = name.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(&name[..prefix.len()])
    }
}

impl RegistriesConf {
    /// Reads the files of this user: `$CONTAINERS_REGISTRIES_CONF`, else
    /// `$XDG_CONFIG_HOME/containers/registries.conf`, else `/etc/containers/registries.conf`; then
    /// the files `registries.conf.d/*.conf` of the system and of the user, each adding to what
    /// came before. Files that are not there are no error.
    pub fn from_environment(environment: &Environment) -> Result<Self, RegistryError> {
        let config = environment.get("XDG_CONFIG_HOME");
        let user = config.map(|path| environment.absolute(path));
        let user = user.or_else(|| environment.home().map(|home| home.join(".config")));
        let user = user.map(|base| base.join("containers"));
        let system = Path::new("/etc/containers");
        let mut files = Vec::new();
        if let Some(path) = environment.get("CONTAINERS_REGISTRIES_CONF") {
            files.push(environment.absolute(path));
        } else {
            let own = user.as_ref().map(|folder| folder.join("registries.conf"));
            let own = own.filter(|path| path.exists());
            files.push(own.unwrap_or_else(|| system.join("registries.conf")));
            for folder in [Some(system.to_path_buf()), user].into_iter().flatten() {
                files.extend(drop_ins(&folder.join("registries.conf.d"))?);
            }
        }
        let mut all = Self::default();
        for path in files {
            match fs_err::read_to_string(&path) {
                Ok(text) => all
                    .add(&text)
                    .map_err(|source| RegistryError::Conf { path, source })?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(RegistryError::ConfFile { path, source }),
            }
        }
        Ok(all)
    }

    /// Adds what a file says; it wins over what was there.
    ///
    /// # Errors
    ///
    /// When the text is not valid TOML, or keys we know have other types.
    pub fn add(&mut self, text: &str) -> Result<(), toml::de::Error> {
        let file: File = toml::from_str(text)?;
        if let Some(search) = file.search {
            self.search = search;
        }
        self.aliases.extend(file.aliases);
        for entry in file.registry {
            self.registries.retain(|old| old.prefix() != entry.prefix());
            self.registries.push(entry);
        }
        Ok(())
    }

    /// What a name as people write it may stand for, the likeliest first: a name with a registry
    /// stands for itself, a short one for its alias, else for one in each registry that is
    /// searched, else for one of Docker's hub.
    ///
    /// # Errors
    ///
    /// When the name, or what it is an alias for, is no reference.
    pub fn resolve(&self, name: &str) -> Result<Vec<Reference>, RegistryError> {
        let parse = parse_reference;
        let first = name.split('/').next().unwrap_or_default();
        let qualified = name.contains('/')
            && (first.contains('.') || first.contains(':') || first == "localhost");
        if qualified {
            return Ok(vec![parse(name)?]);
        }
        let end = name.find(['@', ':']).unwrap_or(name.len());
        let (stem, version) = name.split_at(end);
        if let Some(alias) = self.aliases.get(stem) {
            return Ok(vec![parse(&format!("{alias}{version}"))?]);
        }
        if self.search.is_empty() {
            return Ok(vec![parse(name)?]);
        }
        let hub = |registry: &str| registry == "docker.io" && !name.contains('/');
        self.search
            .iter()
            .map(|registry| {
                let group = if hub(registry) { "library/" } else { "" };
                parse(&format!("{registry}/{group}{name}"))
            })
            .collect()
    }

    /// Of what [`Self::resolve`] gives, what may be in a place that this configuration names and that
    /// is not the registry of the name itself: nothing where nobody configured anything.
    ///
    /// # Errors
    ///
    /// When the name, or what it is an alias for, is no reference, or when it is blocked.
    pub fn configured(&self, name: &str) -> Result<Vec<Reference>, RegistryError> {
        let mut out = Vec::new();
        for reference in self.resolve(name)? {
            let own = parse_reference(name).ok();
            let is_own = own.is_some_and(|own| own == reference);
            if !is_own
                || !self
                    .chosen_places(&reference, Places::Configured)?
                    .is_empty()
            {
                out.push(reference);
            }
        }
        Ok(out)
    }

    /// The places of an image that are to be tried, in order.
    pub(crate) fn chosen_places(
        &self,
        reference: &Reference,
        which: Places,
    ) -> Result<Vec<Place>, RegistryError> {
        let mut places = self.places(reference)?;
        let own = |place: &Place| {
            place.registry == reference.registry() && place.repository == reference.repository()
        };
        match which {
            Places::All => {}
            Places::Configured => places.retain(|place| !own(place)),
            Places::Own => places.retain(own),
        }
        Ok(places)
    }

    /// The places of an image in the order they are to be tried: mirrors, then the place itself.
    pub(crate) fn places(&self, reference: &Reference) -> Result<Vec<Place>, RegistryError> {
        let name = format!("{}/{}", reference.registry(), reference.repository());
        let matching = self.registries.iter().filter_map(|entry| {
            let matched = entry.matches(&name)?;
            Some((matched.len(), entry))
        });
        let Some((length, entry)) = matching.max_by_key(|(length, _)| *length) else {
            return Ok(vec![Place {
                registry: reference.registry().to_owned(),
                repository: reference.repository().to_owned(),
                plain: false,
            }]);
        };
        if entry.blocked {
            return Err(RegistryError::Blocked {
                reference: reference.whole(),
            });
        }
        let rest = &name[length..];
        let place = |location: &str, plain| {
            let whole = format!("{location}{rest}");
            let (registry, repository) = whole.split_once('/')?;
            Some(Place {
                registry: registry.to_owned(),
                repository: repository.to_owned(),
                plain,
            })
        };
        let pinned = reference.digest().is_some();
        let serves = |mirror: &&Mirror| match mirror.pulls {
            Pulls::All => pinned || !entry.by_digest_only,
            Pulls::DigestOnly => pinned,
            Pulls::TagOnly => !pinned,
        };
        let mirrors = entry.mirror.iter().filter(serves);
        let mirrors = mirrors.filter_map(|mirror| place(&mirror.location, mirror.insecure));
        let itself = entry.location.as_deref().unwrap_or(&name[..length]);
        Ok(mirrors.chain(place(itself, entry.insecure)).collect())
    }
}

fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            let path = folder.to_path_buf();
            return Err(RegistryError::ConfFile { path, source });
        }
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<_> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    //! The examples of the containers tools' manual, and what people write.

    use super::*;

    const CONF: &str = r#"
unqualified-search-registries = ["registry.example.org", "docker.io"]
short-name-mode = "enforcing"
[aliases]
"debian" = "quay.io/mirror/debian"
[[registry]]
prefix = "docker.io"
location = "hub.example.org"
[[registry.mirror]]
location = "127.0.0.1:5000/hub"
insecure = true
[[registry.mirror]]
location = "pinned.example.org"
pull-from-mirror = "digest-only"
[[registry]]
location = "docker.io/secret"
blocked = true
[[registry]]
prefix = "*.internal"
insecure = true
"#;

    fn conf() -> RegistriesConf {
        let mut conf = RegistriesConf::default();
        conf.add(CONF).unwrap();
        conf
    }

    fn places(name: &str) -> Vec<String> {
        let places = conf().places(&name.parse().unwrap()).unwrap();
        let show = |place: &Place| {
            let plain = if place.plain { " plain" } else { "" };
            format!("{}/{}{plain}", place.registry, place.repository)
        };
        places.iter().map(show).collect()
    }

    #[test]
    fn mirrors_come_first_and_the_longest_prefix_counts() {
        assert_eq!(
            places("docker.io/library/debian:12"),
            [
                "127.0.0.1:5000/hub/library/debian plain",
                "hub.example.org/library/debian"
            ]
        );
        let digest = format!("docker.io/a/b@sha256:{}", "0".repeat(64));
        assert_eq!(
            places(&digest)[1..],
            ["pinned.example.org/a/b", "hub.example.org/a/b"]
        );
        assert_eq!(places("docker.iox/a/b"), ["docker.iox/a/b"]);
        assert_eq!(places("one.internal:5000/a"), ["one.internal:5000/a plain"]);
        let blocked = conf().places(&"docker.io/secret/x".parse().unwrap());
        assert!(matches!(blocked, Err(RegistryError::Blocked { .. })));
        assert_eq!(places("docker.io/secrets/x").len(), 2);
    }

    #[test]
    fn short_names_stand_for_aliases_then_for_what_is_searched() {
        let names = |conf: &RegistriesConf, name| {
            let found = conf.resolve(name).unwrap();
            found.iter().map(Reference::whole).collect::<Vec<_>>()
        };
        assert_eq!(names(&conf(), "debian:12"), ["quay.io/mirror/debian:12"]);
        assert_eq!(
            names(&conf(), "alpine"),
            [
                "registry.example.org/alpine:latest",
                "docker.io/library/alpine:latest"
            ]
        );
        assert_eq!(names(&conf(), "localhost/x:1"), ["localhost/x:1"]);
        let none = RegistriesConf::default();
        assert_eq!(names(&none, "debian"), ["docker.io/library/debian:latest"]);
        assert!(conf().resolve("Not A Name").is_err());
    }

    #[test]
    fn what_is_configured_is_told_from_the_registry_of_the_name() {
        let names = |conf: &RegistriesConf, name| {
            let found = conf.configured(name).unwrap();
            found.iter().map(Reference::whole).collect::<Vec<_>>()
        };
        let none = RegistriesConf::default();
        assert!(names(&none, "debian:12").is_empty());
        assert!(names(&none, "quay.io/a/b:1").is_empty());
        assert_eq!(names(&conf(), "debian:12"), ["quay.io/mirror/debian:12"]);
        assert!(names(&conf(), "quay.io/a/b:1").is_empty());
        assert_eq!(
            names(&conf(), "docker.io/a/b:1"),
            ["docker.io/a/b:1"],
            "it has a mirror"
        );
        // What distributions ship: names of the hub, which is asked anyway.
        let mut shipped = RegistriesConf::default();
        shipped
            .add("[aliases]\n\"debian\" = \"docker.io/library/debian\"\n")
            .unwrap();
        assert!(names(&shipped, "debian:12").is_empty());
        let reference = "docker.io/library/debian:12".parse().unwrap();
        let own = conf().chosen_places(&reference, Places::Own).unwrap();
        assert!(own.is_empty(), "another registry is in its place: {own:?}");
        let own = shipped.chosen_places(&reference, Places::Own).unwrap();
        assert_eq!(own.len(), 1);
    }

    #[test]
    fn files_add_to_each_other_and_bad_ones_are_named() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/containers/registries.conf.d");
        fs_err::create_dir_all(&folder).unwrap();
        let main = folder.parent().unwrap().join("registries.conf");
        fs_err::write(&main, CONF).unwrap();
        let more = "[aliases]\n\"debian\" = \"other.example.org/debian\"\n";
        fs_err::write(folder.join("10-more.conf"), more).unwrap();
        let environment = Environment::new([("HOME", home.path())], "/");
        let found = RegistriesConf::from_environment(&environment).unwrap();
        let alias = found.resolve("debian").unwrap();
        assert_eq!(alias[0].registry(), "other.example.org");
        assert_eq!(found.search.len(), 2);
        fs_err::write(folder.join("20-bad.conf"), "[[").unwrap();
        let error = RegistriesConf::from_environment(&environment).unwrap_err();
        assert!(error.to_string().contains("20-bad.conf"), "{error}");
    }
}
