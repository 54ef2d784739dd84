//! The id modes beside each other: root, and an ordinary user who has nothing.
//!
//! Packages are recorded once (`fetch --locked`) and builds run without a network, so that the speed of
//! an archive decides nothing. Each build starts from the recorded files alone: base, steps, image, SIF.

use std::{
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Args,
    measure::{Taken, median, run},
    report::Report,
};

/// How much slower who has one id may be.
const LIMIT: f64 = 1.1;
/// A user of no name, so without a range of ids.
const ALONE: u32 = 54_321;
/// Both modes build for the same day.
const DATE: &str = "20260102";

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Range,
    Single,
}

struct Place<'a> {
    folder: &'a Path,
    recipe: &'a str,
    /// This program, where everybody may run it.
    program: PathBuf,
}

pub(crate) fn bench(args: &Args, folder: &Path, report: &mut Report) {
    let what = "recorded packages to SIF, one id beside a range";
    if !rustix::process::geteuid().is_root() {
        report.skip(what, "only root can build as root and as somebody else");
        return;
    }
    let open = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(folder, open).unwrap();
    let program = folder.join("bench");
    fs_err::copy("/proc/self/exe", &program).unwrap();
    let place = Place {
        folder,
        recipe: &args.recipe,
        program,
    };
    place.record();
    let (mut range, mut single) = (Vec::new(), Vec::new());
    for round in 0..args.rounds.max(1) {
        range.push(place.build(Mode::Range, round));
        single.push(place.build(Mode::Single, round));
    }
    let (range, single) = (median(range), median(single));
    report.compare(what, single, "root", range, LIMIT);
    // On a machine that does something else as well, this is the steadier figure.
    let processor = |taken: Taken| Taken {
        time: taken.processor,
        ..taken
    };
    let what = "the same, processor time";
    report.compare(what, processor(single), "root", processor(range), LIMIT);
}

impl Place<'_> {
    /// The recipe with its lock, and a cache that holds what the lock names.
    fn record(&self) {
        let to = self.folder.join("recipes").join(self.recipe);
        fs_err::create_dir_all(&to).unwrap();
        for entry in fs_err::read_dir(Path::new("recipes").join(self.recipe)).unwrap() {
            let entry = entry.unwrap();
            fs_err::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        let recorded = self.folder.join("recorded");
        let fetch = || self.cli(&["fetch", "--locked", self.recipe], &recorded);
        // A lock is of one moment of an archive, which may have gone on.
        let fetched = to.join("recipe.lock").exists()
            && fetch().output().is_ok_and(|output| output.status.success());
        if !fetched {
            let _ = fs_err::remove_file(to.join("recipe.lock"));
            run(&mut self.cli(&["lock", self.recipe], &self.folder.join("locking")));
            run(&mut fetch());
        }
    }

    fn build(&self, mode: Mode, round: usize) -> Taken {
        let own = self.folder.join(format!("{mode:?}-{round}"));
        fs_err::create_dir(&own).unwrap();
        let cache = own.join("cache");
        let recorded = self.folder.join("recorded");
        run(Command::new("cp").arg("-a").args([&recorded, &cache]));
        if mode == Mode::Single {
            let owner = format!("{ALONE}:{ALONE}");
            run(Command::new("chown").args(["-R", &owner]).arg(&own));
        }
        let words = ["build", self.recipe, "--locked", "--network", "none"];
        let mut command = self.cli(&words, &cache);
        command
            .args(["--quiet", "--no-test", "--output-root"])
            .arg(&own)
            .env("HOME", &own)
            .env("TMPDIR", &own)
            .current_dir("/");
        if mode == Mode::Single {
            command.uid(ALONE).gid(ALONE);
        }
        let taken = run(&mut command);
        eprintln!(
            "{mode:?}, round {round}: {:.1} s, {:.1} s of a processor",
            taken.time.as_secs_f64(),
            taken.processor.as_secs_f64()
        );
        // What a namespace owns goes through the command, and does not fill the disk.
        let mut prune = self.cli(&["cache", "prune"], &cache);
        prune.current_dir("/");
        if mode == Mode::Single {
            prune.uid(ALONE).gid(ALONE);
        }
        run(&mut prune);
        fs_err::remove_dir_all(own).unwrap();
        taken
    }

    /// Our command, as this program again.
    fn cli(&self, words: &[&str], cache: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("cli")
            .args(words)
            .env("BUILDDATE", DATE)
            .env("ND_CACHE_DIR", cache);
        if words[0] != "cache" {
            command.arg("--recipes").arg(self.folder.join("recipes"));
        }
        command
    }
}
