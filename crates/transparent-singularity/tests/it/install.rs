//! Installing, running, moving, verifying, repairing and removing.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use nd_oci::{Compression, ImageSpec, Layout};
use nd_rootfs::LayerEntry;
use nd_testkit::{OrdinaryUser, UserProcess, peer};

use crate::fixture::{Desk, root, search_path, sif, write};

const STEM: &str = "tool_1.0_20240131";

/// An OCI layout with one image of one layer.
pub(crate) fn layout(root: &Path, path: &Path, env: &[&str]) {
    let layout = Layout::create(path).unwrap();
    let (index, contents) = nd_oci::read_directory(root).unwrap();
    let entries: Vec<LayerEntry> = index.iter().cloned().map(LayerEntry::Entry).collect();
    drop(contents);
    let mut source = |entry: &nd_rootfs::Entry| -> std::io::Result<Box<dyn std::io::Read>> {
        let path = root.join(String::from_utf8_lossy(entry.path.as_bytes()).as_ref());
        Ok(Box::new(fs::File::open(path)?))
    };
    let options = nd_oci::LayerOptions {
        compression: Compression::Zstd,
        clamp: None,
    };
    let mut blob = layout.new_blob().unwrap();
    let written = nd_oci::write_layer(&entries, &mut source, options, blob.as_file_mut()).unwrap();
    let bytes = fs_err::read(blob.path()).unwrap();
    layout.put_blob(&bytes[..]).unwrap();
    let architecture = nd_names::Architecture::of_this_program().unwrap().oci();
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": env, "Labels": {"org.neurodesk.licence": "MIT"}},
        "rootfs": {"type": "layers", "diff_ids": [written.diff_id.oci()]},
    });
    layout
        .write_image(&ImageSpec {
            config: serde_json::from_value(config).unwrap(),
            layers: vec![written.descriptor()],
            annotations: std::collections::BTreeMap::default(),
            reference: None,
        })
        .unwrap();
}

/// Runs a wrapper: code and standard output.
fn wrapper(desk: &Desk, prefix: &Path, command: &str, words: &[&str]) -> (i32, String) {
    let mut run = desk.env.command(prefix.join(STEM).join(command));
    let out = run.env("PATH", search_path()).args(words).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    (
        out.status.code().unwrap_or(-1),
        text + &String::from_utf8_lossy(&out.stderr),
    )
}

#[test]
fn a_command_is_what_it_is_in_the_image_and_moves_and_goes() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    if peer("apptainer").is_none() {
        return;
    }
    let work = desk.env.work();
    let words = ["a b", "", "*", "$HOME", "\n", "ü"];
    let expected = format!("<show><a b><><*><$HOME><\n><ü>\n{}\n", work.display());
    assert_eq!(wrapper(&desk, &desk.prefix, "show", &words), (7, expected));
    // A folder of its own links: one file, but nowhere else.
    let folder = desk.prefix.join(STEM);
    let inode = |name: &str| fs::metadata(folder.join(name)).unwrap().ino();
    assert_eq!(inode("show"), inode("link"));
    assert_eq!(fs::metadata(folder.join("show")).unwrap().nlink(), 6);
    let text = fs_err::read_to_string(folder.join("commands.txt")).unwrap();
    assert_eq!(text, "absent\nabsolute\nbusybox\nclimbing\nlink\nshow\n");

    let moved = desk.env.root().join("moved here");
    fs_err::rename(&desk.prefix, &moved).unwrap();
    let (code, text) = wrapper(&desk, &moved, "link", &["x"]);
    assert_eq!((code, text.lines().next()), (7, Some("<link><x>")));
    let desk = Desk {
        prefix: moved,
        env: desk.env,
    };
    let said = desk.fail(&["verify"], 1);
    assert!(said.contains("leads to another folder"), "{said}");
    desk.run(&["repair"]);
    desk.run(&["verify"]);
    let lua = fs_err::read_to_string(desk.prefix.join("modules/tool/1.0.lua")).unwrap();
    assert!(lua.contains("moved here"), "{lua}");
    assert!(!lua.contains("pre fix"), "{lua}");
    let (code, out) = {
        let out = desk
            .program(&[
                "exec",
                "tool",
                "--",
                "/bin/sh",
                "-c",
                "echo $0 $1; exit 5",
                "a",
                "b",
            ])
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap())
    };
    assert_eq!((code, out.as_str()), (Some(5), "a b\n"));
    desk.run(&["uninstall", "tool/1.0"]);
    assert_eq!(fs_err::read_dir(&desk.prefix).unwrap().count(), 0);
}

