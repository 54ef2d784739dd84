//! Programs of others that tests compare with.

use std::path::{Path, PathBuf};

/// The program `name`, or `None` after saying `skipped: REASON` when it is not installed.
///
/// Apptainer, Environment Modules and what comes from PyPI are looked for in `$ND_PEERS/NAME` first, everything else on `PATH` and in the
/// folders of system programs.
///
/// # Panics
///
/// When the program is missing and `ND_REQUIRE_PEERS` is `1`: where all peers are promised, a test
/// must not pass without its peer.
#[expect(
    clippy::print_stdout,
    reason = "this is called by tests, whose language that is"
)]
pub fn peer(name: &str) -> Option<PathBuf> {
    let prefix = std::env::var_os("ND_PEERS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = find(name, prefix.as_deref(), std::env::split_paths(&path));
    if found.is_none() {
        let reason = format!(
            "`{name}` is not installed; `cargo xtask setup` installs it, or the package `{}`",
            package(name)
        );
        assert!(
            std::env::var_os("ND_REQUIRE_PEERS").is_none_or(|value| value != "1"),
            "{reason}"
        );
        println!("skipped: {reason}");
    }
    found
}

fn find(name: &str, prefix: Option<&Path>, path: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    prefix
        .map(|prefix| prefix.join(name).join("usr/bin"))
        .into_iter()
        .chain(path)
        // Lmod's program is on no `PATH`.
        .chain(["/usr/sbin", "/sbin", "/usr/share/lmod/lmod/libexec"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// The Debian package that has a program of another name.
fn package(program: &str) -> &str {
    match program {
        "unsquashfs" | "mksquashfs" | "sqfstar" => "squashfs-tools",
        "tar2sqfs" | "sqfs2tar" | "rdsquashfs" => "squashfs-tools-ng",
        "bsdtar" => "libarchive-tools",
        "setcap" | "getcap" => "libcap2-bin",
        "setfattr" | "getfattr" => "attr",
        "busybox" => "busybox-static",
        "newuidmap" | "newgidmap" => "uidmap",
        "desktop-file-validate" => "desktop-file-utils",
        "mpirun" => "openmpi-bin",
        "flock" => "util-linux",
        "srun" => "slurm-wlm",
        "qemu-aarch64-static" => "qemu-user-static",
        "systemd-analyze" => "systemd",
        "Xvfb" => "xvfb",
        "lxpanelctl" => "lxpanel",
        "moto_server" => "moto[server]",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    //! Looking for programs, with folders of our own.

    use super::find;

    #[test]
    fn the_prefix_comes_before_the_path_and_the_path_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |below: &str| folder.path().join(below);
        for below in ["peers/tool/usr/bin", "a", "b"] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .create(at(below))
                .unwrap();
        }
        for file in ["peers/tool/usr/bin/tool", "a/other", "b/tool", "b/other"] {
            std::fs::File::create(at(file)).unwrap();
        }
        let path = || [at("a"), at("b")].into_iter();
        let prefix = at("peers");
        assert_eq!(
            find("tool", Some(&prefix), path()),
            Some(at("peers/tool/usr/bin/tool"))
        );
        assert_eq!(find("tool", None, path()), Some(at("b/tool")));
        assert_eq!(find("other", Some(&prefix), path()), Some(at("a/other")));
        assert_eq!(find("no-such-program", Some(&prefix), path()), None);
    }
}
