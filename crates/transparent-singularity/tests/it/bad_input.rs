//! Images, names, trees and disks that are not as they should be: an error, and nothing half done.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use nd_testkit::peer;

use crate::fixture::{Desk, PROGRAM, environment, root, search_path, sif, sif_for};

const STEM: &str = "tool_1.0_20240131";

#[test]
fn damaged_images_are_refused_and_nothing_is_there() {
    let desk = Desk::new();
    let Some(image) = desk.image("good.sif") else {
        return;
    };
    let good = fs_err::read(image).unwrap();
    let bad = desk.env.work().join("bad.sif");
    let mut header = good.clone();
    header[32..40].fill(0xff);
    let mut table = good.clone();
    table[4096..4200].fill(0xff);
    let mut squashfs = good.clone();
    squashfs[32768..33000].fill(0);
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("text", b"<html>not found</html>".to_vec()),
        ("cut in the header", good[..100].to_vec()),
        ("cut in the table", good[..5000].to_vec()),
        ("cut in the middle", good[..good.len() / 2].to_vec()),
        ("other header", header),
        ("other table", table),
        ("no file system", squashfs),
    ] {
        fs_err::write(&bad, bytes).unwrap();
        let out = desk
            .program(&["install", STEM, "--from", bad.to_str().unwrap()])
            .output()
            .unwrap();
        assert_eq!(
            out.status.code(),
            Some(1),
            "{what}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert_eq!(desk.listing(), [""; 0], "{what}");
    }
    // Any byte may be another one: an error or an installation, never a crash or half of one.
    for n in 0..60 {
        let mut bytes = good.clone();
        let at = (n * 7919) % bytes.len();
        bytes[at] ^= 0x41;
        fs_err::write(&bad, bytes).unwrap();
        let out = desk
            .program(&[
                "install",
                STEM,
                "--from",
                bad.to_str().unwrap(),
                "--reinstall",
            ])
            .output()
            .unwrap();
        assert!(
            [Some(0), Some(1), Some(4)].contains(&out.status.code()),
            "{at}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let whole = desk.listing();
        assert!(
            whole.is_empty() || whole.iter().any(|path| path.ends_with("commands.txt")),
            "{at}"
        );
    }
}

#[test]
fn wrong_names_and_other_machines_are_refused() {
    let desk = Desk::new();
    let Some(root) = root() else { return };
    let image = desk.env.work().join("x.sif");
    let other = match nd_names::Architecture::of_this_program().unwrap() {
        nd_names::Architecture::X86_64 => nd_names::Architecture::Aarch64,
        nd_names::Architecture::Aarch64 => nd_names::Architecture::X86_64,
    };
    sif_for(root.path(), &image, other);
    let from = image.to_str().unwrap();
    for name in [
        "tool",
        "tool_1.0",
        "tool_1.0_",
        "tool_1.0_latest",
        "tool_1.0_20241301",
        "../x_1_20240101x",
        "a b_1_20240101",
    ] {
        desk.fail(&["install", name, "--from", from], 2);
    }
    if !std::path::Path::new(&format!("/proc/sys/fs/binfmt_misc/qemu-{}", other.as_str())).exists()
    {
        let said = desk.fail(&["install", STEM, "--from", from], 1);
        assert!(said.contains("binfmt_misc"), "{said}");
    }
    desk.fail(
        &["install", STEM, "--from", from, "--storage", "nowhere"],
        2,
    );
    assert_eq!(desk.listing(), [""; 0]);
}

#[test]
fn an_image_cannot_reach_out_of_its_folder() {
    let Some(root) = root() else { return };
    let desk = Desk::new();
    let outside = desk.env.root().join("outside");
    std::fs::DirBuilder::new().create(&outside).unwrap();
    let base = root.path();
    symlink(&outside, base.join("opt/way")).unwrap();
    std::fs::set_permissions(
        base.join("opt/tool/bin/show"),
        std::fs::Permissions::from_mode(0o4755),
    )
    .unwrap();
    std::fs::DirBuilder::new()
        .create(base.join("closed"))
        .unwrap();
    std::fs::set_permissions(base.join("closed"), std::fs::Permissions::from_mode(0o0)).unwrap();
    let image = desk.env.work().join("x.sif");
    sif(base, &image);
    desk.run(&[
        "install",
        STEM,
        "--from",
        image.to_str().unwrap(),
        "--unpack",
    ]);
    let unpacked = desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    assert!(unpacked.join("opt/way").is_symlink());
    let mode = std::fs::metadata(unpacked.join("opt/tool/bin/show"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7000, 0, "{mode:o}");
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
    desk.run(&["uninstall", STEM]);
    assert_eq!(desk.listing(), [""; 0]);
    std::fs::set_permissions(base.join("closed"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn values_and_help_of_an_image_execute_nothing() {
    let Some(root) = root() else { return };
    let desk = Desk::new();
    let evil = "\\\"; touch pwned; \\`touch pwned\\` \\$(touch pwned) ') os.execute('touch pwned') [exec touch pwned]";
    environment(root.path(), "/opt/tool/bin", "show", evil);
    // What no module can hold on one line is left out.
    crate::fixture::write(
        root.path(),
        ".singularity.d/env/90-environment.sh",
        "export DEPLOY_ENV_LINES=\"a\nexport X=\\$(touch pwned)\n=b\"\nexport DEPLOY_ENV_EQUAL='-a=1 b=\\2'\n",
        0o755,
    );
    let image = desk.env.work().join("x.sif");
    sif(root.path(), &image);
    desk.run(&["install", STEM, "--from", image.to_str().unwrap()]);
    for name in ["lmod", "environment-modules"] {
        let Some(program) = peer(name) else { continue };
        let script = format!(
            "module() {{ eval \"$({} bash \"$@\")\"; }}\nmodule use '{}'\nmodule load tool/1.0\nprintf '%s<%s>' \"$TOOLHOME\" \"$EQUAL\"",
            program.display(),
            desk.prefix.join("modules").display()
        );
        let out = desk
            .env
            .command("/bin/bash")
            .env("PATH", search_path())
            .arg("-c")
            .arg(script)
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let expected = "\"; touch pwned; `touch pwned` $(touch pwned) ') os.execute('touch pwned') [exec touch pwned]<-a=1 b=\\2>";
        assert_eq!(
            text,
            expected,
            "{name}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(!desk.env.work().join("pwned").exists(), "{name}");
    }
    let script = format!(
        "cd '{}' && . ./activate_{STEM}.simg.sh",
        desk.prefix.join(STEM).display()
    );
    desk.env
        .command("/bin/sh")
        .arg("-c")
        .arg(script)
        .assert()
        .success();
    assert!(!desk.env.work().join("pwned").exists());
}

#[test]
fn a_full_disk_and_a_tree_that_cannot_be_written_leave_nothing() {
    let desk = Desk::new();
    let Some(image) = desk.image("x.sif") else {
        return;
    };
    let from = image.to_str().unwrap();
    // More room is asked to stay than any disk has.
    let settings = desk.env.work().join("s.toml");
    fs_err::write(&settings, "[site]\nkeep_free = 4611686018427387904\n").unwrap();
    desk.fail(
        &[
            "--settings",
            settings.to_str().unwrap(),
            "install",
            STEM,
            "--from",
            from,
        ],
        7,
    );
    assert_eq!(desk.listing(), [""; 0]);
    // A file stands where the folder of modules should be.
    let blocked = Desk::new();
    std::fs::DirBuilder::new().create(&blocked.prefix).unwrap();
    fs_err::write(blocked.prefix.join("modules"), "").unwrap();
    blocked.fail(&["install", STEM, "--from", from], 1);
    assert_eq!(blocked.listing(), ["modules"]);
    // So does something of the tool's that is not ours.
    let foreign = Desk::new();
    std::fs::DirBuilder::new()
        .recursive(true)
        .create(foreign.prefix.join(STEM))
        .unwrap();
    fs_err::write(foreign.prefix.join(STEM).join("precious"), "").unwrap();
    foreign.fail(&["install", STEM, "--from", from], 6);
    assert_eq!(foreign.listing(), [format!("{STEM}/precious")]);
    assert!(std::path::Path::new(PROGRAM).exists());
}

/// Runs the program in a mount namespace of its own, after `lines`.
fn in_namespace(desk: &Desk, lines: &str, words: &[&str]) -> std::process::Output {
    let mut command = desk.env.command("/usr/bin/unshare");
    command
        .env("PATH", search_path())
        .args(["--map-root-user", "--mount", "/bin/sh", "-ec"]);
    command
        .arg(format!("{lines}\nexec \"$@\""))
        .arg("sh")
        .arg(PROGRAM)
        .arg("--prefix")
        .arg(&desk.prefix)
        .args(words);
    command.output().unwrap()
}

#[test]
fn a_real_full_disk_leaves_an_empty_prefix() {
    let desk = Desk::new();
    let Some(image) = desk.image("x.sif") else {
        return;
    };
    std::fs::DirBuilder::new().create(&desk.prefix).unwrap();
    let settings = desk.env.work().join("s.toml");
    fs_err::write(&settings, "[site]\nkeep_free = 0\n").unwrap();
    let place = desk.prefix.display();
    for size in ["200k", "1100k"] {
        // What is left is listed before the namespace, and the disk with it, goes away.
        let lines = format!(
            "/bin/mount -t tmpfs -o size={size} none '{place}'\n\"$@\" && exit 0\ncode=$?\nfind '{place}' -type f -not -path '*/.state/*'\nexit $code\n"
        );
        let out = in_namespace(
            &desk,
            &lines,
            &[
                "--settings",
                settings.to_str().unwrap(),
                "install",
                STEM,
                "--from",
                image.to_str().unwrap(),
            ],
        );
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(7), "{size}: {said}");
        assert!(
            out.stdout.is_empty(),
            "{size}: {}",
            String::from_utf8_lossy(&out.stdout)
        );
    }
}

#[test]
fn a_read_only_tree_can_be_used() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    if peer("apptainer").is_none() {
        return;
    }
    let place = desk.prefix.display();
    let lines =
        format!("/bin/mount --bind '{place}' '{place}'\n/bin/mount -o remount,ro,bind '{place}'");
    for (words, code) in [
        (&["list"][..], 0),
        (&["verify"], 0),
        (&["explain", "show"], 0),
        (&["prove", "show", "--check"], 0),
        (&["activate", "tool"], 0),
        (&["install", STEM, "--from", "/nonexistent"], 1),
        (&["uninstall", STEM], 1),
    ] {
        let out = in_namespace(&desk, &lines, words);
        assert_eq!(
            out.status.code(),
            Some(code),
            "{words:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    desk.run(&["verify"]);
}
