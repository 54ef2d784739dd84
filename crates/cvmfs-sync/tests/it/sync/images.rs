//! Where images come from, what they have to be, and how much of them one run takes.

use nd_names::Architecture;
use serde_json::{Value, json};

use super::case::{Case, Kind};
use crate::server::{Manner, Server};

const A: &str = "a_1.0_20240101";
const B: &str = "b_1.0_20240101";
const LOG: &str = "a_1.0_20240101 categories:x,\nb_1.0_20240101 categories:x,\n";

fn prepared() -> Case {
    let case = Case::new(Kind::Directory);
    case.image(A, "a");
    case.image(B, "b");
    case
}

/// Writes the release record of an image.
fn release(case: &Case, stem: &str, artifacts: &Value) {
    let path = format!("releases/{}/1.0.json", &stem[..1]);
    let path = case.env.work().join(path);
    let record = json!({ "apps": {}, "categories": ["x"], "artifacts": artifacts });
    crate::life::put(&path, record.to_string().as_bytes());
}

/// Images of one list of a report, with the reasons.
fn told<'r>(report: &'r Value, list: &str) -> Vec<(&'r str, &'r str)> {
    let pairs = report[list].as_array().unwrap().iter();
    pairs
        .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect()
}

#[test]
fn a_run_takes_no_more_than_it_may() {
    let case = prepared();
    for (stem, size) in [(A, 7), (B, 2_000_000_000u64)] {
        let sif = json!({ "name": format!("{stem}.simg"), "size": size });
        release(&case, stem, &json!({ "sif": sif }));
    }
    let apply = |more: &[&str]| {
        let words = [&["--releases", "releases"], more].concat();
        let (code, report, said) = case.output(LOG, &words);
        assert_eq!(code, Some(0), "{said}");
        report
    };
    let hour = jiff::Timestamp::now().as_second().rem_euclid(24 * 3600) / 3600;
    // Neither this hour nor the next one.
    let hours = format!("{}-{}", (hour + 2) % 24, (hour + 3) % 24);
    let report = apply(&["--hours", &hours]);
    let later = "it is not the time of day for it";
    assert_eq!(told(&report, "postponed"), [(A, later), (B, later)]);
    let report = apply(&["--max-gigabytes", "1"]);
    assert_eq!(report["done"][0]["image"], A);
    assert_eq!(
        told(&report, "postponed"),
        [(B, "the run has its bytes")],
        "{report}"
    );
    let around = format!("{}-{}", (hour + 23) % 24, (hour + 3) % 24);
    let report = apply(&["--hours", &around, "--max-containers", "1"]);
    assert_eq!(report["done"][0]["image"], B, "{report}");
    case.holds(LOG);
}

#[test]
fn what_is_not_as_it_was_released_is_not_published() {
    let case = prepared();
    let bytes = fs_err::read(case.env.work().join(format!("images/{A}.simg"))).unwrap();
    let right = nd_names::Sha256::of(&bytes).hex();
    let name = format!("{A}.simg");
    let other = "0".repeat(64);
    let tree = format!("tree1:sha256:{other}");
    for (artifacts, reason) in [
        (
            json!({ "sif": { "name": name, "sha256": other } }),
            "and its release record says 000",
        ),
        (
            json!({ "sif": { "name": name, "sha256": right }, "tree": tree }),
            "its release record says tree1:sha256:000",
        ),
    ] {
        release(&case, A, &artifacts);
        // Each time anew, not after a pause.
        let words = ["--releases", "releases", "--refresh", A];
        let (code, report, said) = case.output(LOG, &words);
        assert_eq!(code, Some(1), "{said}");
        let failed = told(&report, "failed");
        assert!(
            failed.len() == 1 && failed[0].1.contains(reason),
            "{report}"
        );
        assert_eq!(case.read(&format!("containers/{A}/commands.txt")), None);
        assert!(case.read(&format!("containers/{B}/commands.txt")).is_some());
    }
    let sif = json!({ "name": name, "sha256": right });
    release(&case, A, &json!({ "sif": sif }));
    case.apply(LOG, &["--releases", "releases", "--refresh", A]);
    case.holds(LOG);
}

#[test]
fn images_come_from_the_sources_of_the_settings() {
    let case = prepared();
    let images = case.env.work().join("images");
    let (shaky, lost) = (case.env.work().join("served"), case.env.work().join("lost"));
    fs_err::rename(images, &shaky).unwrap();
    fs_err::create_dir(&lost).unwrap();
    fs_err::rename(shaky.join(format!("{B}.simg")), lost.join("b")).unwrap();
    let server = Server::start(shaky.clone(), Manner::Shaky);
    let settings = format!(
        "[[source]]\nname = \"served\"\nkind = \"objects\"\nurl = \"{}\"\n",
        server.url()
    );
    let config = "home/.config/neurodesk/transparent-singularity.toml";
    crate::life::put(&case.env.root().join(config), settings.as_bytes());
    fs_err::write(case.env.work().join("log.txt"), LOG).unwrap();
    let apply = |more: &[&str]| {
        let mut words = case.words();
        let at = words.iter().position(|word| word == "--images").unwrap();
        words.drain(at..at + 2);
        let mut command = case.program();
        command.args(words).args(["--catalogue", "log.txt"]);
        let output = command.args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report, said)
    };
    let (code, report, said) = apply(&["--max-rate", "100"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(report["done"][0]["image"], A, "{report}");
    assert_eq!(told(&report, "failed")[0].0, B, "{report}");
    fs_err::rename(lost.join("b"), shaky.join(format!("{B}.simg"))).unwrap();
    let (code, report, said) = apply(&["--refresh", B]);
    assert_eq!(code, Some(0), "{said}{report}");
    case.holds(LOG);
}

#[test]
fn an_image_for_another_machine_needs_an_emulator() {
    let other = match Architecture::of_this_program() {
        Some(Architecture::X86_64) => Architecture::Aarch64,
        _ => Architecture::X86_64,
    };
    if transparent_singularity::has_emulator(other) {
        eprintln!("skipped: {other} is emulated here");
        return;
    }
    let case = prepared();
    let images = case.env.work().join("images");
    let squashfs = fs_err::read(images.join(format!("{A}.simg"))).unwrap();
    fs_err::remove_file(images.join(format!("{A}.simg"))).unwrap();
    sif(&squashfs, &images.join(format!("{A}.sif")), other);
    let (code, report, said) = case.output(LOG, &[]);
    assert_eq!(code, Some(1), "{said}");
    let failed = told(&report, "failed");
    assert_eq!(failed[0].0, A);
    assert!(failed[0].1.contains("no emulator"), "{report}");
    assert_eq!(report["done"][0]["image"], B);
}

/// Wraps a squashfs image in a SIF file.
pub(crate) fn sif(squashfs: &[u8], path: &std::path::Path, architecture: Architecture) {
    let mut out = fs_err::OpenOptions::new();
    let out = out.read(true).write(true).create_new(true).open(path);
    let mut out = std::fs::File::from(out.unwrap());
    let options = nd_sif::SifOptions {
        architecture,
        id: nd_sif::Uuid::nil(),
        time: 1,
    };
    let mut sif = nd_sif::SifWriter::new(&mut out, options).unwrap();
    let spec = nd_sif::ObjectSpec::squashfs(architecture);
    sif.put(spec, squashfs).unwrap();
    sif.finish().unwrap();
}
