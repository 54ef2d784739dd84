//! An ordinary user without anything: one id, and root inside is pretended.

use std::{
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
};

use nd_sandbox::IdMode;

use crate::support::{Image, Test, sh, with_host_programs};

pub(crate) const TESTS: &[Test] = &[
    (
        "modes::a_user_without_a_range_builds_as_a_pretended_root",
        single,
    ),
    (
        "modes::a_machine_without_user_namespaces_is_told_which_setting",
        refused,
    ),
    ("modes::a_disk_that_takes_no_changes_is_named", unstacked),
];

/// A user id that has no entry in `/etc/subuid`.
const NOBODY: u32 = 65_534;

fn single() {
    // Where that user can reach it.
    let folder = tempfile::tempdir().unwrap();
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    fs_err::set_permissions(folder.path(), mode(0o777)).unwrap();
    let program = folder.path().join("program");
    nd_testkit::copy_program(std::env::current_exe().unwrap(), &program);
    let output = Command::new(&program)
        .arg("be-a-user")
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    assert_eq!(output.stdout, b"single\n", "{shown}");
}

/// The setting counts for each user namespace, so this one has its own.
fn refused() {
    let Some(unshare) = nd_testkit::peer("unshare") else {
        return;
    };
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" start-an-engine";
    let output = Command::new(unshare)
        .args(["--user", "--map-root-user", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said,
        "this machine does not let this user make user namespaces (see the sysctl \
         `user.max_user_namespaces`)\n",
        "{output:?}"
    );
}

/// What this program does in there.
pub(crate) fn start_an_engine() {
    match nd_sandbox::EngineProcess::start("test", IdMode::Single, b"", Vec::new()) {
        Ok(_) => println!("started"),
        Err(error) => println!("{error}"),
    }
}

/// A cache on an overlay: in another container, say. It is mounted in a namespace of the test's own.
fn unstacked() {
    let Some(unshare) = nd_testkit::peer("unshare") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$1\" && mkdir lower upper work mount && mount -t overlay overlay -o \
                  lowerdir=lower,upperdir=upper,workdir=work mount && \
                  TMPDIR=$PWD/mount exec \"$0\" run-a-step";
    let output = Command::new(unshare)
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let expected = "layers cannot be stacked here: overlay, where changes are kept, takes none of an \
                    overlay; a local disk does (ext4, xfs, btrfs, tmpfs)";
    assert!(said.starts_with(expected), "{output:?}");
}

/// What this program does in there.
pub(crate) fn run_a_step() {
    let image = Image::new();
    let outcome = image.sh("true");
    println!("{}", outcome.exit.unwrap_err());
}

/// What this program does as that user.
pub(crate) fn be_a_user() {
    let ids = crate::support::ids();
    assert_eq!(ids, IdMode::Single);
    let image = Image::new();
    fs_err::create_dir(image.base().join("var/old")).unwrap();
    fs_err::write(image.base().join("var/old/file"), "text").unwrap();
    let text = image
        .sh(
            "id -u; touch /var/mine; chown 33:44 /var/mine; mknod /var/disk b 254 0; mknod /var/fifo p; \
             mv /var/old /var/new; cat /var/new/file",
        )
        .text();
    assert_eq!(text, "0\ntext");
    assert_eq!(
        image.changes(),
        [
            "var",
            "var/fifo",
            "var/mine",
            "var/new",
            "var/new/file",
            "var/old"
        ]
    );
    for line in [
        "echo x > /proc/sys/kernel/core_pattern",
        "echo x > /proc/1/exe",
        "cat /proc/1/exe > /dev/null",
        "mount -t tmpfs none /tmp",
        "unshare -Ur true",
        "ls /proc/1/root/",
    ] {
        let outcome = image.start(with_host_programs(sh(line)), &[]).finish();
        assert_eq!(
            outcome.exit.as_deref(),
            Ok("Code(1)"),
            "{}",
            outcome.shown()
        );
    }
    println!("{}", ids.name());
}
