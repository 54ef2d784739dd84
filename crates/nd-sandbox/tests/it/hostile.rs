//! Steps that try to get out. Each fails or stays inside, and the host is looked at afterwards.

use std::os::unix::fs::symlink;

use crate::support::{Image, Job, JobMount, JobSource, Test, sh, with_host_programs};

pub(crate) const TESTS: &[Test] = &[
    ("hostile::the_kernel_cannot_be_set", kernel_settings),
    ("hostile::devices_cannot_be_made_or_found", devices),
    ("hostile::the_host_is_not_behind_other_processes", processes),
    ("hostile::our_program_cannot_be_written", own_program),
    ("hostile::calls_to_the_kernel_are_refused", calls),
    ("hostile::nothing_can_be_mounted_or_uncovered", mounts),
    ("hostile::links_in_the_base_lead_nowhere_outside", links),
    (
        "hostile::root_inside_has_what_containers_have",
        capabilities,
    ),
    ("hostile::nothing_is_inherited", inherited),
    (
        "hostile::a_mount_point_is_never_made_on_the_host",
        mount_points,
    ),
    ("hostile::chroot_and_moved_directories_stay_inside", chroot),
];

/// Runs lines of shell that must all fail, as root inside.
fn all_fail(image: &Image, lines: &[&str]) {
    for line in lines {
        let outcome = image.start(with_host_programs(sh(line)), &[]).finish();
        let code = outcome.exit.as_deref().unwrap_or("");
        assert!(
            // 127 would be a program that is missing: no proof of anything.
            code.starts_with("Code(") && code != "Code(0)" && code != "Code(127)",
            "{line}: {}",
            outcome.shown()
        );
    }
}

fn kernel_settings() {
    let before = fs_err::read("/proc/sys/kernel/core_pattern").unwrap();
    let image = Image::new();
    all_fail(
        &image,
        &[
            "echo '|/tmp/x' > /proc/sys/kernel/core_pattern",
            "chmod 666 /proc/sys/kernel/core_pattern",
            "echo h > /proc/sysrq-trigger",
            "echo 1 > /proc/sys/vm/drop_caches",
            "echo 1 > /proc/irq/default_smp_affinity",
            "echo 1 > /sys/kernel/mm/ksm/run",
            "echo x > /sys/power/state",
            "test -s /proc/kcore",
            "cat /proc/kmsg",
            "ls /sys/firmware | grep .",
            "ls /proc/acpi | grep .",
            "hostname outside",
            // Values that only look writable.
            "echo -1000 > /proc/1/oom_score_adj",
        ],
    );
    assert_eq!(
        before,
        fs_err::read("/proc/sys/kernel/core_pattern").unwrap()
    );
}

