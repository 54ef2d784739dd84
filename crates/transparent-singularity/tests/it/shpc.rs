//! Entries for and of the real Singularity Registry HPC.

use nd_testkit::peer;

use crate::fixture::{Desk, search_path};

const STEM: &str = "tool_1.0_20240131";

#[test]
fn the_real_registry_installs_what_was_exported_and_it_runs() {
    let (Some(desk), Some(shpc)) = (Desk::installed(STEM), peer("shpc")) else {
        return;
    };
    let Some(lmod) = peer("lmod") else { return };
    let work = desk.env.work();
    let registry = work.join("registry");
    desk.run(&[
        "export",
        "shpc",
        "tool",
        "--registry",
        registry.to_str().unwrap(),
    ]);
    let settings = work.join("settings.yml");
    let at = |name: &str| work.join(name).display().to_string();
    // The settings it comes with, but for places.
    let libraries = shpc.parent().unwrap().join("../lib");
    let python = fs_err::read_dir(libraries)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = fs_err::read_to_string(python.join("site-packages/shpc/settings.yml")).unwrap();
    let places = [
        ("singularity_path", "apptainer".to_owned()),
        ("registry", format!("[{}]", registry.display())),
        ("module_base", at("modules")),
        ("container_base", at("containers")),
        ("wrapper_base", at("wrappers")),
        ("views_base", at("views")),
    ];
    let line = |line: &str| {
        let place = places
            .iter()
            .find(|(key, _)| line.starts_with(&format!("{key}:")));
        place.map_or_else(
            || format!("{line}\n"),
            |(key, value)| format!("{key}: {value}\n"),
        )
    };
    let text: String = text.lines().map(line).collect();
    fs_err::write(&settings, text).unwrap();
    let mut install = desk.env.command(shpc);
    let out = install
        .env("PATH", search_path())
        .arg("--settings-file")
        .arg(&settings)
        .args(["install", "neurodesk/tool:1.0_20240131"])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let script = format!(
        "shopt -s expand_aliases\nmodule() {{ eval \"$({} bash \"$@\")\"; }}\nmodule use '{}'\nmodule load neurodesk/tool/1.0_20240131\nshow x",
        lmod.display(),
        at("modules")
    );
    let out = desk
        .env
        .command("/bin/bash")
        .env("PATH", search_path())
        .arg("-c")
        .arg(script)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("<show><x>"), "{said}");
}

#[test]
fn an_entry_is_installed_under_its_aliases() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let registry = desk.env.work().join("registry");
    desk.run(&[
        "export",
        "shpc",
        "tool",
        "--registry",
        registry.to_str().unwrap(),
    ]);
    let entry = registry.join("neurodesk/tool/container.yaml");
    let text = fs_err::read_to_string(&entry).unwrap();
    let start = text.find("aliases:").unwrap();
    let text = format!(
        "{}aliases:\n  display: /opt/tool/bin/show\n",
        &text[..start]
    );
    fs_err::write(&entry, text).unwrap();
    desk.run(&["uninstall", "tool"]);
    desk.run(&["import", entry.to_str().unwrap()]);
    assert_eq!(desk.run(&["commands"]), format!("display\t{STEM}\n"));
    if peer("apptainer").is_some() {
        let mut run = desk.env.command(desk.prefix.join(STEM).join("display"));
        let out = run.env("PATH", search_path()).arg("x").output().unwrap();
        assert_eq!(out.status.code(), Some(7));
        assert!(
            String::from_utf8(out.stdout)
                .unwrap()
                .starts_with("<show><x>")
        );
    }
}
