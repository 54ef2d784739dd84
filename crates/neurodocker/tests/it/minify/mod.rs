//! Images made smaller, for real: what stays, what goes, what is refused, what is found out.

mod debian;
mod registry;
mod support;

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use support::{Bench, config, paths, snapshot, told};

const RUN: &str = "/opt/app/run";

/// What is left of `/opt` when only [`RUN`] was run.
const LEFT: &[&str] = &[
    "opt",
    "opt/app",
    "opt/app/LICENSE.txt",
    "opt/app/current",
    "opt/app/flag",
    "opt/app/lib",
    "opt/app/lib/used.so",
    "opt/app/lib/used.so.1",
    "opt/app/run",
    "opt/app/sh",
    "opt/other",
    "opt/other/empty",
];

fn usable() -> bool {
    nd_testkit::peer("busybox").is_some()
}

fn below_opt(layout: &std::path::Path) -> Vec<String> {
    let mut paths = paths(layout);
    paths.retain(|path| path.starts_with("opt"));
    paths
}

#[test]
fn what_is_used_stays_and_the_rest_of_the_pruned_directories_goes() {
    if !usable() {
        return;
    }
    for bench in [Bench::new(), Bench::of_an_ordinary_user()] {
        let image = bench.image("image");
        let before = snapshot(&image);
        let report = bench.minify(&["image", "-c", RUN, "-d", "/opt", "--output", "out:1.1"]);
        assert_eq!(below_opt(&bench.path("out")), LEFT);
        let all = paths(&bench.path("out"));
        assert!(all.contains(&"etc/unused".to_owned()), "{all:?}");
        assert!(report["removed_bytes"].as_u64().unwrap() > 7000, "{report}");
        assert_eq!(report["put_back"], serde_json::json!([]));
        assert_eq!(snapshot(&image), before, "the image was changed");

        // Configuration, but for layers and history, is that of the image.
        let (mut old, base) = config(&image);
        let (mut new, digest) = config(&bench.path("out"));
        assert_eq!(new["history"].as_array().unwrap().len(), 2);
        for config in [&mut old, &mut new] {
            config.as_object_mut().unwrap().remove("rootfs");
            config.as_object_mut().unwrap().remove("history");
        }
        assert_eq!(old, new);
        let manifest = bench.path("out/blobs/sha256").join(&digest);
        let manifest = fs_err::read_to_string(manifest).unwrap();
        assert!(manifest.contains(&base), "{manifest}");

        // Once more: the same bytes, and then there is nothing left to remove.
        bench.minify(&[
            "image:1.0",
            "-c",
            RUN,
            "-d",
            "/opt",
            "--output",
            "oci:again",
        ]);
        assert_eq!(config(&bench.path("again")).1, digest);
        let report = bench.minify(&["out", "-c", RUN, "-d", "/opt", "--output", "third"]);
        assert_eq!(report["removed_files"], 0);
    }
}

#[test]
fn commands_are_lines_of_shell_that_see_what_those_before_them_did() {
    if !usable() {
        return;
    }
    let bench = Bench::new();
    bench.image("image");
    fs_err::write(bench.path("input"), "from the host\n").unwrap();
    let bind = format!("{}:/data/in", bench.path("input").display());
    let report = bench.minify(&[
        "image",
        "-c",
        "cat /opt/other/data | sort > '/opt/app/a \"file\"' && echo \"$GREETING\"",
        "-c",
        "test \"$(cat '/opt/app/a \"file\"')\" = data && cat /data/in",
        "-c",
        RUN,
        "--keep",
        "*.so",
        "--drop-licenses",
        "--bind",
        &bind,
        "-d",
        "/opt/app",
        "-d",
        "/opt",
        "-o",
        "out",
    ]);
    let left = below_opt(&bench.path("out"));
    for kept in [
        "opt/other/data",
        "opt/app/lib/lazy.so",
        "opt/app/lib/unused.so",
    ] {
        assert!(left.contains(&kept.to_owned()), "{left:?}");
    }
    for gone in ["opt/app/a \"file\"", "opt/app/LICENSE.txt", "opt/app/doc"] {
        assert!(!left.contains(&gone.to_owned()), "{left:?}");
    }
    assert_eq!(report["unsteady"], serde_json::json!([]));
}

