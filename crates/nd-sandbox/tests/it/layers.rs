//! What a step leaves in the upper directory: what it did, and nothing that we did for it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::support::{Image, JobMount, JobSource, Test, sh};

pub(crate) const TESTS: &[Test] = &[
    ("layers::a_step_that_does_nothing_changes_nothing", nothing),
    ("layers::what_a_step_does_is_all_that_is_left", something),
    ("layers::a_step_may_fill_what_was_made_for_a_mount", filled),
    ("layers::renames_whiteouts_and_owners_arrive", renames),
    (
        "layers::ephemeral_and_read_only_roots_keep_nothing",
        other_roots,
    ),
    ("layers::many_layers_lie_over_each_other", many),
];

fn nothing() {
    // Mount points are there, missing, or behind links whose targets are missing.
    let shapes: &[fn(&Image)] = &[
        |_| {},
        |image| {
            for name in ["proc", "sys", "dev", "etc/hosts", "etc/resolv.conf"] {
                let path = image.base().join(name);
                if name.starts_with("etc") {
                    fs_err::write(path, "image's own").unwrap();
                } else {
                    fs_err::create_dir(path).unwrap();
                }
            }
        },
        |image| {
            symlink(
                "../run/systemd/resolve/stub-resolv.conf",
                image.base().join("etc/resolv.conf"),
            )
            .unwrap();
            symlink("/var/lib/hosts", image.base().join("etc/hosts")).unwrap();
        },
        |image| fs_err::remove_dir_all(image.base().join("etc")).unwrap(),
    ];
    for (number, shape) in shapes.iter().enumerate() {
        let image = Image::new();
        shape(&image);
        image.give();
        let state = |image: &Image| {
            let meta = fs_err::metadata(image.upper()).unwrap();
            (meta.mtime(), meta.mtime_nsec(), meta.mode(), meta.uid())
        };
        let before = state(&image);
        let mut job = sh("cat /etc/hosts | grep -q localhost && true");
        job.mounts = vec![
            JobMount {
                source: JobSource::Bytes(b"x".to_vec(), 0o644),
                target: "/deep/er/file".into(),
                writable: false,
            },
            JobMount {
                source: JobSource::Memory(0o755),
                target: "/var/lib/memory".into(),
                writable: true,
            },
        ];
        image.start(job, &[]).finish().text();
        assert_eq!(image.changes(), [""; 0], "shape {number}");
        assert_eq!(state(&image), before, "shape {number}");
    }
}

fn something() {
    let image = Image::new();
    let etc = fs_err::metadata(image.base().join("etc")).unwrap();
    image.sh("echo x > /var/lib/new; chmod 700 /etc").text();
    assert_eq!(image.changes(), ["etc", "var", "var/lib", "var/lib/new"]);
    let changed = fs_err::metadata(image.upper().join("etc")).unwrap();
    assert_eq!(changed.permissions().mode() & 0o7777, 0o700);
    assert_eq!(
        (changed.mtime(), changed.mtime_nsec()),
        (etc.mtime(), etc.mtime_nsec()),
        "the mount points made in it left no trace"
    );
}

fn filled() {
    let image = Image::new();
    let mut job = sh("echo x > /data/beside");
    job.mounts = vec![JobMount {
        source: JobSource::Memory(0o755),
        target: "/data/mount".into(),
        writable: true,
    }];
    image.start(job, &[]).finish().text();
    assert_eq!(image.changes(), ["data", "data/beside"]);
}

fn renames() {
    let image = Image::new();
    fs_err::create_dir(image.base().join("var/old")).unwrap();
    fs_err::write(image.base().join("var/old/file"), "text").unwrap();
    fs_err::write(image.base().join("var/gone"), "text").unwrap();
    image.give();
    image
        .sh("mv /var/old /var/new; rm /var/gone; touch /var/mine; chown 33:44 /var/mine; ln /var/mine /var/link")
        .text();
    assert_eq!(
        image.changes(),
        [
            "var",
            "var/gone",
            "var/link",
            "var/mine",
            "var/new",
            "var/new/file",
            "var/old"
        ]
    );
    let (uid, gid) = crate::support::ids().owner().unwrap();
    let mine = fs_err::metadata(image.upper().join("var/mine")).unwrap();
    assert_eq!(
        (mine.uid(), mine.gid(), mine.nlink()),
        (uid + 33, gid + 44, 2)
    );
    let gone = fs_err::metadata(image.upper().join("var/gone")).unwrap();
    assert_eq!(
        (gone.mode() & 0o170_000, gone.rdev()),
        (0o020_000, 0),
        "a whiteout"
    );
}

fn other_roots() {
    use crate::support::RootKind;
    let image = Image::new();
    let mut job = sh("echo x > /new && cat /new");
    job.root = RootKind::Ephemeral;
    assert_eq!(image.start(job, &[]).finish().text(), "x");
    let mut job = sh("echo x > /new");
    job.root = RootKind::ReadOnly;
    let outcome = image.start(job, &[]).finish();
    assert_eq!(
        outcome.exit.as_deref(),
        Ok("Code(1)"),
        "{}",
        outcome.shown()
    );
    assert_eq!(image.changes(), [""; 0]);
    assert!(!image.base().join("new").exists());
}

fn many() {
    let image = Image::new();
    let layers: Vec<_> = (0..200)
        .map(|number| {
            let path = image.beside(&format!(
                "layer-with-a-rather-long-name-as-digests-are-{number}"
            ));
            fs_err::write(path.join(format!("file{number}")), "x").unwrap();
            path
        })
        .collect();
    let paths: Vec<_> = layers.iter().map(std::path::PathBuf::as_path).collect();
    let text = image
        .start_over("ls / | grep -c file", &paths)
        .finish()
        .text();
    assert_eq!(text, "200");
    let too_many: Vec<_> = (0..501).map(|_| paths[0]).collect();
    let outcome = image.start_over("true", &too_many).finish();
    assert_eq!(
        outcome.exit.unwrap_err(),
        "an overlay takes 500 directories at most, not 502"
    );
}
