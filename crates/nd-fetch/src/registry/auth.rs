//! Who we are at which registry: the files of Docker and of the containers tools.

use std::{collections::BTreeMap, io, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nd_host::{Environment, Input, Invocation, Programs};
use nd_report::Cancel;
use serde::Deserialize;

use crate::{Credential, registry::RegistryError};

/// What Docker files the credentials of its hub under.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// Its names.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Credentials by registry, or by registry and the beginning of a repository.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    known: BTreeMap<String, Credential>,
    /// Which helper keeps those of a registry.
    helpers: BTreeMap<String, String>,
    /// Which helper keeps those of all others.
    helper: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    helper: Option<String>,
}

/// What a helper says.
#[derive(Deserialize)]
struct Kept {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Credentials {
    /// Reads `$REGISTRY_AUTH_FILE`, or else every one of
    /// `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json`,
    /// `$DOCKER_CONFIG/config.json` (by default `~/.docker/config.json`) that exists; the first one
    /// to name a registry counts. What another program keeps is asked for by [`Self::ask_helper`].
    ///
    /// # Errors
    ///
    /// When a file is there and cannot be read or is not valid.
    pub fn from_environment(environment: &Environment) -> Result<Self, RegistryError> {
        let mut files: Vec<PathBuf> = Vec::new();
        if let Some(path) = environment.get("REGISTRY_AUTH_FILE") {
            files.push(environment.absolute(path));
        } else {
            let below = |variable: &str| environment.get(variable).map(|p| environment.absolute(p));
            let home = |folder: &str| environment.home().map(|home| home.join(folder));
            let containers = [
                below("XDG_RUNTIME_DIR"),
                below("XDG_CONFIG_HOME").or_else(|| home(".config")),
            ];
            let containers = containers.into_iter().flatten();
            files.extend(containers.map(|base| base.join("containers/auth.json")));
            let docker = below("DOCKER_CONFIG").or_else(|| home(".docker"));
            files.extend(docker.map(|base| base.join("config.json")));
        }
        let mut all = Self::default();
        for path in files {
            match fs_err::read(&path) {
                Ok(bytes) => {
                    let found = Self::parse(&bytes);
                    let found = found.ok_or_else(|| RegistryError::CredentialsFormat(path))?;
                    for (key, credential) in found.known {
                        all.known.entry(key).or_insert(credential);
                    }
                    for (key, helper) in found.helpers {
                        all.helpers.entry(key).or_insert(helper);
                    }
                    all.helper = all.helper.or(found.helper);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(RegistryError::CredentialsFile { path, source }),
            }
        }
        Ok(all)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let file: File = serde_json::from_slice(bytes).ok()?;
        let mut all = Self {
            helper: file.helper.filter(|helper| !helper.is_empty()),
            ..Self::default()
        };
        for (key, helper) in file.helpers {
            all.helpers.insert(normal(&key), helper);
        }
        for (key, entry) in file.auths {
            let pair = match (entry.auth, entry.username, entry.password) {
                (Some(auth), _, _) if !auth.is_empty() => {
                    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
                    let (user, password) = text.split_once(':')?;
                    // Docker pads with zero bytes.
                    let password = password.trim_end_matches('\0');
                    (user.to_owned(), password.to_owned())
                }
                (_, Some(user), Some(password)) => (user, password),
                // Kept by a helper.
                _ => continue,
            };
            let (user, password) = pair;
            all.insert(&key, Credential::Basic { user, password });
        }
        Some(all)
    }

    /// Adds a credential for a registry (`host:port`), or for one with the beginning of a
    /// repository (`host/group`), replacing an older one.
    pub fn insert(&mut self, registry: &str, credential: Credential) {
        self.known.insert(normal(registry), credential);
    }

    /// Asks the program that keeps the credential of `registry` (`docker-credential-NAME get`), if
    /// the files name one and no credential is known. One that knows none is no error.
    ///
    /// # Errors
    ///
    /// When the program is missing, or says what is no credential. Nothing it said is shown.
    pub fn ask_helper(
        &mut self,
        registry: &str,
        programs: &dyn Programs,
        cancel: &Cancel,
    ) -> Result<(), RegistryError> {
        let key = normal(registry);
        let helper = self.helpers.get(&key).or(self.helper.as_ref());
        let Some(helper) = helper.filter(|_| !self.known.contains_key(&key)) else {
            return Ok(());
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let fail = || RegistryError::Helper {
            program: format!("docker-credential-{helper}"),
        };
        if !helper.bytes().all(word) {
            return Err(fail());
        }
        // The hub is kept under the address of its first version.
        let asked = if key == HUB[0] { HUB_KEY } else { &key };
        let invocation = Invocation::new(format!("docker-credential-{helper}"))
            .arg("get")
            .input(Input::Bytes(asked.into()));
        let done = programs.run(&invocation, &mut |_, _| {}, cancel)?;
        if !done.outcome.success() {
            let said = String::from_utf8_lossy(&done.stdout);
            let none = said.contains("credentials not found");
            return if none { Ok(()) } else { Err(fail()) };
        }
        let kept: Kept = serde_json::from_slice(&done.stdout).map_err(|_| fail())?;
        // `<token>` as the user marks an identity token, which only the token's giver takes.
        if kept.user != "<token>" {
            let (user, password) = (kept.user, kept.secret);
            self.known.insert(key, Credential::Basic { user, password });
        }
        Ok(())
    }

    /// The credential for a repository: that of the longest beginning of its name.
    pub(crate) fn of(&self, registry: &str, repository: &str) -> Option<&Credential> {
        let mut name = normal(&format!("{registry}/{repository}"));
        loop {
            if let Some(found) = self.known.get(&name) {
                return Some(found);
            }
            name.truncate(name.rfind('/')?);
        }
    }
}

/// A key without scheme and the path of a version (`https://index.docker.io/v1/`), and one name for
/// Docker's hub.
fn normal(key: &str) -> String {
    let bare = key.trim_start_matches("https://");
    let bare = bare.trim_start_matches("http://").trim_end_matches('/');
    let bare = bare
        .strip_suffix("/v1")
        .or(bare.strip_suffix("/v2"))
        .unwrap_or(bare);
    let (host, rest) = bare.split_once('/').map_or((bare, ""), |(h, r)| (h, r));
    let host = if HUB.contains(&host) { HUB[0] } else { host };
    if rest.is_empty() {
        host.to_owned()
    } else {
        format!("{host}/{rest}")
    }
}

#[cfg(test)]
mod tests {
    //! The files people have.

    use super::*;

    fn user(credentials: &Credentials, registry: &str, repository: &str) -> Option<String> {
        match credentials.of(registry, repository)? {
            Credential::Basic { user, password } => Some(format!("{user}:{password}")),
            Credential::Bearer(_) => None,
        }
    }

    #[test]
    fn the_longest_beginning_counts_and_the_hub_has_one_name() {
        let file = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnBhOnNz"},
            "quay.io": {"auth": "cXVheTpwYXNzAAA="},
            "quay.io/group": {"username": "group", "password": "p"},
            "kept.example": {}
        }, "credsStore": "secretservice"}"#;
        let found = Credentials::parse(file.as_bytes()).unwrap();
        assert_eq!(
            user(&found, "docker.io", "library/debian").unwrap(),
            "hub:pa:ss"
        );
        assert_eq!(user(&found, "quay.io", "other/x").unwrap(), "quay:pass");
        assert_eq!(user(&found, "quay.io", "group/x").unwrap(), "group:p");
        assert_eq!(user(&found, "quay.io", "groups/x").unwrap(), "quay:pass");
        assert_eq!(user(&found, "kept.example", "x"), None);
        assert!(!format!("{found:?}").contains("pass"));
        assert!(Credentials::parse(b"{\"auths\": {\"h\": {\"auth\": \"%\"}}}").is_none());
    }

