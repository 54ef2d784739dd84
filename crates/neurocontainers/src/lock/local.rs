//! Locked archives as folders of this machine: what APT reads in place of the network.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use neurocontainers_recipe::lock::{LockedArchive, LockedContainer};

use super::archives::{self, Wanted, list_requests};
use crate::{
    machine::{AptSource, BuildOnly, Mirrors},
    pipeline::{PipelineError, Workshop},
};

/// Where steps see the folders.
const INSIDE: &str = "/run/nd-build/apt";
/// APT's settings of builds.
const CONF: &str = "/etc/apt/apt.conf.d/90nd-build";
/// What makes APT read locked archives: they are as old as they are, hold the lists of packages in
/// one form under their plain names, and no translations.
pub(crate) const SETTINGS: [&str; 6] = [
    "Acquire::Check-Valid-Until \"false\"",
    "Acquire::Check-Date \"false\"",
    "Acquire::By-Hash \"no\"",
    "Acquire::Languages \"none\"",
    "Acquire::CompressionTypes::Order:: \"xz\"",
    "Acquire::CompressionTypes::Order:: \"gz\"",
];

/// The files of locked archives, all of them in the store.
#[derive(Debug, Clone, Default)]
pub struct LocalArchives {
    /// The public sources.
    public: Vec<AptSource>,
    /// Their addresses, each once: the number is the name of its folder.
    uris: Vec<String>,
    /// Path below the folders, and the blob.
    files: Vec<(String, PathBuf)>,
}

impl LocalArchives {
    /// Brings everything that the lock names into the store, unless it is there. `packages` says
    /// whether packages are wanted as well as lists of them.
    pub(super) fn fetch(
        workshop: &Workshop<'_>,
        locked: &LockedContainer,
    ) -> Result<Self, PipelineError> {
        let public = sources(&locked.archives);
        let mirrors = Mirrors::find(&public, workshop.machine.sources());
        let mut uris: Vec<String> = Vec::new();
        for source in &public {
            if !uris.contains(&source.uri) {
                uris.push(source.uri.clone());
            }
        }
        let lists = locked
            .archives
            .iter()
            .flat_map(|archive| list_requests(archive, true));
        let mut wanted: Vec<Wanted> = lists.collect();
        for package in locked.debs() {
            let (Some(url), Some(sha256), Some(size)) =
                (&package.url, package.sha256, package.size)
            else {
                continue;
            };
            let found = uris.iter().find_map(|uri| {
                let path = url.strip_prefix(uri.as_str())?.strip_prefix('/')?;
                Some((uri.clone(), path.to_owned()))
            });
            let Some((uri, path)) = found else { continue };
            if wanted
                .iter()
                .any(|one| one.sha256 == sha256 && one.path == path)
            {
                continue;
            }
            wanted.push(Wanted {
                uri,
                path,
                by_hash: None,
                sha256,
                size,
            });
        }
        wanted.retain(|one| neurocontainers_recipe::is_confined(&one.path));
        let blobs = archives::fetch(workshop, &mirrors, &wanted)?;
        let files = wanted.iter().zip(blobs).map(|(one, blob)| {
            let folder = folder(&uris, &one.uri);
            (format!("{folder}/{}", one.path), blob)
        });
        Ok(Self {
            files: files.collect(),
            public,
            uris,
        })
    }

    /// The public sources.
    pub(crate) fn public(&self) -> &[AptSource] {
        &self.public
    }

    /// How many files there are, and how many bytes.
    pub fn size(&self) -> (usize, u64) {
        let bytes = |path: &PathBuf| fs_err::metadata(path).map_or(0, |meta| meta.len());
        (
            self.files.len(),
            self.files.iter().map(|(_, blob)| bytes(blob)).sum(),
        )
    }

    /// The sources as they are at a place where the folders were laid, by the APT method `how`.
    pub(crate) fn sources_at(&self, how: &str, place: &Path) -> Vec<AptSource> {
        let at = |source: &AptSource| AptSource {
            uri: format!(
                "{how}:{}/{}",
                place.display(),
                folder(&self.uris, &source.uri)
            ),
            ..source.clone()
        };
        self.public.iter().map(at).collect()
    }

    /// Makes the folders: links to blobs where those are on the same file system, else copies.
    pub(crate) fn lay(&self, place: &Path) -> io::Result<()> {
        for (path, blob) in &self.files {
            let to = place.join(path);
            if let Some(parent) = to.parent() {
                fs_err::create_dir_all(parent)?;
            }
            if fs_err::hard_link(blob, &to).is_err() {
                fs_err::copy(blob, &to)?;
            }
        }
        open_to_all(place)
    }

