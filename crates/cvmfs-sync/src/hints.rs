//! Which files of a container its commands open first: a list beside it, and reading them ahead.
//!
//! A client fetches each file when it is opened, one after the other. Whoever knows the files reads
//! them all at once.

use std::{
    collections::HashSet,
    io::{self, Read as _},
    num::NonZeroUsize,
    path::Path,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use nd_host::RootDir;
use nd_report::Cancel;
use nd_rootfs::{Index, Kind, TreePath};

/// The list of the files that commands open, beside the container.
pub(crate) const OPENED: &str = "opened.txt";
/// The largest list, in bytes.
const MAX_LIST: u64 = 16 << 20;

/// The lines of `text` that are files of the tree, each once, and how many are none.
pub(crate) fn opened(text: &[u8], index: &Index) -> (Vec<u8>, usize) {
    let (mut out, mut seen, mut none) = (Vec::new(), HashSet::new(), 0);
    for line in text.split(|&byte| byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let path = TreePath::clean(line).ok().flatten();
        let entry = path.as_ref().and_then(|path| index.get(path));
        match entry {
            Some(entry) if matches!(entry.kind, Kind::File { .. }) => {
                if seen.insert(&entry.path) {
                    out.extend_from_slice(entry.path.as_bytes());
                    out.push(b'\n');
                }
            }
            _ => none += 1,
        }
    }
    (out, none)
}

/// What was read ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefetched {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files of the list that could not be read.
    pub missing: u64,
}

/// Reads the files that the list beside the tree at `path` names, `threads` at a time, and keeps nothing
/// of them: what stands between them and us, the client's cache, does. The list leads to no file
/// outside the tree.
pub fn prefetch(path: &Path, threads: NonZeroUsize, cancel: &Cancel) -> io::Result<Prefetched> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let list = RootDir::open(folder)?.read(OPENED.as_bytes(), MAX_LIST)?;
    let tree = RootDir::open(path)?;
    let lines: Vec<&[u8]> = list
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    let next = AtomicUsize::new(0);
    let [files, bytes, missing] = [const { AtomicU64::new(0) }; 3];
    std::thread::scope(|scope| {
        for _ in 0..threads.get().min(lines.len()) {
            scope.spawn(|| {
                let mut portion = vec![0; 256 << 10];
                while !cancel.is_cancelled() {
                    let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        break;
                    };
                    match read(&tree, line, &mut portion) {
                        Ok(size) => {
                            files.fetch_add(1, Ordering::Relaxed);
                            bytes.fetch_add(size, Ordering::Relaxed);
                        }
                        Err(_) => {
                            missing.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    Ok(Prefetched {
        files: files.into_inner(),
        bytes: bytes.into_inner(),
        missing: missing.into_inner(),
    })
}

fn read(tree: &RootDir, path: &[u8], portion: &mut [u8]) -> io::Result<u64> {
    let mut file = tree.file(path)?;
    let mut size = 0;
    loop {
        match file.read(portion)? {
            0 => return Ok(size),
            read => size += read as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Lists of others.

    use super::*;

    #[test]
    fn a_list_names_files_of_the_tree_and_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tool/tool.simg");
        fs_err::create_dir_all(tree.join("bin")).unwrap();
        fs_err::write(tree.join("bin/tool"), b"tool").unwrap();
        fs_err::write(folder.path().join("secret"), b"secret").unwrap();
        std::os::unix::fs::symlink("../../../secret", tree.join("bin/link")).unwrap();
        let (index, _) = nd_oci::read_directory(&tree).unwrap();
        let (list, none) = opened(b"/bin/tool\nbin/tool\nbin\nbin/link\n../x\n\nnone", &index);
        assert_eq!((&list[..], none), (&b"bin/tool\n"[..], 4));

        let hostile = b"bin/tool\n../../secret\nbin/link\n/etc/passwd\nbin\n";
        fs_err::write(folder.path().join("tool").join(OPENED), hostile).unwrap();
        let threads = NonZeroUsize::new(3).unwrap();
        let done = prefetch(&tree, threads, &Cancel::default()).unwrap();
        assert_eq!((done.files, done.bytes, done.missing), (1, 4, 4));
    }
}
