//! Limits of memory, processes and disk, by every means that this machine has.

use std::{path::Path, process::Command};

use nd_sandbox::Enforcement;

use crate::support::{Image, Job, Test, eventually, processes_with, sh};

pub(crate) const TESTS: &[Test] = &[
    ("limits::memory_has_a_ceiling_by_every_means", memory),
    ("limits::a_fork_bomb_is_held_by_every_means", bomb),
    ("limits::a_full_disk_ends_the_step_before_the_machine", disk),
    ("limits::a_step_within_its_limits_is_left_alone", within),
];

const MIB: u64 = 1 << 20;

/// Every means, and whether this machine and user must have it: a control group needs a hierarchy
/// that can be written.
fn means() -> Vec<Enforcement> {
    let writable = |path: &str| {
        let probe = Path::new(path).join(format!("neurodesk-test-{}", std::process::id()));
        fs_err::create_dir(&probe).is_ok() && {
            let memory = ["memory.max", "memory.limit_in_bytes"];
            let there = memory.iter().any(|name| probe.join(name).exists());
            fs_err::remove_dir(&probe).unwrap();
            there
        }
    };
    let mut means = vec![Enforcement::Processes];
    if writable("/sys/fs/cgroup/memory") && Path::new("/sys/fs/cgroup/pids").exists() {
        means.push(Enforcement::CgroupV1);
    } else {
        println!("skipped: no control groups of version 1 here");
    }
    if writable("/sys/fs/cgroup") {
        means.push(Enforcement::CgroupV2);
    } else {
        println!("skipped: no control groups of version 2 here");
    }
    means
}

fn limited(script: &str, enforcement: Enforcement) -> Job {
    Job {
        enforcement: Some(enforcement),
        memory: Some(100 * MIB),
        processes: Some(100),
        limit_ms: Some(600_000),
        ..sh(script)
    }
}

fn groups() -> Vec<String> {
    let folders = [
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/pids",
        "/sys/fs/cgroup",
    ];
    let own = fs_err::read_to_string("/proc/self/cgroup").unwrap();
    let mut found = Vec::new();
    for folder in folders {
        for line in own.lines() {
            let path = line.splitn(3, ':').nth(2).unwrap().trim_start_matches('/');
            let Ok(entries) = fs_err::read_dir(Path::new(folder).join(path)) else {
                continue;
            };
            let names = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
            let ours = format!("neurodesk-{}-", std::process::id());
            found.extend(names.filter(|name| name.starts_with(&ours)));
        }
    }
    found
}

fn memory() {
    // `tail` keeps what has no newline, as far as it is let.
    let greedy = "head -c 2000000000 /dev/zero | tail > /dev/null; echo survived";
    for means in means() {
        let image = Image::new();
        let outcome = image.start(limited(greedy, means), &[]).finish();
        assert_eq!(
            outcome.exit.as_deref(),
            Ok("OutOfMemory"),
            "{means:?}: {}",
            outcome.shown()
        );
        assert_eq!(outcome.enforcement, means.to_string());
        // And by many together.
        let many = "for i in $(seq 8); do (head -c 30000000 /dev/zero; sleep 900) | tail > /dev/null & done; wait";
        let job = limited(many, means);
        let outcome = image.start(job, &[]).finish();
        assert_eq!(
            outcome.exit.as_deref(),
            Ok("OutOfMemory"),
            "{means:?}: {}",
            outcome.shown()
        );
    }
    eventually("a control group stayed", || groups().is_empty());
}

fn bomb() {
    for means in means() {
        let image = Image::new();
        let word = format!("nd-test-bomb-{}", std::process::id());
        let script = format!("f() {{ f | f & }}; (f; : {word}); exec sleep 1000");
        let mut running = image.start(limited(&script, means), &[]);
        let said = running.line();
        assert!(said.contains("fork"), "{said}");
        // Each is counted, whoever started it; a handful of ours is among them at most.
        let count = processes_with(&word).len();
        assert!(count <= 101, "{count} processes by {means:?}");
        running.engine.cancel();
        let outcome = running.finish();
        assert_eq!(
            outcome.exit.as_deref(),
            Ok("Cancelled"),
            "{means:?}: {}",
            outcome.shown()
        );
        assert_eq!(outcome.enforcement, means.to_string());
        assert_eq!(processes_with(&word), [0; 0]);
    }
    eventually("a control group stayed", || groups().is_empty());
}

/// The disk is one of the test's own: nobody else takes or gives room, and no real one is filled.
fn disk() {
    let Some(unshare) = nd_testkit::peer("unshare") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script =
        "mount -t tmpfs -o size=96m,mode=755 small \"$1\" && TMPDIR=$1 exec \"$0\" fill-a-disk";
    let output = Command::new(unshare)
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"DiskFull\n", "{output:?}");
}

/// What this program does in there.
pub(crate) fn fill_a_disk() {
    let image = Image::new();
    let job = Job {
        reserve: Some(32 * MIB),
        limit_ms: Some(600_000),
        ..sh("while :; do cat /bin/busybox >> /tmp/grows; done")
    };
    let outcome = image.start(job, &[]).finish();
    match outcome.exit.as_deref() {
        Ok(exit) => println!("{exit}"),
        Err(_) => println!("{}", outcome.shown()),
    }
}

fn within() {
    for means in means() {
        let image = Image::new();
        let script = "head -c 20000000 /dev/zero | tail | wc -c; (sleep 0 & wait); exit 3";
        let mut job = limited(script, means);
        job.reserve = Some(1);
        let outcome = image.start(job, &[]).finish();
        assert_eq!(
            outcome.exit.as_deref(),
            Ok("Code(3)"),
            "{}",
            outcome.shown()
        );
        assert_eq!(outcome.out, [b"20000000"]);
    }
}
