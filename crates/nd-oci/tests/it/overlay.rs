//! Upper directories and the merge, judged by the kernel's own overlay.

use std::fmt::Write as _;

use nd_oci::{Compression, Ids, Limits, Upper, index_layer, read_directory, write_layer};
use nd_rootfs::{Duplicates, Index, LayerEntry, LayerIndex, Level, diff, merge};

use crate::support::*;

/// A small generator of numbers, so that a failure can be repeated by its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    pub(crate) fn path(&mut self) -> String {
        let depth = 1 + self.below(3);
        let parts: Vec<_> = (0..depth)
            .map(|_| ["a", "b", "c"][self.below(3) as usize])
            .collect();
        parts.join("/")
    }
}

const LAYERS: u64 = 4;

/// A script that changes a tree through overlay mounts, one per layer, on a tmpfs of its own, and
/// copies the upper directories and the final tree to `$1`.
fn script(random: &mut Random) -> String {
    let mut out = String::from(
        "set -e; out=$1; t=$(mktemp -d); mount -t tmpfs none $t; cd $t; mkdir base m; lower=base\n",
    );
    for layer in 0..LAYERS {
        writeln!(out, "mkdir u{layer} w{layer}").unwrap();
        let options = "redirect_dir=off,metacopy=off,index=off";
        writeln!(out, "mount -t overlay -o lowerdir=$lower,upperdir=u{layer},workdir=w{layer},{options} none m; cd m").unwrap();
        for step in 0..8 {
            let (a, b) = (random.path(), random.path());
            // What does not fit the tree as it is fails, and nothing happens.
            let command = match random.below(9) {
                0 | 1 => format!("mkdir -p {a}"),
                2 => format!("rm -rf {a}; mkdir {a}"),
                3 | 4 => format!("rm -rf {a}"),
                5 => format!("ln {a} {b}"),
                6 => format!(
                    "chmod {} {a}",
                    ["700", "4755", "1777"][random.below(3) as usize]
                ),
                7 => format!("ln -s {b} {a}"),
                _ => format!("mkdir -p $(dirname {a}) && echo {layer}.{step} > {a}"),
            };
            writeln!(out, "({command}) 2>/dev/null || true").unwrap();
        }
        writeln!(out, "cd ..; umount m; lower=u{layer}:$lower").unwrap();
    }
    out += "mount -t overlay -o lowerdir=$lower none m; cp -a m $out/final; umount m; cp -a u* $out/\n";
    out += "cd /; umount $t; rmdir $t\n";
    out
}

fn entries(upper: &Upper) -> LayerIndex {
    let mut blob = Vec::new();
    let mut source = |e: &nd_rootfs::Entry| {
        upper
            .open(e)
            .map(|file| Box::new(file) as Box<dyn std::io::Read>)
    };
    write_layer(&upper.entries, &mut source, PLAIN, &mut blob).unwrap();
    index_layer(&blob[..], Compression::None, Limits::default())
        .unwrap()
        .index
}

#[test]
fn merge_of_upper_directories_is_what_the_kernel_shows() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: overlay mounts need root");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    for seed in 0..25 {
        let out = root.path().join(seed.to_string());
        fs_err::create_dir(&out).unwrap();
        let file = out.join("script");
        fs_err::write(&file, script(&mut Random(seed))).unwrap();
        if peer(
            "unshare",
            &[&"-m", &"--propagation=private", &"bash", &file, &out],
        )
        .is_none()
        {
            return;
        }
        let (expected, _) = read_directory(&out.join("final")).unwrap();
        // Once with opaque marks, once with explicit whiteouts.
        for explicit in [false, true] {
            let mut layers: Vec<LayerIndex> = Vec::new();
            let mut below = Index::default();
            for layer in 0..LAYERS {
                let lower = explicit.then_some(&below);
                let upper = Upper::read(&out.join(format!("u{layer}")), Ids::Same, lower).unwrap();
                let opaque = upper
                    .entries
                    .iter()
                    .any(|e| matches!(e, LayerEntry::Opaque(_)));
                assert!(!(explicit && opaque));
                layers.push(entries(&upper));
                let all: Vec<_> = layers.iter().collect();
                below = merge(&all, Duplicates::Refuse).unwrap().index;
            }
            let changes = diff(&expected, &below, Level::Full);
            assert!(
                changes.is_empty(),
                "seed {seed}, explicit {explicit}: {changes:#?}"
            );
        }
    }
}
