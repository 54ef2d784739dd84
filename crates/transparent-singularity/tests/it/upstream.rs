//! Upstream's names, folders and scripts.

use std::os::unix::fs::symlink;

use nd_testkit::peer;

use crate::fixture::{Desk, PROGRAM, root, search_path, sif, write};

const STEM: &str = "tool_1.0_20240131";
const SCRIPT: &str = "run_transparent_singularity.sh";

/// A folder with the program under upstream's name, as upstream's callers make it.
fn folder(desk: &Desk) -> std::path::PathBuf {
    let folder = desk.prefix.join(STEM);
    std::fs::DirBuilder::new()
        .recursive(true)
        .create(&folder)
        .unwrap();
    symlink(PROGRAM, folder.join(SCRIPT)).unwrap();
    folder
}

#[test]
fn the_script_installs_into_its_folder_and_its_uninstaller_undoes_it() {
    let desk = Desk::new();
    let Some(root) = root() else { return };
    let folder = folder(&desk);
    // An image that is there is kept, as upstream says.
    sif(root.path(), &folder.join(format!("{STEM}.simg")));
    let bin = desk.env.root().join("bin");
    std::fs::DirBuilder::new().create(&bin).unwrap();
    symlink(PROGRAM, bin.join("transparent-singularity")).unwrap();
    let path =
        std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&search_path())))
            .unwrap();
    let script = |words: &[&str]| {
        let mut command = desk.env.command(folder.join(SCRIPT));
        command.env("PATH", &path).args(words).output().unwrap()
    };
    let out = script(&["--container", "tool_1.0_"]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(
        said.starts_with("[ERROR] run_transparent_singularity.sh: ")
            && said.contains("name_version_YYYYMMDD"),
        "{said}"
    );
    assert!(!desk.prefix.join("modules/tool").exists());
    let out = script(&[&format!("{STEM}.simg")]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let names = [
        "show",
        "commands.txt",
        "env.txt",
        "README.md",
        "ts_uninstall.sh",
        "activate_tool_1.0_20240131.simg.sh",
        "deactivate_tool_1.0_20240131.simg.sh",
        SCRIPT,
    ];
    for name in names {
        assert!(folder.join(name).exists(), "{name}");
    }
    assert!(desk.prefix.join("modules/tool/1.0.lua").is_file());
    if peer("apptainer").is_some() {
        let lines = format!(
            "cd '{0}' && . ./activate_{STEM}.simg.sh && show x; . ./deactivate_{STEM}.simg.sh; command -v show || echo gone",
            folder.display()
        );
        let out = desk
            .env
            .command("/bin/sh")
            .env("PATH", &path)
            .arg("-c")
            .arg(lines)
            .output()
            .unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        assert!(
            said.starts_with("<show><x>") && said.ends_with("gone\n"),
            "{said}"
        );
    }
    desk.run(&["verify"]);
    let out = desk
        .env
        .command(folder.join("ts_uninstall.sh"))
        .env("PATH", &path)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert_eq!(desk.listing(), [format!("{STEM}/{SCRIPT}")]);
}

/// A folder as upstream's script leaves it.
fn made_by_upstream(desk: &Desk) -> Option<()> {
    let root = root()?;
    let folder = desk.prefix.join(STEM);
    let base = folder.display();
    let wrapper = format!(
        "#!/usr/bin/env bash\nexec singularity --silent exec --cleanenv {base}/{STEM}.simg show \"$@\"\n"
    );
    write(&desk.prefix, &format!("{STEM}/show"), &wrapper, 0o755);
    write(
        &desk.prefix,
        &format!("{STEM}/link"),
        &wrapper.replace("show", "link"),
        0o755,
    );
    write(
        &desk.prefix,
        &format!("{STEM}/commands.txt"),
        "show\nlink\n",
        0o644,
    );
    write(
        &desk.prefix,
        &format!("{STEM}/commands_raw.txt"),
        "show\nlink\n",
        0o644,
    );
    write(&desk.prefix, &format!("{STEM}/env.txt"), "", 0o644);
    write(&desk.prefix, &format!("{STEM}/my-notes.txt"), "mine", 0o644);
    let lua = format!(
        "-- -*- lua -*-\nhelp([===[\nTool\n]===])\nwhatis(\"{STEM}.simg\")\nprepend_path(\"PATH\", \"{base}\")\n"
    );
    write(&desk.prefix, "modules/tool/1.0.lua", &lua, 0o644);
    sif(root.path(), &folder.join(format!("{STEM}.simg")));
    Some(())
}

#[test]
fn a_folder_of_upstream_is_recognised_verified_and_taken_over() {
    let desk = Desk::new();
    if made_by_upstream(&desk).is_none() {
        return;
    }
    assert!(desk.run(&["commands"]).contains(&format!("show\t{STEM}")));
    desk.run(&["verify", "tool"]);
    let image = desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    let from = image.display().to_string();
    desk.run(&["install", STEM, "--from", &from]);
    desk.run(&["verify", "tool"]);
    assert!(desk.prefix.join(STEM).join("my-notes.txt").is_file());
    assert!(!desk.prefix.join(STEM).join("commands_raw.txt").exists());
    assert!(
        desk.run(&["commands"])
            .contains(&format!("climbing\t{STEM}"))
    );
    // And a newer build takes the place of a folder of upstream.
    let other = Desk::new();
    made_by_upstream(&other);
    let copy = other.env.work().join("x.sif");
    fs_err::copy(other.prefix.join(STEM).join(format!("{STEM}.simg")), &copy).unwrap();
    other.run(&[
        "install",
        "tool_1.0_20250101",
        "--from",
        copy.to_str().unwrap(),
    ]);
    let listing = other.listing();
    let old: Vec<&String> = listing
        .iter()
        .filter(|path| path.starts_with(STEM))
        .collect();
    assert_eq!(old, [&format!("{STEM}/my-notes.txt")], "{listing:?}");
}
