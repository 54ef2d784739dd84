//! Which calls take paths, so that somebody who listens learns what a program looks at.

use super::{
    Program, UnsupportedArchitecture,
    assemble::{Answer, Rule, When},
    lists::{for_this_processor, rule},
    numbers::{Call, NONE, call},
};

/// `AT_EMPTY_PATH`
const EMPTY: u32 = 0x1000;

/// What a call does with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathUse {
    /// It opens, asks about or changes what is there.
    Look,
    /// It executes it: the kernel opens interpreters by itself then.
    Execute,
    /// It makes it the root of the process.
    Root,
    /// It makes or moves a name, which may lead elsewhere from then on.
    Name,
}

/// A path that a call was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathArgument {
    /// What becomes of it.
    pub usage: PathUse,
    /// Descriptor of the directory it starts from, if it is relative; the working directory's
    /// (`AT_FDCWD`) too.
    pub directory: i32,
    /// Where in the caller's memory it stands.
    pub address: u64,
}

/// A call that takes paths: for each, which argument is its directory and which is itself.
struct PathCall {
    call: Call,
    usage: PathUse,
    paths: &'static [(Option<u8>, u8)],
    /// The argument with flags, when an empty path may mean an open file.
    flags: Option<u8>,
}

const fn plain(call: Call) -> PathCall {
    PathCall {
        call,
        usage: PathUse::Look,
        paths: &[(None, 0)],
        flags: None,
    }
}

const fn at(call: Call) -> PathCall {
    PathCall {
        paths: &[(Some(0), 1)],
        ..plain(call)
    }
}

const fn at_or_empty(call: Call, flags: u8) -> PathCall {
    PathCall {
        flags: Some(flags),
        ..at(call)
    }
}

const fn naming(call: Call, paths: &'static [(Option<u8>, u8)]) -> PathCall {
    PathCall {
        usage: PathUse::Name,
        paths,
        ..plain(call)
    }
}

