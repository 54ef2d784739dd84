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
    io::Write as _,
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

/// Bytes of the image that is large.
const LARGE: u64 = 512 << 20;

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
    if rustix::process::getuid().is_root() {
        measure_root(root.path(), &apptainer);
    }
}

/// The same two images as root, for whom the kernel reads the squashfs.
fn measure_root(root: &Path, apptainer: &Path) {
    // Without capabilities, root goes where everybody may.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(root.join("work"), mode).unwrap();
    let kinds: [Starter<'_>; 4] = [
        &|| base(root, apptainer, &root.join("folder/true")),
        &|| exec(root, apptainer, "image"),
        &|| base(root, apptainer, &root.join("cold/true")),
        &|| exec(root, apptainer, "image.sif"),
    ];
    let medians = medians(&kinds);
    for (name, at) in [("folder", 0), ("SIF", 2)] {
        println!(
            "root, {name}: {:.2} ms, `apptainer exec` {:.1} ms: {:.1} times faster",
            medians[at],
            medians[at + 1],
            medians[at + 1] / medians[at]
        );
    }
}

/// A program in the environment of all starts.
fn base(root: &Path, apptainer: &Path, program: &Path) -> Command {
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
}

fn exec(root: &Path, apptainer: &Path, image: &str) -> Command {
    let mut command = base(root, apptainer, apptainer);
    command.args(["--silent", "exec", "--cleanenv", "--pwd"]);
    command
        .args([root.join("work"), root.join(image)])
        .arg("true");
    command
}

/// Medians of starts in turn.
fn medians(kinds: &[Starter<'_>]) -> Vec<f64> {
    let mut taken = vec![Vec::with_capacity(ROUNDS); kinds.len()];
    for round in 0..=ROUNDS {
        for at in 0..kinds.len() {
            let at = (at + round) % kinds.len();
            let time = run(&mut kinds[at]());
            // The first turn fills caches.
            if round > 0 {
                taken[at].push(time);
            }
        }
    }
    taken.iter().map(|times| median(times)).collect()
}

/// Containers of one program: a folder, a SIF file whose mount is kept, one whose mount is not, and two
/// whose digest is demanded.
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
    // What follows the squashfs is part of the file, and nobody reads it but for its digest.
    fs_err::copy(root.join("image.sif"), root.join("large.sif")).unwrap();
    fs_err::copy(root.join("image.sif"), root.join("demanded.sif")).unwrap();
    let mut large = fs_err::OpenOptions::new()
        .append(true)
        .open(root.join("large.sif"))
        .unwrap();
    let part = vec![7; 1 << 20];
    for _ in 0..LARGE >> 20 {
        large.write_all(&part).unwrap();
    }
    for (name, image, form, keep) in [
        ("folder", "image", Form::Folder, 60),
        ("warm", "image.sif", Form::Sif, 60),
        ("cold", "image.sif", Form::Sif, 0),
        ("demanded", "demanded.sif", Form::Sif, 60),
        ("large", "large.sif", Form::Sif, 0),
    ] {
        let folder = root.join(name);
        fs_err::create_dir(&folder).unwrap();
        fs_err::copy(launcher, folder.join("true")).unwrap();
        let demand = matches!(name, "demanded" | "large");
        let word = if demand { "on" } else { "off" };
        let policy = format!("runtime native\nkeep {keep}\ndemand-digest {word}\n");
        fs_err::write(folder.join("policy"), policy).unwrap();
        let mut launch = LaunchFile::new("abc_1.0_20240131", root.join(image), form);
        launch.policy = Some(OsStr::new("policy").into());
        if demand {
            let bytes = fs_err::read(root.join(image)).unwrap();
            let digest = nd_names::Sha256::of(bytes);
            launch.sha256 = Some(std::ffi::OsString::from(digest.hex()).into());
        }
        launch.commands.push(nd_launcher::Command::new("true"));
        fs_err::write(folder.join(LAUNCH_FILE), launch.to_bytes()).unwrap();
    }
}

fn measure(root: &Path, apptainer: &Path) {
    let base = |program: &Path| base(root, apptainer, program);
    let exec = |image: &str| exec(root, apptainer, image);
    let native = |name: &str| base(&root.join(name).join("true"));
    let kinds: [Starter<'_>; 7] = [
        &|| base(Path::new("/bin/true")),
        &|| exec("image"),
        &|| native("folder"),
        &|| exec("image.sif"),
        &|| native("warm"),
        &|| native("cold"),
        &|| native("demanded"),
    ];
    // What is younger is not remembered to have its digest.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let medians = medians(&kinds);
    let [bare, exec_folder, folder, exec_sif, warm, cold, demanded] = medians[..] else {
        return;
    };
    let pipeline =
        |command: Starter<'_>| -> f64 { (0..PIPELINE).map(|_| run(&mut command())).sum() };
    let (row, exec_row) = (pipeline(kinds[2]), pipeline(kinds[1]));

    let mut table = Table::new([
        ("ordinary user, `true`", Align::Left),
        ("native", Align::Right),
        ("`apptainer exec`", Align::Right),
        ("faster", Align::Right),
        ("limit", Align::Left),
        ("", Align::Left),
    ]);
    for (name, own, other, most, least) in [
        ("folder, cold", folder, exec_folder, 8.0, 12.0),
        ("SIF, warm", warm, exec_sif, 8.0, 12.0),
        ("SIF, cold", cold, exec_sif, 40.0, 3.0),
        (
            "1,000 of the folder in a row",
            row,
            exec_row,
            f64::INFINITY,
            10.0,
        ),
        ("SIF, warm, digest demanded", demanded, exec_sif, 8.0, 12.0),
    ] {
        let kept = own <= most && other / own >= least;
        let limit = if most.is_finite() {
            format!("{most:.0} ms, {least:.0} times")
        } else {
            format!("{least:.0} times")
        };
        table.row([
            name.to_owned(),
            format!("{own:.2} ms"),
            format!("{other:.1} ms"),
            format!("{:.1} times", other / own),
            limit,
            if kept { "kept" } else { "missed" }.to_owned(),
        ]);
    }
    println!("{}", table.render_for_terminal().trim_end());
    println!("`true` itself {bare:.2} ms; medians of {ROUNDS} starts in turn, the row as a whole");
    let load = fs_err::read_to_string("/proc/loadavg").unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} cores; load of the last minute {}",
        load.split(' ').next().unwrap_or_default()
    );
    println!(
        "the first start with a demanded digest reads the image: {} ms for {} MB",
        first(root, &|| native("large")).round(),
        LARGE >> 20
    );
}

/// The first start of a large image whose digest is demanded.
fn first(root: &Path, command: Starter<'_>) -> f64 {
    // It is in the page cache, as after a download.
    let _ = fs_err::read(root.join("large.sif")).unwrap();
    run(&mut command())
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
