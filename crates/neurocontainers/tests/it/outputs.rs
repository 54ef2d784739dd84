//! The packagings of one image, judged by the tools that read them.

use std::{
    path::Path,
    process::{Command, Output},
};

use indexmap::IndexMap;
use nd_builder::{ImageLayer, ImageState};
use nd_names::Architecture;
use nd_report::{Cancel, Silent, StepId};
use nd_store::Store;
use nd_testkit::peer;
use neurocontainers::{
    base::import,
    output::{
        Compression, ImageDescription, SifInputs, WrittenSif, tree_facts, write_layout, write_sif,
    },
};

use crate::support::busybox_layout;

struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
    image: ImageDescription,
}

impl Fixture {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let layout = busybox_layout(folder.path())?;
        let store = Store::open(folder.path().join("store")).unwrap();
        let architecture = Architecture::of_this_program().unwrap();
        let base = import(&layout, "busybox", architecture, &store).unwrap();
        let layers = base.image.layers.iter().zip(&base.image.diff_ids);
        let layers = layers.map(|(layer, diff_id)| ImageLayer {
            diff_id: *diff_id,
            digest: layer.digest,
            size: fs_err::metadata(store.blob_path(&layer.digest))
                .unwrap()
                .len(),
            compression: layer.compression,
        });
        let mut state = ImageState::of(&base.image.config);
        state
            .env
            .insert("GREETING".into(), "hello $USER \"there\"".into());
        state.labels.insert("author".into(), "somebody".into());
        let image = ImageDescription {
            name: "demo_1.0_20260102".parse().unwrap(),
            architecture,
            epoch: 1_767_312_000,
            state,
            layers: layers.collect(),
            history: Vec::new(),
            labels: IndexMap::from([("org.neurodesk.container".into(), "demo".into())]),
            base: base.origin,
            ids: "range",
        };
        Some(Self {
            folder,
            store,
            image,
        })
    }

    fn sif(&self, path: &Path, compression: Compression) -> WrittenSif {
        let facts = tree_facts(&self.store, &self.image.layers).unwrap();
        let inputs = SifInputs {
            image: &self.image,
            facts: &facts,
            digests: &facts.digests().unwrap(),
            definition: "Bootstrap: scratch\n",
            compression,
        };
        write_sif(
            path,
            &self.store,
            &inputs,
            &Silent,
            StepId(0),
            &Cancel::default(),
        )
        .unwrap()
    }
}

fn succeeds(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn skopeo_and_umoci_accept_the_layout() {
    let (Some(fixture), Some(skopeo), Some(umoci)) =
        (Fixture::new(), peer("skopeo"), peer("umoci"))
    else {
        return;
    };
    let facts = tree_facts(&fixture.store, &fixture.image.layers).unwrap();
    let oci = fixture.folder.path().join("out/oci");
    let digests = facts.digests().unwrap();
    let first = write_layout(&oci, &fixture.store, &fixture.image, &digests).unwrap();
    let second = write_layout(&oci, &fixture.store, &fixture.image, &digests).unwrap();
    assert_eq!(first.digest, second.digest);
    let reference = format!("oci:{}:1.0_20260102", oci.display());
    let config = succeeds(
        &Command::new(skopeo)
            .args(["inspect", "--config", &reference])
            .output()
            .unwrap(),
    );
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.neurodesk.tree"], digests.tree.to_string());
    assert_eq!(labels["author"], "somebody");
    let bundle = fixture.folder.path().join("bundle");
    let image = format!("{}:1.0_20260102", oci.display());
    let unpack = Command::new(umoci)
        .args(["unpack", "--rootless", "--image", &image])
        .arg(&bundle)
        .output();
    succeeds(&unpack.unwrap());
    assert!(bundle.join("rootfs/bin/busybox").is_file());
}

#[test]
fn apptainer_runs_inspects_and_signs_the_sif() {
    let (Some(fixture), Some(apptainer)) = (Fixture::new(), peer("apptainer")) else {
        return;
    };
    let path = fixture.folder.path().join("demo.simg");
    let written = fixture.sif(&path, Compression::Zstd);
    assert_eq!(fs_err::metadata(&path).unwrap().len(), written.bytes);
    let home = fixture.folder.path().join("home");
    fs_err::create_dir_all(&home).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(&apptainer);
        command
            .args(words)
            .env("HOME", &home)
            .env("APPTAINER_CONFIGDIR", home.join(".apptainer"))
            .env("APPTAINERENV_HANDED_OVER", "yes");
        succeeds(&command.output().unwrap())
    };
    let sif = path.to_str().unwrap();
    let exec = |words: &[&str]| run(&[&["exec", "--no-home", "--cleanenv", sif], words].concat());
    assert_eq!(
        exec(&["sh", "-c", "echo \"$GREETING\""]),
        "hello $USER \"there\"\n"
    );
    assert_eq!(exec(&["sh", "-c", "echo $HANDED_OVER"]), "yes\n");
    assert!(
        run(&["sif", "list", sif]).contains("tree.mtree.zst")
            || run(&["sif", "list", sif]).contains("Generic")
    );
    assert!(run(&["inspect", sif]).contains("org.neurodesk.tree"));
    assert!(run(&["inspect", "--deffile", sif]).contains("Bootstrap: scratch"));
}

#[test]
fn equal_images_are_equal_files_in_either_compression() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    for compression in [Compression::Zstd, Compression::Gzip] {
        let at = |name: &str| fixture.folder.path().join(name);
        let (one, two) = (at("one.simg"), at("two.simg"));
        let first = fixture.sif(&one, compression);
        assert_eq!(first, fixture.sif(&two, compression));
        assert!(fs_err::read(&one).unwrap() == fs_err::read(&two).unwrap());
        let names: Vec<_> = fs_err::read_dir(fixture.folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(
            !names
                .iter()
                .any(|name| name.to_string_lossy().contains("nd-part")),
            "{names:?}"
        );
    }
}
