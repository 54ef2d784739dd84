//! What Apptainer binds for a GPU: the driver's libraries, programs and files that its lists name.
//!
//! Devices need nothing: all of `/dev` is there. A list has a word a line. One that holds `.so` names
//! libraries by how their names begin, among those that the dynamic linker's cache knows; an absolute path
//! is a file; any other is a program.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{MountKind, NativeMount};
use crate::{
    Files,
    plan::{gpu::Offer, runtime::settings},
};

/// The dynamic linker's cache.
const CACHE: &str = "/etc/ld.so.cache";
/// Where libraries appear, which the runtime's environment scripts add to `LD_LIBRARY_PATH`.
const LIBRARIES: &str = "/.singularity.d/libs";
/// Where programs are looked for after the caller's `PATH`, and where they appear.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PROGRAMS_AT: &str = "/usr/bin";
/// The socket of NVIDIA's daemon, which is there when it runs.
const DAEMON: &str = "/var/run/nvidia-persistenced/socket";

/// What is mounted for a GPU; `None` when there is no list beside `runtime` that says it, or no
/// cache of libraries. `path` is the caller's `PATH`.
pub(super) fn mounts(
    offer: Offer,
    runtime: &Path,
    path: &OsStr,
    files: &dyn Files,
) -> Option<Vec<NativeMount>> {
    let name = match offer {
        Offer::Nvidia => "nvliblist.conf",
        Offer::Rocm => "rocmliblist.conf",
    };
    let list = settings(runtime, name).find_map(|path| files.read(&path))?;
    let cache = files.read(Path::new(CACHE))?;
    let known = libraries(&cache)?;
    let mount = |source: &Path, target: PathBuf| NativeMount {
        source: source.to_owned(),
        target,
        kind: MountKind::ReadOnly,
    };
    let search = [path.as_bytes(), PROGRAMS.as_bytes()].join(&b':');
    let (mut found, mut taken): (Vec<NativeMount>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    for word in list.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if word.is_empty() || word.starts_with(b"#") {
            continue;
        }
        let path = Path::new(OsStr::from_bytes(word));
        if path.is_absolute() {
            if files.kind(path).is_some() {
                found.push(mount(path, path.to_owned()));
            }
        } else if word.windows(3).any(|part| part == b".so") {
            for (name, path) in &known {
                let path = Path::new(OsStr::from_bytes(path));
                let Some(file) = path.file_name() else {
                    continue;
                };
                if name.starts_with(word) && !taken.contains(name) && files.kind(path).is_some() {
                    taken.push(name);
                    found.push(mount(path, Path::new(LIBRARIES).join(file)));
                }
            }
        } else if let Some(program) = search
            .split(|byte| *byte == b':')
            .map(|folder| Path::new(OsStr::from_bytes(folder)).join(path))
            .find(|program| program.is_absolute() && files.executable(program))
        {
            found.push(mount(&program, Path::new(PROGRAMS_AT).join(path)));
        }
    }
    let daemon = Path::new(DAEMON);
    if offer == Offer::Nvidia && files.kind(daemon).is_some() {
        found.push(mount(daemon, daemon.to_owned()));
    }
    Some(found)
}

/// A number of the cache, in the machine's order of bytes.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_ne_bytes(bytes.try_into().ok()?)).ok()
}

