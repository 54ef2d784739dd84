//! Several sources at once, a registry that breaks off, and room and quota that are not there.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use nd_testkit::{OrdinaryUser, UserProcess, peer};

use crate::{
    fixture::{Desk, PROGRAM, search_path},
    served::{Bench, STEM, Server, hex, objects, part, plain},
};

/// An image of several pieces: zeros behind a SIF file are none of its objects.
fn large(bench: &Bench) -> Vec<u8> {
    let mut image = bench.image.clone();
    let mut state = 1_u32;
    while image.len() < 14 << 20 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image.extend_from_slice(&state.to_be_bytes());
    }
    image
}

fn giver(image: &Arc<Vec<u8>>) -> Server {
    let image = image.clone();
    Server::start(move |_, headers| part(headers, &image))
}

#[test]
fn stores_of_a_known_digest_give_pieces_together_and_a_liar_among_them_does_no_harm() {
    let Some(bench) = Bench::new() else { return };
    let image = Arc::new(large(&bench));
    let sum = hex(&image);
    let sums = Server::start(move |_, _| plain(200, format!("{sum}  x\n")));
    let (first, second) = (giver(&image), giver(&image));
    let liar = {
        let mut image = (*image).clone();
        let last = image.len() - 1;
        image[last] ^= 1;
        Server::start(move |_, headers| part(headers, &image))
    };
    let checksum = format!("checksum = \"{}{{stem}}\"\n", sums.url());
    let two = objects("one", &first.url()) + &checksum + &objects("two", &second.url());
    bench.sources(&two);
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 0, "{said}");
    for server in [&first, &second] {
        assert!(server.count() >= 2, "{:?}", server.asked.lock().unwrap());
    }
    let verify = bench.desk.program(&["verify"]).output().unwrap();
    assert!(verify.status.success());
    assert!(!String::from_utf8_lossy(&verify.stderr).contains("without a digest"));
    bench.desk.run(&["uninstall", STEM]);
    bench.sources(&(objects("liar", &liar.url()) + &checksum + &objects("two", &second.url())));
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 0, "{said}");
    bench.desk.run(&["verify"]);
}

#[test]
fn a_registry_that_breaks_off_vouches_for_what_other_stores_have() {
    let Some(bench) = Bench::new() else { return };
    let image = Arc::new(large(&bench));
    let digest = format!("sha256:{}", hex(&image));
    let subject = b"{\"schemaVersion\":2}".to_vec();
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
    // The address to which the image is redirected has expired half way.
    let registry = {
        let image = image.clone();
        Server::start(move |path, headers| {
            if path.ends_with("manifests/1.0_20240131") {
                return plain(200, subject.clone());
            }
            if path.contains("referrers/") {
                return plain(200, index.clone());
            }
            if path.ends_with(&artifact_digest) {
                return plain(200, artifact.clone());
            }
            if path.ends_with(&digest) {
                return (302, vec![("Location".into(), "/signed".into())], Vec::new());
            }
            if path.ends_with("signed") && !headers.iter().any(|line| line.starts_with("range")) {
                let length = ("Content-Length".to_owned(), image.len().to_string());
                return (200, vec![length], image[..image.len() / 2].to_vec());
            }
            plain(403, "expired")
        })
    };
    let good = giver(&image);
    let other = Server::start(|_, _| plain(200, "another image"));
    let source = format!(
        "[network]\nattempts = 1\n[[source]]\nname = \"r\"\nkind = \"referrer\"\nregistry = \"{}/neurodesk\"\nplain_http = true\n",
        registry.address
    );
    // What the registry vouches for is not taken in another form from elsewhere.
    bench.sources(&(source.clone() + &objects("other", &other.url())));
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(bench.desk.listing(), [""; 0]);
    bench.sources(&(source + &objects("good", &good.url())));
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 0, "{said}");
    let asked = good.asked.lock().unwrap().clone();
    assert!(!asked.is_empty());
    let verify = bench.desk.program(&["verify"]).output().unwrap();
    assert!(verify.status.success());
    assert!(!String::from_utf8_lossy(&verify.stderr).contains("without a digest"));
    let proof = bench.desk.run(&["list", "--json"]);
    assert!(proof.contains(STEM), "{proof}");
}

