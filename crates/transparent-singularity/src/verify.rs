//! Whether what was installed is still what was installed, and putting it right.

use std::{fmt, io, os::unix::fs::PermissionsExt as _, path::Path};

use nd_host::write_atomic;
use nd_modulefile::{Dialect, Folder, repoint};
use nd_names::Sha256;
use serde::Serialize;

use crate::{
    COMMANDS, InstallRecord, OpenImage, Placement, Site, SiteError, Unpacked, WrapperStyle,
};

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Names, lengths of nothing, links.
    Quick,
    /// Every byte.
    Full,
}

/// Something that is not as it was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", content = "path", rename_all = "kebab-case")]
pub enum Finding {
    /// A file is gone.
    Missing(String),
    /// A file has other bytes.
    Changed(String),
    /// A wrapper cannot be executed.
    NotExecutable(String),
    /// There is no image.
    NoImage(String),
    /// The image cannot be read: cut off, or damaged.
    Damaged(String),
    /// The image has other bytes.
    ImageChanged(String),
    /// Nothing vouches for the image but its length.
    Unverified(String),
    /// The image carries a signature, which is not checked here.
    Signed(String),
    /// A module is gone.
    NoModule(String),
    /// A module leads to another folder.
    ModuleElsewhere(String),
    /// A module has other text.
    ModuleChanged(String),
}

impl Finding {
    /// Whether it is only something to know, not something that is broken.
    pub fn is_note(&self) -> bool {
        matches!(self, Self::Unverified(_) | Self::Signed(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "`{path}` is missing"),
            Self::Changed(path) => write!(f, "`{path}` is not what was installed"),
            Self::NotExecutable(path) => write!(f, "`{path}` cannot be executed"),
            Self::NoImage(path) => write!(f, "image `{path}` is missing"),
            Self::Damaged(why) => write!(f, "the image cannot be read: {why}"),
            Self::ImageChanged(path) => write!(f, "image `{path}` is not what was installed"),
            Self::Unverified(from) => write!(
                f,
                "the image came from {from} without a digest to compare; its own was recorded then"
            ),
            Self::Signed(path) => write!(
                f,
                "the image carries a signature that is not checked here; `apptainer verify {}` does",
                crate::quoted(path)
            ),
            Self::NoModule(path) => write!(f, "module `{path}` is missing"),
            Self::ModuleElsewhere(path) => write!(
                f,
                "module `{path}` leads to another folder; `repair` rewrites it"
            ),
            Self::ModuleChanged(path) => write!(f, "module `{path}` is not what was installed"),
        }
    }
}

/// Compares an installation with its record.
pub fn verify(site: &Site, record: &InstallRecord, depth: Depth) -> Vec<Finding> {
    let mut out = Vec::new();
    let folder = site.folder(record);
    for file in &record.files {
        let path = folder.join(&file.path);
        let Ok(found) = fs_err::metadata(&path) else {
            out.push(Finding::Missing(file.path.clone()));
            continue;
        };
        if file.mode & 0o111 != 0 && found.permissions().mode() & 0o100 == 0 {
            out.push(Finding::NotExecutable(file.path.clone()));
        }
        if depth == Depth::Quick && file.path != COMMANDS {
            continue;
        }
        if !has_digest(&path, &file.sha256) {
            out.push(Finding::Changed(file.path.clone()));
        }
    }
    verify_image(site, record, depth, &mut out);
    for module in &record.modules {
        let path = site.modules().join(&module.path);
        let Ok(text) = fs_err::read_to_string(&path) else {
            out.push(Finding::NoModule(module.path.clone()));
            continue;
        };
        let dialect = Dialect::of_file(&module.path);
        let leads = nd_modulefile::read(&text, dialect).folder;
        if leads.as_deref().map(Path::new) != Some(folder.as_path()) {
            out.push(Finding::ModuleElsewhere(module.path.clone()));
        } else if depth == Depth::Full && moved(&module.text, dialect, &folder) != text {
            out.push(Finding::ModuleChanged(module.path.clone()));
        }
    }
    if record.source.verified.is_none() && record.source.bytes.is_some() && depth == Depth::Full {
        out.push(Finding::Unverified(record.source.from.clone()));
    }
    out
}

fn verify_image(site: &Site, record: &InstallRecord, depth: Depth, out: &mut Vec<Finding>) {
    let path = site.image(record);
    let shown = path.display().to_string();
    let Ok(found) = fs_err::metadata(&path) else {
        out.push(Finding::NoImage(shown));
        return;
    };
    if record.placement == Placement::File
        && let Some(bytes) = record.source.bytes
        && found.len() != bytes
    {
        out.push(Finding::ImageChanged(shown));
        return;
    }
    if depth == Depth::Quick {
        return;
    }
    match OpenImage::open(&path) {
        Ok(image) if image.metadata.signed => out.push(Finding::Signed(shown.clone())),
        Ok(_) => {}
        Err(error) => return out.push(Finding::Damaged(error.to_string())),
    }
    match (record.placement, &record.source.sha256, &record.unpacked) {
        (Placement::File, Some(digest), _) if !has_digest(&path, digest) => {
            out.push(Finding::ImageChanged(shown));
        }
        (Placement::Folder, _, Some(unpacked)) => match Unpacked::of(&path) {
            Ok(found) if found == *unpacked => {}
            Ok(_) => out.push(Finding::ImageChanged(shown)),
            Err(error) => out.push(Finding::Damaged(error.to_string())),
        },
        _ => {}
    }
}

