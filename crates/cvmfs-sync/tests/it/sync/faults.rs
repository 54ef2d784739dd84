//! What a publisher, a disk or an image can do to a run.

use super::case::{Case, KINDS, Kind, NAME};

const LOG: &str = "a_1.0_20240101 categories:x,\nb_1.0_20240101 categories:x,\n";

fn revision(case: &Case) -> u64 {
    let storage = case.env.root().join("host/storage/.cvmfspublished");
    let text = fs_err::read_to_string(storage).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix('S'));
    line.unwrap().parse().unwrap()
}

fn prepared() -> Case {
    let case = Case::new(Kind::CvmfsServer);
    case.image("a_1.0_20240101", "a");
    case.image("b_1.0_20240101", "b");
    case
}

#[test]
fn every_answer_of_cvmfs_server_has_its_result() {
    // The fault, our exit code, and whether something was published all the same.
    for (fault, code, public) in [
        ("transaction-1", 4, false),
        ("transaction-2", 4, false),
        ("transaction-5", 4, false),
        ("transaction-16", 5, false),
        ("transaction-20", 4, false),
        ("transaction-22", 4, false),
        ("publish-1", 4, false),
        ("publish-3", 4, false),
        ("publish-killed", 4, false),
        ("publish-nothing", 4, false),
        ("publish-late", 0, true),
    ] {
        let case = prepared();
        let before = revision(&case);
        case.host.fault(fault);
        let (found, report, said) = case.output(LOG, &[]);
        assert_eq!(found, Some(code), "{fault}: {said}{report}");
        assert!(!case.host.is_open(), "{fault}");
        assert_eq!(revision(&case) > before, public, "{fault}");
        let seen = case.read("containers/a_1.0_20240101/commands.txt");
        assert_eq!(seen.is_some(), public, "{fault}");
        case.host.fault("");
        case.apply(LOG, &[]);
        case.holds(LOG);
    }
}

#[test]
fn a_transaction_that_cannot_be_aborted_is_ours_in_the_next_run() {
    let case = prepared();
    case.host.fault("publish-1 abort-5");
    let (code, _, said) = case.output(LOG, &[]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("could not be aborted"), "{said}");
    assert!(case.host.is_open());
    case.host.fault("");
    let (code, report, said) = case.output(LOG, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        report["recovered"].as_str().unwrap().contains("aborted"),
        "{report}"
    );
    case.holds(LOG);
}

#[test]
fn an_image_of_many_files_has_catalogues_that_are_cut() {
    // A hundred thousand take a while in a program that is not optimised.
    let asked = std::env::var_os("ND_SLOW_TESTS").is_some();
    let files = if asked { 100_000 } else { 1_000 };
    for kind in KINDS {
        let case = Case::new(kind);
        let root = case.env.work().join("images/a_1.0_20240101");
        for n in 0..files {
            let folder = root.join(format!("opt/tool/lib/part{}", n / 1000));
            if n % 1000 == 0 {
                fs_err::create_dir_all(&folder).unwrap();
            }
            fs_err::write(folder.join(format!("a-file-with-a-name-{n}")), "x").unwrap();
        }
        let bin = root.join("opt/tool/bin");
        fs_err::create_dir_all(&bin).unwrap();
        nd_testkit::copy_program("/bin/true", bin.join("show"));
        fs_err::create_dir_all(root.join(".singularity.d/env")).unwrap();
        let script = "export DEPLOY_PATH=\"/opt/tool/bin\"\n";
        fs_err::write(
            root.join(".singularity.d/env/10-docker2singularity.sh"),
            script,
        )
        .unwrap();
        let log = "a_1.0_20240101 categories:x,\n";
        case.apply(log, &[]);
        case.holds(log);
        let last = format!(
            "opt/tool/lib/part{}/a-file-with-a-name-{}",
            (files - 1) / 1000,
            files - 1
        );
        let image = "containers/a_1.0_20240101/a_1.0_20240101.simg";
        assert_eq!(
            case.read(&format!("{image}/{last}")).as_deref(),
            Some(&b"x"[..])
        );
        if asked && kind == Kind::Native {
            let catalogs = case
                .program()
                .args(["catalogs", "storage"])
                .output()
                .unwrap();
            let catalogs = String::from_utf8_lossy(&catalogs.stdout).into_owned();
            assert!(
                catalogs
                    .lines()
                    .filter(|line| line.contains("a_1.0_20240101"))
                    .count()
                    > 2,
                "{catalogs}"
            );
        }
    }
}

