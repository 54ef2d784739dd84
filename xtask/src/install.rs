//! `install` and `dist`: all programs with their manual pages and completions, in a folder or in an
//! archive that runs wherever it is unpacked.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::{
    launcher,
    machine::{Machine, run_tool},
    sbom,
};

/// Programs whose command line knows its manual pages and completions.
const PROGRAMS: [&str; 4] = [
    "neurocontainers",
    "transparent-singularity",
    "neurocommand",
    "cvmfs-sync",
];
/// The program whose command line is upstream's, and is described by its help alone.
const PLAIN: (&str, &[&[&str]]) = (
    "neurodocker",
    &[
        &[],
        &["generate"],
        &["generate", "docker"],
        &["genfromjson"],
        &["minify"],
        &["templates"],
    ],
);
/// Where completions belong, below a prefix.
const SHELLS: [(&str, &str, &str, &str); 3] = [
    ("bash", "share/bash-completion/completions", "", ""),
    ("zsh", "share/zsh/site-functions", "_", ""),
    ("fish", "share/fish/vendor_completions.d", "", ".fish"),
];

/// How programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// To be fast
    Release,
    /// To be compiled fast
    Dev,
}

/// Arguments of `install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// Folder that gets `bin` and `share`; else `~/.local`
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// How programs are compiled
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: Profile,
}

/// Arguments of `dist`.
#[derive(Debug, Args)]
pub(crate) struct DistArgs {
    /// Folder to write to
    #[arg(long, default_value = "target/dist")]
    out: PathBuf,
    /// How programs are compiled
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: Profile,
}

/// The command `install`.
pub(crate) fn install(machine: &Machine, args: &InstallArgs) -> Result<(), Failure> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local"));
    let prefix = args.prefix.clone().or_else(home).ok_or_else(|| {
        Failure::new(FailureKind::Usage, "there is no home").hint("name a folder by `--prefix`")
    })?;
    let prefix = std::path::absolute(prefix)?;
    let programs = compile(machine, args.profile, Linked::ToThisMachine)?;
    place(machine, &programs, &prefix)?;
    machine.printer.data(&prefix.display().to_string())
}

/// The command `dist`.
pub(crate) fn dist(machine: &Machine, args: &DistArgs) -> Result<(), Failure> {
    let archive = archive(machine, &machine.root.join(&args.out), args.profile)?;
    machine.printer.data(&archive.display().to_string())
}

/// Makes the archive in the folder `out`; gives its path.
pub(crate) fn archive(machine: &Machine, out: &Path, profile: Profile) -> Result<PathBuf, Failure> {
    fs_err::create_dir_all(out)?;
    let name = format!(
        "neurodesk-{}-{}-linux",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    let folder = out.join(&name);
    if folder.exists() {
        fs_err::remove_dir_all(&folder)?;
    }
    let programs = compile(machine, profile, Linked::Statically)?;
    place(machine, &programs, &folder)?;
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md"] {
        fs_err::copy(machine.root.join(file), folder.join(file))?;
    }
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let programs: Vec<&str> = PROGRAMS
        .into_iter()
        .chain([PLAIN.0, "nd-launcher"])
        .collect();
    let parts = sbom::spdx(machine, &programs, &target)?;
    fs_err::write(folder.join("sbom.spdx.json"), parts)?;
    sums(machine, &folder)?;
    pack(machine, out, &name)
}

/// What a program needs when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linked {
    /// The C library of this machine.
    ToThisMachine,
    /// Nothing.
    Statically,
}