#[test]
fn every_source_of_a_local_image_gives_the_same_commands() {
    let Some(root) = root() else { return };
    let desk = Desk::new();
    let work = desk.env.work();
    let env = [
        "PATH=/opt/tool/bin:/bin",
        "DEPLOY_PATH=/opt/tool/bin",
        "DEPLOY_BINS=busybox:absent",
        "DEPLOY_ENV_TOOLHOME=BASEPATH/opt/tool -a=1",
    ];
    layout(root.path(), &work.join("layout"), &env);
    sif(root.path(), &work.join("x.sif"));
    let folder = root.path().to_str().unwrap().to_owned();
    let mut listed = Vec::new();
    for (from, form) in [
        (work.join("x.sif").display().to_string(), "file"),
        (folder, "folder"),
        (format!("oci:{}", work.join("layout").display()), "file"),
    ] {
        let out = desk.run(&["install", STEM, "--from", &from, "--json"]);
        let out: serde_json::Value = serde_json::from_str(&out).unwrap();
        listed.push(out["commands"].clone());
        let image = desk.prefix.join(STEM).join(format!("{STEM}.simg"));
        assert_eq!(image.is_dir(), form == "folder", "{from}");
        if peer("apptainer").is_some() {
            let (code, text) = wrapper(&desk, &desk.prefix, "show", &["x"]);
            assert_eq!(
                (code, text.lines().next()),
                (7, Some("<show><x>")),
                "{from}"
            );
        }
    }
    assert!(
        listed.windows(2).all(|pair| pair[0] == pair[1]),
        "{listed:?}"
    );
    // And unpacked from a file.
    let from = work.join("x.sif").display().to_string();
    desk.run(&["install", STEM, "--from", &from, "--unpack", "true"]);
    let image = desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    assert!(image.join("opt/tool/bin/show").is_file());
    desk.run(&["verify"]);
    desk.run(&["uninstall", STEM]);
    assert_eq!(desk.listing(), [""; 0]);
}

#[test]
fn repeating_changes_nothing_and_a_newer_build_takes_over() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let from = desk.env.work().join("some.sif");
    let from = from.to_str().unwrap();
    let record = desk
        .prefix
        .join(".state/images")
        .join(format!("{STEM}.json"));
    let before = fs_err::read(&record).unwrap();
    let again = desk.run(&["install", STEM, "--from", from, "--json"]);
    assert!(
        again.contains("\"unchanged\": true") || again.contains("\"unchanged\":true"),
        "{again}"
    );
    assert_eq!(fs_err::read(&record).unwrap(), before);
    let out = desk.run(&["install", "tool_1.0_20250101", "--from", from, "--json"]);
    assert!(out.contains(STEM), "{out}");
    assert!(!desk.prefix.join(STEM).exists());
    let listed = desk.run(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["images"].as_array().unwrap().len(), 1);
    assert_eq!(listed["images"][0]["image"], "tool_1.0_20250101");
    // Another tool with the same commands is said to be in the way.
    let out = desk
        .program(&["install", "other_2_20250101", "--from", from])
        .output()
        .unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(said.contains("shadow each other"), "{said}");
    assert_eq!(desk.run(&["which", "show"]).lines().count(), 2);
}

#[test]
fn verify_finds_and_repair_mends() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let folder = desk.prefix.join(STEM);
    fs_err::remove_file(folder.join("show")).unwrap();
    fs_err::remove_file(desk.prefix.join("modules/tool/1.0.lua")).unwrap();
    write(&folder, "mine.txt", "mine", 0o644);
    // Without its module an installation is not one; `repair` knows it all the same.
    desk.run(&["repair"]);
    desk.run(&["verify"]);
    fs_err::remove_file(folder.join("link")).unwrap();
    fs_err::write(folder.join("commands.txt"), "x\n").unwrap();
    let said = desk.fail(&["verify"], 1);
    assert!(
        said.contains("`link` is missing") && said.contains("`commands.txt` is not what"),
        "{said}"
    );
    desk.run(&["repair"]);
    desk.run(&["verify"]);
    let image = folder.join(format!("{STEM}.simg"));
    let mut bytes = fs_err::read(&image).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs_err::write(&image, bytes).unwrap();
    let said = desk.fail(&["verify"], 1);
    assert!(said.contains("image"), "{said}");
    desk.fail(&["repair"], 1);
    desk.run(&["uninstall", "tool"]);
    assert_eq!(desk.listing(), [format!("{STEM}/mine.txt")]);
}

