//! Starts of a wrapped command: `bench_launcher LAUNCHER`, where that is the static launcher.
//!
//! Side by side, in turn: the bare `apptainer exec` with the arguments that the launcher would give it,
//! the launcher, and a shell wrapper as upstream writes them. Then what the launcher costs without
//! any runtime, and 200 starts at once.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench stops at the first thing that is not as it should be, and prints a table"
)]

use std::{
    ffi::{OsStr, OsString},
    io::Read as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use nd_launcher::{Form, HostFiles, LAUNCH_FILE, LaunchFile, Policy, Start, What, plan};
use nd_terminal::{Align, Table};

/// Starts of each kind for the medians.
const ROUNDS: usize = 41;
/// The same without a runtime, which takes a hundredth of the time.
const BARE_ROUNDS: usize = 301;
/// Starts at once.
const PARALLEL: usize = 200;

fn main() {
    let Some(launcher) = std::env::args_os().nth(1) else {
        println!("usage: bench_launcher LAUNCHER");
        return;
    };
    let Some(apptainer) = nd_testkit::peer("apptainer") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let site = Site::new(root.path(), Path::new(&launcher), &apptainer);

    let mut table = Table::new([
        ("start of `true`", Align::Left),
        ("median", Align::Right),
        ("to bare", Align::Right),
        ("to wrapper", Align::Right),
    ]);
    let rounds = rounds(
        ROUNDS,
        &[&|| site.bare(), &|| site.launched(), &|| site.wrapped()],
    );
    let [bare, launched, wrapped] = &rounds[..] else {
        return;
    };
    for (name, row) in [
        ("bare `apptainer exec`", bare),
        ("launcher", launched),
        ("shell wrapper, as upstream's", wrapped),
    ] {
        let to = |other| ms(difference(row, other));
        table.row([name.to_owned(), ms(median(row)), to(bare), to(wrapped)]);
    }
    println!("{}", table.render_for_terminal().trim_end());
    println!(
        "limits of the launcher: at most 2 ms more than bare, at least 2 ms less than the wrapper"
    );
    println!(
        "medians of {ROUNDS} starts in turn; differences are medians of the differences in a turn"
    );

    let rounds = self::rounds(
        BARE_ROUNDS,
        &[
            &|| program(Path::new("/bin/true")),
            &|| site.without_runtime(),
            &|| site.wrapped_without_runtime(),
        ],
    );
    println!(
        "without the runtime, which drowns small differences on a busy machine: launcher {} more than \
         `true` itself, wrapper {} more",
        ms(difference(&rounds[1], &rounds[0])),
        ms(difference(&rounds[2], &rounds[0]))
    );
    site.at_once();
}

/// A container of one program, wrapped in three ways.
struct Site {
    folder: PathBuf,
    apptainer: PathBuf,
    work: PathBuf,
    path: OsString,
    bare: Vec<OsString>,
}

impl Site {
    fn new(root: &Path, launcher: &Path, apptainer: &Path) -> Self {
        let image = root.join("image");
        for name in [
            "bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var/tmp",
        ] {
            fs_err::create_dir_all(image.join(name)).unwrap();
        }
        fs_err::copy(
            nd_testkit::peer("busybox").unwrap(),
            image.join("bin/busybox"),
        )
        .unwrap();
        for name in ["true", "sh"] {
            symlink("busybox", image.join("bin").join(name)).unwrap();
        }
        fs_err::write(image.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs_err::write(image.join("etc/group"), "root:x:0:\n").unwrap();
        let folder = root.join("abc_1.0_20240131");
        let work = root.join("work");
        for folder in [&folder, &work, &root.join("bin"), &root.join("alone")] {
            fs_err::create_dir(folder).unwrap();
        }
        let sif = folder.join("abc_1.0_20240131.simg");
        let built = Command::new(apptainer)
            .args(["--silent", "build"])
            .args([&sif, &image])
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        symlink("/bin/true", root.join("alone/singularity")).unwrap();
        // What upstream's wrappers call.
        symlink(apptainer, root.join("bin/singularity")).unwrap();
        let mut path = root.join("bin").into_os_string();
        for folder in [
            apptainer.parent().unwrap().as_os_str(),
            OsStr::new("/usr/bin:/bin"),
        ] {
            path.push(":");
            path.push(folder);
        }
        let mut site = Self {
            folder,
            apptainer: apptainer.to_owned(),
            work,
            path,
            bare: Vec::new(),
        };
        Self::install(&site.folder, launcher, &sif, "");
        let stand_in = "runtime /bin/true\n";
        Self::install(&root.join("alone"), launcher, &sif, stand_in);
        fs_err::write(site.folder.join("wrapper"), Self::wrapper(&sif)).unwrap();
        fs_err::set_permissions(
            site.folder.join("wrapper"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        site.bare = site.planned();
        site
    }

    fn install(folder: &Path, launcher: &Path, sif: &Path, policy: &str) {
        fs_err::copy(launcher, folder.join("true")).unwrap();
        fs_err::write(folder.join("policy"), policy).unwrap();
        let mut launch = LaunchFile::new("abc_1.0_20240131", sif, Form::Sif);
        launch.policy = Some(OsStr::new("policy").into());
        // As many commands as a large container has.
        for number in 0..300 {
            launch
                .commands
                .push(nd_launcher::Command::new(format!("command-{number}")));
        }
        launch.commands.push(nd_launcher::Command::new("true"));
        fs_err::write(folder.join(LAUNCH_FILE), launch.to_bytes()).unwrap();
    }

    /// What upstream's installer writes, from its description: an interpreter found by `env`, the
    /// physical working directory by a subshell, X11's cookies, and a temporary folder's variable that
    /// was set at installation.
    fn wrapper(sif: &Path) -> String {
        format!(
            "#!/usr/bin/env bash\n\
             export PWD=`pwd -P`\n\
             xauth=()\n\
             if [ -n \"$XAUTHORITY\" ] && [ -f \"$XAUTHORITY\" ]; then\n\
             \x20 xauth=(--bind \"$XAUTHORITY:$XAUTHORITY:ro\" --env \"XAUTHORITY=$XAUTHORITY\")\n\
             fi\n\
             singularity --silent exec --cleanenv --env DISPLAY=$DISPLAY \"${{xauth[@]}}\" \\\n\
             \x20 $neurodesk_singularity_opts --pwd \"$PWD\" {} true \"$@\"\n",
            sif.display()
        )
    }

    /// The words that the launcher would give the runtime.
    fn planned(&self) -> Vec<OsString> {
        let bytes = fs_err::read(self.folder.join(LAUNCH_FILE)).unwrap();
        let launch = LaunchFile::parse(&bytes).unwrap();
        let environment = [
            (OsStr::new("PATH"), self.path.as_os_str()),
            (OsStr::new("HOME"), OsStr::new("/root")),
        ];
        let start = Start {
            launch: &launch,
            folder: &self.folder,
            policy: &Policy::default(),
            environment: &environment,
            cwd: Some(&self.work),
            what: What::Command(OsStr::new("true")),
            arguments: &[],
        };
        let call = plan(&start, &HostFiles).unwrap();
        assert_eq!(call.program, self.apptainer);
        call.argv[1..].to_vec()
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", "/root")
            .current_dir(&self.work)
            .stdin(Stdio::null());
        command
    }

    fn bare(&self) -> Command {
        let mut command = self.command(&self.apptainer);
        command.args(&self.bare);
        command
    }

    fn launched(&self) -> Command {
        self.command(&self.folder.join("true"))
    }

    fn wrapped(&self) -> Command {
        self.command(&self.folder.join("wrapper"))
    }

    fn without_runtime(&self) -> Command {
        self.command(&self.folder.with_file_name("alone").join("true"))
    }

    /// The wrapper with a `singularity` that does nothing.
    fn wrapped_without_runtime(&self) -> Command {
        let mut path = self.folder.with_file_name("alone").into_os_string();
        path.push(":/usr/bin:/bin");
        let mut command = self.wrapped();
        command.env("PATH", path);
        command
    }

    /// Many starts at once: none fails, nothing stays.
    fn at_once(&self) {
        let mounts = || {
            fs_err::read_to_string("/proc/self/mountinfo")
                .unwrap()
                .lines()
                .count()
        };
        let before = mounts();
        let begin = Instant::now();
        let children: Vec<_> = (0..PARALLEL)
            .map(|_| {
                let mut command = self.launched();
                command.stdout(Stdio::null()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        let mut failed = 0;
        for mut child in children {
            let mut said = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            if !child.wait().unwrap().success() {
                failed += 1;
                println!("failed: {}", said.trim_end());
            }
        }
        let took = begin.elapsed();
        let left = left_over(&self.folder);
        println!(
            "{PARALLEL} starts at once: {failed} failed, {left} processes and {} mounts left, {:.1} s",
            mounts().abs_diff(before),
            took.as_secs_f64()
        );
    }
}

/// Processes whose command line names the folder, after what ends by itself had a second to do so.
fn left_over(folder: &Path) -> usize {
    let count = || {
        let needle = folder.to_string_lossy().into_owned();
        fs_err::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs_err::read(entry.ok()?.path().join("cmdline")).ok())
            .filter(|line| String::from_utf8_lossy(line).contains(&needle))
            .count()
    };
    let begin = Instant::now();
    while count() > 0 && begin.elapsed().as_secs() < 5 {
        std::thread::yield_now();
    }
    count()
}

fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null());
    command
}

/// Milliseconds of each command in each turn; the order changes from turn to turn.
fn rounds(count: usize, commands: &[&dyn Fn() -> Command]) -> Vec<Vec<f64>> {
    let mut taken = vec![Vec::with_capacity(count); commands.len()];
    for round in 0..=count {
        for at in 0..commands.len() {
            let at = (at + round) % commands.len();
            let mut command = commands[at]();
            let begin = Instant::now();
            let output = command.output().unwrap();
            let time = begin.elapsed().as_secs_f64() * 1e3;
            assert!(output.status.success(), "{command:?}: {output:?}");
            // The first turn fills caches.
            if round > 0 {
                taken[at].push(time);
            }
        }
    }
    taken
}

fn difference(more: &[f64], less: &[f64]) -> f64 {
    let differences: Vec<f64> = more
        .iter()
        .zip(less)
        .map(|(more, less)| more - less)
        .collect();
    median(&differences)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn ms(value: f64) -> String {
    format!("{value:.2} ms")
}
