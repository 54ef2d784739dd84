//! From empty to complete to one removed and one restored, with each publisher.

use std::path::Path;

use super::case::{Case, KINDS, Kind, NAME};
use crate::server::{Manner, Server};

/// The catalogue of this project.
fn catalogue() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs_err::read_to_string(root.join("cvmfs/log.txt")).unwrap()
}

fn stems(log: &str) -> Vec<&str> {
    log.lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect()
}

#[test]
fn the_catalogue_of_this_project_with_each_publisher() {
    let log = catalogue();
    let stems = stems(&log);
    assert!(stems.len() >= 3);
    for kind in KINDS {
        let case = Case::new(kind);
        for stem in &stems {
            case.image(stem, stem);
        }
        let added: Vec<String> = stems.iter().map(|stem| format!("add {stem}")).collect();
        assert_eq!(case.apply(&log, &[]), added);
        case.holds(&log);
        assert_eq!(case.apply(&log, &[]), [""; 0]);
        let last = stems[stems.len() - 1];
        let command = format!("containers/{last}/show");
        let image = format!("containers/{last}/{last}.simg/opt/tool/bin/show");
        let says = format!("#!/bin/sh\necho {last}\n");
        assert_eq!(case.read(&image).as_deref(), Some(says.as_bytes()));
        let wrapper = case.read(&command).unwrap();

        let shorter: String = log.replace(log.lines().last().unwrap(), "");
        assert_eq!(case.apply(&shorter, &[]), [format!("disable {last}")]);
        case.holds(&shorter);
        let notice = String::from_utf8(case.read(&command).unwrap()).unwrap();
        assert!(
            notice.contains("This container was disabled due to a known bug or vulnerability.")
        );
        assert_eq!(case.read(&image), None);
        // What others have is untouched.
        let first = stems[0];
        assert!(
            case.read(&format!("containers/{first}/{first}.simg/README.md"))
                .is_some()
        );

        assert_eq!(case.apply(&log, &[]), [format!("restore {last}")]);
        case.holds(&log);
        assert_eq!(case.read(&command), Some(wrapper));
        assert_eq!(case.read(&image).as_deref(), Some(says.as_bytes()));

        case.image(last, "other");
        assert_eq!(
            case.apply(&log, &["--refresh", last]),
            [format!("refresh {last}")]
        );
        case.holds(&log);
        assert_eq!(
            case.read(&image).as_deref(),
            Some(&b"#!/bin/sh\necho other\n"[..])
        );

        assert_eq!(
            case.apply(&shorter, &["--stale", "remove"]),
            [format!("remove {last}")]
        );
        case.holds(&shorter);
        assert_eq!(case.read(&format!("containers/{last}/commands.txt")), None);
        let mut words = last.rsplitn(3, '_');
        let (_, version, tool) = (words.next(), words.next().unwrap(), words.next().unwrap());
        assert_eq!(
            case.read(&format!("containers/modules/{tool}/{version}.lua")),
            None
        );
    }
}