#[test]
fn the_same_can_be_read_from_a_tree_that_cannot_be_written() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let mut look = desk.env.command(crate::fixture::PROGRAM);
    let settings = desk.env.work().join("settings.toml");
    fs_err::write(&settings, format!("[site]\nstack = [{:?}]\n", desk.prefix)).unwrap();
    let out = look
        .env("PATH", search_path())
        .arg("--settings")
        .arg(&settings)
        .args(["--prefix", "/nonexistent/mine", "commands"])
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.status.success() && text.contains(&format!("show\t{STEM}")),
        "{text}"
    );
}

#[test]
fn an_environment_that_is_a_program_is_asked_for_once() {
    let (Some(root), Some(_)) = (root(), peer("apptainer")) else {
        return;
    };
    let script =
        "if [ -x /bin/sh ]; then export DEPLOY_BINS=\"show\"; export TOOL_EXTRA=\"a b\"; fi\n";
    write(
        root.path(),
        ".singularity.d/env/90-environment.sh",
        script,
        0o755,
    );
    let desk = Desk::new();
    let image = desk.env.work().join("x.sif");
    sif(root.path(), &image);
    desk.run(&["install", STEM, "--from", image.to_str().unwrap()]);
    let record = fs_err::read_to_string(
        desk.prefix
            .join(".state/images")
            .join(format!("{STEM}.json")),
    )
    .unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["environment"], "run");
    assert_eq!(record["difference"]["TOOL_EXTRA"], "a b");
    // Without a runtime it is an error, and nothing is there.
    let bare = Desk::new();
    let mut command = bare.env.command(crate::fixture::PROGRAM);
    let out = command
        .env("PATH", "/nonexistent")
        .arg("--prefix")
        .arg(&bare.prefix)
        .args(["install", STEM, "--from"])
        .arg(&image)
        .output()
        .unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(4), "{said}");
    assert_eq!(bare.listing(), [""; 0]);
}

#[test]
fn scripts_do_what_the_launcher_does() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    if peer("apptainer").is_none() {
        return;
    }
    let from = desk.env.work().join("some.sif");
    let launched = wrapper(&desk, &desk.prefix, "show", &["a b", ""]);
    desk.run(&[
        "install",
        STEM,
        "--from",
        from.to_str().unwrap(),
        "--wrapper-style",
        "script",
    ]);
    assert_eq!(wrapper(&desk, &desk.prefix, "show", &["a b", ""]), launched);
    assert!(
        fs_err::read(desk.prefix.join(STEM).join("show"))
            .unwrap()
            .starts_with(b"#!")
    );
    desk.run(&["verify"]);
    // What the site decides later counts for them as well.
    let policy = desk.prefix.join(".state/launcher.conf");
    fs_err::write(&policy, "runtime /no/such\n").unwrap();
    let show = || {
        let mut command = desk.env.command(desk.prefix.join(STEM).join("show"));
        command.env("PATH", search_path()).output().unwrap().status
    };
    assert_eq!(show().code(), Some(127));
    fs_err::write(&policy, "gpu maybe\n").unwrap();
    assert_eq!(show().code(), Some(125));
}

#[test]
fn explain_and_prove_say_what_is_behind_a_command() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    if peer("apptainer").is_none() {
        return;
    }
    let line = desk.run(&["explain", "show", "--", "--a b"]);
    assert!(
        line.contains("apptainer --silent exec --cleanenv")
            && line.trim_end().ends_with("show '--a b'"),
        "{line}"
    );
    let proof = desk.run(&["prove", "show", "--check"]);
    for part in [
        "image: tool_1.0_20240131",
        "licence: MIT",
        "recipe: recipes/tool/build.yaml",
        "checked: the bytes",
    ] {
        assert!(proof.contains(part), "{proof}");
    }
    desk.fail(&["prove", "nothing"], 1);
}

