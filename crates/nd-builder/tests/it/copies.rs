//! `COPY`, from the context and from other stages.

use std::os::unix::fs::PermissionsExt as _;

use nd_instructions::{Base, CopySource};
use nd_rootfs::{CAPABILITY, Kind};

use crate::support::*;

fn put(lab: &Lab, path: &str, mode: u32, content: &str) {
    let path = lab.context.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, content).unwrap();
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn files_and_folders_arrive_as_docker_puts_them() {
    let lab = Lab::new();
    put(&lab, "README.md", 0o600, "read me");
    put(&lab, "tree/bin/tool", 0o700, "tool");
    put(&lab, "tree/note", 0o664, "note");
    std::os::unix::fs::symlink("note", lab.context.join("tree/link")).unwrap();
    let owner = if ids().name() == "range" {
        "ann:lab"
    } else {
        "root"
    };
    let built = lab.build(vec![
        copy(&["README.md"], "/README.md"),
        copy(&["README.md"], "/old"),
        copy(&["README.md"], "/new/folder/"),
        copy(&["README.md", "tree"], "/many"),
        copy(&["tree/"], "/usr/"),
        copy(&["tree"], "/old/a.dir"),
        copy_from(CopySource::Context, &["tree"], "/owned", Some(owner)),
    ]);
    let index = lab.index(&built);
    for (path, mode) in [
        ("README.md", 0o644),
        ("old/README.md", 0o644),
        ("new/folder/README.md", 0o644),
        ("many/README.md", 0o644),
        ("many/bin/tool", 0o755),
        ("usr/note", 0o644),
        ("usr/capable", 0o755),
        ("old/a.dir/bin/tool", 0o755),
        ("new/folder", 0o755),
    ] {
        let entry = index.get(path).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!((entry.attr.mode, entry.attr.uid), (mode, 0), "{path}");
    }
    assert_eq!(lab.text(&built, "many/bin/tool"), "tool");
    assert_eq!(index.get("usr/note").unwrap().attr.mtime, EPOCH);
    assert!(
        matches!(&index.get("usr/link").unwrap().kind, Kind::Symlink { target } if **target == *b"note")
    );
    if ids().name() == "range" {
        for path in ["owned", "owned/bin", "owned/bin/tool", "owned/link"] {
            let attr = &index.get(path).unwrap().attr;
            assert_eq!((attr.uid, attr.gid), (7, 20), "{path}");
        }
    }

    let error = lab
        .plan(vec![stage(vec![copy(&["none"], "/x")])])
        .unwrap_err();
    assert_eq!(
        with_causes(&error),
        "recipes/x/build.yaml:10: cannot use an input: `none` does not exist in the build context"
    );
    let error = lab.try_build(vec![copy(&["tree"], "/old/a")]).unwrap_err();
    assert!(
        with_causes(&error).contains("is no directory in the image"),
        "{}",
        with_causes(&error)
    );
    let error = lab
        .try_build(vec![copy(&["tree/note"], "/old/a/b")])
        .unwrap_err();
    assert!(
        with_causes(&error).contains("/old/a"),
        "{}",
        with_causes(&error)
    );
}

pub(crate) fn links_of_the_image_are_followed_inside_it() {
    let mut lab = Lab::new();
    let mut entries = vec![
        symlink("etc", "/real"),
        dir("real"),
        symlink("opt", "../../../../.."),
    ];
    entries.push(symlink("file", "/etc/passwd"));
    lab.base.layers = vec![layer(&lab.store, &entries)];
    put(&lab, "conf", 0o644, "ours");
    let built = lab.build(vec![
        copy(&["conf"], "/etc/conf"),
        copy(&["conf"], "/opt/etc/up"),
        copy(&["conf"], "/file"),
    ]);
    let index = lab.index(&built);
    assert!(index.get("real/conf").is_some() && index.get("real/up").is_some());
    // The link that had the name is replaced, not followed.
    assert_eq!(lab.text(&built, "file"), "ours");
    assert!(!std::path::Path::new("/etc/up").exists());
}

pub(crate) fn stages_are_copied_from() {
    let lab = Lab::new();
    let mut first = stage(vec![run(
        "mkdir /made && echo 1 > /made/one && chmod 2755 /made && mv /usr/capable /made/ && chmod 4755 /made/one",
    )]);
    first.name = Some("first".into());
    let mut second = stage(vec![copy_from(
        CopySource::Stage("first".into()),
        &["/made", "/old/a"],
        "/opt",
        None,
    )]);
    second.name = Some("second".into());
    let mut third = stage(vec![run("test -f /opt/one && echo 3 > /opt/three")]);
    third.base = Base::Stage("second".into());
    let mut scratch = stage(vec![copy_from(
        CopySource::Stage("1".into()),
        &["/opt/one"],
        "/",
        None,
    )]);
    scratch.base = Base::Scratch;

    let built = lab
        .try_build_stages(vec![first.clone(), second.clone(), third.clone()])
        .unwrap();
    let index = lab.index(&built);
    assert_eq!(
        index
            .get("opt/capable")
            .unwrap()
            .attr
            .xattrs
            .get(CAPABILITY),
        Some(&NET_RAW[..])
    );
    assert_eq!(index.get("opt/one").unwrap().attr.mode, 0o4755);
    assert_eq!(lab.text(&built, "opt/a"), "a\n");
    assert_eq!(lab.text(&built, "opt/three"), "3\n");
    assert!(index.get("made").is_none());

    let alone = lab
        .try_build_stages(vec![first.clone(), second, scratch])
        .unwrap();
    let names: Vec<_> = lab
        .index(&alone)
        .iter()
        .map(|e| e.path.to_string())
        .collect();
    assert_eq!(names, ["one"]);

    // A change in a stage reaches those that copy from it.
    first.body.push(nd_instructions::Instruction {
        op: run("echo 2 > /made/one"),
        origin: None,
    });
    let mut last = stage(vec![copy_from(
        CopySource::Stage("first".into()),
        &["/made/one"],
        "/",
        None,
    )]);
    last.base = Base::Scratch;
    let changed = lab.try_build_stages(vec![first, last]).unwrap();
    assert_eq!(lab.text(&changed, "one"), "2\n");
}

pub(crate) fn nothing_outside_of_the_context_is_copied() {
    let lab = Lab::new();
    fs_err::write(lab.root.path().join("secret"), "secret").unwrap();
    put(&lab, "tree/file", 0o644, "x");
    std::os::unix::fs::symlink("../secret", lab.context.join("up")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", lab.context.join("absolute")).unwrap();
    std::os::unix::fs::symlink("../../secret", lab.context.join("tree/inner")).unwrap();
    for source in ["up", "absolute", "../secret"] {
        let error = lab
            .plan(vec![stage(vec![copy(&[source], "/x")])])
            .unwrap_err();
        assert!(
            with_causes(&error).contains("does not exist in the build context"),
            "{}",
            with_causes(&error)
        );
    }
    // A link inside a folder is copied as a link.
    let built = lab.build(vec![copy(&["tree"], "/x")]);
    assert!(matches!(
        lab.index(&built).get("x/inner").unwrap().kind,
        Kind::Symlink { .. }
    ));
}