/// Every call whose success depends on what a path leads to, and those that make names which lead
/// elsewhere. Calls that only make something new are left out; sockets are, too.
const CALLS: &[PathCall] = &[
    plain(call("open", 2, 5, NONE)),
    plain(call("creat", 85, 8, NONE)),
    at(call("openat", 257, 295, 56)),
    at(call("openat2", 437, 437, 437)),
    plain(call("stat", 4, 106, NONE)),
    plain(call("lstat", 6, 107, NONE)),
    plain(call("oldstat", NONE, 18, NONE)),
    plain(call("oldlstat", NONE, 84, NONE)),
    plain(call("stat64", NONE, 195, NONE)),
    plain(call("lstat64", NONE, 196, NONE)),
    at_or_empty(call("newfstatat", 262, 300, 79), 3),
    at_or_empty(call("statx", 332, 383, 291), 2),
    plain(call("access", 21, 33, NONE)),
    at(call("faccessat", 269, 307, 48)),
    at_or_empty(call("faccessat2", 439, 439, 439), 3),
    plain(call("readlink", 89, 85, NONE)),
    at(call("readlinkat", 267, 305, 78)),
    plain(call("chdir", 80, 12, 49)),
    plain(call("statfs", 137, 99, 43)),
    plain(call("statfs64", NONE, 268, NONE)),
    PathCall {
        usage: PathUse::Execute,
        ..plain(call("execve", 59, 11, 221))
    },
    PathCall {
        usage: PathUse::Execute,
        ..at(call("execveat", 322, 358, 281))
    },
    PathCall {
        usage: PathUse::Root,
        ..plain(call("chroot", 161, 61, 51))
    },
    // What a command removes or changes is missed by it when it is not there.
    plain(call("truncate", 76, 92, 45)),
    plain(call("truncate64", NONE, 193, NONE)),
    plain(call("unlink", 87, 10, NONE)),
    plain(call("rmdir", 84, 40, NONE)),
    at(call("unlinkat", 263, 301, 35)),
    naming(call("rename", 82, 38, NONE), &[(None, 0), (None, 1)]),
    naming(
        call("renameat", 264, 302, 38),
        &[(Some(0), 1), (Some(2), 3)],
    ),
    naming(
        call("renameat2", 316, 353, 276),
        &[(Some(0), 1), (Some(2), 3)],
    ),
    naming(call("link", 86, 9, NONE), &[(None, 0), (None, 1)]),
    naming(call("linkat", 265, 303, 37), &[(Some(0), 1), (Some(2), 3)]),
    naming(call("symlink", 88, 83, NONE), &[(None, 1)]),
    naming(call("symlinkat", 266, 304, 36), &[(Some(1), 2)]),
    plain(call("chmod", 90, 15, NONE)),
    at(call("fchmodat", 268, 306, 53)),
    at_or_empty(call("fchmodat2", 452, 452, 452), 3),
    plain(call("chown", 92, 212, NONE)),
    plain(call("lchown", 94, 198, NONE)),
    plain(call("chown16", NONE, 182, NONE)),
    plain(call("lchown16", NONE, 16, NONE)),
    at_or_empty(call("fchownat", 260, 298, 54), 4),
    plain(call("utime", 132, 30, NONE)),
    plain(call("utimes", 235, 271, NONE)),
    at(call("futimesat", 261, 299, NONE)),
    at_or_empty(call("utimensat", 280, 320, 88), 3),
    at_or_empty(call("utimensat_time64", NONE, 412, NONE), 3),
    plain(call("setxattr", 188, 226, 5)),
    plain(call("lsetxattr", 189, 227, 6)),
    plain(call("getxattr", 191, 229, 8)),
    plain(call("lgetxattr", 192, 230, 9)),
    plain(call("listxattr", 194, 232, 11)),
    plain(call("llistxattr", 195, 233, 12)),
    plain(call("removexattr", 197, 235, 14)),
    plain(call("lremovexattr", 198, 236, 15)),
    PathCall {
        paths: &[(None, 1)],
        ..plain(call("inotify_add_watch", 254, 292, 27))
    },
    at(call("name_to_handle_at", 303, 341, 264)),
    at_or_empty(call("setxattrat", 463, 463, 463), 2),
    at_or_empty(call("getxattrat", 464, 464, 464), 2),
    at_or_empty(call("listxattrat", 465, 465, 465), 2),
    at_or_empty(call("removexattrat", 466, 466, 466), 2),
    at_or_empty(call("file_getattr", 468, 468, 468), 4),
];

/// Asks a listener about every call that is given a path, before it is done.
///
/// Calls that say that an empty path means an open file (`AT_EMPTY_PATH`) are taken for ones about
/// that file and not asked about: C libraries write `fstat` so, about once for each file they open.
#[derive(Debug, Clone, Copy, Default)]
pub struct PathWatch;

impl PathWatch {
    /// For the processor this program was compiled for.
    pub fn program(self) -> Result<Program, UnsupportedArchitecture> {
        for_this_processor(Self::rules)
    }

    fn rules(architecture: u32) -> Vec<Rule> {
        let ask = |known: &PathCall| {
            let when = match known.flags {
                Some(flags) => When::Without(flags, EMPTY),
                None => When::Always,
            };
            rule(&known.call, architecture, when, Answer::Asked)
        };
        CALLS.iter().filter_map(ask).collect()
    }
}

/// The paths of a call, none of an unknown one.
pub(super) fn of_call(
    architecture: u32,
    number: u32,
    arguments: &[u64; 6],
) -> impl Iterator<Item = PathArgument> {
    let known = CALLS
        .iter()
        .find(|known| known.call.number(architecture) == Some(number));
    known.into_iter().flat_map(|known| {
        known.paths.iter().map(|&(directory, path)| PathArgument {
            usage: known.usage,
            directory: directory.map_or(libc::AT_FDCWD, |at| arguments[usize::from(at)] as i32),
            address: arguments[usize::from(path)],
        })
    })
}

#[cfg(test)]
mod tests {
    //! What is asked about, by a simulation of the kernel's filter.