/// Names and paths in the linker's cache of what this machine's programs can load, in its order.
fn libraries(cache: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    const OLD: &[u8] = b"ld.so-1.7.0";
    const NEW: &[u8] = b"glibc-ld.so.cache1.1";
    /// Flags: a library of the C library 6, for this architecture.
    const OURS: usize = if cfg!(target_arch = "aarch64") {
        0x0a03
    } else {
        0x0303
    };
    let mut cache = cache;
    if cache.starts_with(OLD) {
        // The form of old comes first; entries of three numbers, and then the new one, aligned.
        let entries = number(cache, 12)?.checked_mul(12)?;
        let end = entries.checked_add(16)?.checked_next_multiple_of(8)?;
        cache = cache.get(end..)?;
    }
    let count = number(cache.strip_prefix(NEW).map(|_| cache)?, NEW.len())?;
    let text = |at: usize| -> Option<&[u8]> {
        let rest = cache.get(at..)?;
        Some(&rest[..rest.iter().position(|byte| *byte == 0)?])
    };
    let mut found = Vec::new();
    for at in 0..count {
        let entry = at.checked_mul(24)?.checked_add(48)?;
        if number(cache, entry)? == OURS {
            let text = |offset: usize| text(number(cache, entry + offset)?);
            let (name, path) = (text(4)?, text(8)?);
            if path.starts_with(b"/") {
                found.push((name, path));
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Kind;

    /// A cache of entries: flags, name, path.
    fn cache(entries: &[(u32, &str, &str)]) -> Vec<u8> {
        let mut out = b"glibc-ld.so.cache1.1".to_vec();
        let count = u32::try_from(entries.len()).unwrap();
        out.extend(count.to_ne_bytes());
        out.resize(48, 0);
        let (mut head, mut texts) = (Vec::new(), Vec::new());
        let base = 48 + 24 * entries.len();
        for (flags, name, path) in entries {
            head.extend(flags.to_ne_bytes());
            for text in [name, path] {
                head.extend(u32::try_from(base + texts.len()).unwrap().to_ne_bytes());
                texts.extend(text.bytes().chain([0]));
            }
            head.extend([0; 12]);
        }
        out.extend(head);
        out.extend(texts);
        out
    }

    const OURS: u32 = if cfg!(target_arch = "aarch64") {
        0x0a03
    } else {
        0x0303
    };

    struct Machine(BTreeMap<PathBuf, Vec<u8>>);

    impl Files for Machine {
        fn kind(&self, path: &Path) -> Option<Kind> {
            self.0.contains_key(path).then_some(Kind::File)
        }
        fn same(&self, one: &Path, other: &Path) -> bool {
            one == other
        }
        fn executable(&self, path: &Path) -> bool {
            self.0.contains_key(path)
        }
        fn read(&self, path: &Path) -> Option<Vec<u8>> {
            self.0.get(path).cloned()
        }
    }

    #[test]
    fn lists_name_libraries_programs_and_files() {
        let list =
            "# what\n\nlibcuda.so\n libGL.so\nnvidia-smi\nnot-there\n/etc/nv.json\n/not/there\n";
        let cache = cache(&[
            (OURS, "libcuda.so.1", "/drv/libcuda.so.1"),
            (0x0003, "libcuda.so.1", "/lib32/libcuda.so.1"),
            (OURS, "libcuda.so.1", "/old/libcuda.so.1"),
            (OURS, "libcuda.so", "/gone/libcuda.so"),
            (OURS, "libGLX.so.0", "/drv/libGLX.so.0"),
            (OURS, "libGL.so.1", "/drv/libGL.so.1.7"),
        ]);
        let mut machine = Machine(BTreeMap::new());
        for (path, bytes) in [
            ("/etc/apptainer/nvliblist.conf", list.as_bytes()),
            (CACHE, cache.as_slice()),
            ("/drv/libcuda.so.1", b""),
            ("/old/libcuda.so.1", b""),
            ("/lib32/libcuda.so.1", b""),
            ("/drv/libGLX.so.0", b""),
            ("/drv/libGL.so.1.7", b""),
            ("/usr/bin/nvidia-smi", b""),
            ("/etc/nv.json", b""),
        ] {
            machine.0.insert(path.into(), bytes.to_vec());
        }
        let path = OsStr::new("relative:/opt/none");
        let found = mounts(
            Offer::Nvidia,
            Path::new("/usr/bin/apptainer"),
            path,
            &machine,
        )
        .unwrap();
        let shown: Vec<(&str, &str)> = found
            .iter()
            .map(|mount| {
                (
                    mount.source.to_str().unwrap(),
                    mount.target.to_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("/drv/libcuda.so.1", "/.singularity.d/libs/libcuda.so.1"),
            ("/drv/libGL.so.1.7", "/.singularity.d/libs/libGL.so.1.7"),
            ("/usr/bin/nvidia-smi", "/usr/bin/nvidia-smi"),
            ("/etc/nv.json", "/etc/nv.json"),
        ];
        assert_eq!(shown, expected);
        // No list of the other kind, and none elsewhere.
        assert_eq!(
            mounts(Offer::Rocm, Path::new("/usr/bin/apptainer"), path, &machine),
            None
        );
        assert_eq!(
            mounts(
                Offer::Nvidia,
                Path::new("/opt/bin/apptainer"),
                path,
                &machine
            ),
            None
        );
        machine.0.insert(CACHE.into(), b"no cache".to_vec());
        assert_eq!(
            mounts(
                Offer::Nvidia,
                Path::new("/usr/bin/apptainer"),
                path,
                &machine
            ),
            None
        );
    }

    #[test]
    fn any_bytes_are_a_cache_or_none() {
        let whole = cache(&[(OURS, "libcuda.so.1", "/drv/libcuda.so.1")]);
        assert_eq!(libraries(&whole).unwrap().len(), 1);
        for end in 0..whole.len() {
            let _ = libraries(&whole[..end]);
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] = 0xff;
            let _ = libraries(&other);
        }
        // Behind one of the old form.
        let mut old = b"ld.so-1.7.0\0".to_vec();
        old.extend(1_u32.to_ne_bytes());
        old.resize(32, 0);
        old.extend(&whole);
        assert_eq!(libraries(&old), libraries(&whole));
        let here = fs_err::read(CACHE).unwrap_or(whole);
        assert!(!libraries(&here).unwrap().is_empty());
    }
}