#[test]
fn an_ordinary_user_needs_no_runtime() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let Some(apptainer) = peer("apptainer") else {
        return;
    };
    let root = desk.env.root();
    let Some(user) = OrdinaryUser::new(root, &apptainer) else {
        return;
    };
    for name in ["home", "run"] {
        user.make_folder(&root.join(name));
    }
    let run = |words: &[&str]| {
        let mut command = user.command(UserProcess::OfShell, crate::fixture::PROGRAM);
        command
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", root.join("home"))
            .env("XDG_RUNTIME_DIR", root.join("run"))
            .current_dir("/tmp")
            .arg("--prefix")
            .arg(&desk.prefix)
            .args(words);
        let ran = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let native = ["exec", "-v", "--runtime", "native", "tool", "--"];
    let (code, text, said) = run(&[&native[..], &["sh", "-c", "echo $$ $PPID; exit 5"]].concat());
    assert_eq!((code, said.as_str()), (Some(5), ""), "{text}");
    let (code, text, _) = run(&["explain", "--runtime", "native", "show", "--", "a b"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("without a runtime, in `"), "{text}");
    assert!(
        text.contains("\n  /proc at /proc (as on the host)\n"),
        "{text}"
    );
    assert!(text.ends_with("in `/tmp`: show 'a b'\n"), "{text}");
    // What only a runtime does is left to one, which is said to whoever asks.
    let option = [("neurodesk_singularity_opts", "--no-home")];
    let mut command = user.command(UserProcess::OfShell, crate::fixture::PROGRAM);
    command
        .envs(option)
        .env("PATH", search_path())
        .env("HOME", root.join("home"))
        .current_dir("/tmp")
        .arg("--prefix")
        .arg(&desk.prefix)
        .args([&native[..], &["sh", "-c", "exit 6"]].concat());
    let ran = command.output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(6), "{said}");
    assert!(
        said.contains("the option `--no-home` is the runtime's"),
        "{said}"
    );
    // A policy that names a runtime is not overruled.
    fs_err::write(
        desk.prefix.join(".state/launcher.conf"),
        "runtime apptainer\n",
    )
    .unwrap();
    let (code, _, said) = run(&[&native[..], &["true"]].concat());
    assert_eq!(code, Some(6));
    assert!(
        said.contains("the policy demands the runtime `apptainer`"),
        "{said}"
    );
}

#[test]
fn a_dry_run_changes_nothing_and_says_all() {
    let desk = Desk::new();
    let Some(image) = desk.image("x.sif") else {
        return;
    };
    let out = desk.run(&[
        "install",
        STEM,
        "--dry-run",
        "--from",
        image.to_str().unwrap(),
    ]);
    assert_eq!(out, "absent\nabsolute\nbusybox\nclimbing\nlink\nshow\n");
    let out = desk.run(&["install", STEM, "--dry-run", "--storage", "docker"]);
    assert!(
        out.contains("docker://quay.io/neurodesk/tool:1.0_20240131"),
        "{out}"
    );
    assert!(!desk.prefix.exists());
}

#[test]
fn a_site_shares_what_it_installs_and_tests_come_along() {
    let desk = Desk::new();
    let Some(image) = desk.image("x.sif") else {
        return;
    };
    let report = r#"[{"version": 1, "suite": "s", "cases": [{"name": "a", "status": "passed"}, {"name": "b", "status": "failed"}]}]"#;
    fs_err::write(image.with_file_name("tests.json"), report).unwrap();
    let gid = fs::metadata(&image).unwrap().gid();
    let settings = desk.env.work().join("s.toml");
    fs_err::write(
        &settings,
        format!("[site]\ngroup = \"{gid}\"\nmodules = [\"lua\"]\n"),
    )
    .unwrap();
    desk.run(&[
        "--settings",
        settings.to_str().unwrap(),
        "install",
        STEM,
        "--from",
        image.to_str().unwrap(),
    ]);
    let mode = |path: &str| fs::metadata(desk.prefix.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode(STEM), 0o2775);
    assert_eq!(mode(&format!("{STEM}/show")), 0o775);
    assert_eq!(mode("modules/tool"), 0o2775);
    assert_eq!(mode("modules/tool/1.0.lua") & 0o060, 0o060);
    assert!(!desk.prefix.join("modules/tool/1.0").exists());
    let proof = desk.run(&["prove", "show"]);
    assert!(proof.contains("tests: 1 of 2 passed, failed: b"), "{proof}");
    desk.run(&["verify"]);
}

#[test]
fn a_signature_is_told_and_not_taken_for_checked() {
    let desk = Desk::new();
    let (Some(image), Some(apptainer)) = (desk.image("x.sif"), peer("apptainer")) else {
        return;
    };
    let run = |words: &[&str]| {
        let mut command = desk.env.command(&apptainer);
        command.env("PATH", search_path()).args(words);
        command.assert().success();
    };
    let (name, mail) = ("A Tester", "tester@example.org");
    let key = [
        "--name",
        name,
        "--email",
        mail,
        "--password",
        "",
        "--push=false",
    ];
    run(&[&["key", "newpair"], &key[..]].concat());
    let path = image.to_str().unwrap();
    run(&["sign", path]);
    run(&["verify", "--local", path]);
    desk.run(&["install", STEM, "--from", path]);
    let verified = desk.program(&["verify"]).assert().success();
    let said = String::from_utf8(verified.get_output().stderr.clone()).unwrap();
    assert!(
        said.contains("a signature that is not checked here"),
        "{said}"
    );
    let installed = desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    run(&["verify", "--local", installed.to_str().unwrap()]);
    let proof = desk.run(&["prove", "show"]);
    assert!(
        proof.contains("signature: there is one, not checked"),
        "{proof}"
    );
    desk.run(&["repair"]);
}
