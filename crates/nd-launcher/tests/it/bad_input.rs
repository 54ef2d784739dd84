//! Images, binds and arguments that are not as they should be: an error with a place, or the kernel's own, and never a
//! start in the wrong place.

use std::os::unix::fs::symlink;

use nd_launcher::{Form, LAUNCH_FILE};

use crate::{native::Pair, warm::Site};

#[test]
fn an_image_that_changes_while_it_is_mounted_hangs_nobody() {
    let Some(site) = Site::new(2) else { return };
    let whole = fs_err::read(site.image()).unwrap();
    let mut shell = site.shell();
    let waiting = site.fifo(&mut shell);
    // The same file, half as long: what the command has not read yet is gone.
    let file = fs_err::OpenOptions::new()
        .write(true)
        .open(site.image())
        .unwrap();
    file.set_len(whole.len() as u64 / 2).unwrap();
    let ended = waiting.end(&mut shell);
    // From the page cache, or with the kernel's own error.
    assert!(
        ended == "ended" || ended.contains("error") || ended.contains("not found"),
        "{ended}"
    );
    // Nobody joins what was made of the other file.
    let (text, said) = site.said("echo started");
    assert_eq!(text, "", "{said}");
    assert!(said.contains("left to"), "{said}");
    fs_err::write(site.image(), whole).unwrap();
    assert_eq!(site.run("echo started"), "started\n");
}

#[test]
fn a_bind_that_vanishes_is_told_and_left_out() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let gone = pair.fixture.path("gone");
    fs_err::create_dir(&gone).unwrap();
    let policy = format!("bind {}:/mnt/gone\n", gone.display());
    let view = |command: &mut std::process::Command| {
        command.args(["-c", "ls /mnt; echo started"]);
    };
    assert_eq!(pair.native(&policy, &view).text, "gone\nstarted\n");
    fs_err::remove_dir(&gone).unwrap();
    let (native, apptainer) = (pair.native(&policy, &view), pair.apptainer(&policy, &view));
    assert_eq!(native, apptainer);
    assert_eq!(native.text, "started\n");
    assert!(native.said.contains(gone.to_str().unwrap()), "{native:?}");
    // A link that leads nowhere, and one that leads to itself, are the same.
    for target in ["/no/such/place", gone.to_str().unwrap()] {
        symlink(target, &gone).unwrap();
        assert_eq!(pair.native(&policy, &view), native, "{target}");
        fs_err::remove_file(&gone).unwrap();
    }
}

#[test]
fn an_image_without_a_shell_or_tables_starts_nothing_of_the_host() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let image = pair.fixture.folder.join("abc_1.0_20240131.simg");
    let policy = "runtime native\n";
    // The runtime says it in its own words.
    let broken = |what: &str| {
        let seen = pair.seen(policy, &|command| {
            command.args(["-c", "echo started"]);
        });
        assert_ne!(seen.status, Some(0), "{what}: {seen:?}");
        assert_eq!(seen.text, "", "{what}");
        assert!(seen.said.contains("left to"), "{what}: {seen:?}");
    };
    fs_err::remove_file(image.join("bin/sh")).unwrap();
    broken("no shell");
    // The host's own shell is there, and is not what this leads to.
    for target in [
        "../../../../../../../../bin/sh",
        "/proc/self/root/usr/bin/dash",
        "sh",
    ] {
        symlink(target, image.join("bin/sh")).unwrap();
        broken(target);
        fs_err::remove_file(image.join("bin/sh")).unwrap();
    }
    fs_err::write(image.join("bin/sh"), "no program").unwrap();
    broken("no program");
    fs_err::remove_file(image.join("bin/sh")).unwrap();
    symlink("busybox", image.join("bin/sh")).unwrap();
    // Without tables there is nothing to add to, as with Apptainer.
    for name in ["etc/passwd", "etc/group"] {
        fs_err::remove_file(image.join(name)).unwrap();
    }
    let view = |command: &mut std::process::Command| {
        command.args(["-c", "ls /etc/passwd /etc/group 2>&1; id"]);
    };
    let (native, apptainer) = (pair.native("", &view), pair.apptainer("", &view));
    assert_eq!(native.text, apptainer.text);
}

#[test]
fn a_hostile_launch_file_is_an_error_with_its_line() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let good = fs_err::read_to_string(pair.fixture.folder.join(LAUNCH_FILE)).unwrap();
    let long = format!("{good}env A={}\n", "x".repeat(5 << 20));
    for (bytes, said) in [
        (String::new(), "not a file of this kind"),
        ("neurodesk-launch 2\n".to_owned(), "line 1"),
        (format!("{good}load /lib/x.so\n"), "unknown key"),
        (format!("{good}image /\n"), "the key stands twice"),
        (
            format!("{good}sha256 00\n"),
            "the key cannot have this value",
        ),
        (format!("{good}bind a\\x00b\n"), "a NUL byte"),
        (long, "larger than any of its kind"),
    ] {
        fs_err::write(pair.fixture.folder.join(LAUNCH_FILE), &bytes).unwrap();
        let seen = pair.seen("runtime native\n", &|command| {
            command.args(["-c", "echo started"]);
        });
        assert_eq!(
            (seen.status, seen.text.as_str()),
            (Some(125), ""),
            "{seen:?}"
        );
        assert!(seen.said.contains(LAUNCH_FILE), "{seen:?}");
        assert!(
            seen.said.contains(said) || seen.said.contains("too large"),
            "{said}: {seen:?}"
        );
    }
}

#[test]
fn arguments_at_the_kernels_limit_arrive_or_are_its_error() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    pair.fixture.policy("runtime native\n");
    // As many as the kernel lets a shell pass, found from above.
    let script = r#"count=$1; shift
        words=$(i=0; while [ $i -lt 1000 ]; do printf '%01000d ' $i; i=$((i + 1)); done)
        while [ $count -gt 0 ]; do
            set --; i=0; while [ $i -lt $count ]; do set -- "$@" $words; i=$((i + 1)); done
            "$0" -c 'echo "arrived $#"' sh "$@" && break
            count=$((count - 1))
        done 2> said; echo "tried $((count * 1000))"; cat said"#;
    let mut shell = pair.user.program(&pair.fixture, "sh");
    shell
        .args(["-c", script])
        .arg(pair.fixture.folder.join("sh"))
        .arg("3");
    let ran = shell.output().unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    // Three megabytes are too many for any, two for most, and one is for none.
    let lines: Vec<&str> = text.lines().collect();
    let count = lines[0].strip_prefix("arrived ").unwrap();
    assert_eq!(lines[1], format!("tried {count}"), "{text}");
    assert!(text.contains("Argument list too long"), "{text}");
}
