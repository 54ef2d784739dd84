//! What becomes of a step's changes.

use std::os::unix::fs::MetadataExt as _;

use nd_builder::layer_trees;
use nd_oci::Compression;
use nd_report::Cancel;
use nd_rootfs::{CAPABILITY, Kind};

use crate::support::*;

pub(crate) fn removals_and_replacements_become_whiteouts() {
    let lab = Lab::new();
    let built = lab.build(vec![run(
        "rm /old/a && rm -r /old/sub && mkdir /old/sub && echo n > /old/sub/n",
    )]);
    assert_eq!(
        lab.top(&built),
        ["old/", "- old/a", "old/sub/", "- old/sub/b", "old/sub/n"]
    );

    // A folder of a lower layer is renamed, becomes a file, and a folder again.
    let built = lab.build(vec![
        run("mv /old /moved"),
        run("echo file > /old"),
        run("rm /old && mkdir /old && echo x > /old/x"),
        run("rm -rf /old /moved/sub"),
    ]);
    let index = lab.index(&built);
    assert!(index.get("old").is_none() && index.get("moved/sub").is_none());
    assert_eq!(lab.text(&built, "moved/a"), "a\n");
    assert_eq!(lab.top(&built), ["- old", "moved/", "- moved/sub"]);
    // What is made and removed in one step was never there.
    let built = lab.build(vec![run(
        "echo x > /tmp/x && rm /tmp/x && mkdir -p /a/b && rm -r /a",
    )]);
    assert_eq!(built.layers, lab.base.layers);
}

pub(crate) fn attributes_survive_a_step() {
    let lab = Lab::new();
    let built = lab.build(vec![
        run("mv /usr/capable /usr/moved && ln /old/a /old/hard && ln -s x /old/soft && chmod 4755 /old/sub/b && chmod 2711 /old/sub"),
        run("echo more >> /old/hard && touch -d @1400000000 /etc/group"),
        run("cat /old/a > /seen && chmod 600 /old/a"),
    ]);
    let index = lab.index(&built);
    let moved = &index.get("usr/moved").unwrap().attr;
    assert_eq!(moved.xattrs.get(CAPABILITY), Some(&NET_RAW[..]));
    assert_eq!(moved.xattrs.get(b"user.note"), Some(&b"kept"[..]));
    assert_eq!(moved.mtime, 1_500_000_000);
    assert_eq!(index.get("old/sub/b").unwrap().attr.mode, 0o4755);
    assert_eq!(index.get("old/sub").unwrap().attr.mode, 0o2711);
    assert_eq!(index.get("etc/group").unwrap().attr.mtime, 1_400_000_000);
    // The link made in the first step holds across the copy-up of the second.
    assert_eq!(lab.text(&built, "old/hard"), "a\nmore\n");
    let shown = lab.text(&built, "seen");
    assert_eq!(
        lab.text(&built, "old/a"),
        shown,
        "the step after sees what the image has"
    );
    for entry in &index {
        assert!(entry.attr.mtime <= EPOCH, "{}", entry.path);
        assert!(
            entry
                .attr
                .xattrs
                .iter()
                .all(|(name, _)| !name.starts_with(b"user.overlay")),
            "{}",
            entry.path
        );
    }
}

pub(crate) fn steps_that_change_nothing_make_no_layer() {
    let lab = Lab::new();
    let built = lab.build(vec![
        run("true"),
        run("chmod 755 /old && chown 0:0 /etc/passwd && touch -d @1500000000 /old/a && cat /old/a > /old/a.copy && rm /old/a.copy"),
        // Scrubbed: what package managers leave behind.
        run("mkdir -p /var/log && echo x > /var/log/dpkg.log"),
        run("cp /old/a /old/b && mv /old/b /old/a && touch -d @1500000000 /old/a"),
        nd_instructions::Op::Workdir { path: "/old".into() },
    ]);
    assert_eq!(built.layers, lab.base.layers);
    assert_eq!(built.steps.len(), 5);
    assert!(
        built
            .steps
            .iter()
            .all(|step| step.layer.is_none() && !step.cached)
    );
}

fn many_changes() -> Vec<nd_instructions::Op> {
    vec![
        run(
            "for i in $(seq 200); do mkdir -p /data/$i && echo $i > /data/$i/f; done && ln /data/1/f /data/linked",
        ),
        run(
            "rm -r /data/1?? && mv /data/2 /data/two && dd if=/dev/zero of=/data/zero bs=1024 count=4096 2>/dev/null",
        ),
        copy(&["f"], "/data/"),
    ]
}

pub(crate) fn equal_plans_give_equal_digests() {
    let digests = |compression| {
        let mut lab = Lab::new();
        lab.compression = compression;
        fs_err::write(lab.context.join("f"), "from the context").unwrap();
        let built = lab.build(many_changes());
        built
            .layers
            .iter()
            .map(|layer| (layer.digest, layer.diff_id))
            .collect::<Vec<_>>()
    };
    let first = digests(Compression::Zstd);
    assert_eq!(first, digests(Compression::Zstd));
    let gzip = digests(Compression::Gzip);
    let tars = |all: &[(_, nd_names::Sha256)]| all.iter().map(|(_, id)| *id).collect::<Vec<_>>();
    assert_eq!(tars(&first), tars(&gzip));
    assert_ne!(first, gzip);
}