    use super::{
        super::{
            assemble::simulate,
            numbers::{I386, X86_64},
        },
        CALLS, PathWatch, of_call,
    };

    const ALLOW: u32 = 0x7fff_0000;
    const NOTIFY: u32 = 0x7fc0_0000;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn calls_with_paths_are_asked_about_and_fstat_is_not() {
        let program = PathWatch.program().unwrap();
        for known in CALLS {
            for arch in [X86_64, I386] {
                if let Some(number) = known.call.number(arch) {
                    let answer = simulate(&program, arch, number, [0; 6]);
                    assert_eq!(answer, NOTIFY, "{}", known.call.name);
                }
            }
        }
        assert_eq!(
            simulate(&program, X86_64, 262, [3, 0, 0, 0x1000, 0, 0]),
            ALLOW
        );
        assert_eq!(simulate(&program, X86_64, 0, [0; 6]), ALLOW);
        assert!(program.len() < 4096);
    }

    #[test]
    fn arguments_are_where_the_call_has_them() {
        let paths: Vec<_> = of_call(X86_64, 316, &[3, 10, u64::MAX - 99, 20, 0, 0]).collect();
        assert_eq!((paths[0].directory, paths[0].address), (3, 10));
        assert_eq!((paths[1].directory, paths[1].address), (-100, 20));
        assert_eq!(of_call(X86_64, 0, &[0; 6]).count(), 0);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_are_those_of_the_c_library() {
        for (name, number) in [
            ("open", libc::SYS_open),
            ("creat", libc::SYS_creat),
            ("openat", libc::SYS_openat),
            ("openat2", libc::SYS_openat2),
            ("stat", libc::SYS_stat),
            ("lstat", libc::SYS_lstat),
            ("newfstatat", libc::SYS_newfstatat),
            ("statx", libc::SYS_statx),
            ("access", libc::SYS_access),
            ("faccessat", libc::SYS_faccessat),
            ("faccessat2", libc::SYS_faccessat2),
            ("readlink", libc::SYS_readlink),
            ("readlinkat", libc::SYS_readlinkat),
            ("chdir", libc::SYS_chdir),
            ("statfs", libc::SYS_statfs),
            ("execve", libc::SYS_execve),
            ("execveat", libc::SYS_execveat),
            ("chroot", libc::SYS_chroot),
            ("truncate", libc::SYS_truncate),
            ("unlink", libc::SYS_unlink),
            ("rmdir", libc::SYS_rmdir),
            ("unlinkat", libc::SYS_unlinkat),
            ("rename", libc::SYS_rename),
            ("renameat", libc::SYS_renameat),
            ("renameat2", libc::SYS_renameat2),
            ("link", libc::SYS_link),
            ("symlink", libc::SYS_symlink),
            ("symlinkat", libc::SYS_symlinkat),
            ("linkat", libc::SYS_linkat),
            ("chmod", libc::SYS_chmod),
            ("fchmodat", libc::SYS_fchmodat),
            ("chown", libc::SYS_chown),
            ("lchown", libc::SYS_lchown),
            ("fchownat", libc::SYS_fchownat),
            ("utime", libc::SYS_utime),
            ("utimes", libc::SYS_utimes),
            ("futimesat", libc::SYS_futimesat),
            ("utimensat", libc::SYS_utimensat),
            ("setxattr", libc::SYS_setxattr),
            ("lsetxattr", libc::SYS_lsetxattr),
            ("getxattr", libc::SYS_getxattr),
            ("lgetxattr", libc::SYS_lgetxattr),
            ("listxattr", libc::SYS_listxattr),
            ("llistxattr", libc::SYS_llistxattr),
            ("removexattr", libc::SYS_removexattr),
            ("lremovexattr", libc::SYS_lremovexattr),
            ("inotify_add_watch", libc::SYS_inotify_add_watch),
            ("name_to_handle_at", libc::SYS_name_to_handle_at),
        ] {
            let known = CALLS.iter().find(|known| known.call.name == name).unwrap();
            assert_eq!(i64::from(known.call.x86_64), number, "{name}");
        }
    }
}
