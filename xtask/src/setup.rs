//! Brings what building and testing need onto a bare machine, and says what it does.

use clap::Args;
use nd_terminal::{Failure, FailureKind};
use xshell::cmd;

use crate::{
    apptainer, environment_modules,
    machine::{Machine, find_program},
    no_services::{NoServices, not_at_boot},
    python_peers, reader,
};

/// What a command is about to do, which decides what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Build and test a container.
    Build,
    /// The same for another architecture than the machine's.
    BuildForeign,
    /// Run the tests of the workspace as well.
    Test,
    /// Compare with other tools.
    Bench,
}

/// Arguments of `setup`.
#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// Install nothing; name the package for each missing part
    #[arg(long)]
    no_install: bool,
    /// Also install what `bench` compares with
    #[arg(long)]
    bench: bool,
}

/// A program and the Debian package that has it.
struct Need {
    purpose: Purpose,
    program: &'static str,
    package: &'static str,
}

const fn need(purpose: Purpose, program: &'static str, package: &'static str) -> Need {
    Need {
        purpose,
        program,
        package,
    }
}

/// Everything but Rust itself (which brings a linker) and Apptainer (`apptainer.rs`).
const NEEDS: &[Need] = &[
    need(Purpose::Build, "mmdebstrap", "mmdebstrap"),
    need(
        Purpose::Build,
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
    // Without what they recommend, which would tell the whole machine of the emulators.
    need(
        Purpose::BuildForeign,
        "qemu-aarch64-static",
        "qemu-user-static",
    ),
    need(Purpose::BuildForeign, "arch-test", "arch-test"),
    need(Purpose::Test, "openssl", "openssl"),
    need(Purpose::Test, "flock", "util-linux"),
    need(Purpose::Test, "python3", "python3"),
    need(Purpose::Test, "g++", "g++"),
    need(Purpose::Test, "skopeo", "skopeo"),
    need(Purpose::Test, "docker-registry", "docker-registry"),
    need(Purpose::Test, "umoci", "umoci"),
    need(Purpose::Test, "unsquashfs", "squashfs-tools"),
    need(Purpose::Test, "tar2sqfs", "squashfs-tools-ng"),
    need(Purpose::Test, "bsdtar", "libarchive-tools"),
    need(Purpose::Test, "setcap", "libcap2-bin"),
    need(Purpose::Test, "setfattr", "attr"),
    need(Purpose::Test, "shellcheck", "shellcheck"),
    need(Purpose::Test, "busybox", "busybox-static"),
    need(Purpose::Test, "newuidmap", "uidmap"),
    need(Purpose::Test, "systemd-analyze", "systemd"),
    need(Purpose::Test, "desktop-file-validate", "desktop-file-utils"),
    need(
        Purpose::Test,
        "/usr/lib/python3/dist-packages/xdg/Menu.py",
        "python3-xdg",
    ),
    need(Purpose::Test, "Xvfb", "xvfb"),
    need(Purpose::Test, "lxpanel", "lxpanel"),
    need(Purpose::Test, "xdotool", "xdotool"),
    need(Purpose::Test, "/usr/share/lmod/lmod/libexec/lmod", "lmod"),
    need(Purpose::Test, "tclsh", "tcl"),
    need(Purpose::Test, "mpirun", "openmpi-bin"),
    need(Purpose::Test, "mkfs.btrfs", "btrfs-progs"),
    need(Purpose::Test, "srun", "slurm-client"),
    need(Purpose::Test, "slurmctld", "slurmctld"),
    need(Purpose::Test, "slurmd", "slurmd"),
    need(Purpose::Test, "zsh", "zsh"),
    need(Purpose::Test, "fish", "fish"),
    need(Purpose::Test, "tcsh", "tcsh"),
    need(
        Purpose::Test,
        "/usr/share/doc/python3-venv/copyright",
        "python3-venv",
    ),
    need(Purpose::Test, "buildah", "buildah"),
    need(Purpose::Test, "dockerd", "docker.io"),
    need(Purpose::Test, "squid", "squid"),
    need(Purpose::Test, "apache2", "apache2"),
    need(
        Purpose::Bench,
        "/usr/lib/python3/dist-packages/jinja2/__init__.py",
        "python3-jinja2",
    ),
    need(
        Purpose::Bench,
        "/usr/lib/python3/dist-packages/yaml/__init__.py",
        "python3-yaml",
    ),
];

/// The command `setup`.
pub(crate) fn run(machine: &Machine, args: &SetupArgs) -> Result<(), Failure> {
    let purpose = if args.bench {
        Purpose::Bench
    } else {
        Purpose::Test
    };
    ensure(machine, purpose, args.no_install)?;
    machine.printer.note("everything that is needed is here");
    Ok(())
}

/// Makes sure that what `purpose` needs is installed. Costs a few file look-ups when it is.
///
/// What only tests need may stay missing (those tests are skipped, or fail by `ND_REQUIRE_PEERS`).
pub(crate) fn ensure(machine: &Machine, purpose: Purpose, no_install: bool) -> Result<(), Failure> {
    let printer = &machine.printer;
    let missing: Vec<&Need> = NEEDS
        .iter()
        .filter(|need| need.purpose <= purpose && find_program(need.program).is_none())
        .collect();
    if !missing.is_empty() {
        let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
        packages.sort_unstable();
        packages.dedup();
        if !no_install && find_program("apt-get").is_some() && machine.is_root() {
            printer.note(&format!("installing packages: {}", packages.join(" ")));
            install(machine, &packages)?;
        } else {
            for need in &missing {
                printer.note(&format!(
                    "missing: `{}`, in the package `{}`",
                    need.program, need.package
                ));
            }
            if missing.iter().any(|need| need.purpose < Purpose::Test) {
                return Err(Failure::new(
                    FailureKind::Tool,
                    "a program that building needs is missing",
                )
                .hint(format!(
                    "install the packages: apt-get install {}",
                    packages.join(" ")
                )));
            }
        }
    }
    if purpose >= Purpose::Test {
        environment_modules::ensure(machine, no_install)?;
        python_peers::ensure(machine, no_install)?;
    }
    if purpose >= Purpose::Test {
        reader::ensure(machine, no_install)?;
    }
    match apptainer::ensure(machine, no_install) {
        Err(failure) if purpose < Purpose::Test => {
            printer.warn(&failure.render());
            printer.warn("without Apptainer the container is tested in the embedded sandbox only");
            Ok(())
        }
        other => other,
    }
}

fn install(machine: &Machine, packages: &[&str]) -> Result<(), Failure> {
    let shell = &machine.shell;
    let _no_questions = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    let install = || {
        // Standard output carries our data: apt's goes nowhere, its errors are kept.
        cmd!(
            shell,
            "apt-get -qq -y --no-install-recommends install {packages...}"
        )
        .quiet()
        .ignore_stdout()
        .run()
    };
    let known = |package: &&str| {
        cmd!(shell, "apt-cache show {package}")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run()
            .is_ok()
    };
    let _no_services = NoServices::begin()?;
    if !(packages.iter().all(known) && install().is_ok()) {
        machine.printer.note("updating the package lists");
        crate::machine::run_tool(cmd!(shell, "apt-get -qq update").ignore_stdout())?;
        install().map_err(|error| Failure::new(FailureKind::Tool, error))?;
    }
    not_at_boot(shell, packages);
    Ok(())
}