#[test]
fn a_publisher_that_hangs_is_killed() {
    let case = prepared();
    case.host.fault("publish-hangs");
    let (code, _, said) = case.output(LOG, &["--publish-limit", "0"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("did not end within"), "{said}");
    assert!(!case.host.is_open());
    case.host.fault("");
    case.apply(LOG, &[]);
    case.holds(LOG);
}

#[test]
fn a_transaction_of_somebody_else_is_left_alone() {
    let case = prepared();
    let flag = case.host.spool.join("in_transaction.lock");
    fs_err::write(&flag, "").unwrap();
    fs_err::write(case.host.union.join("theirs"), "work").unwrap();
    let (code, _, said) = case.output(LOG, &[]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("a transaction is open"), "{said}");
    assert!(case.host.is_open() && case.host.union.join("theirs").exists());
    fs_err::remove_file(&flag).unwrap();
    fs_err::remove_file(case.host.union.join("theirs")).unwrap();
    // A process that publishes holds a lock; the file alone says nothing.
    let lock = case.host.spool.join("is_publishing.lock");
    let held = nd_host::FileLock::try_exclusive(&lock).unwrap().unwrap();
    assert_eq!(case.output(LOG, &[]).0, Some(5));
    drop(held);
    assert!(lock.exists());
    case.apply(LOG, &[]);
    // A replica takes nothing.
    let replica = case.host.repositories.join(NAME);
    fs_err::write(replica.join("replica.conf"), "").unwrap();
    assert_eq!(case.output(LOG, &[]).0, Some(1));
}

#[test]
fn a_hostile_image_does_no_harm() {
    use std::os::unix::fs::symlink;
    for kind in KINDS {
        let case = Case::new(kind);
        case.image("a_1.0_20240101", "a");
        let outside = case.env.root().join("outside");
        fs_err::create_dir_all(&outside).unwrap();
        let root = case.env.work().join("images/b_1.0_20240101");
        let bin = root.join("opt/tool/bin");
        fs_err::create_dir_all(&bin).unwrap();
        fs_err::create_dir_all(root.join(".singularity.d/env")).unwrap();
        nd_testkit::copy_program("/bin/true", bin.join("show"));
        nd_testkit::copy_program("/bin/true", bin.join("$(touch x)"));
        symlink("../../../../../../outside", root.join("opt/up")).unwrap();
        symlink(&outside, root.join("usr")).unwrap();
        let pipe = assert_cmd::Command::new("mkfifo")
            .arg(root.join("opt/pipe"))
            .ok();
        pipe.unwrap();
        let script = "export DEPLOY_PATH=\"/opt/tool/bin\"\n";
        fs_err::write(
            root.join(".singularity.d/env/10-docker2singularity.sh"),
            script,
        )
        .unwrap();
        fs_err::write(root.join("README.md"), "]===]) os.exit(3)\n]]\n").unwrap();
        assert_eq!(case.apply(LOG, &[]).len(), 2, "{kind:?}");
        case.holds(LOG);
        assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
        let commands = case.read("containers/b_1.0_20240101/commands.txt").unwrap();
        assert_eq!(commands, b"show\n");
        let module = case.read("containers/modules/b/1.0.lua").unwrap();
        let module = String::from_utf8(module).unwrap();
        assert_eq!(module.matches("]===]").count(), 1, "{module}");
    }
}

#[test]
fn a_full_disk_publishes_nothing_and_loses_nothing() {
    // Where it is full, and our exit code: `cvmfs_server` itself has but one for all errors.
    for (kind, place, code) in [
        (Kind::Native, "work/storage", 7),
        (Kind::Directory, "work/site", 7),
        (Kind::CvmfsServer, "host/spool", 7),
        (Kind::CvmfsServer, "host/storage", 4),
    ] {
        let case = Case::new(kind);
        case.image("a_1.0_20240101", "a");
        let mut random = 1u64;
        let more: Vec<u8> = (0..3 << 20)
            .map(|_| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            })
            .collect();
        case.image_with("b_1.0_20240101", "b", &more);
        fs_err::write(case.env.work().join("log.txt"), LOG).unwrap();
        let place = case.env.root().join(place);
        fs_err::create_dir_all(&place).unwrap();
        let place = place.to_str().unwrap();
        // The storage as it is, on a disk of 2 MiB that grows afterwards.
        let script = format!(
            "cp -a '{place}' '{place}.old' && mount -t tmpfs -o size=2m none '{place}' && \
             cp -a '{place}.old/.' '{place}'\n\
             \"$@\"; echo first $?; cp state/state.json stopped.json\n\
             mount -o remount,size=64m '{place}'\n\"$@\"; echo second $?\n\
             rm -rf '{place}.old'; cp -a '{place}' '{place}.new'\n"
        );
        let mut command = case.env.command("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &script,
            "sh",
        ]);
        command
            .arg(env!("CARGO_BIN_EXE_cvmfs-sync"))
            .args(case.words());
        let output = command.args(["--catalogue", "log.txt"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ends: Vec<&str> = told
            .lines()
            .filter(|line| line.starts_with("first") || line.starts_with("second"))
            .collect();
        let first = format!("first {code}");
        assert_eq!(ends, [&first, "second 0"], "{kind:?}: {told}{said}");
        let remembered = |path: &str| -> serde_json::Value {
            let bytes = fs_err::read(case.env.work().join(path)).unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        let reason = &remembered("stopped.json")["stopped"]["reason"];
        assert!(reason.is_string(), "{kind:?}: {reason}");
        assert!(remembered("state/state.json")["stopped"].is_null());
        assert!(!case.host.is_open());
        // What was published before the disk was full is there, and not published again.
        assert!(
            !told.contains("\"add\",\"image\":\"a_1.0_20240101\""),
            "{told}"
        );
        fs_err::remove_dir_all(place).unwrap();
        fs_err::rename(format!("{place}.new"), place).unwrap();
        case.holds(LOG);
    }
}

#[test]
fn a_disk_without_room_is_seen_before_anything_is_fetched() {
    for kind in KINDS {
        let case = Case::new(kind);
        case.image("a_1.0_20240101", "a");
        case.image("b_1.0_20240101", "b");
        // More than any disk has.
        let (code, _, said) = case.output(LOG, &["--keep-free", "9000000000"]);
        assert_eq!(code, Some(7), "{kind:?}: {said}");
        assert!(said.contains("are free"), "{said}");
        assert_eq!(case.read("containers/a_1.0_20240101/commands.txt"), None);
        assert_eq!(case.apply(LOG, &["--keep-free", "0"]).len(), 2);
        case.holds(LOG);
    }
}
