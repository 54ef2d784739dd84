//! Generated definition files, built and run by Apptainer, and their steps run by a shell as root.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use nd_testkit::peer;
use serde_json::Value;

use super::output;
use crate::apptainer::folder_with_shell;

/// A folder to build in: a base image, files, an archive.
fn prepared(work: &Path, busybox: &Path) {
    let base = work.join("base");
    folder_with_shell(&base, busybox);
    // What an account is asked for with, where it is there already.
    let getent = "#!/bin/sh\ngrep \"^$2:\" /etc/passwd\n";
    nd_testkit::program(base.join("bin/getent"), getent);
    let accounts = "root:x:0:0::/root:/bin/sh\nneuro:x:1000:1000::/home:/bin/sh\n";
    fs_err::write(base.join("etc/passwd"), accounts).unwrap();
    fs_err::write(work.join("two words.txt"), "words\n").unwrap();
    fs_err::create_dir_all(work.join("packed")).unwrap();
    fs_err::write(work.join("packed/inner"), "inner\n").unwrap();
    let status = Command::new("tar")
        .args(["-czf", "a.tgz", "-C", "packed", "inner"])
        .current_dir(work)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn apptainer_builds_and_runs_what_is_generated() {
    let (Some(apptainer), Some(busybox), Some(unshare)) =
        (peer("apptainer"), peer("busybox"), peer("unshare"))
    else {
        return;
    };
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    prepared(work, &busybox);
    let base = work.join("base").display().to_string();
    let arguments = [
        "generate",
        "apptainer",
        "-p",
        "apt",
        "--from",
        &base,
        "--as",
        "first",
        "--run",
        "echo staged > /staged",
        "--from",
        &base,
        "--no-default-header",
        "--copy-from",
        "first",
        "/staged",
        "/staged",
        "--env",
        r#"A=say "hi""#,
        "--env",
        "B=$A again",
        "--workdir",
        "/data",
        "--add",
        "a.tgz",
        "/data/unpacked",
        "--copy",
        "two words.txt",
        "/data/",
        "--run",
        "cat > lines <<'E'\n%post (is) no 'section'\n{{ nothing }}\nE\necho \"$B\" > seen\ncd /tmp",
        "--arg",
        "GIVEN=no",
        "--arg",
        "DEFAULT=1.2-x",
        "--arg",
        "QUOTED=a b $5",
        "--run",
        "pwd > where\necho \"$GIVEN $DEFAULT $QUOTED\" >> where",
        "--entrypoint",
        r#"sh -c 'printf "%s|" "$@" "$B" "$(cat /data/*/inner /data/*.txt /data/lines /data/seen /data/where /staged | tr "\n" ,)"' it"#,
    ];
    fs_err::write(work.join("x.def"), output(&arguments)).unwrap();
    let command = |arguments: &[&str]| {
        Command::new(&unshare)
            .args(["--user", "--map-root-user"])
            .arg(&apptainer)
            .args(arguments)
            .current_dir(work)
            .env("APPTAINER_CACHEDIR", work.join("apptainer-cache"))
            .env("APPTAINER_TMPDIR", work)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let built = command(&[
        "build",
        "--build-arg",
        "GIVEN=yes",
        "--sandbox",
        "image",
        "x.def",
    ]);
    let told = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success(), "{told}\n{}", output(&arguments));
    let ran = command(&["run", "--cleanenv", "--no-home", "image", "x y"]);
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "x y|say \"hi\" again|inner,words,%post (is) no 'section',{{ nothing }},say \"hi\" again,/data,yes 1.2-x a b $5,staged,|",
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(!work.join("image/.nd-add").exists());
    let kept = fs_err::read(work.join("image/.reproenv.json")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    let wanted: Value = serde_json::from_str(&output(&arguments)).unwrap();
    assert_eq!(kept, wanted);
}

#[test]
fn steps_run_as_the_user_of_their_time() {
    let Some(busybox) = peer("busybox") else {
        return;
    };
    let me = Command::new("id").arg("-u").output().unwrap();
    if me.stdout != b"0\n" {
        println!("skipped: only root becomes somebody else");
        return;
    }
    let work = tempfile::tempdir().unwrap();
    prepared(work.path(), &busybox);
    let text = output(&[
        "generate",
        "singularity",
        "-p",
        "apt",
        "-b",
        "x",
        "--no-default-header",
        "--no-labels",
        "--no-embed-spec",
        "--run",
        "mkdir -m 777 /w",
        "--workdir",
        "/w",
        "--user",
        "neuro",
        "--run",
        "id -un > one; pwd >> one; umask 077\necho \"it's $HOME\" > 'two words'",
        "--user",
        "root",
        "--run",
        "id -un > three",
        "--user",
        "neuro",
        "--run",
        "id -un > four",
        "--entrypoint",
        "x",
    ]);
    let (_, post) = text.split_once("%post\n").unwrap();
    let (post, _) = post.split_once("\n%runscript").unwrap();
    let base = work.path().join("base");
    fs_err::write(base.join("post.sh"), post).unwrap();
    let ran = Command::new("chroot")
        .arg(&base)
        .args(["/bin/sh", "-e", "/post.sh"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}\n{post}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let read = |name: &str| fs_err::read_to_string(base.join("w").join(name)).unwrap();
    assert_eq!(read("one"), "neuro\n/w\n");
    assert_eq!(read("two words"), "it's /home\n");
    assert_eq!(read("three"), "root\n");
    assert_eq!(read("four"), "neuro\n");
}