#[test]
fn a_newer_build_takes_the_module_and_a_failing_one_waits() {
    let log = "a_1.0_20240101 categories:x,\na_1.0_20250101 categories:y z,\nbad_1_20240101 categories:x,\nabsent_1_20240101 categories:x,\n";
    for kind in KINDS {
        let case = Case::new(kind);
        case.image("a_1.0_20240101", "old");
        case.image("a_1.0_20250101", "new");
        let images = case.env.work().join("images");
        fs_err::write(
            images.join("bad_1_20240101.simg"),
            "no image\n".repeat(1000),
        )
        .unwrap();
        let (code, report, said) = case.output(log, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(report["done"].as_array().unwrap().len(), 2, "{said}");
        assert_eq!(report["failed"].as_array().unwrap().len(), 2, "{report}");
        for path in [
            "containers/modules/a/1.0.lua",
            "neurodesk-modules/x/a/1.0.lua",
            "neurodesk-modules/y_z/a/1.0.lua",
        ] {
            let text = String::from_utf8(case.read(path).unwrap()).unwrap();
            assert!(
                text.contains("/cvmfs/test.example.org/containers/a_1.0_20250101"),
                "{path}: {text}"
            );
            assert!(!text.contains("20240101"), "{text}");
        }
        // The next run does not fetch what fails again.
        let (code, report, _) = case.output(log, &[]);
        assert_eq!(code, Some(0));
        assert_eq!(report["postponed"].as_array().unwrap().len(), 2, "{report}");
        let (_, report, _) = case.output(log, &["--max-containers", "0"]);
        assert_eq!(report["postponed"].as_array().unwrap().len(), 2, "{report}");
        // What is not listed any more is forgotten.
        let good = "a_1.0_20240101 categories:x,\na_1.0_20250101 categories:y z,\n";
        case.apply(good, &[]);
        let state = fs_err::read_to_string(case.env.work().join("state/state.json")).unwrap();
        assert!(state.contains("\"failed\": {}"), "{state}");
        case.holds(good);
    }
}

#[test]
fn only_one_runs() {
    let case = Case::new(Kind::Directory);
    let state = case.env.work().join("state");
    fs_err::create_dir_all(&state).unwrap();
    let lock = nd_host::FileLock::try_exclusive(&state.join("lock"))
        .unwrap()
        .unwrap();
    let (code, _, said) = case.output("a_1_20240101 categories:\n", &[]);
    assert_eq!(code, Some(5), "{said}");
    drop(lock);
    // A folder with somebody's files is not taken for ours.
    fs_err::create_dir_all(case.env.work().join("site/home")).unwrap();
    let (code, _, said) = case.output("a_1_20240101 categories:\n", &[]);
    assert_eq!(code, Some(6), "{said}");
}

#[test]
fn a_server_and_a_catalogue_at_an_address_are_planned_for() {
    let log = "a_1.0_20240101 categories:x,\n";
    let case = Case::new(Kind::Native);
    case.image("a_1.0_20240101", "a");
    case.apply(log, &[]);
    let storage = case.env.work().join("storage");
    let server = Server::start(storage.clone(), Manner::Shaky);
    let plan = |log: &str| {
        fs_err::write(storage.join("log.txt"), log).unwrap();
        let mut command = case.program();
        command.args([
            "plan",
            &server.url(),
            "--repository",
            NAME,
            "--check",
            "--json",
        ]);
        command
            .arg("--catalogue")
            .arg(format!("{}/log.txt", server.url()));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let plan: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        (output.status.code(), plan)
    };
    let (code, found) = plan(log);
    assert_eq!((code, &found["based_on"]), (Some(0), &2.into()));
    let (code, found) = plan(&format!("{log}b_1.0_20240101 categories:x,\n"));
    assert_eq!(
        (code, &found["steps"][0]["image"]),
        (Some(3), &"b_1.0_20240101".into())
    );
}

#[test]
fn an_image_is_tried_by_a_real_runtime() {
    use std::os::unix::fs::symlink;
    let (Some(apptainer), Some(busybox)) =
        (nd_testkit::peer("apptainer"), nd_testkit::peer("busybox"))
    else {
        return;
    };
    let log = "good_1_20240101 categories:x,\nbad_1_20240101 categories:x,\n";
    let case = Case::new(Kind::Directory);
    for (stem, runs) in [("good_1_20240101", true), ("bad_1_20240101", false)] {
        let root = case.env.work().join("images").join(stem);
        for folder in [
            "bin",
            "opt/tool/bin",
            "etc",
            "proc",
            "sys",
            "dev",
            "tmp",
            "root",
            "home",
            "var/tmp",
            ".singularity.d/env",
        ] {
            fs_err::create_dir_all(root.join(folder)).unwrap();
        }
        if runs {
            nd_testkit::copy_program(&busybox, root.join("bin/busybox"));
            for name in ["sh", "true"] {
                symlink("busybox", root.join("bin").join(name)).unwrap();
            }
        }
        nd_testkit::copy_program(&busybox, root.join("opt/tool/bin/show"));
        let script = "export DEPLOY_PATH=\"/opt/tool/bin\"\n";
        fs_err::write(
            root.join(".singularity.d/env/10-docker2singularity.sh"),
            script,
        )
        .unwrap();
    }
    fs_err::write(case.env.work().join("log.txt"), log).unwrap();
    let folder = apptainer.parent().unwrap().display();
    let mut words = case.words();
    let at = words.iter().position(|word| word == "never").unwrap();
    words[at] = "always".to_owned();
    let mut command = case.program();
    command.env("PATH", format!("{folder}:/usr/bin:/bin:/usr/sbin:/sbin"));
    let output = command
        .args(words)
        .args(["--catalogue", "log.txt"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["done"][0]["image"], "good_1_20240101",
        "{report}{said}"
    );
    let reason = report["failed"][0][1].as_str().unwrap();
    assert!(
        reason.starts_with("`/bin/true` in it does not run"),
        "{reason}"
    );
    assert_eq!(case.read("containers/bad_1_20240101/commands.txt"), None);
}
