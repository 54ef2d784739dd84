//! Steps and layers that mean harm, or look like it: each ends with an error that names its place, and
//! leaves nothing.

use std::{io::Write as _, path::PathBuf};

use nd_builder::{BuildError, ImageLayer, StepExit};
use nd_instructions::CopySource;
use nd_oci::Compression;
use nd_rootfs::{DeviceClass, Kind};

use crate::support::*;

fn exit_of(error: &BuildError) -> StepExit {
    match error {
        BuildError::Script { exit, step, .. } => {
            assert_eq!(step.origin.as_ref().unwrap().line, 10);
            *exit
        }
        other => panic!("{}", with_causes(other)),
    }
}

pub(crate) fn a_step_that_takes_too_much_is_ended_and_named() {
    let mut lab = Lab::new();
    lab.limits.memory = Some(64 << 20);
    lab.limits.time = Some(std::time::Duration::from_secs(600));
    let greedy = "head -c 2000000000 /dev/zero | tail > /dev/null";
    let error = lab.try_build(vec![run(greedy)]).unwrap_err();
    assert_eq!(exit_of(&error), StepExit::OutOfMemory);
    assert!(error.to_string().ends_with("its memory limit"), "{error}");
    let said = lab.said.lines();
    let kept = |line: &&String| line.contains("67108864 bytes of memory for each step, kept by");
    assert_eq!(said.iter().filter(kept).count(), 1, "{said:?}");

    lab.limits.memory = None;
    lab.limits.processes = Some(60);
    lab.limits.time = Some(std::time::Duration::from_secs(1));
    // The bomb is in a shell of its own: the one that cannot fork ends.
    let bomb = "f() { f | f & }; (f) || true; exec sleep 1000";
    let error = lab.try_build(vec![run(bomb)]).unwrap_err();
    assert_eq!(exit_of(&error), StepExit::TimedOut);
    assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
}

/// A file system in memory; it goes with this value.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", folder.path(), "tmpfs", flags, c"size=64m,mode=755").unwrap();
        Self(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let flags = rustix::mount::UnmountFlags::DETACH;
        let _ = rustix::mount::unmount(self.0.path(), flags);
    }
}

pub(crate) fn a_step_that_fills_the_disk_is_ended_and_named() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a file system");
        return;
    }
    let small = Small::new();
    for reserve in [Some(16 << 20), None] {
        let store = small.0.path().join(format!("store-{reserve:?}"));
        let mut lab = Lab::at(tempfile::tempdir().unwrap(), &store);
        lab.limits.reserve = reserve;
        let script = "while cat /bin/busybox >> /tmp/grows; do sleep 0.01; done; exit 5";
        let error = lab.try_build(vec![run(script)]).unwrap_err();
        match reserve {
            Some(_) => assert_eq!(exit_of(&error), StepExit::DiskFull),
            // Without a reserve the step finds out itself.
            None => assert_eq!(exit_of(&error), StepExit::Code(5)),
        }
        assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
        drop(lab);
        fs_err::remove_dir_all(store).unwrap();
    }
}

pub(crate) fn what_is_not_there_is_named_with_its_place() {
    let lab = Lab::new();
    let place = "recipes/x/build.yaml:10";
    fs_err::write(lab.context.join("file"), "text").unwrap();
    let owned = copy_from(CopySource::Context, &["file"], "/x", Some("nobody-here"));
    let error = lab.try_build(vec![owned]).unwrap_err();
    let text = with_causes(&error);
    assert!(text.starts_with(place), "{text}");
    assert!(
        text.contains("the image has no user `nobody-here`"),
        "{text}"
    );
    let missing = copy_from(
        CopySource::Stage("base".into()),
        &["/not/there"],
        "/x",
        None,
    );
    let first = nd_instructions::Stage {
        name: Some("base".into()),
        ..stage(Vec::new())
    };
    let error = lab
        .try_build_stages(vec![first, stage(vec![missing])])
        .unwrap_err();
    let text = with_causes(&error);
    assert!(
        text.starts_with(place) && text.contains("`/not/there`"),
        "{text}"
    );
    assert!(text.contains("does not exist"), "{text}");
    // One of the context is missed before anything is built.
    let error = lab
        .plan(vec![stage(vec![copy(&["not-there"], "/x")])])
        .unwrap_err();
    let text = with_causes(&error);
    assert!(text.contains("not-there"), "{text}");
    assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
}

/// A layer of these bytes, that says of itself what is true.
fn raw_layer(lab: &Lab, tar: &[u8]) -> ImageLayer {
    let mut blob = lab.store.new_blob().unwrap();
    blob.write_all(tar).unwrap();
    let (digest, size) = blob.finish().unwrap();
    ImageLayer {
        diff_id: digest,
        digest,
        size,
        compression: Compression::None,
    }
}

