//! Folders that upstream's script made.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path};

use nd_names::{ImageName, Sha256};

use super::{InstallRecord, RecordedFile, Site, SiteError, SourceRecord, names_image};
use crate::{COMMANDS, CommandName, ENV, EnvironmentSource, ModuleFile, Placement, WrapperStyle};

/// The name of upstream's script.
pub(crate) const SCRIPT: &str = "run_transparent_singularity.sh";

/// What upstream's script puts beside its wrappers, or brings along.
const UPSTREAM: [&str; 8] = [
    "README.md",
    "commands_raw.txt",
    SCRIPT,
    "ts_binaryFinder.sh",
    "ts_binaryFinderExcludes.txt",
    "ts_lua_extensions.sh",
    "ts_uninstall.sh",
    ENV,
];

impl Site {
    /// A record for a folder of upstream's script: named after its image, with an image and a list of
    /// commands, and without a record. `None` for any other folder. Nothing is written.
    pub fn adopt(&self, stem: &str) -> Result<Option<InstallRecord>, SiteError> {
        let Ok(name) = stem.parse::<ImageName>() else {
            return Ok(None);
        };
        let folder = self.prefix().join(stem);
        let image = folder.join(format!("{stem}.simg"));
        let listed = folder.join(COMMANDS);
        let (Ok(found), Ok(text)) = (
            fs_err::symlink_metadata(&image),
            fs_err::read_to_string(&listed),
        ) else {
            return Ok(None);
        };
        if name.stem() != stem || self.record_path(stem).exists() {
            return Ok(None);
        }
        let mut commands: Vec<String> = (text.lines())
            .filter_map(|line| CommandName::from_bytes(line.trim_end().as_bytes()).ok())
            .filter(|command| !command.is_reserved())
            .map(String::from)
            .collect();
        commands.sort();
        commands.dedup();
        let scripts = ["activate", "deactivate"].map(|verb| format!("{verb}_{stem}.simg.sh"));
        let names = commands.iter().cloned().chain(scripts);
        let names = names
            .chain(UPSTREAM.map(str::to_owned))
            .chain([COMMANDS.to_owned()]);
        let files: Vec<RecordedFile> = names.filter_map(|name| recorded(&folder, name)).collect();
        let placement = match found.file_type() {
            kind if kind.is_symlink() => Placement::Link,
            kind if kind.is_dir() => Placement::Folder,
            _ => Placement::File,
        };
        let whole = fs_err::metadata(&image).ok();
        Ok(Some(InstallRecord {
            version: InstallRecord::VERSION,
            image: stem.to_owned(),
            folder: stem.to_owned(),
            installed: String::new(),
            by: "upstream".into(),
            placement,
            style: WrapperStyle::default(),
            source: SourceRecord {
                from: "upstream's script".into(),
                sha256: None,
                bytes: whole
                    .filter(std::fs::Metadata::is_file)
                    .map(|found| found.len()),
                verified: None,
            },
            tree: None,
            unpacked: None,
            labels: BTreeMap::new(),
            options: Vec::new(),
            environment: EnvironmentSource::Nothing,
            difference: BTreeMap::new(),
            commands,
            files,
            modules: self.upstream_modules(&name),
        }))
    }

    /// Module files that name the image, Lua last.
    fn upstream_modules(&self, name: &ImageName) -> Vec<ModuleFile> {
        let module = |file: String| {
            let path = format!("{}/{file}", name.app);
            let text = fs_err::read_to_string(self.modules().join(&path)).ok()?;
            names_image(&text, &name.stem()).then_some(ModuleFile { path, text })
        };
        let files = [name.version.to_string(), format!("{}.lua", name.version)];
        files.into_iter().filter_map(module).collect()
    }

    /// Records of all folders of upstream's script.
    pub(super) fn adopted(&self) -> Result<Vec<InstallRecord>, SiteError> {
        let Ok(entries) = fs_err::read_dir(self.prefix()) else {
            return Ok(Vec::new());
        };
        let mut stems: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        stems.sort();
        let mut out = Vec::new();
        for stem in stems {
            out.extend(self.adopt(&stem)?);
        }
        Ok(out)
    }
}

/// A regular file of the folder as it is now.
fn recorded(folder: &Path, name: String) -> Option<RecordedFile> {
    let path = folder.join(&name);
    let found = fs_err::symlink_metadata(&path)
        .ok()
        .filter(std::fs::Metadata::is_file)?;
    let digest = Sha256::of_rest(fs_err::File::open(&path).ok()?).ok()?;
    Some(RecordedFile {
        path: name,
        sha256: digest.to_string(),
        mode: found.permissions().mode() & 0o7777,
    })
}