    /// What steps have to see: the folders in place of archives.
    pub(crate) fn for_steps(&self, workshop: &Workshop<'_>) -> Result<ForSteps, PipelineError> {
        let temporary = workshop.store.temporary();
        let fail = || PipelineError::io(temporary);
        let folder = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in(temporary)
            .map_err(fail())?;
        self.lay(folder.path()).map_err(fail())?;
        let pairs: Vec<(AptSource, String)> = self
            .public
            .iter()
            .cloned()
            .zip(
                self.sources_at("file", Path::new(INSIDE))
                    .into_iter()
                    .map(|one| one.uri),
            )
            .collect();
        Ok(ForSteps {
            mirrors: Mirrors::local(&pairs),
            folder,
        })
    }
}

/// Locked archives where steps see them; the folders go with this.
#[derive(Debug)]
pub(crate) struct ForSteps {
    /// The folders in place of public addresses.
    pub(crate) mirrors: Mirrors,
    folder: tempfile::TempDir,
}

impl ForSteps {
    /// The folders on this machine, and where steps see them.
    pub(crate) fn mount(&self) -> (PathBuf, String) {
        (self.folder.path().to_path_buf(), INSIDE.to_owned())
    }

    /// Adds APT's settings to what steps see.
    pub(crate) fn configure(build_only: &mut BuildOnly) {
        let text = SETTINGS.join(";\n") + ";\n";
        match build_only.files.iter_mut().find(|(path, _)| path == CONF) {
            Some((_, content)) => content.extend(text.into_bytes()),
            None => build_only.files.push((CONF.into(), text.into_bytes())),
        }
    }
}

/// The sources that archives are of.
pub(super) fn sources(archives: &[LockedArchive]) -> Vec<AptSource> {
    let source = |archive: &LockedArchive| AptSource {
        uri: archive.uri.clone(),
        suite: archive.suite.clone(),
        components: archive.components.clone(),
    };
    archives.iter().map(source).collect()
}

/// A folder for each address; its last part stays, because that is how archives are recognised.
fn folder(uris: &[String], uri: &str) -> String {
    let number = uris.iter().position(|known| known == uri).unwrap_or(0);
    let name = uri.rsplit('/').next().unwrap_or_default();
    let plain = neurocontainers_recipe::is_confined(name);
    format!("{number}/{}", if plain { name } else { "archive" })
}

/// APT reads as a user of its own.
fn open_to_all(place: &Path) -> io::Result<()> {
    let mut pending = vec![place.to_path_buf()];
    while let Some(dir) = pending.pop() {
        fs_err::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
        for entry in fs_err::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::parse_list;

    #[test]
    fn archives_lie_where_their_addresses_lead() {
        let public = parse_list(
            "deb http://deb.example/debian bookworm main\n\
             deb http://deb.example/debian bookworm-updates main\n\
             deb http://security.example/debian-security bookworm-security main\n",
        );
        let folder = tempfile::tempdir().unwrap();
        let blob = folder.path().join("blob");
        fs_err::write(&blob, "a package").unwrap();
        let archives = LocalArchives {
            uris: vec![public[0].uri.clone(), public[2].uri.clone()],
            public: public.clone(),
            files: vec![("1/debian-security/pool/a.deb".into(), blob)],
        };
        assert_eq!(archives.size(), (1, 9));
        let place = folder.path().join("place");
        fs_err::create_dir(&place).unwrap();
        archives.lay(&place).unwrap();
        let laid = fs_err::read(place.join("1/debian-security/pool/a.deb")).unwrap();
        assert_eq!(laid, b"a package");
        let lines: Vec<String> = archives
            .sources_at("copy", Path::new("/x"))
            .iter()
            .map(AptSource::line)
            .collect();
        assert_eq!(
            lines,
            [
                "deb copy:/x/0/debian bookworm main",
                "deb copy:/x/0/debian bookworm-updates main",
                "deb copy:/x/1/debian-security bookworm-security main",
            ]
        );
        let inside = archives.sources_at("file", Path::new(INSIDE));
        let pairs: Vec<_> = public
            .into_iter()
            .zip(inside.into_iter().map(|one| one.uri))
            .collect();
        let mirrors = Mirrors::local(&pairs);
        assert_eq!(
            mirrors.rewrite("deb http://deb.example/debian-security bookworm-security main\n"),
            "deb file:/run/nd-build/apt/1/debian-security bookworm-security main\n"
        );
        assert_eq!(
            mirrors.private()[0].1,
            "http://security.example/debian-security",
            "what is shown names the public archive"
        );
    }

    #[test]
    fn settings_are_added_to_those_of_the_machine() {
        let mut only = BuildOnly::default();
        ForSteps::configure(&mut only);
        ForSteps::configure(&mut only);
        let [(path, content)] = &only.files[..] else {
            panic!("{:?}", only.files);
        };
        assert_eq!(path, CONF);
        let text = String::from_utf8_lossy(content);
        assert_eq!(
            text.matches("Acquire::By-Hash \"no\";\n").count(),
            2,
            "{text}"
        );
    }
}
