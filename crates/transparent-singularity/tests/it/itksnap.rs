//! The same way with a real tool, where `cargo xtask build-container itksnap` has built it.

use std::path::{Path, PathBuf};

use nd_testkit::peer;

use crate::{
    cluster::{Slurm, loaded_as},
    fixture::Desk,
};

/// The newest image that was built here.
#[expect(clippy::print_stdout, reason = "a test says why it is skipped")]
fn built() -> Option<PathBuf> {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/itksnap/out");
    let entries = fs_err::read_dir(&out).into_iter().flatten().flatten();
    let images = entries.map(|entry| entry.path());
    let newest = images
        .filter(|path| path.extension().is_some_and(|end| end == "simg"))
        .max();
    if newest.is_none() {
        println!(
            "skipped: no image in `{}`; `cargo xtask build-container itksnap` builds it",
            out.display()
        );
    }
    newest
}

#[test]
fn itksnap_is_installed_loaded_run_moved_and_removed() {
    let Some(image) = built() else { return };
    if ["apptainer", "lmod", "mpirun"]
        .iter()
        .any(|name| peer(name).is_none())
    {
        return;
    }
    let desk = Desk::new();
    desk.run(&["install", "--from", image.to_str().unwrap()]);
    let listed: serde_json::Value = serde_json::from_str(&desk.run(&["list", "--json"])).unwrap();
    let stem = listed["images"][0]["image"].as_str().unwrap().to_owned();
    let version = stem.split('_').nth(1).unwrap();
    let module = format!("itksnap/{version}");
    let Some(slurm) = Slurm::start(&desk.env.work()) else {
        return;
    };
    for lines in [
        "itksnap --help",
        "srun --quiet itksnap --help",
        "mpirun --allow-run-as-root -n 1 itksnap --help",
    ] {
        let said = loaded_as(&desk, &slurm, &module, lines);
        assert!(said.contains("Command Line Usage"), "{lines}: {said}");
    }
    if let Some(program) = peer("environment-modules") {
        let script = format!(
            "module() {{ eval \"$({} bash \"$@\")\"; }}\nmodule use '{}'\nmodule load {module}\nitksnap --help",
            program.display(),
            desk.prefix.join("modules").display()
        );
        let mut bash = desk.env.command("/bin/bash");
        let out = bash
            .env("PATH", crate::fixture::search_path())
            .arg("-c")
            .arg(script)
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&out.stdout).contains("Command Line Usage"));
    }
    let proof = desk.run(&["prove", "itksnap", "--check"]);
    assert!(
        proof.contains("checked: the bytes are this tree") && proof.contains("licence: "),
        "{proof}"
    );
    let moved = Desk {
        prefix: desk.env.root().join("moved here"),
        env: desk.env,
    };
    fs_err::rename(&desk.prefix, &moved.prefix).unwrap();
    moved.run(&["repair"]);
    let said = loaded_as(&moved, &slurm, &module, "itksnap --help");
    assert!(said.contains("Command Line Usage"), "{said}");
    moved.run(&["verify"]);
    moved.run(&["uninstall", "itksnap"]);
    assert_eq!(fs_err::read_dir(&moved.prefix).unwrap().count(), 0);
}
