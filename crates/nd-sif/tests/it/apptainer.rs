//! Real Apptainer lists, inspects, runs, signs and verifies what we write.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_sif::{DataType, Extra, Sif};
use nd_squashfs::{Compression, Digests, FileRange, Limits, Reader, WriteOptions};
use nd_testkit::TestEnv;

use crate::support::*;

struct Apptainer {
    env: TestEnv,
    program: PathBuf,
    busybox: Vec<u8>,
}

impl Apptainer {
    fn find() -> Option<Self> {
        let program = nd_testkit::peer("apptainer")?;
        let busybox = fs_err::read(nd_testkit::peer("busybox")?).unwrap();
        let env = TestEnv::new().unwrap();
        Some(Self {
            env,
            program,
            busybox,
        })
    }

    fn image(&self, name: &str, compression: Compression) -> PathBuf {
        let options = WriteOptions {
            compression,
            ..WriteOptions::default()
        };
        let mut out = Cursor::new(Vec::new());
        pack(&self.busybox, &options, &mut out).unwrap();
        let at = self.env.work().join(name);
        fs_err::write(&at, out.into_inner()).unwrap();
        at
    }

    fn run(&self, arguments: &[&str], image: &Path, rest: &[&str]) -> (bool, String) {
        let mut command = self.env.command(&self.program);
        let output = command
            .args(arguments)
            .arg(image)
            .args(rest)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        (output.status.success(), said)
    }

    fn ok(&self, arguments: &[&str], image: &Path, rest: &[&str]) -> String {
        let (success, said) = self.run(arguments, image, rest);
        assert!(success, "apptainer {arguments:?} {rest:?}: {said}");
        said
    }
}

#[test]
fn apptainer_lists_inspects_and_runs_our_files() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    for compression in [Compression::Zstd(3), Compression::Gzip(6)] {
        let image = apptainer.image("a.sif", compression);
        let list = apptainer.ok(&["sif", "list"], &image, &[]);
        for line in [
            "FS (Squashfs/*System/",
            "Def.FILE",
            "JSON.Generic",
            "Generic/Raw",
        ] {
            assert!(list.contains(line), "{line}: {list}");
        }
        let header = apptainer.ok(&["sif", "header"], &image, &[]);
        for line in [
            "run-singularity",
            "2023-11-14 22:13:20",
            "Descriptors Free:     43",
        ] {
            assert!(header.contains(line), "{line}: {header}");
        }
        let dumped = apptainer.ok(&["sif", "dump", "2"], &image, &[]);
        assert_eq!(dumped, DEFINITION);
        let labels = apptainer.ok(&["inspect", "--labels"], &image, &[]);
        assert!(labels.contains("org.example.word: thirty-one"), "{labels}");
        let definition = apptainer.ok(&["inspect", "--deffile"], &image, &[]);
        assert!(definition.contains("Bootstrap: scratch"), "{definition}");
        let said = apptainer.ok(&["exec"], &image, &["/bin/cat", "/message"]);
        assert!(said.contains("from inside"), "{said}");
        let said = apptainer.ok(&["exec"], &image, &["/bin/sh", "-c", "echo $WORD"]);
        assert!(said.contains("heard"), "{said}");
        let said = apptainer.ok(&["run"], &image, &["one", "two"]);
        assert!(said.contains("ran one two"), "{said}");
    }
}

#[test]
fn apptainer_signs_and_verifies_our_files() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    let image = apptainer.image("a.sif", Compression::Zstd(3));
    let (verified, _) = apptainer.run(&["verify", "--local"], &image, &[]);
    assert!(!verified, "nothing is signed yet");
    let mut command = apptainer.env.command(&apptainer.program);
    command.args([
        "key",
        "newpair",
        "--name",
        "Somebody",
        "--email",
        "somebody@example.org",
    ]);
    command.args(["--comment", "test", "--password", "", "--push=false"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    apptainer.ok(&["sign", "--keyidx", "0"], &image, &[]);
    let said = apptainer.ok(&["verify", "--local"], &image, &[]);
    assert!(said.contains("verified"), "{said}");

    // What Apptainer added is read by us.
    let sif = Sif::open(fs_err::File::open(&image).unwrap().into_file()).unwrap();
    assert!(sif.is_signed());
    let signature = sif
        .descriptors()
        .iter()
        .find(|one| one.data == DataType::Signature);
    assert!(matches!(
        signature.unwrap().extra,
        Extra::Signature { hash: 1.., fingerprint } if fingerprint != [0; 20]
    ));

    let system = sif.primary_partition().unwrap();
    let mut bytes = fs_err::read(&image).unwrap();
    bytes[system.offset as usize + 4000] ^= 1;
    fs_err::write(&image, bytes).unwrap();
    let (verified, _) = apptainer.run(&["verify", "--local"], &image, &[]);
    assert!(!verified, "the system was changed");
}

#[test]
fn we_read_what_apptainer_writes() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    let ours = apptainer.image("a.sif", Compression::Zstd(3));
    let theirs = apptainer.env.work().join("b.sif");
    apptainer.ok(&["build"], &theirs, &[&ours.to_string_lossy()]);
    let sif = Sif::open(fs_err::File::open(&theirs).unwrap().into_file()).unwrap();
    let system = sif.primary_partition().unwrap();
    let range = FileRange::new(sif.file().try_clone().unwrap(), system.offset, system.size);
    let reader = Arc::new(Reader::open(range, Limits::default()).unwrap());
    let all = Digests::Read { threads: 2 };
    let (found, _) = reader.tree(all, &nd_report::Cancel::default()).unwrap();
    let (expected, _) = crate::support::system(&apptainer.busybox);
    assert_eq!(
        nd_rootfs::digests(&found).tree,
        nd_rootfs::digests(&expected).tree
    );
}

#[test]
fn apptainer_does_not_take_a_killed_write_for_a_file() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    let whole = packed(&apptainer.busybox).len() as u64;
    let image = apptainer.env.work().join("a.sif");
    for most in [100, 40_000, whole / 2, whole + 96 + 5 * 585 + 127] {
        let mut out = Full(Cursor::new(Vec::new()), most);
        pack(&apptainer.busybox, &WriteOptions::default(), &mut out).unwrap_err();
        fs_err::write(&image, out.0.into_inner()).unwrap();
        let (listed, said) = apptainer.run(&["sif", "list"], &image, &[]);
        assert!(!listed, "{most}: {said}");
        let (executed, said) = apptainer.run(&["exec"], &image, &["/bin/cat", "/message"]);
        assert!(!executed && !said.contains("from inside"), "{most}: {said}");
    }
}
