//! Upstream's names, folders and scripts.

use std::{os::unix::fs::symlink, path::Path};

use nd_testkit::peer;

use crate::{
    fixture::{Desk, PROGRAM, root, search_path, sif, write},
    served::{Bench, Server, objects, plain},
};

const STEM: &str = "tool_1.0_20240131";
const SCRIPT: &str = "run_transparent_singularity.sh";

/// Calls upstream's script in a folder.
fn script(desk: &Desk, folder: &Path, words: &[&str]) -> std::process::Output {
    let bin = desk.env.root().join("bin");
    let program = bin.join("transparent-singularity");
    if !program.exists() {
        fs_err::create_dir(&bin).unwrap();
        symlink(PROGRAM, program).unwrap();
    }
    let usual = search_path();
    let path = std::iter::once(bin).chain(std::env::split_paths(&usual));
    let mut command = desk.env.command(folder.join(words[0]));
    command.env("PATH", std::env::join_paths(path).unwrap());
    command.args(&words[1..]).output().unwrap()
}

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
    let out = script(&desk, &folder, &[SCRIPT, "--container", "tool_1.0_"]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(
        said.starts_with("[ERROR] run_transparent_singularity.sh: ")
            && said.contains("name_version_YYYYMMDD"),
        "{said}"
    );
    assert!(!desk.prefix.join("modules/tool").exists());
    let out = script(&desk, &folder, &[SCRIPT, &format!("{STEM}.simg")]);
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
            .env("PATH", search_path())
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
    let out = script(&desk, &folder, &["ts_uninstall.sh"]);
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

/// Everything below the prefix, with what is in it.
fn bytes(desk: &Desk) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let bytes = fs_err::read(desk.prefix.join(&name)).unwrap();
        (name, bytes)
    };
    desk.listing().into_iter().map(read).collect()
}

#[test]
fn upgrade_takes_over_a_folder_of_upstream() {
    let Some(bench) = Bench::new() else { return };
    let desk = &bench.desk;
    if made_by_upstream(desk).is_none() {
        return;
    }
    let serve = |list: &'static str, image: Option<Vec<u8>>| {
        Server::start(move |path, _| match &image {
            _ if path.ends_with("list") => plain(200, list),
            Some(image) if path.contains("simg") => plain(200, image.clone()),
            _ => plain(404, ""),
        })
    };
    let follow = |server: &Server| {
        let list = format!("[list]\nurl = \"{}list\"\n", server.url());
        bench.sources(&(list + &objects("one", &server.url())));
    };
    let settings = bench.settings.display().to_string();
    let upgrade = |words: &[&str]| {
        let mut all = vec!["--settings", settings.as_str(), "upgrade"];
        all.extend(words);
        desk.program(&all).output().unwrap()
    };
    let old = "tool_1.0_20240131 categories:viewers,\n";
    let made = bytes(desk);
    // A source that has the list and nothing else: the folder is what upstream made.
    let empty = serve(old, None);
    follow(&empty);
    assert_eq!(upgrade(&["tool"]).status.code(), Some(1));
    assert!(bytes(desk) == made);
    // The same build, made anew in its place.
    let same = serve(old, Some(bench.image.clone()));
    follow(&same);
    let said = upgrade(&["--dry-run", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let expected = serde_json::json!([{"from": STEM, "to": STEM}]);
    assert_eq!(said["upgraded"], expected, "{said}");
    assert!(bytes(desk) == made);
    let done = upgrade(&[]);
    assert!(done.status.success(), "{done:?}");
    desk.run(&["verify", "tool"]);
    let listing = desk.listing();
    let has = |name: &str| listing.contains(&format!("{STEM}/{name}"));
    assert!(has("my-notes.txt") && has("climbing") && !has("commands_raw.txt"));
    let wrapper = fs_err::read(desk.prefix.join(STEM).join("show")).unwrap();
    assert!(wrapper.starts_with(b"\x7fELF"));
    let again = String::from_utf8(upgrade(&[]).stderr).unwrap();
    assert!(again.contains("everything is the newest build"), "{again}");
    // A newer one takes the place of a folder that upstream made, but for what somebody else put there.
    desk.run(&["uninstall", STEM]);
    made_by_upstream(desk).unwrap();
    let newer = serve(
        "tool_1.0_20250101 categories:viewers,\n",
        Some(bench.image.clone()),
    );
    follow(&newer);
    let done = upgrade(&["tool"]);
    assert!(done.status.success(), "{done:?}");
    desk.run(&["verify"]);
    let mut listing = desk.listing();
    listing.retain(|name| name.starts_with(STEM));
    assert_eq!(listing, [format!("{STEM}/my-notes.txt")]);
    let module = fs_err::read_to_string(desk.prefix.join("modules/tool/1.0.lua")).unwrap();
    assert!(module.contains("tool_1.0_20250101"), "{module}");
}

#[test]
fn the_script_takes_over_the_folder_that_upstreams_own_made() {
    for spelling in [
        &[
            "--container",
            "tool_1.0_20240131.simg",
            "--storage",
            "docker",
        ][..],
        &["-c", "tool_1.0_20240131", "-u", "false", "-o", "--nv"],
        &["--container=tool_1.0_20240131.simg"],
        &["tool_1.0_20240131.simg", "--default", "more"],
    ] {
        let desk = Desk::new();
        if made_by_upstream(&desk).is_none() {
            return;
        }
        let folder = desk.prefix.join(STEM);
        symlink(PROGRAM, folder.join(SCRIPT)).unwrap();
        let out = script(&desk, &folder, &[&[SCRIPT], spelling].concat());
        assert!(out.status.success(), "{spelling:?}: {out:?}");
        desk.run(&["verify", "tool"]);
        let explained = desk.run(&["explain", "show"]);
        let asked = spelling.contains(&"--nv");
        assert_eq!(explained.contains(" --nv "), asked, "{explained}");
        let out = script(&desk, &folder, &["ts_uninstall.sh"]);
        assert!(out.status.success(), "{spelling:?}: {out:?}");
        let mine = ["my-notes.txt", SCRIPT].map(|name| format!("{STEM}/{name}"));
        assert_eq!(desk.listing(), mine, "{spelling:?}");
    }
}