#[test]
fn what_is_only_listed_is_missed_found_and_put_back() {
    if !usable() {
        return;
    }
    let bench = Bench::new();
    bench.image("image");
    let list =
        "cd /opt/app/lib && echo * && for f in *; do case $f in lazy*) cat \"$f\";; esac; done";
    let arguments = ["image", "-c", list, "-d", "/opt", "-o", "out"];
    let output = bench.command(&arguments).arg("--yes").output().unwrap();
    let text = told(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("/opt/app/lib/unused.so"), "{text}");
    let left = below_opt(&bench.path("out"));
    assert!(
        left.contains(&"opt/app/lib/unused.so".to_owned()),
        "{left:?}"
    );
    assert!(!left.contains(&"opt/app/doc/manual".to_owned()), "{left:?}");
    // Not with no round to put it back in.
    let text = bench.refused(
        1,
        &[
            "image",
            "-c",
            list,
            "-d",
            "/opt",
            "-o",
            "no",
            "-y",
            "--max-repair",
            "0",
        ],
    );
    assert!(text.contains("instead of"), "{text}");
    assert!(!bench.path("no").exists());
    // What differs from run to run is not compared.
    let report = bench.minify(&[
        "image",
        "-c",
        "cat /proc/sys/kernel/random/uuid",
        "-d",
        "/opt",
        "-o",
        "unsteady",
    ]);
    assert_eq!(report["unsteady"].as_array().unwrap().len(), 1, "{report}");
}

#[test]
fn nothing_is_written_unless_everything_is_right_and_agreed_to() {
    if !usable() {
        return;
    }
    let bench = Bench::new();
    bench.image("image");
    let files = || {
        let mut names: Vec<_> = fs_err::read_dir(bench.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "cache")
            .collect();
        names.sort();
        names
    };
    let before = files();
    let command = ["-c", RUN, "-d", "/opt", "-o", "out"];
    let with = |more: &[&'static str]| -> Vec<&str> {
        let mut all = vec!["image"];
        all.extend(command);
        all.extend(more);
        all
    };
    // Nobody answers; somebody says no.
    assert!(bench.refused(6, &with(&[])).contains("/opt/app"));
    let mut child = bench.command(&with(&[]));
    let mut child = child
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"n\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(6));
    let text = bench.refused(0, &with(&["--dry-run", "--opened", "cache/list"]));
    assert!(
        text.contains("/opt/app") && text.contains("files"),
        "{text}"
    );
    let list = fs_err::read_to_string(bench.path("cache/list")).unwrap();
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines.contains(&"opt/app/run"), "{list}");
    assert!(!lines.contains(&"opt/app/LICENSE.txt"), "{list}");

    for (arguments, code, says) in [
        (
            &[
                "image",
                "-c",
                "cat /nothing; exit 3",
                "-d",
                "/opt",
                "-o",
                "out",
            ][..],
            1,
            "exit status 3",
        ),
        (
            &["image", "-c", "nonesuch", "-d", "/opt", "-o", "out"],
            1,
            "127",
        ),
        (
            &["image", "-c", RUN, "-d", "/nothing", "-o", "out"],
            1,
            "no such directory",
        ),
        (
            &["image", "-c", RUN, "-d", "/", "-o", "out"],
            1,
            "everything",
        ),
        (
            &["image", "-c", RUN, "-d", "/opt", "-o", "cache"],
            1,
            "is there already",
        ),
        (
            &[
                "image", "-c", RUN, "-d", "/opt", "-o", "out", "--keep", "**",
            ],
            2,
            "everything",
        ),
        (
            &[
                "image",
                "-c",
                RUN,
                "-d",
                "/opt",
                "-o",
                "out",
                "--bind",
                "/etc:/opt/etc",
            ],
            1,
            "host",
        ),
        (&["image", "-c", RUN, "-d", "/opt"], 2, "--output"),
        (&["image", "-d", "/opt", "-o", "out"], 2, "--command"),
        (
            &["--container", "x", "-d", "/opt", "true"],
            2,
            "docker save",
        ),
        (
            &["library://debian", "-c", "true", "-d", "/opt", "-o", "out"],
            1,
            "skopeo copy library://debian",
        ),
        (
            &["some/name", "-c", "true", "-d", "/opt", "-o", "out"],
            1,
            "write `docker://some/name`",
        ),
        (
            &["docker://No Name", "-c", "true", "-d", "/opt", "-o", "out"],
            1,
            "`No Name` is no name of an image",
        ),
        (
            &["missing.sif", "-c", "true", "-d", "/opt", "-o", "out"],
            1,
            "no image `missing.sif`",
        ),
        (
            &["cache", "-c", "true", "-d", "/opt", "-o", "out"],
            1,
            "neither an OCI layout",
        ),
    ] {
        let text = bench.refused(code, arguments);
        assert!(text.contains(says), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    assert_eq!(files(), before);
}

#[test]
fn what_is_killed_leaves_nothing_that_looks_like_a_result() {
    if !usable() {
        return;
    }
    let bench = Bench::new();
    bench.image("image");
    let arguments = [
        "-c",
        "cat /tmp/../etc/passwd; exec sleep 60",
        "-d",
        "/opt",
        "-o",
        "out",
        "-y",
    ];
    let mut command = bench.command(&["image"]);
    let mut child = command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command has begun once it says something.
    let mut said = [0; 4];
    std::io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!bench.path("out").exists());
    // What another one left while it wrote is removed by the next, unless it is still at it.
    for name in ["dead", "alive"] {
        let lock = bench.path(&format!(".{name}.x.nd-part"));
        fs_err::create_dir_all(lock.with_extension("nd-part.d")).unwrap();
        fs_err::write(lock, "").unwrap();
    }
    let held = fs_err::File::open(bench.path(".alive.x.nd-part")).unwrap();
    held.file().lock().unwrap();
    bench.minify(&["image", "-c", RUN, "-d", "/opt", "-o", "out"]);
    assert_eq!(below_opt(&bench.path("out")), LEFT);
    assert!(!bench.path(".dead.x.nd-part.d").exists());
    assert!(bench.path(".alive.x.nd-part.d").exists());
}