#[test]
fn a_download_that_does_not_fit_is_refused_before_it_comes() {
    let Some(bench) = Bench::new() else { return };
    let image = Arc::new(large(&bench));
    let (first, second) = (giver(&image), giver(&image));
    bench.sources(
        &("[site]\nkeep_free = 4611686018427387904\n".to_owned()
            + &objects("one", &first.url())
            + &objects("two", &second.url())),
    );
    let (code, said) = bench.install(&[STEM]);
    assert_eq!(code, 7, "{said}");
    assert!(said.contains("bytes left"), "{said}");
    // The other source has no more room.
    assert_eq!(second.count(), 0);
    assert_eq!(bench.desk.listing(), [""; 0]);
}

/// A file system with a quota, while this lives.
struct Limited(PathBuf);

impl Limited {
    /// 160 MB, of which whoever writes may use so many.
    #[expect(clippy::print_stdout, reason = "a test says why it is skipped")]
    fn mount(place: &Path, megabytes: u32) -> Option<Self> {
        let (mkfs, btrfs) = (peer("mkfs.btrfs")?, peer("btrfs")?);
        let disk = place.with_extension("disk");
        let file = fs_err::File::create(&disk).unwrap();
        file.set_len(160 << 20).unwrap();
        std::fs::DirBuilder::new().create(place).unwrap();
        let run = |program: &Path, words: &[&str], last: &Path| {
            let ran = Command::new(program).args(words).arg(last).output();
            let ran = ran.unwrap();
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            if ran.status.success() {
                Ok(())
            } else {
                Err(said)
            }
        };
        run(&mkfs, &["--quiet", "--metadata", "single"], &disk).unwrap();
        let disk = disk.to_str().unwrap();
        if let Err(why) = run(Path::new("mount"), &["-o", "loop", disk], place) {
            println!("skipped: no disk can be mounted: {why}");
            return None;
        }
        let limited = Self(place.into());
        run(&btrfs, &["quota", "enable"], place).unwrap();
        let most = format!("{megabytes}M");
        run(&btrfs, &["qgroup", "limit", &most], place).unwrap();
        Some(limited)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_used_up_quota_is_noticed_before_the_first_byte() {
    let Some(bench) = Bench::new() else { return };
    let Some(apptainer) = peer("apptainer") else {
        return;
    };
    let root = bench.desk.env.root().to_owned();
    let Some(user) = OrdinaryUser::new(&root, &apptainer) else {
        return;
    };
    let Some(limited) = Limited::mount(&root.join("limited"), 10) else {
        return;
    };
    let mode = std::fs::Permissions::from_mode(0o777);
    fs_err::set_permissions(&limited.0, mode).unwrap();
    user.make_folder(&root.join("home"));
    let image = Arc::new(large(&bench));
    let server = giver(&image);
    bench.sources(&objects("one", &server.url()));
    let desk = Desk {
        prefix: limited.0.join("prefix"),
        env: bench.desk.env,
    };
    let install = |words: &[&str]| {
        let mut command = user.command(UserProcess::Itself, PROGRAM);
        command
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", root.join("home"))
            .env("ND_CACHE_DIR", root.join("home/cache"))
            .current_dir("/tmp")
            .arg("--prefix")
            .arg(&desk.prefix)
            .arg("--settings")
            .arg(&bench.settings)
            .args(words);
        command.output().unwrap()
    };
    let out = install(&["install", STEM]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(7), "{said}");
    assert!(said.contains("uota"), "{said}");
    assert_eq!(desk.listing(), [""; 0]);
    // The same file that the user has already.
    let file = root.join("home/x.sif");
    fs_err::write(&file, &*image).unwrap();
    let out = install(&["install", STEM, "--from", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(7), "{said}");
    assert_eq!(desk.listing(), [""; 0]);
    // And one for which there is room.
    fs_err::write(&file, &bench.image).unwrap();
    let out = install(&["install", STEM, "--from", file.to_str().unwrap()]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
