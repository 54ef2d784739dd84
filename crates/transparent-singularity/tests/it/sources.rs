//! Sources on loopback: some have the image, some stall, lie or send elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use nd_testkit::{Registry, peer, skopeo};

use crate::{
    fixture::{PROGRAM, search_path},
    served::{Bench, STEM, Server, hex, objects, plain},
};

#[test]
fn the_first_source_that_has_it_gives_it_and_every_liar_is_passed() {
    let Some(bench) = Bench::new() else { return };
    let missing = Server::start(|_, _| plain(404, "no such thing"));
    let page = Server::start(|_, _| plain(200, "<html>welcome</html>"));
    let cut = {
        let image = bench.image.clone();
        Server::start(move |_, _| plain(200, image[..image.len() / 2].to_vec()))
    };
    let expired = Server::start(|path, _| {
        if path.contains("expired") {
            return plain(403, "expired");
        }
        (
            302,
            vec![("Location".into(), "/expired".into())],
            Vec::new(),
        )
    });
    let good = {
        let image = bench.image.clone();
        Server::start(move |_, _| plain(200, image.clone()))
    };
    let mut text = String::new();
    for (name, server) in [
        ("missing", &missing),
        ("page", &page),
        ("cut", &cut),
        ("expired", &expired),
    ] {
        text += &objects(name, &server.url());
    }
    bench.sources(&text);
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 1, "{said}");
    for part in [
        "no source has",
        "missing (",
        "404",
        "page (",
        "cut (",
        "expired (",
        "403",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(bench.desk.listing(), [""; 0]);
    bench.sources(&(text + &objects("good", &good.url())));
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 0, "{said}");
    // Nothing vouched for the bytes but their number, and that is said.
    let verify = bench.desk.program(&["verify"]).output().unwrap();
    assert!(verify.status.success());
    assert!(
        String::from_utf8(verify.stderr)
            .unwrap()
            .contains("without a digest")
    );
}

#[test]
fn a_checksum_decides_and_what_it_does_not_fit_never_gets_a_name() {
    let Some(bench) = Bench::new() else { return };
    let image = bench.image.clone();
    let mut wrong = image.clone();
    let at = wrong.len() - 5000;
    wrong[at] ^= 1;
    let sum = hex(&image);
    let sums = Server::start(move |_, _| plain(200, format!("{sum}  {STEM}.simg\n")));
    let liar = Server::start(move |_, _| plain(200, wrong.clone()));
    let good = Server::start(move |_, _| plain(200, image.clone()));
    let setting = |url: &str, also: &str| {
        format!(
            "[[source]]\nname = \"one\"\nkind = \"objects\"\nurl = \"{url}\"\nalso = [{also}]\nchecksum = \"{}{{stem}}.sha256\"\n",
            sums.url()
        )
    };
    bench.sources(&setting(&liar.url(), ""));
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(bench.desk.listing(), [""; 0]);
    bench.sources(&setting(&liar.url(), &format!("\"{}\"", good.url())));
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 0, "{said}");
    let verify = bench.desk.program(&["verify"]).output().unwrap();
    assert!(
        !String::from_utf8(verify.stderr)
            .unwrap()
            .contains("without a digest")
    );
}