/// Compiles all programs. Gives the folder that they are in.
fn compile(machine: &Machine, profile: Profile, linked: Linked) -> Result<PathBuf, Failure> {
    let shell = &machine.shell;
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let (flag, folder) = match profile {
        Profile::Release => (Some("--release"), "release"),
        Profile::Dev => (None, "debug"),
    };
    let packages = PROGRAMS.iter().chain([&PLAIN.0]);
    let packages: Vec<&str> = packages.flat_map(|name| ["--package", name]).collect();
    let command = cmd!(
        shell,
        "cargo build --quiet --locked --bins {flag...} {packages...}"
    );
    Ok(match linked {
        Linked::ToThisMachine => {
            run_tool(command)?;
            machine.target().join(folder)
        }
        Linked::Statically => {
            // With `--target`, the flag reaches neither build scripts nor procedural macros.
            let command = command.args(["--target", &target]);
            run_tool(command.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
            machine.target().join(target).join(folder)
        }
    })
}

/// Places programs, manual pages and completions below `prefix`, which others may use, too.
fn place(machine: &Machine, programs: &Path, prefix: &Path) -> Result<(), Failure> {
    let bin = prefix.join("bin");
    let man = prefix.join("share/man/man1");
    for folder in [&bin, &man] {
        fs_err::create_dir_all(folder)?;
    }
    replace(&launcher::compile(machine)?, &bin.join("nd-launcher"))?;
    for name in PROGRAMS {
        let program = bin.join(name);
        replace(&programs.join(name), &program)?;
        let shell = &machine.shell;
        cmd!(shell, "{program} man {man}")
            .quiet()
            .run()
            .or_fail(FailureKind::Tool)?;
        for (kind, folder, before, after) in SHELLS {
            let folder = prefix.join(folder);
            fs_err::create_dir_all(&folder)?;
            let script = cmd!(shell, "{program} completions {kind}")
                .quiet()
                .read()
                .or_fail(FailureKind::Tool)?;
            fs_err::write(
                folder.join(format!("{before}{name}{after}")),
                format!("{script}\n"),
            )?;
        }
    }
    let (name, commands) = PLAIN;
    let program = bin.join(name);
    replace(&programs.join(name), &program)?;
    for words in commands {
        let words = *words;
        let shell = &machine.shell;
        let help = cmd!(shell, "{program} {words...} --help")
            .quiet()
            .read()
            .or_fail(FailureKind::Tool)?;
        let title = [&[name], words].concat().join("-");
        fs_err::write(man.join(format!("{title}.1")), page(&title, &help))?;
    }
    Ok(())
}

/// Puts a program in the place of one that may be running.
fn replace(from: &Path, to: &Path) -> Result<(), Failure> {
    let beside = to.with_extension("new");
    fs_err::copy(from, &beside)?;
    Ok(fs_err::rename(&beside, to)?)
}

/// Help as a manual page.
fn page(title: &str, help: &str) -> String {
    let mut out = format!(
        ".TH {} 1\n.SH NAME\n{title}\n.SH DESCRIPTION\n.nf\n",
        title.to_uppercase()
    );
    for line in help.lines() {
        // Nothing of the text is a request of the formatter.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        out.extend(["\\&", &line, "\n"]);
    }
    out.push_str(".fi\n");
    out
}

/// Writes the digests of all files of the archive into it.
fn sums(machine: &Machine, folder: &Path) -> Result<(), Failure> {
    let shell = machine.shell.clone();
    shell.change_dir(folder);
    let script =
        "find . -type f ! -name SHA256SUMS -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum";
    let text = cmd!(shell, "sh -c {script}")
        .quiet()
        .read()
        .or_fail(FailureKind::Tool)?;
    Ok(fs_err::write(
        folder.join("SHA256SUMS"),
        format!("{text}\n"),
    )?)
}

/// Packs the folder: the same files give the same archive. Its digest stands beside it.
fn pack(machine: &Machine, out: &Path, name: &str) -> Result<PathBuf, Failure> {
    let shell = machine.shell.clone();
    shell.change_dir(out);
    let archive = format!("{name}.tar.gz");
    let order = [
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u=rwX,go=rX",
        "--mtime=@0",
        "--use-compress-program=gzip -n",
    ];
    cmd!(shell, "tar {order...} -cf {archive} {name}")
        .quiet()
        .run()
        .or_fail(FailureKind::Tool)?;
    let sum = cmd!(shell, "sha256sum {archive}")
        .quiet()
        .read()
        .or_fail(FailureKind::Tool)?;
    fs_err::write(out.join(format!("{archive}.sha256")), format!("{sum}\n"))?;
    Ok(out.join(archive))
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn no_line_of_help_is_a_request() {
        let page = page("a-b", ".so /etc/passwd\n'x \\fB --flag");
        assert!(
            page.ends_with("\\&.so /etc/passwd\n\\&'x \\efB \\-\\-flag\n.fi\n"),
            "{page}"
        );
    }
}
