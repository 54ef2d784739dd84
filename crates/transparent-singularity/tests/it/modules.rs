//! Modules in the real Lmod and the real Environment Modules.

use std::{path::Path, process::Output};

use nd_testkit::peer;

use crate::fixture::{Desk, search_path};

const STEM: &str = "tool_1.0_20240131";

/// Runs lines of bash in which `module` is Lmod's.
fn lmod(desk: &Desk, lines: &str) -> Option<Output> {
    let program = peer("lmod")?;
    let script = format!(
        "module() {{ eval \"$({} bash \"$@\")\"; }}\nml() {{ module load \"$@\"; }}\nmodule use '{}'\n{lines}",
        program.display(),
        desk.prefix.join("modules").display()
    );
    Some(run(desk, &script))
}

/// The same with Environment Modules.
fn environment_modules(desk: &Desk, lines: &str) -> Option<Output> {
    let program = peer("environment-modules")?;
    let script = format!(
        "module() {{ eval \"$({} bash \"$@\")\"; }}\nmodule use '{}'\n{lines}",
        program.display(),
        desk.prefix.join("modules").display()
    );
    Some(run(desk, &script))
}

fn run(desk: &Desk, script: &str) -> Output {
    let mut bash = desk.env.command("/bin/bash");
    bash.env("PATH", search_path())
        .arg("-c")
        .arg(script)
        .output()
        .unwrap()
}

fn text(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

const LOAD: &str = "module load tool/1.0\nshow 'a b'\necho code $?\necho home=$TOOLHOME\nmodule unload tool/1.0\ncommand -v show || echo gone\necho home=$TOOLHOME\n";

fn check_load(desk: &Desk, out: &Output) {
    let said = text(out);
    let image = desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    for part in [
        "<show><a b>".to_owned(),
        "code 7".to_owned(),
        format!("home={}/opt/tool -a=1", image.display()),
        "gone\nhome=\n".to_owned(),
    ] {
        assert!(said.contains(&part), "{part:?} in {said}");
    }
}

#[test]
fn lmod_loads_what_was_installed_and_finds_its_commands() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let Some(out) = lmod(&desk, LOAD) else { return };
    check_load(&desk, &out);
    let said = text(
        &lmod(
            &desk,
            "module -t avail\nmodule spider climbing\nmodule help tool/1.0\n",
        )
        .unwrap(),
    );
    assert!(said.contains("tool/1.0"), "{said}");
    assert!(
        said.contains("climbing/1.0") || said.contains("climbing: climbing/1.0"),
        "{said}"
    );
    assert!(said.contains("Tool 1.0 shows."), "{said}");
    assert!(!Path::new(&desk.env.work()).join("x").exists());
}

#[test]
fn environment_modules_load_the_same() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let Some(out) = environment_modules(&desk, LOAD) else {
        return;
    };
    check_load(&desk, &out);
    let said = text(&environment_modules(&desk, "module avail -t\n").unwrap());
    assert!(said.contains("tool/1.0"), "{said}");
}

#[test]
fn two_versions_swap() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let from = desk.env.work().join("some.sif");
    desk.run(&[
        "install",
        "tool_2.0_20240131",
        "--from",
        from.to_str().unwrap(),
    ]);
    let lines = "module load tool/1.0\nmodule swap tool/1.0 tool/2.0\ncommand -v show\n";
    let Some(out) = lmod(&desk, lines) else {
        return;
    };
    assert!(
        text(&out).contains("tool_2.0_20240131/show"),
        "{}",
        text(&out)
    );
}
