//! Containers of another architecture: an emulator in the sandbox, one image for several architectures.

use std::path::Path;

use nd_names::Architecture;
use nd_testkit::{peer, skopeo};
use serde_json::Value;

use crate::{
    build::Fixture,
    peer_registry::Registry,
    people::{Kind, Place, slow},
    support::{BUSYBOX, busybox_layout, layout_for, recipe},
};

/// A static program of that architecture, which says `ok`: a part of Debian's `arch-test`.
const FOREIGN: &str = "/usr/lib/arch-test/arm64";

const SUITE: &str = "name: demo
version: 1.0.0
tests:
  - name: runs
    command: /bin/foreign
    expected_output_contains: ok
";

/// The machine's list, to which nothing may be added.
fn known_to_the_machine() -> Vec<String> {
    let entries = fs_err::read_dir("/proc/sys/fs/binfmt_misc");
    let entries = entries.into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn says(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn programs_of_another_architecture_run_in_the_sandbox_of_every_kind_of_user_and_nowhere_else() {
    if Architecture::of_this_program() != Some(Architecture::X86_64) {
        println!("skipped: only another architecture than aarch64 needs an emulator for it");
        return;
    }
    let tools = (peer("qemu-aarch64-static"), peer("arch-test"));
    let (Some(_), Some(_), Some(place)) = (tools.0, tools.1, Place::new()) else {
        return;
    };
    if busybox_layout(place.folder.path()).is_none() {
        return;
    }
    let root = place.folder.path().join("busybox-root");
    nd_testkit::copy_program(FOREIGN, root.join("bin/foreign"));
    let base = place.folder.path().join("foreign-oci");
    let base = layout_for(Architecture::Aarch64, &root, &base);
    let directives = "    - run: [test \"$(/bin/foreign)\" = ok]\n";
    let recipe = recipe(BUSYBOX, directives, "path: [/bin]");
    let before = known_to_the_machine();
    for kind in [Kind::Root, Kind::Ranged, Kind::Alone] {
        let person = place.person(kind, &recipe, SUITE);
        let words = [
            "--architecture",
            "aarch64",
            "--base",
            base.to_str().unwrap(),
        ];
        let summary = person.build(&words);
        assert_eq!(summary["architecture"], "aarch64", "{kind:?}");
        let tests = summary["tests"].as_array().unwrap();
        let in_sandbox = |suite: &&Value| suite["runtime"].as_str().unwrap().starts_with("sandbox");
        let sandbox = tests.iter().find(in_sandbox).unwrap();
        assert_eq!(
            (&sandbox["passed"], &sandbox["failed"]),
            (&1.into(), &0.into()),
            "{kind:?}"
        );
    }
    assert_eq!(known_to_the_machine(), before);
}

#[test]
fn images_of_two_architectures_become_one() {
    let (Some(fixture), Some(registry)) = (Fixture::new(), Registry::start()) else {
        return;
    };
    let conf = registry.conf(&fixture.env.work().join("registries.conf"));
    let root = fixture.env.root().join("busybox-root");
    let layouts = Architecture::ALL.map(|architecture| {
        let folder = fixture.env.work().join(architecture.as_str());
        layout_for(architecture, &root, &folder);
        format!("oci:{architecture}")
    });
    check_together(&fixture, &registry, &conf, &layouts);

    let twice = [&layouts[0], &layouts[0], "oci:twice"];
    let output = fixture
        .command(&[&["convert"], &twice[..]].concat())
        .output();
    assert!(says(&output.unwrap()).contains("a second image for linux/"));
    let one = [&layouts[0], &layouts[1], "one.sif"];
    let output = fixture.command(&[&["convert"], &one[..]].concat()).output();
    assert!(says(&output.unwrap()).contains("holds one image"));
}

/// Joins images in a layout and a registry, where a peer and we find each by its architecture.
fn check_together(fixture: &Fixture, registry: &Registry, conf: &str, images: &[String; 2]) {
    let name = format!("{}/group/both:1", registry.host);
    let to = format!("registry:{name}");
    for (from, to) in [(images, "oci:both"), (images, &to)] {
        let mut command = fixture.command(&["convert", &from[0], &from[1], to, "--json"]);
        command.env("CONTAINERS_REGISTRIES_CONF", conf);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{to}: {}", says(&output));
    }
    let layout = format!("oci:{}", fixture.env.work().join("both").display());
    for place in [layout, format!("docker://{name}")] {
        let words = ["inspect", "--tls-verify=false", "--raw", &place];
        let Some(text) = skopeo(&words) else { return };
        let index: Value = serde_json::from_str(&text).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        let found: Vec<_> = manifests
            .iter()
            .map(|one| one["platform"]["architecture"].as_str().unwrap())
            .collect();
        assert_eq!(found, ["amd64", "arm64"], "{place}");
        for architecture in found {
            let config = ["inspect", "--tls-verify=false", "--config", &place];
            let config = [&["--override-arch", architecture][..], &config].concat();
            let config: Value = serde_json::from_str(&skopeo(&config).unwrap()).unwrap();
            assert_eq!(config["architecture"], architecture, "{place}");
        }
    }
    for (from, architecture) in [("oci:both", "aarch64"), (&to, "x86_64")] {
        let sif = format!("{architecture}.sif");
        let words = ["convert", from, &sif, "--architecture", architecture];
        let mut command = fixture.command(&words);
        command.env("CONTAINERS_REGISTRIES_CONF", conf);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{from}: {}", says(&output));
        let bytes = fs_err::read(fixture.env.work().join(sif)).unwrap();
        // The architecture in a SIF's header, `02` for amd64 and `04` for arm64.
        let code = if architecture == "x86_64" {
            b"02"
        } else {
            b"04"
        };
        assert_eq!(&bytes[45..47], code, "{from}");
    }
}

/// `dcm2niix` for both architectures, the other one in the emulator, and one image of both.
#[test]
fn dcm2niix_is_built_for_both_architectures() {
    if !slow() {
        return;
    }
    let tools = (peer("qemu-aarch64-static"), peer("arch-test"));
    let (Some(_), Some(_), Some(fixture)) = (tools.0, tools.1, Fixture::new()) else {
        return;
    };
    let Some(registry) = Registry::start() else {
        return;
    };
    let conf = registry.conf(&fixture.env.work().join("registries.conf"));
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/dcm2niix");
    let copy = fixture.env.work().join("recipes/dcm2niix");
    fs_err::create_dir(&copy).unwrap();
    for name in ["build.yaml", "fulltest.yaml"] {
        fs_err::copy(recipe.join(name), copy.join(name)).unwrap();
    }
    let images = Architecture::ALL.map(|architecture| {
        let place = format!("oci:built-{architecture}");
        let mut command = fixture.command(&["build", "dcm2niix", "--json", "--output", &place]);
        let command = command.args(["--architecture", architecture.as_str()]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", says(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let tests = summary["tests"].as_array().unwrap();
        assert!(tests.iter().all(|suite| suite["failed"] == 0), "{tests:?}");
        place
    });
    check_together(&fixture, &registry, &conf, &images);
}