    #[test]
    fn the_first_file_that_names_a_registry_counts() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = home.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        let entry = |user: &str| format!(r#"{{"username": "{user}", "password": "p"}}"#);
        write(
            ".config/containers/auth.json",
            &format!(r#"{{"auths": {{"a": {}}}}}"#, entry("containers")),
        );
        write(
            ".docker/config.json",
            &format!(
                r#"{{"auths": {{"a": {}, "b": {}}}}}"#,
                entry("docker"),
                entry("docker")
            ),
        );
        let of = |variables: &[(&str, &str)]| {
            Credentials::from_environment(&Environment::new(variables.iter().copied(), "/"))
        };
        let root = home.path().to_str().unwrap();
        let found = of(&[("HOME", root)]).unwrap();
        assert_eq!(user(&found, "a", "x").unwrap(), "containers:p");
        assert_eq!(user(&found, "b", "x").unwrap(), "docker:p");
        write("bad", "secret");
        let bad = home.path().join("bad");
        let error = of(&[("REGISTRY_AUTH_FILE", bad.to_str().unwrap())]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
        assert!(of(&[]).unwrap().known.is_empty());
    }

    #[test]
    fn helpers_are_asked_for_what_the_files_do_not_say() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let helper = |name: &str, script: &str| {
            let path = folder.path().join(format!("docker-credential-{name}"));
            fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            fs_err::set_permissions(path, mode).unwrap();
        };
        helper(
            "all",
            r#"read -r server; echo "{\"ServerURL\":\"x\",\"Username\":\"$1\",\"Secret\":\"$server\"}""#,
        );
        helper(
            "none",
            "echo credentials not found in native keychain; exit 1",
        );
        helper("bad", "echo PASSWORD; echo PASSWORD >&2; exit 1");
        let file = r#"{
            "auths": {"plain.example": {"username": "me", "password": "p"}},
            "credHelpers": {"none.example": "none", "bad.example": "bad", "gone.example": "gone",
                "odd.example": "../../bin/sh"},
            "credsStore": "all"
        }"#;
        let mut found = Credentials::parse(file.as_bytes()).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let programs = nd_host::SystemPrograms::new(&Environment::new([("PATH", path)], "/"));
        let mut ask = |registry: &str| {
            let asked = found.ask_helper(registry, &programs, &Cancel::default());
            asked.map(|()| user(&found, registry, "x"))
        };
        let got = |text: &str| Some(text.to_owned());
        assert_eq!(ask("plain.example").unwrap(), got("me:p"));
        assert_eq!(ask("other.example").unwrap(), got("get:other.example"));
        assert_eq!(
            ask("docker.io").unwrap(),
            got("get:https://index.docker.io/v1/")
        );
        assert_eq!(ask("none.example").unwrap(), None);
        for (registry, says) in [
            ("bad.example", "`docker-credential-bad` gave no credential"),
            (
                "gone.example",
                "program `docker-credential-gone` is not installed",
            ),
            ("odd.example", "gave no credential"),
        ] {
            let error = ask(registry).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(says) && !text.contains("PASSWORD"), "{text}");
        }
    }
}