fn devices() {
    let image = Image::new();
    all_fail(
        &image,
        &[
            "mknod /tmp/disk b 254 0",
            "mknod /tmp/memory c 1 1",
            "mknod /dev/disk b 254 0",
            "mknod /dev/shm/disk b 254 0",
            "ls /dev | grep -E '^(sd|vd|nvme|mem|kmsg|kvm|loop|fuse|mapper)'",
        ],
    );
    let text = image
        .sh("ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c; ls -l /dev/fd; test -c /dev/pts/ptmx; mknod /tmp/f p && echo fifo")
        .text();
    for name in [
        "null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "ptmx", "stdin", "fifo",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

fn processes() {
    let image = Image::new();
    let host = std::process::id();
    all_fail(
        &image,
        &[
            "ls /proc/1/root/",
            "ls /proc/1/cwd/",
            "readlink /proc/1/fd/1",
            "cat /proc/1/fd/0 < /dev/null",
            "cat /proc/1/mem",
            "cat /proc/1/maps | grep .",
            "cat /proc/1/environ | grep .",
            "readlink /proc/1/exe",
            // A signal to PID 1 from inside is dropped: it must still be there.
            "kill -9 1; ! kill -0 1",
            &format!("kill -9 {host}"),
            &format!("ls /proc/{host}"),
            "perl -e 'exit(syscall(101, 16, 1, 0, 0) == -1)'",
        ],
    );
    let text = image.sh("ps -o pid,args").text();
    assert!(text.lines().count() <= 4, "only ours: {text}");
}

fn own_program() {
    let program = std::env::current_exe().unwrap();
    let before = fs_err::metadata(&program).unwrap().modified().unwrap();
    let image = Image::new();
    all_fail(
        &image,
        &["echo x > /proc/1/exe", "cat /proc/1/exe > /dev/null"],
    );
    // The program of a process that is about to become the step is ours; run it, and let it try to
    // write to itself.
    let outcome = image
        .start(
            with_host_programs(Job {
                argv: vec!["/proc/self/exe".into(), "write-to-myself".into()],
                ..Job::default()
            }),
            &[],
        )
        .finish();
    assert_eq!(outcome.text(), "refused", "{}", outcome.shown());
    assert_eq!(
        before,
        fs_err::metadata(&program).unwrap().modified().unwrap()
    );
}

fn calls() {
    // Number, arguments, and what is answered: EPERM or ENOSYS.
    #[cfg(target_arch = "x86_64")]
    let list = [
        ("keyctl", "250, 0, -3, 0", 1),
        ("add_key", "248, 0, 0, 0, 0, 0", 1),
        ("bpf", "321, 0, 0, 0", 1),
        ("perf_event_open", "298, 0, 0, -1, -1, 0", 1),
        ("userfaultfd", "323, 0", 1),
        ("kexec_load", "246, 0, 0, 0, 0", 1),
        ("init_module", "175, 0, 0, 0", 1),
        ("reboot", "169, 0, 0, 0, 0", 1),
        ("unshare user", "272, 0x10000000", 1),
        ("unshare mount", "272, 0x20000", 1),
        ("clone user", "56, 0x10000011, 0, 0, 0, 0", 1),
        ("clone3", "435, 0, 0", 38),
        ("io_uring_setup", "425, 1, 0", 38),
        ("mount", "165, 0, 0, 0, 0, 0", 1),
        ("fsopen", "430, 0, 0", 1),
        ("open_tree", "428, -100, 0, 1", 1),
        ("setns", "308, 0, 0", 1),
        ("open_by_handle_at", "304, -100, 0, 0", 1),
        ("TIOCSTI", "16, 0, 0x5412, 0", 1),
        ("vsock", "41, 40, 1, 0", 1),
        ("x32 mount", "0x400000a5, 0, 0, 0, 0, 0", 38),
    ];
    #[cfg(target_arch = "aarch64")]
    let list = [
        ("keyctl", "219, 0, -3, 0", 1),
        ("bpf", "280, 0, 0, 0", 1),
        ("perf_event_open", "241, 0, 0, -1, -1, 0", 1),
        ("unshare user", "97, 0x10000000", 1),
        ("mount", "40, 0, 0, 0, 0, 0", 1),
    ];
    let image = Image::new();
    let script: Vec<_> = list
        .iter()
        .map(|(name, call, _)| {
            format!("$! = 0; $r = syscall({call}); print \"{name} $r \", $! + 0, \"\\n\";")
        })
        .collect();
    let script = script.concat();
    for uid in [0, 1000] {
        let job = Job {
            argv: vec!["/usr/bin/perl".into(), "-e".into(), script.clone()],
            uid,
            ..Job::default()
        };
        let text = image.start(with_host_programs(job), &[]).finish().text();
        let expected: Vec<_> = list
            .iter()
            .map(|(name, _, errno)| format!("{name} -1 {errno}"))
            .collect();
        assert_eq!(text, expected.join("\n"));
    }
}

fn mounts() {
    let before = host_mounts();
    let image = Image::new();
    all_fail(
        &image,
        &[
            "mount -t tmpfs none /tmp",
            "mount --bind /bin /tmp",
            "mount -o remount,rw /proc/sys",
            "umount /proc/sys",
            "umount -l /proc/kcore",
            "umount /dev",
            "umount /etc/resolv.conf",
            "unshare -Ur true",
            "unshare -m true",
            "unshare -p true",
            "mount -t proc proc /tmp",
            "mount -t overlay overlay -o lowerdir=/bin:/etc /tmp",
            "echo x > /etc/hosts",
            "rm /etc/resolv.conf",
            "mv /proc /tmp/proc",
        ],
    );
    assert_eq!(before, host_mounts());
}

/// The host's mounts but those that other tests of other programs make meanwhile.
fn host_mounts() -> Vec<String> {
    fs_err::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .filter(|line| line.contains("nd-image") || line.contains("overlay"))
        .filter(|line| line.contains("nd-image") || line.contains("/proc/self/fd"))
        .map(str::to_owned)
        .collect()
}

fn links() {
    let resolver = fs_err::read("/etc/resolv.conf").ok();
    let hosts = fs_err::read("/etc/hosts").ok();
    for name in ["etc", "dev", "proc", "sys", "run", "tmp"] {
        for escape in [
            "host",
            "/",
            "../../../../../..",
            "/proc/self/root",
            "/proc/1/root",
            "/etc",
            "loop",
        ] {
            let image = Image::new();
            let trap = image.beside("trap");
            fs_err::write(trap.join("hosts"), "host").unwrap();
            let place = image.base().join(name);
            if place.exists() {
                fs_err::rename(&place, image.base().join("moved")).unwrap();
            }
            let target = match escape {
                "host" => trap.to_str().unwrap().to_owned(),
                "loop" => name.to_owned(),
                other => other.to_owned(),
            };
            symlink(&target, &place).unwrap();
            let outcome =
                image.sh("echo x > /etc/hosts; echo x > /etc/new; echo x > /run/new; true");
            // Refused, or run with everything inside.
            if let Err(error) = &outcome.exit {
                assert!(error.contains("failed to"), "{error}");
            }
            let names: Vec<_> = fs_err::read_dir(&trap)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(names, ["hosts"], "{name} -> {target}");
            assert_eq!(fs_err::read(trap.join("hosts")).unwrap(), b"host");
        }
    }
    assert!(!std::path::Path::new("/etc/new").exists());
    assert!(!std::path::Path::new("/run/new").exists());
    assert_eq!(resolver, fs_err::read("/etc/resolv.conf").ok());
    assert_eq!(hosts, fs_err::read("/etc/hosts").ok());
}

fn capabilities() {
    let image = Image::new();
    let status = "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'";
    let root = image.sh(status).text();
    assert_eq!(
        root,
        "CapInh:0000000000000000\nCapPrm:00000000a80425fb\nCapEff:00000000a80425fb\n\
         CapBnd:00000000a80425fb\nCapAmb:0000000000000000\nNoNewPrivs:0\nSeccomp:2"
    );
    let mut job = sh(&format!("{status}; id -u; id -g; echo no > /etc/x"));
    job.uid = 1000;
    let outcome = image.start(job, &[]).finish();
    assert_eq!(
        outcome.exit.as_deref(),
        Ok("Code(1)"),
        "{}",
        outcome.shown()
    );
    let text = String::from_utf8(outcome.out.join(&b'\n')).unwrap();
    assert!(text.contains("CapEff:0000000000000000"), "{text}");
    assert!(text.ends_with("\n1000\n1000"), "{text}");
    // Programs that raise their user work, as `sudo` must, and raise it to root inside only.
    let mut job = with_host_programs(sh("/usr/bin/id -u; /bin/raised -u"));
    job.uid = 1000;
    nd_testkit::copy_program("/usr/bin/id", image.base().join("bin/raised"));
    image.give();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    fs_err::set_permissions(image.base().join("bin/raised"), mode).unwrap();
    assert_eq!(image.start(job, &[]).finish().text(), "1000\n0");
}

fn inherited() {
    let image = Image::new();
    // What a careless parent leaves open: a directory of the host, not close-on-exec.
    let leak = rustix::fs::open(
        "/",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    let outcome = image.sh("ls /proc/self/fd | wc -l; env | wc -l; pwd");
    drop(leak);
    // Standard streams and the directory that is listed; PATH, PWD and what the shell adds.
    let text = outcome.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "4", "{text}");
    assert!(lines[1].parse::<u32>().unwrap() <= 4, "{text}");
    assert_eq!(lines[2], "/");
}

fn mount_points() {
    let image = Image::new();
    let shared = image.beside("shared");
    let mut job = sh("true");
    job.mounts = vec![
        JobMount {
            source: JobSource::Fd(0),
            target: "/srv/shared".into(),
            writable: true,
        },
        JobMount {
            source: JobSource::Memory(0o755),
            target: "/srv/shared/inner".into(),
            writable: true,
        },
    ];
    let outcome = image.start(job, &[&shared]).finish();
    let error = outcome.exit.unwrap_err();
    assert!(error.contains("mount at `/srv/shared/inner`"), "{error}");
    assert_eq!(fs_err::read_dir(&shared).unwrap().count(), 0);
}

fn chroot() {
    let image = Image::new();
    let host = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let marker = image.beside("marker");
    fs_err::write(marker.join(host.trim()), "").unwrap();
    // The way out of a plain chroot: enter another root with a directory of the old one still open.
    let script = "mkdir -p /tmp/jail; perl -e 'chdir \"/\"; opendir(D, \"/\"); chroot(\"/tmp/jail\"); \
                  chdir(\"..\") for 1..100; chroot(\".\"); print join(\" \", sort(glob(\"/*\"))), \"\\n\"'";
    let text = image
        .start(with_host_programs(sh(script)), &[])
        .finish()
        .text();
    assert!(text.contains("/bin") && !text.contains("/home"), "{text}");
}
