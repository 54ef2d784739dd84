//! The same commands from every form of an image, and nothing of it run.

use std::path::Path;

use nd_rootfs::show;
use transparent_singularity::{
    Excludes, Exposed, ImageKind, OpenImage, Reason, expose, read_environment,
};

use crate::fixture::{root, sif, squashfs, write};

fn look(path: &Path, kind: ImageKind) -> Exposed {
    let mut image = OpenImage::open(path).unwrap();
    assert_eq!(image.kind, kind);
    let environment = read_environment(&mut image).unwrap().unwrap();
    expose(&mut image, environment, &Excludes::built_in()).unwrap()
}

#[test]
fn every_form_of_an_image_gives_the_same() {
    let Some(root) = root() else { return };
    let work = tempfile::tempdir().unwrap();
    let [file, plain, layout] =
        ["a.sif", "a.squashfs", "layout"].map(|name| work.path().join(name));
    sif(root.path(), &file);
    squashfs(root.path(), &plain);
    let from_folder = look(root.path(), ImageKind::Directory);
    let names: Vec<&str> = from_folder
        .commands
        .keys()
        .map(transparent_singularity::CommandName::as_str)
        .collect();
    assert_eq!(
        names,
        ["absent", "absolute", "busybox", "climbing", "link", "show"]
    );
    assert_eq!(
        from_folder.commands_txt(),
        "absent\nabsolute\nbusybox\nclimbing\nlink\nshow\n"
    );
    assert_eq!(
        from_folder.env_txt(),
        b"DEPLOY_ENV_TOOLHOME=BASEPATH/opt/tool -a=1\n"
    );
    assert!(
        from_folder
            .readme
            .as_deref()
            .unwrap()
            .starts_with("Tool 1.0")
    );
    let left: Vec<(String, Reason)> = from_folder
        .left_out
        .iter()
        .map(|it| (it.name.clone(), it.reason.clone()))
        .collect();
    for (name, reason) in [
        ("two words", Reason::Name),
        ("$(id)", Reason::Name),
        ("-rf", Reason::Name),
        ("commands.txt", Reason::Reserved),
        ("bash", Reason::Excluded("core".into())),
        ("/opt/missing", Reason::NoFolder),
        ("relative", Reason::Relative),
    ] {
        assert!(
            left.contains(&(name.to_owned(), reason)),
            "{name}: {left:?}"
        );
    }
    assert_eq!(look(&file, ImageKind::Sif), from_folder);
    assert_eq!(look(&plain, ImageKind::Squashfs), from_folder);
    oci(root.path(), &layout);
    let mut from_oci = look(&layout, ImageKind::Oci);
    // An OCI image says in its configuration what the others say in a script.
    from_oci.environment = from_folder.environment.clone();
    assert_eq!(from_oci, from_folder);
}

fn oci(root: &Path, path: &Path) {
    crate::install::layout(
        root,
        path,
        &[
            "PATH=/opt/tool/bin:/bin",
            "DEPLOY_PATH=/opt/tool/bin:/opt/missing:relative",
            "DEPLOY_BINS=busybox:absent",
            "DEPLOY_ENV_TOOLHOME=BASEPATH/opt/tool -a=1",
        ],
    );
}

#[test]
fn a_script_that_is_a_program_is_said_to_be_one() {
    let Some(root) = root() else { return };
    write(
        root.path(),
        ".singularity.d/env/90-environment.sh",
        "if true; then export DEPLOY_BINS=x; fi\n",
        0o755,
    );
    let mut image = OpenImage::open(root.path()).unwrap();
    let needs = read_environment(&mut image).unwrap().unwrap_err();
    assert_eq!(needs.script, "/.singularity.d/env/90-environment.sh");
    assert_eq!(
        needs.partial.get("DEPLOY_BINS").map(show).as_deref(),
        Some("busybox:absent")
    );
}

#[test]
fn values_of_all_kinds_stay_values() {
    let Some(root) = root() else { return };
    let odd = "a=b 'c' \\\"d\\\" \\$(touch x) \\`y\\` ]===] } é";
    crate::fixture::environment(root.path(), "/opt/tool/bin", "", odd);
    let exposed = look(root.path(), ImageKind::Directory);
    let value = String::from_utf8(exposed.variables["TOOLHOME"].clone()).unwrap();
    assert_eq!(value, "a=b 'c' \"d\" $(touch x) `y` ]===] } é");
}