pub(crate) fn trees_come_back_from_their_blobs() {
    let lab = Lab::new();
    fs_err::write(lab.context.join("f"), "x").unwrap();
    let mut ops = many_changes();
    let built = lab.build(ops.clone());
    let trees = lab.store.root().join("trees");
    // As pruning leaves it; the next step stands on unpacked layers instead of kept ones.
    fs_err::remove_dir_all(&trees).unwrap();
    fs_err::create_dir(&trees).unwrap();
    let after = "find /data /old /usr /bin -type f -o -type d -o -type l | while read f; do \
                 stat -c '%n %a %u %g %s %Y' $f; done > /list; cat /data/*/f >> /list";
    ops.push(run(after));
    let unpacked = lab.build(ops.clone());
    assert_eq!(unpacked.layers[..built.layers.len()], built.layers);
    let kept = Lab::new();
    fs_err::write(kept.context.join("f"), "x").unwrap();
    let kept_built = kept.build(ops);
    let (a, b) = (lab.text(&unpacked, "list"), kept.text(&kept_built, "list"));
    for (a, b) in a.lines().zip(b.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(unpacked.layers, kept_built.layers);

    let mut notes = Vec::new();
    let leases = layer_trees(
        &lab.store,
        &built.layers,
        ids(),
        &Cancel::default(),
        &mut |note| notes.push(note.to_owned()),
    )
    .unwrap();
    assert_eq!((leases.len(), notes.len()), (built.layers.len(), 0));
    assert!(leases[0].path().join("bin/busybox").exists());
}

/// The kernel stacks 500: the lowest become one tree.
pub(crate) fn more_layers_than_the_kernel_stacks_stand_on_each_other() {
    let mut lab = Lab::new();
    for number in 0..505 {
        let name = format!("n{number}");
        let mut entries = vec![file(&name, 0o644, name.as_bytes())];
        match number {
            // What a flattened layer replaces, and what is above.
            300 => entries.push(file("n7", 0o600, b"new")),
            301 => entries.push(file("old", 0o644, b"no directory any more")),
            302 => entries.extend([dir("old"), file("old/c", 0o644, b"c")]),
            450 => entries.push(file("n8", 0o644, b"above")),
            _ => {}
        }
        lab.base.layers.push(layer(&lab.store, &entries));
    }
    let built = lab.build(vec![run(
        "cat /n0 /n504 /n7 /n8 > /both && ls / | grep -c '^n[0-9]' >> /both; ls /old >> /both; \
         stat -c %a /n7 /tmp >> /both; test -x /bin/busybox && echo more >> /n0",
    )]);
    assert_eq!(
        lab.text(&built, "both"),
        "n0n504newabove505\nc\n600\n1777\n"
    );
    // A file of the flattened tree has a name in its own tree too, and neither was written to.
    assert_eq!(lab.text(&built, "n0"), "n0more\n");
    let notes = &mut |_: &str| {};
    let trees = layer_trees(&lab.store, &lab.base.layers, ids(), &lab.cancel, notes).unwrap();
    assert_eq!(trees.len(), 1 + 506 - 400);
    assert_eq!(fs_err::read(trees[0].path().join("n0")).unwrap(), b"n0");
}

/// Longer than what a tar header says in octal, and a hole but for its end. Takes a minute, so it runs
/// when `ND_SLOW_TESTS` is set.
pub(crate) fn a_file_of_more_than_8_gb_is_kept() {
    const END: u64 = 9 << 30;
    if std::env::var_os("ND_SLOW_TESTS").is_none() {
        return;
    }
    let lab = Lab::new();
    let write = format!("printf end | dd of=/large bs=1 seek={END} 2>/dev/null");
    let built = lab.build(vec![
        run(&write),
        run("tail -c 3 /large > /seen; stat -c %s /large >> /seen"),
    ]);
    let size = END + 3;
    assert_eq!(lab.text(&built, "seen"), format!("end{size}\n"));
    let index = lab.index(&built);
    let entry = index.get("large").unwrap();
    let Kind::File { size: found, .. } = entry.kind else {
        panic!("`large` is no file");
    };
    assert_eq!(found, size);
    // The blob unpacks again, and the hole takes next to nothing in it.
    let layer = built.layers[1];
    assert!(layer.size < 4_000_000, "{} bytes", layer.size);
    let trees = lab.store.root().join("trees");
    fs_err::remove_dir_all(&trees).unwrap();
    fs_err::create_dir(&trees).unwrap();
    let notes = &mut |_: &str| {};
    let trees = layer_trees(&lab.store, &built.layers, ids(), &lab.cancel, notes).unwrap();
    let meta = fs_err::metadata(trees[1].path().join("large")).unwrap();
    assert_eq!(meta.len(), size);
    assert!(
        meta.blocks() * 512 < 100_000_000,
        "{} blocks",
        meta.blocks()
    );
}