fn header(name: &str, flag: u8, link: &str, size: u64) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = flag;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

pub(crate) fn layers_that_lie_or_explode_are_refused() {
    let text = |layers: &[Vec<u8>]| {
        let mut lab = Lab::new();
        let tar = [layers.concat(), vec![0; 1024]].concat();
        lab.base.layers.push(raw_layer(&lab, &tar));
        let error = lab.try_build(vec![run("true")]).unwrap_err();
        assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
        with_causes(&error)
    };
    let up = text(&[header("../../escaped", b'0', "", 0)]);
    assert!(up.contains("../../escaped"), "{up}");
    // A link out of the root that a later entry goes through.
    let outside = tempfile::tempdir().unwrap();
    let name = outside.path().to_str().unwrap();
    let through = text(&[
        header("door", b'2', name, 0),
        header("door/file", b'0', "", 0),
    ]);
    assert!(through.contains("door"), "{through}");
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
    let hard = text(&[header("dir", b'5', "", 0), header("again", b'1', "dir", 0)]);
    assert!(hard.contains("again"), "{hard}");
    // Five terabytes that are said to follow.
    let mut huge = header("huge", b'0', "", 0);
    huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0]);
    huge[148..156].copy_from_slice(b"        ");
    let sum: u32 = huge.iter().map(|&byte| u32::from(byte)).sum();
    huge[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let huge = text(&[huge]);
    assert!(huge.contains("1099511627776"), "{huge}");
    // Digests that are not those of the blob.
    let mut lab = Lab::new();
    lab.base.layers[0].size += 1;
    let honest = lab.base.layers[0].digest;
    let path = lab.store.blob_path(&honest);
    let mut bytes = fs_err::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    let error = lab.try_build(vec![run("true")]).unwrap_err();
    assert!(
        with_causes(&error).contains(&honest.hex()),
        "{}",
        with_causes(&error)
    );
    assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
}

pub(crate) fn budgets_are_named_when_they_are_used_up() {
    let refused = |lab: &Lab| {
        let error = lab.try_build(vec![run("true")]).unwrap_err();
        assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
        with_causes(&error)
    };
    let mut lab = Lab::new();
    // A hundred megabytes of nothing, which gzip makes a tenth of one.
    let zeros = file("zeros", 0o644, &vec![0; 100_000_000]);
    lab.base.layers.push(layer(&lab.store, &[zeros]));
    let size = lab.base.layers[1].size;
    assert!(size < 1_000_000, "{size}");
    lab.budget.bytes = 50_000_000;
    let text = refused(&lab);
    assert!(
        text.contains("`zeros` exceeds the limit of 50000000 bytes"),
        "{text}"
    );
    // What was unpacked once stays, so each budget gets a store of its own.
    let mut lab = Lab::new();
    lab.budget.entries = 10;
    let text = refused(&lab);
    assert!(text.contains("exceeds the limit of 10 entries"), "{text}");
    let mut lab = Lab::new();
    lab.limits.reserve = Some(1 << 60);
    let text = refused(&lab);
    assert!(
        text.contains("bytes are free on the disk of the store"),
        "{text}"
    );
}

/// No user namespace may make them, so steps do not see them; the image has them nevertheless.
pub(crate) fn devices_of_a_base_stay_in_the_image() {
    let mut lab = Lab::new();
    let kind = Kind::Device {
        class: DeviceClass::Char,
        major: 1,
        minor: 3,
    };
    let device = (entry("usr/null", 0o666, kind.clone()), Vec::new());
    lab.base
        .layers
        .push(layer(&lab.store, &[dir("usr"), device]));
    let built = lab.build(vec![run("test ! -e /usr/null && echo unseen > /seen")]);
    let index = lab.index(&built);
    assert_eq!(index.get("usr/null").unwrap().kind, kind);
    assert_eq!(lab.text(&built, "seen"), "unseen\n");
    let said = lab.said.lines();
    assert!(
        said.iter()
            .any(|line| line.contains("1 devices (`usr/null`)")),
        "{said:?}"
    );
    // Who wants none is told where they are, also when all is built already.
    lab.budget.devices = nd_builder::Devices::Refused;
    let error = lab
        .try_build(vec![run("test ! -e /usr/null && echo unseen > /seen")])
        .unwrap_err();
    let text = error.to_string();
    let layer = lab.base.layers[1].digest.to_string();
    assert!(
        text.contains(&layer) && text.contains("1 device nodes, `usr/null` first"),
        "{text}"
    );
    assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
}
