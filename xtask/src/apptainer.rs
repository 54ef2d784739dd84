//! Apptainer in a folder of its own, for distributions that do not package it.
//!
//! Debian's unstable suite has it. Its packages and their libraries are unpacked below the cache
//! folder, and the programs are told to use the loader and libraries found there, so that they run
//! on older releases. Nothing outside that folder is touched, and root is not needed.

use std::path::{Path, PathBuf};

use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::{Shell, cmd};

use crate::machine::{Machine, find_program};

/// The suite that has Apptainer.
const SUITE: &str = "sid";
/// What is unpacked besides the libraries these depend on.
const PACKAGES: &[&str] = &[
    "apptainer",
    "fuse-overlayfs",
    "fuse2fs",
    "patchelf",
    "squashfs-tools",
    "squashfuse",
];
/// Programs that are told where their loader and libraries are, below the prefix.
const PROGRAMS: &[&str] = &[
    "usr/bin/apptainer",
    "usr/bin/fuse-overlayfs",
    "usr/bin/fuse2fs",
    "usr/bin/mksquashfs",
    "usr/bin/squashfuse",
    "usr/bin/squashfuse_ll",
    "usr/bin/unsquashfs",
];

/// Makes sure that `apptainer` is on `PATH` or in `PEERS/apptainer`.
pub(crate) fn ensure(machine: &Machine, no_install: bool) -> Result<(), Failure> {
    let peers = machine.peers()?;
    let prefix = peers.join("apptainer");
    if prefix.join("usr/bin/apptainer").is_file() || find_program("apptainer").is_some() {
        return Ok(());
    }
    if no_install {
        machine
            .printer
            .note("missing: `apptainer`; without `--no-install` it is put below the cache folder");
        return Ok(());
    }
    if find_program("apt-get").is_none() || find_program("dpkg-deb").is_none() {
        return Err(Failure::new(
            FailureKind::Tool,
            "`apptainer` is missing, and only Debian's tools can fetch it",
        )
        .hint("install Apptainer 1.3 or newer, so that `apptainer` is on `PATH`"));
    }
    machine.printer.note(&format!(
        "fetching Apptainer from Debian {SUITE} into {}",
        prefix.display()
    ));
    fs_err::create_dir_all(&peers)?;
    let work = machine
        .shell
        .create_temp_dir()
        .or_fail(FailureKind::Failed)?;
    // On the file system of the prefix, so that the rename is atomic.
    let unpacked = peers.join(format!(".apptainer.{}", std::process::id()));
    let result = install(&machine.shell, work.path(), &unpacked, &prefix);
    if result.is_err() && unpacked.exists() {
        let _ = fs_err::remove_dir_all(&unpacked);
    }
    result
}

fn install(shell: &Shell, work: &Path, unpacked: &Path, prefix: &Path) -> Result<(), Failure> {
    let archive = debian_archive().ok_or_else(|| {
        Failure::new(
            FailureKind::Tool,
            "the apt sources of this machine name no Debian archive to fetch Apptainer from",
        )
        .hint("install Apptainer 1.3 or newer, so that `apptainer` is on `PATH`")
    })?;
    let debs = download(shell, work, &archive)?;
    fs_err::create_dir_all(unpacked)?;
    for deb in debs {
        cmd!(shell, "dpkg-deb -x {deb} {unpacked}")
            .quiet()
            .run()
            .or_fail(FailureKind::Tool)?;
    }
    relocate(shell, unpacked, prefix)?;
    for waste in ["usr/share/doc", "usr/share/man", "usr/share/locale"] {
        let waste = unpacked.join(waste);
        if waste.exists() {
            fs_err::remove_dir_all(waste)?;
        }
    }
    // Apptainer looks for etc/ and var/ below usr/, its starter one level deeper.
    fs_err::create_dir_all(unpacked.join("var/lib/apptainer/mnt/session"))?;
    for (link, target) in [
        ("usr/etc", "../etc"),
        ("usr/var", "../var"),
        ("usr/lib/etc", "../../etc"),
        ("usr/lib/var", "../../var"),
    ] {
        fs_err::os::unix::fs::symlink(target, unpacked.join(link))?;
    }
    let config = unpacked.join("etc/apptainer/apptainer.conf");
    let text = fs_err::read_to_string(&config)?;
    fs_err::write(&config, configure(&text, prefix))?;
    match fs_err::rename(unpacked, prefix) {
        // Another run was faster; its prefix is as good.
        Err(_) if prefix.join("usr/bin/apptainer").is_file() => {
            fs_err::remove_dir_all(unpacked)?;
        }
        other => other?,
    }
    let program = prefix.join("usr/bin/apptainer");
    if let Err(error) = cmd!(shell, "{program} --version").quiet().read() {
        fs_err::remove_dir_all(prefix)?;
        return Err(Failure::new(FailureKind::Tool, error));
    }
    Ok(())
}

