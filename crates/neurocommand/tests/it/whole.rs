//! The whole way of a container of our own: from its release record to a menu entry that runs it.

use std::path::{Path, PathBuf};

use nd_testkit::{ObjectStore, TestEnv, peer};

use crate::{
    menu::read_menu,
    running::{image, with_runtime},
    support::{files_below, good, squashfs, write},
};

/// The image of `dcm2niix`, which stands for all of them since it is the smallest: as it was built here,
/// else one of its name with a script in the place of the program.
fn image_of_dcm2niix(root: &Path, env: &TestEnv) -> Option<PathBuf> {
    let out = root.join("build/dcm2niix/out");
    let entries = fs_err::read_dir(&out).into_iter().flatten().flatten();
    let images = entries.map(|entry| entry.path());
    let newest = images
        .filter(|path| path.extension().is_some_and(|end| end == "simg"))
        .max();
    if newest.is_some() {
        return newest;
    }
    let folder = image(env)?;
    let tool = Path::new(&folder).join("opt/tool");
    fs_err::rename(tool.join("show"), tool.join("dcm2niix")).unwrap();
    fs_err::write(tool.join("dcm2niix"), "#!/bin/sh\necho usage: dcm2niix\n").unwrap();
    let released = fs_err::read_dir(root.join("releases/dcm2niix")).unwrap();
    let record = released.map(|one| one.unwrap().path()).max().unwrap();
    let version = record.file_stem().unwrap().to_str().unwrap();
    let path = env
        .work()
        .join(format!("built/dcm2niix_{version}_20240101.simg"));
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, squashfs(Path::new(&folder))).unwrap();
    Some(path)
}

#[test]
fn a_container_of_our_own_is_published_found_installed_shown_run_and_removed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (env, Some(store)) = (TestEnv::new().unwrap(), ObjectStore::start()) else {
        return;
    };
    let (Some(image), Some(runtime)) = (image_of_dcm2niix(&root, &env), peer("apptainer")) else {
        return;
    };
    let stem = image.file_stem().unwrap().to_str().unwrap();
    let (name, date) = stem.rsplit_once('_').unwrap();
    let version = name.strip_prefix("dcm2niix_").unwrap();

    // The records of the releases, that of the image with the day on which it was built here.
    for container in fs_err::read_dir(root.join("releases")).unwrap() {
        for record in fs_err::read_dir(container.unwrap().path()).unwrap() {
            let path = record.unwrap().path();
            let mut record: serde_json::Value =
                serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
            if let Some(app) = record["apps"].get_mut(format!("dcm2niix {version}")) {
                app["version"] = date.into();
            }
            let below = path.strip_prefix(&root).unwrap().display().to_string();
            write(&env, &below, &record.to_string());
        }
    }
    let recipes = root.join("recipes").display().to_string();
    good(
        &env,
        &[
            "catalogue",
            "build",
            "--releases",
            "releases",
            "--output",
            "apps.json",
        ],
    );
    good(
        &env,
        &[
            "catalogue",
            "index",
            "--recipes",
            &recipes,
            "--output",
            "index.json",
        ],
    );
    good(&env, &["catalogue", "check", "apps.json"]);

    let url = store.bucket("images");
    let folder = image.parent().unwrap().display().to_string();
    let deployment = format!(
        "brand = \"Bench\"\nstores = [\"{url}\"]\nprefix = \"{}/menu\"\n",
        env.work().display()
    );
    write(&env, "neurodesk.toml", &deployment);
    let command = ["images", "upload", "dcm2niix", "--from", &folder];
    let program = env!("CARGO_BIN_EXE_neurocommand");
    let key = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    env.command(program)
        .envs(key)
        .args(command)
        .assert()
        .success();

    assert!(good(&env, &["search", "dicom"]).out.contains("dcm2niix"));
    let said = good(&env, &["search", "--command", "dcm2niix"]);
    assert!(said.out.contains(version), "{}", said.out);
    let site = ["--site", "site"];
    good(
        &env,
        &[
            &["install", "dcm2niix", "--wrapper-style", "script"],
            &site[..],
        ]
        .concat(),
    );

    good(&env, &["menu", "build"]);
    good(&env, &["menu", "install"]);
    if let Some(menu) = read_menu(&env) {
        let entry = format!("/Bench/All Applications/Dcm2niix: dcm2niix {version}");
        assert!(menu.contains(&entry), "{menu}");
    }
    let words = [
        &["run"],
        &site[..],
        &["dcm2niix", version, "dcm2niix", "-h"],
    ]
    .concat();
    let said = with_runtime(&env, &runtime, &words);
    assert!(
        said.code == 0 && said.out.contains("usage: dcm2niix"),
        "{}{}",
        said.out,
        said.err
    );

    good(&env, &["menu", "remove"]);
    good(&env, &[&["remove", "dcm2niix"], &site[..]].concat());
    let left = files_below(&env.work().join("site"));
    assert!(
        left.iter().all(|path| path.starts_with(".state/")),
        "{left:?}"
    );
    assert!(!env.work().join("menu").exists());
}
