//! What is installed, as a tree again: for a tar, or a repository.

use std::io;

use crate::{InstallRecord, Site, Tree, TreeBuilder};

/// Wrappers, their data and the modules of an installation, with their places below a prefix. The
/// image is not among them.
///
/// # Errors
///
/// When a file that was installed cannot be read.
pub fn installed_tree(site: &Site, record: &InstallRecord) -> io::Result<Tree> {
    let mut out = TreeBuilder::default();
    let stem = &record.image;
    let folder = site.folder(record);
    let wrong = io::Error::other;
    out.directory(stem).map_err(wrong)?;
    // Wrappers of equal bytes are one file with several names.
    let mut wrappers: Vec<(&str, Vec<String>)> = Vec::new();
    for file in &record.files {
        if record.commands.contains(&file.path) {
            let path = format!("{stem}/{}", file.path);
            match wrappers
                .iter_mut()
                .find(|(digest, _)| *digest == file.sha256)
            {
                Some((_, paths)) => paths.push(path),
                None => wrappers.push((&file.sha256, vec![path])),
            }
            continue;
        }
        let bytes = fs_err::read(folder.join(&file.path))?;
        let mode = (file.mode & 0o7777) as u16;
        out.file(&format!("{stem}/{}", file.path), bytes, mode)
            .map_err(wrong)?;
    }
    for (_, paths) in wrappers {
        let first = paths.first().map_or("", String::as_str);
        let bytes = fs_err::read(site.prefix().join(first))?;
        out.named(&paths, bytes, 0o755).map_err(wrong)?;
    }
    out.directory("modules").map_err(wrong)?;
    out.directory(&format!("modules/{}", record.name().app))
        .map_err(wrong)?;
    for module in &record.modules {
        out.file(
            &format!("modules/{}", module.path),
            module.text.clone(),
            0o644,
        )
        .map_err(wrong)?;
    }
    out.finish().map_err(wrong)
}
