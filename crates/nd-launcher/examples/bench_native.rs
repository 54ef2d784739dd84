//! Starts of a wrapped command without a runtime: `bench_native LAUNCHER`, where that is the static
//! launcher.
//!
//! Side by side, in turn, as an ordinary user: `apptainer exec` of a folder and of a SIF file, and the
//! launcher with the native runtime for the same. Started by root, it plays a user.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench stops at the first thing that is not as it should be, and prints a table"
)]

use std::{
    ffi::OsStr,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use nd_launcher::{Form, LAUNCH_FILE, LaunchFile};
use nd_terminal::{Align, Table};
use nd_testkit::{OrdinaryUser, UserProcess};

/// Starts of each kind for the medians.
const ROUNDS: usize = 41;
/// Starts of a pipeline.
const PIPELINE: usize = 1000;

/// Starts one command of a kind.
type Starter<'a> = &'a dyn Fn() -> Command;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(first), second) = (arguments.next(), arguments.next()) else {
        println!("usage: bench_native LAUNCHER");
        return;
    };
    let Some(apptainer) = nd_testkit::peer("apptainer") else {
        return;
    };
    if let Some(site) = second {
        measure(Path::new(&site), &apptainer);
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let Some(user) = OrdinaryUser::new(root.path(), &apptainer) else {
        return;
    };
    build(root.path(), Path::new(&first), &apptainer);
    for name in ["home", "run", "work"] {
        user.make_folder(&root.path().join(name));
    }
    // This program may lie where the user cannot reach it.
    let own = root.path().join("bench");
    fs_err::copy(std::env::current_exe().unwrap(), &own).unwrap();
    let mut command = user.command(UserProcess::OfShell, own);
    let status = command.arg(first).arg(root.path()).status().unwrap();
    assert!(status.success(), "{status}");
}

/// Three containers of one program: a folder, a SIF file whose mount is kept, and one whose mount is not.
fn build(root: &Path, launcher: &Path, apptainer: &Path) {
    let image = root.join("image");
    for name in [
        "bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var/tmp",
    ] {
        fs_err::create_dir_all(image.join(name)).unwrap();
    }
    let busybox = nd_testkit::peer("busybox").unwrap();
    fs_err::copy(busybox, image.join("bin/busybox")).unwrap();
    for name in ["true", "sh"] {
        symlink("busybox", image.join("bin").join(name)).unwrap();
    }
    fs_err::write(image.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs_err::write(image.join("etc/group"), "root:x:0:\n").unwrap();
    let built = Command::new(apptainer)
        .args(["--silent", "build"])
        .args([root.join("image.sif"), image])
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    for (name, image, form, keep) in [
        ("folder", "image", Form::Folder, 60),
        ("warm", "image.sif", Form::Sif, 60),
        ("cold", "image.sif", Form::Sif, 0),
    ] {
        let folder = root.join(name);
        fs_err::create_dir(&folder).unwrap();
        fs_err::copy(launcher, folder.join("true")).unwrap();
        let policy = format!("runtime native\nkeep {keep}\n");
        fs_err::write(folder.join("policy"), policy).unwrap();
        let mut launch = LaunchFile::new("abc_1.0_20240131", root.join(image), form);
        launch.policy = Some(OsStr::new("policy").into());
        launch.commands.push(nd_launcher::Command::new("true"));
        fs_err::write(folder.join(LAUNCH_FILE), launch.to_bytes()).unwrap();
    }
}

fn measure(root: &Path, apptainer: &Path) {
    let base = |program: &Path| {
        let mut command = Command::new(program);
        let mut path = apptainer.parent().unwrap().as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", root.join("home"))
            .env("XDG_RUNTIME_DIR", root.join("run"))
            // Whatever is left to the runtime is said, and stops the bench.
            .env(nd_launcher::VERBOSE_VARIABLE, "1")
            .current_dir(root.join("work"))
            .stdin(Stdio::null());
        command
    };
    let exec = |image: &str| {
        let mut command = base(apptainer);
        command.args(["--silent", "exec", "--cleanenv", "--pwd"]);
        command
            .args([root.join("work"), root.join(image)])
            .arg("true");
        command
    };
    let native = |name: &str| base(&root.join(name).join("true"));
    let kinds: [(&str, Starter<'_>, Option<usize>); 6] = [
        ("`true` itself", &|| base(Path::new("/bin/true")), None),
        ("folder, `apptainer exec`", &|| exec("image"), None),
        ("folder, native", &|| native("folder"), Some(1)),
        ("SIF, `apptainer exec`", &|| exec("image.sif"), None),
        ("SIF, native, warm", &|| native("warm"), Some(3)),
        ("SIF, native, cold", &|| native("cold"), Some(3)),
    ];
    let mut taken = vec![Vec::with_capacity(ROUNDS); kinds.len()];
    for round in 0..=ROUNDS {
        for at in 0..kinds.len() {
            let at = (at + round) % kinds.len();
            let time = run(&mut kinds[at].1());
            // The first turn fills caches.
            if round > 0 {
                taken[at].push(time);
            }
        }
    }
    let medians: Vec<f64> = taken.iter().map(|times| median(times)).collect();
    let mut table = Table::new([
        ("start of `true`, ordinary user", Align::Left),
        ("median", Align::Right),
        ("faster than `apptainer exec`", Align::Right),
    ]);
    for (at, (name, _, beside)) in kinds.iter().enumerate() {
        let faster = beside.map_or_else(String::new, |other| {
            format!("{:.1} times", medians[other] / medians[at])
        });
        table.row([(*name).to_owned(), format!("{:.2} ms", medians[at]), faster]);
    }
    println!("{}", table.render_for_terminal().trim_end());
    println!(
        "limits: folder and warm SIF at most 8 ms and 12 times, cold SIF at most 40 ms and 3 times"
    );
    println!("medians of {ROUNDS} starts in turn");

    let pipeline = |command: Starter<'_>| -> f64 {
        (0..PIPELINE).map(|_| run(&mut command())).sum::<f64>() / 1e3
    };
    let (native, apptainer) = (pipeline(kinds[2].1), pipeline(kinds[1].1));
    println!(
        "{PIPELINE} starts of the folder in a row: native {native:.1} s, `apptainer exec` {apptainer:.1} s: \
         {:.1} times; limit 10 times",
        apptainer / native
    );
}

/// Milliseconds of one start, from before it is made until it has ended.
fn run(command: &mut Command) -> f64 {
    let begin = Instant::now();
    let output = command.output().unwrap();
    let time = begin.elapsed().as_secs_f64() * 1e3;
    assert!(output.status.success(), "{command:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{command:?}: {output:?}");
    time
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