#[test]
fn a_break_is_gone_on_with_and_many_jobs_download_once() {
    let Some(bench) = Bench::new() else { return };
    let image = bench.image.clone();
    let (begun, whole) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = {
        let (begun, whole) = (begun.clone(), whole.clone());
        Server::start(move |_, headers| {
            let n = begun.fetch_add(1, Ordering::SeqCst);
            let range = headers
                .iter()
                .find_map(|line| line.strip_prefix("range: bytes="));
            let start: usize = range
                .and_then(|text| text.trim_end_matches('-').parse().ok())
                .unwrap_or(0);
            if start == 0 {
                whole.fetch_add(1, Ordering::SeqCst);
            }
            let tag = ("ETag".to_owned(), "\"1\"".to_owned());
            if n == 0 {
                // The whole is announced, half of it comes.
                let length = ("Content-Length".to_owned(), image.len().to_string());
                return (200, vec![tag, length], image[..image.len() / 2].to_vec());
            }
            if start > 0 {
                let text = format!("bytes {start}-{}/{}", image.len() - 1, image.len());
                return (
                    206,
                    vec![tag, ("Content-Range".to_owned(), text)],
                    image[start..].to_vec(),
                );
            }
            (200, vec![tag], image.clone())
        })
    };
    bench.sources(&objects("one", &server.url()));
    let children: Vec<_> = (0..5)
        .map(|_| {
            std::process::Command::new(PROGRAM)
                .env("PATH", search_path())
                .env("ND_CACHE_DIR", bench.desk.env.cache())
                .arg("--prefix")
                .arg(&bench.desk.prefix)
                .arg("--settings")
                .arg(&bench.settings)
                .args(["install", STEM])
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    assert_eq!(
        whole.load(Ordering::SeqCst),
        1,
        "{:?}",
        server.asked.lock().unwrap()
    );
    assert_eq!(server.count(), 2);
    bench.desk.run(&["verify"]);
}

#[test]
fn names_are_looked_up_in_the_list_and_wrong_ones_are_answered() {
    let Some(bench) = Bench::new() else { return };
    let image = bench.image.clone();
    let server = Server::start(move |path, _| {
        if path.ends_with("list") {
            return plain(
                200,
                "tool_1.0_20230101 categories:old,\ntool_1.0_20240131 categories:viewers,\nfsl_6.0.4_20210105 categories:x,\n",
            );
        }
        if path.ends_with(&format!("{STEM}.simg")) {
            return plain(200, image.clone());
        }
        plain(404, "")
    });
    let list = format!("[list]\nurl = \"{}list\"\n", server.url());
    bench.sources(&(list + &objects("one", &server.url())));
    let (code, said) = bench.install(&["tol"]);
    assert_eq!(code, 1);
    assert!(said.contains("did you mean `tool`"), "{said}");
    let (code, said) = bench.install(&[]);
    assert_eq!(code, 0);
    assert!(said.contains("fsl_6.0.4_20210105 categories:x,"), "{said}");
    let (code, said) = bench.install(&["tool"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(STEM), "{said}");
    // What was read once can be searched without a network.
    let settings = bench.settings.display().to_string();
    let before = server.count();
    let found = bench.desk.run(&[
        "--settings",
        &settings,
        "--offline",
        "list",
        "--available",
        "VIEW",
    ]);
    assert_eq!(found, "tool_1.0_20240131 categories:viewers,\n");
    assert_eq!(server.count(), before);
}

#[test]
fn cvmfs_is_linked_unless_it_is_disabled() {
    let Some(bench) = Bench::new() else { return };
    let Some(root) = crate::fixture::root() else {
        return;
    };
    let containers = bench.desk.env.work().join("cvmfs/containers");
    let there = containers.join(STEM).join(format!("{STEM}.simg"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .create(there.parent().unwrap())
        .unwrap();
    std::os::unix::fs::symlink(root.path(), &there).unwrap();
    bench.sources(&format!(
        "[[source]]\nname = \"cvmfs\"\nkind = \"cvmfs\"\npath = {containers:?}\n"
    ));
    let settings = bench.settings.display().to_string();
    let install = |value: Option<&str>| {
        let mut command = bench
            .desk
            .program(&["--settings", &settings, "install", STEM]);
        match value {
            Some(value) => command.env("CVMFS_DISABLE", value),
            None => command.env_remove("CVMFS_DISABLE"),
        };
        let out = command.output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    for value in ["true", "1", "yes", "ON", "maybe", "2"] {
        let (code, said) = install(Some(value));
        assert_eq!(code, Some(1), "{value}: {said}");
        let odd = ["maybe", "2"].contains(&value);
        assert_eq!(said.contains("neither yes nor no"), odd, "{value}: {said}");
        assert_eq!(bench.desk.listing(), [""; 0], "{value}");
    }
    for value in [
        None,
        Some(""),
        Some("0"),
        Some("no"),
        Some("OFF"),
        Some("false"),
    ] {
        let (code, said) = install(value);
        assert_eq!(code, Some(0), "{value:?}: {said}");
        bench.desk.run(&["uninstall", "tool"]);
    }
    assert_eq!(install(None).0, Some(0));
    let link = bench.desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    assert_eq!(fs_err::read_link(&link).unwrap(), there);
    bench.desk.run(&["verify"]);
    bench.desk.run(&["uninstall", "tool"]);
    assert!(there.join("bin/busybox").exists());
}

#[test]
fn a_registry_gives_its_sif_file_or_its_image() {
    let (Some(bench), Some(root)) = (Bench::new(), crate::fixture::root()) else {
        return;
    };
    let (image, digest) = (bench.image.clone(), format!("sha256:{}", hex(&bench.image)));
    let subject = b"{\"schemaVersion\":2}".to_vec();
    let subject_digest = format!("sha256:{}", hex(&subject));
    let artifact = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.sylabs.sif.config.v1+json", "digest": format!("sha256:{}", hex(b"{}")), "size": 2},
        "layers": [{"mediaType": "application/vnd.sylabs.sif.layer.v1.sif", "digest": digest, "size": image.len()}],
    })
    .to_string();
    let artifact_digest = format!("sha256:{}", hex(artifact.as_bytes()));
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/vnd.sylabs.sif.layer.v1.sif", "digest": artifact_digest, "size": artifact.len()},
    ]})
    .to_string();
    let by_tag = Arc::new(AtomicUsize::new(0));
    let server = {
        let by_tag = by_tag.clone();
        Server::start(move |path, _| {
            if path.ends_with("manifests/1.0_20240131") {
                return plain(200, subject.clone());
            }
            // No referrers API: the tag that stands for it.
            if path.ends_with(&subject_digest.replace(':', "-")) {
                by_tag.fetch_add(1, Ordering::SeqCst);
                return plain(200, index.clone());
            }
            if path.ends_with(&artifact_digest) {
                return plain(200, artifact.clone());
            }
            if path.ends_with(&digest) {
                return plain(200, image.clone());
            }
            plain(404, "")
        })
    };
    bench.sources(&format!("[[source]]\nname = \"r\"\nkind = \"referrer\"\nregistry = \"{}/neurodesk\"\nplain_http = true\n", server.address));
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(by_tag.load(Ordering::SeqCst), 1);
    bench.desk.run(&["verify"]);
    bench.desk.run(&["uninstall", STEM]);

    // A real registry with the image alone, which is converted.
    let (Some(registry), Some(_)) = (Registry::start(), peer("skopeo")) else {
        return;
    };
    let work = bench.desk.env.work();
    crate::install::layout(
        root.path(),
        &work.join("layout"),
        &["PATH=/opt/tool/bin:/bin", "DEPLOY_PATH=/opt/tool/bin"],
    );
    let registry = format!("{}/neurodesk", registry.address());
    let image = format!("oci:{}", work.join("layout").display());
    let to = format!("docker://{registry}/tool:1.0_20240131");
    skopeo(&["copy", "--dest-tls-verify=false", &image, &to]);
    bench.sources(&format!("[[source]]\nname = \"d\"\nkind = \"registry\"\nregistry = \"{registry}\"\nplain_http = true\n"));
    let (code, said) = bench.install(&[STEM, "--storage", "docker"]);
    assert_eq!(code, 0, "{said}");
    bench.desk.run(&["verify"]);
    let path = bench.desk.prefix.join(STEM).join("show");
    let run = std::process::Command::new(path)
        .env("PATH", search_path())
        .arg("x")
        .output()
        .unwrap();
    let shown = String::from_utf8(run.stdout).unwrap();
    assert!(shown.starts_with("<show><x>"), "{shown}");
}

#[test]
fn a_source_that_stalls_is_given_up_for_the_next() {
    let Some(bench) = Bench::new() else { return };
    // It says nothing for ever.
    let stalled = Server::start(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let image = bench.image.clone();
    let good = Server::start(move |_, _| plain(200, image.clone()));
    // The other one may be slow, too, on a machine with much to do.
    let patience = "[network]\nidle = 3\nattempts = 1\n".to_owned();
    bench
        .sources(&(patience + &objects("stalled", &stalled.url()) + &objects("good", &good.url())));
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 0, "{said}");
    assert!(stalled.count() > 0);
}

#[test]
fn upgrade_follows_the_list_and_gc_leaves_no_download() {
    let Some(bench) = Bench::new() else { return };
    let image = bench.image.clone();
    let server = Server::start(move |path, _| {
        if path.ends_with("list") {
            return plain(200, "tool_1.0_20250101 categories:viewers,\n");
        }
        if path.contains("simg") {
            plain(200, image.clone())
        } else {
            plain(404, "")
        }
    });
    bench.sources(
        &(format!("[list]\nurl = \"{}list\"\n", server.url()) + &objects("one", &server.url())),
    );
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 0, "{said}");
    let settings = bench.settings.display().to_string();
    let out = bench
        .desk
        .run(&["--settings", &settings, "upgrade", "--dry-run", "--json"]);
    assert!(out.contains("tool_1.0_20250101"), "{out}");
    bench.desk.run(&["--settings", &settings, "upgrade"]);
    let listed = bench.desk.run(&["list", "--json"]);
    assert!(
        listed.contains("tool_1.0_20250101") && !listed.contains(STEM),
        "{listed}"
    );
    let before = server.count();
    bench.desk.run(&["--settings", &settings, "upgrade"]);
    assert!(server.count() <= before + 1, "an image was fetched again");
    bench.desk.run(&["gc"]);
    let blobs = bench.desk.prefix.join(".state/store/blobs");
    let mut open = vec![blobs];
    while let Some(folder) = open.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir(), "{}", path.display());
            open.push(path);
        }
    }
    // What is wrong is said with what to do, as text and as data.
    let doctor = bench
        .desk
        .program(&["--settings", &settings, "doctor", "--json"])
        .output()
        .unwrap();
    let checks: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!(checks["checks"].as_array().unwrap().len(), 11);
}