fn has_digest(path: &Path, digest: &str) -> bool {
    let Ok(mut file) = fs_err::File::open(path) else {
        return false;
    };
    Sha256::of_rest(&mut file).is_ok_and(|found| found.to_string() == digest)
}

/// A recorded module as it is for a folder that may have moved.
fn moved(text: &str, dialect: Dialect, folder: &Path) -> String {
    let to = folder.to_str().and_then(|text| text.parse::<Folder>().ok());
    let now = to.and_then(|to| repoint(text, dialect, &to));
    now.unwrap_or_else(|| text.to_owned())
}

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Files that were written again.
    pub written: Vec<String>,
    /// What cannot be repaired from here; installing again does.
    pub left: Vec<Finding>,
}

/// Puts right what can be put right without the image's source: modules (after a move as well), and
/// wrappers whose bytes are known.
///
/// # Errors
///
/// When something cannot be written.
pub fn repair(site: &Site, record: &InstallRecord, launcher: &[u8]) -> Result<Repaired, SiteError> {
    let mut out = Repaired::default();
    let folder = site.folder(record);
    let findings = verify(site, record, Depth::Full);
    let mut record = record.clone();
    // A name that lacks its wrapper gets it again, by a link to one that is whole.
    let whole = record.files.iter().find(|file| {
        record.commands.contains(&file.path) && has_digest(&folder.join(&file.path), &file.sha256)
    });
    let whole = whole.map(|file| (folder.join(&file.path), file.sha256.clone()));
    let mut rewritten = false;
    for finding in findings {
        match &finding {
            Finding::Missing(name) | Finding::Changed(name) | Finding::NotExecutable(name) => {
                let bytes = known_bytes(&record, name, launcher, whole.as_ref());
                let Some(bytes) = bytes else {
                    out.left.push(finding);
                    continue;
                };
                let path = folder.join(name);
                write_with_mode(&path, &bytes, &record, name)
                    .map_err(SiteError::io("write", &path))?;
                let digest = Sha256::of(&bytes).to_string();
                if let Some(file) = record.files.iter_mut().find(|file| file.path == *name) {
                    rewritten |= file.sha256 != digest;
                    file.sha256 = digest;
                }
                out.written.push(name.clone());
            }
            Finding::NoModule(name)
            | Finding::ModuleElsewhere(name)
            | Finding::ModuleChanged(name) => {
                let Some(module) = record.modules.iter().find(|module| module.path == *name) else {
                    continue;
                };
                let path = site.modules().join(name);
                let text = moved(&module.text, Dialect::of_file(name), &folder);
                let parent = path.parent().unwrap_or(&path);
                fs_err::create_dir_all(parent).map_err(SiteError::io("make", parent))?;
                write_atomic(&path, text.as_bytes()).map_err(SiteError::io("write", &path))?;
                out.written.push(format!("{}/{name}", super::MODULES));
            }
            finding if finding.is_note() => {}
            _ => out.left.push(finding),
        }
    }
    // The scripts to be sourced hold the folder's path.
    let image = record.name();
    if let Some(text) = folder.to_str() {
        for (name, script) in [
            (
                format!("activate_{}.simg.sh", record.image),
                crate::activation(&image, text),
            ),
            (
                format!("deactivate_{}.simg.sh", record.image),
                crate::deactivation(&image, text),
            ),
        ] {
            let digest = Sha256::of(script.as_bytes()).to_string();
            let Some(at) = record.files.iter().position(|file| file.path == name) else {
                continue;
            };
            if record.files[at].sha256 == digest && has_digest(&folder.join(&name), &digest) {
                continue;
            }
            let path = folder.join(&name);
            write_with_mode(&path, script.as_bytes(), &record, &name)
                .map_err(SiteError::io("write", &path))?;
            record.files[at].sha256 = digest;
            out.written.push(name);
            rewritten = true;
        }
    }
    for module in &mut record.modules {
        let now = moved(&module.text, Dialect::of_file(&module.path), &folder);
        rewritten |= now != module.text;
        module.text = now;
    }
    if rewritten {
        let path = site.record_path(&record.image);
        write_atomic(&path, &record.to_json()).map_err(SiteError::io("write", path))?;
    }
    Ok(out)
}

/// The bytes a file has to have, where they can be had without the image.
fn known_bytes(
    record: &InstallRecord,
    name: &str,
    launcher: &[u8],
    whole: Option<&(std::path::PathBuf, String)>,
) -> Option<Vec<u8>> {
    let image = record.name();
    if name == COMMANDS {
        return Some(
            [
                record.commands.join(
                    "
",
                ),
                "
"
                .to_owned(),
            ]
            .concat()
            .into(),
        );
    }
    if name == "ts_uninstall.sh" {
        return Some(crate::upstream_uninstall(&image).into_bytes());
    }
    if record.commands.iter().any(|command| command == name)
        && record.style == WrapperStyle::Launcher
    {
        let wanted = record.files.iter().find(|file| file.path == name)?;
        return match whole {
            Some((path, digest)) if *digest == wanted.sha256 => fs_err::read(path).ok(),
            _ if !launcher.is_empty() => Some(launcher.to_vec()),
            _ => None,
        };
    }
    None
}

fn write_with_mode(
    path: &Path,
    bytes: &[u8],
    record: &InstallRecord,
    name: &str,
) -> io::Result<()> {
    use std::io::Write as _;
    let mode = record
        .files
        .iter()
        .find(|file| file.path == name)
        .map_or(0o644, |file| file.mode);
    let mut file = nd_host::AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.commit()?;
    Ok(())
}