/// Downloads the packages and all they depend on, by an apt that knows of no installed package.
fn download(shell: &Shell, work: &Path, archive: &str) -> Result<Vec<PathBuf>, Failure> {
    for dir in ["state/lists/partial", "cache/archives/partial", "empty"] {
        fs_err::create_dir_all(work.join(dir))?;
    }
    fs_err::write(work.join("status"), "")?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs_err::write(
        work.join("sources.list"),
        format!("deb [signed-by={keyring}] {archive} {SUITE} main\n"),
    )?;
    let dir = work.display();
    fs_err::write(
        work.join("apt.conf"),
        format!(
            "Dir::State \"{dir}/state\";\nDir::State::status \"{dir}/status\";\n\
             Dir::Cache \"{dir}/cache\";\nDir::Etc::sourcelist \"{dir}/sources.list\";\n\
             Dir::Etc::sourceparts \"{dir}/empty\";\nDir::Etc::preferencesparts \"{dir}/empty\";\n\
             APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\nDebug::NoLocking \"true\";\n"
        ),
    )?;
    let _config = shell.push_env("APT_CONFIG", work.join("apt.conf"));
    cmd!(shell, "apt-get -qq update")
        .quiet()
        .ignore_stdout()
        .run()
        .or_fail(FailureKind::Tool)?;
    cmd!(
        shell,
        "apt-get -qq -y --download-only install {PACKAGES...}"
    )
    .quiet()
    .ignore_stdout()
    .run()
    .or_fail(FailureKind::Tool)?;
    let mut debs: Vec<PathBuf> = shell
        .read_dir(work.join("cache/archives"))
        .or_fail(FailureKind::Failed)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    debs.sort();
    Ok(debs)
}

/// Points the programs in `unpacked` to the loader and libraries that `prefix` will have.
fn relocate(shell: &Shell, unpacked: &Path, prefix: &Path) -> Result<(), Failure> {
    let (triplet, loader) = match std::env::consts::ARCH {
        "aarch64" => ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
        _ => ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    };
    let libraries = Path::new("usr/lib").join(triplet);
    let starter = libraries.join("apptainer/bin/starter");
    let here = unpacked.join(&libraries);
    let load = here.join(loader);
    let patchelf = unpacked.join("usr/bin/patchelf");
    let there = prefix.join(&libraries);
    let interpreter = there.join(loader);
    let programs = PROGRAMS.iter().map(PathBuf::from).chain([starter]);
    for program in programs.map(|program| unpacked.join(program)) {
        if !program.is_file() {
            continue;
        }
        // patchelf itself needs the newer libraries, before they stand where it would look.
        cmd!(
            shell,
            "{load} --library-path {here} {patchelf} --set-interpreter {interpreter} --force-rpath --set-rpath {there} {program}"
        )
        .quiet()
        .run()
        .or_fail(FailureKind::Tool)?;
    }
    Ok(())
}

/// The configuration for a root that may lack capabilities, and with the prefix's own programs first.
fn configure(text: &str, prefix: &Path) -> String {
    let mut configured = String::new();
    for line in text.lines() {
        if line.starts_with("root default capabilities") {
            configured.push_str("root default capabilities = file");
        // The shipped file has the second as a comment.
        } else if line
            .trim_start_matches(['#', ' '])
            .starts_with("binary path =")
        {
            let bin = prefix.join("usr/bin");
            configured.extend(["binary path = ", &bin.to_string_lossy(), ":$PATH:"]);
        } else {
            configured.push_str(line);
        }
        configured.push('\n');
    }
    configured
}

/// The base address of the Debian archive that this machine's apt uses.
fn debian_archive() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs_err::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    files
        .iter()
        .filter_map(|file| fs_err::read_to_string(file).ok())
        .find_map(|text| archive_in(&text))
}

/// The first address in an apt source file, of either format, whose last part is `debian`.
fn archive_in(text: &str) -> Option<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("deb ") || line.to_ascii_lowercase().starts_with("uris:"))
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.contains("://") && word.ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    //! The parts that need no network.

    use super::*;

    #[test]
    fn finds_the_archive_in_both_formats() {
        let new = "Types: deb\nURIs: http://a.test/security\n\nURIs: http://a.test/x http://a.test/debian/\n";
        assert_eq!(archive_in(new).as_deref(), Some("http://a.test/debian"));
        let old =
            "# deb http://b.test/debian x\ndeb [arch=amd64] https://c.test/debian bookworm main\n";
        assert_eq!(archive_in(old).as_deref(), Some("https://c.test/debian"));
        assert_eq!(archive_in("deb http://d.test/ubuntu noble main\n"), None);
    }

    #[test]
    fn configures_what_a_root_without_all_capabilities_needs() {
        let text = "a = b\nroot default capabilities = full\n# binary path = $PATH:/usr/bin\n";
        assert_eq!(
            configure(text, Path::new("/p")),
            "a = b\nroot default capabilities = file\nbinary path = /p/usr/bin:$PATH:\n"
        );
    }
}