#[test]
fn sif_files_and_archives_are_images_too() {
    if !usable() {
        return;
    }
    let bench = Bench::new();
    bench.image("image");
    let made = bench.minify(&["image", "-c", RUN, "-d", "/opt/app/doc", "-o", "first.sif"]);
    assert!(made["output"]["bytes"].as_u64().unwrap() > 4096);
    // The environment of a SIF file is what its scripts make it.
    let test = "test \"$GREETING\" = 'hello \"you\"' && /opt/app/run";
    let report = bench.minify(&["first.sif", "-c", test, "-d", "/opt", "-o", "sif:second"]);
    assert!(report["removed_bytes"].as_u64().unwrap() > 7000, "{report}");
    let report = bench.minify(&["second", "-c", test, "-d", "/opt", "-o", "third.simg"]);
    assert_eq!(report["removed_files"], 0, "{report}");
    let text = bench.refused(1, &["second", "-c", test, "-d", "/opt", "-o", "layout"]);
    assert!(text.contains("SIF"), "{text}");
    if let Some(apptainer) = nd_testkit::peer("apptainer") {
        let mut run = Command::new(apptainer);
        run.args(["exec", "--contain"]).arg(bench.path("second"));
        let output = run.arg("/opt/app/run").output().unwrap();
        assert_eq!(output.stdout, b"used\nflag\n", "{}", told(&output));
    }

    let Some(skopeo) = nd_testkit::peer("skopeo") else {
        return;
    };
    for kind in ["oci-archive", "docker-archive"] {
        let archive = bench.path(&format!("{kind}.tar"));
        let output = Command::new(&skopeo)
            .args(["--insecure-policy", "copy", "--quiet"])
            .arg(format!("oci:{}:1.0", bench.path("image").display()))
            .arg(format!("{kind}:{}", archive.display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let name = format!("from-{kind}");
        let archive = format!("{kind}.tar");
        bench.minify(&[&archive, "-c", RUN, "-d", "/opt", "-o", &name]);
        assert_eq!(below_opt(&bench.path(&name)), LEFT, "{kind}");
    }
}
