//! Registries of our own that want tokens, forget them, redirect, lie and refuse.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    sync::Arc,
};

use nd_fetch::{
    Cause, Credential, FetchError, Network,
    registry::{
        Credentials, Pulled, Quota, Registries, RegistryError, RegistryOptions, parse_reference,
    },
};
use nd_names::{Architecture, Sha256};
use nd_report::Cancel;
use serde_json::json;

use crate::{
    server::{Asked, Server, cut, empty, part, whole},
    support::{Bench, body},
};

/// The documents and blobs of an image, by digest.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Sample {
    /// An image for `architecture` whose layers have these sizes before they are compressed.
    pub(crate) fn new(architecture: &str, sizes: &[usize]) -> Self {
        let gzip = |bytes: &[u8]| {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gz.write_all(bytes).unwrap();
            gz.finish().unwrap()
        };
        let plain: Vec<_> = sizes.iter().map(|n| body(*n)).collect();
        let layers: Vec<_> = plain.iter().map(|bytes| gzip(bytes)).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {
                "type": "layers",
                "diff_ids": plain.iter().map(|bytes| Sha256::of(bytes).oci()).collect::<Vec<_>>(),
            },
        });
        let config = serde_json::to_vec(&config).unwrap();
        let blob = |kind: &str, bytes: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": Sha256::of(bytes).oci(),
                "size": bytes.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("config.v1+json", &config),
            "layers": layers.iter().map(|bytes| blob("layer.v1.tar+gzip", bytes)).collect::<Vec<_>>(),
        });
        Self {
            manifest: serde_json::to_vec(&manifest).unwrap(),
            config,
            layers,
        }
    }

    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(&self.manifest)
    }

    /// An index of images.
    pub(crate) fn index(images: &[(&str, &Self)]) -> Vec<u8> {
        let entries = images.iter().map(|(architecture, image)| {
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": image.digest().oci(),
                "size": image.manifest.len(),
                "platform": {"architecture": architecture, "os": "linux"},
            })
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": entries.collect::<Vec<_>>(),
        });
        serde_json::to_vec(&index).unwrap()
    }
}

/// What a registry serves under `/v2/group/app/`.
#[derive(Default)]
struct Shelf(BTreeMap<String, Vec<u8>>);

impl Shelf {
    fn of(images: &[&Sample]) -> Self {
        let mut shelf = Self::default();
        for image in images {
            shelf.manifest("latest", &image.manifest);
            for blob in image.layers.iter().chain([&image.config]) {
                let name = format!("/v2/group/app/blobs/{}", Sha256::of(blob).oci());
                shelf.0.insert(name, blob.clone());
            }
        }
        shelf
    }

    fn manifest(&mut self, tag: &str, bytes: &[u8]) {
        for name in [tag, &Sha256::of(bytes).oci()] {
            let name = format!("/v2/group/app/manifests/{name}");
            self.0.insert(name, bytes.to_vec());
        }
    }

    fn serve(&self, asked: &Asked, out: &mut dyn io::Write) -> io::Result<()> {
        match self.0.get(&asked.target) {
            Some(bytes) => part(asked, out, bytes, &[]),
            None => empty(out, "404 Not Found", &[]),
        }
    }
}

pub(crate) fn registries(bench: &Bench, host: &str, credential: Option<Credential>) -> Registries {
    let mut credentials = Credentials::default();
    if let Some(credential) = credential {
        credentials.insert(host, credential);
    }
    let options = RegistryOptions {
        credentials,
        plain_http: vec![host.to_owned()],
        ..RegistryOptions::default()
    };
    Registries::new(bench.fetcher(), options)
}

pub(crate) fn ask(registries: &Registries, name: &str) -> Result<Pulled, RegistryError> {
    let reference = parse_reference(name).unwrap();
    registries.pull_blocking(&reference, Architecture::X86_64, &Cancel::default())
}

pub(crate) fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic {
        user: user.into(),
        password: password.into(),
    }
}

pub(crate) fn pull(bench: &Bench, server: &Server) -> Result<Pulled, RegistryError> {
    let host = server.authority();
    let registries = registries(bench, &host, Some(basic("me", "pass")));
    ask(&registries, &format!("{host}/group/app:latest"))
}

pub(crate) fn count(server: &Server, word: &str) -> usize {
    let log = server.log();
    log.iter().filter(|a| a.target.contains(word)).count()
}

#[test]
fn an_image_is_pulled_once_and_then_there_without_a_network() {
    let image = Sample::new("amd64", &[300_000, 10, 300_000]);
    let shelf = Shelf::of(&[&image]);
    let server = Server::start(move |asked, out| {
        if asked.target.contains("/manifests/") {
            let bytes = &shelf.0[&asked.target];
            let quota = [
                "RateLimit-Limit: 100;w=21600",
                "RateLimit-Remaining: 76;w=21600",
            ];
            return whole(out, bytes, &quota);
        }
        shelf.serve(asked, out)
    });
    let mut bench = Bench::new();
    let pulled = pull(&bench, &server).unwrap();
    assert_eq!(
        (pulled.digest, pulled.image.digest),
        (image.digest(), image.digest())
    );
    assert_eq!(pulled.image.layers.len(), 3);
    assert_eq!(
        pulled.quota,
        Some(Quota {
            limit: 100,
            remaining: 76
        })
    );
    for layer in &image.layers {
        let path = bench.store.blob_path(&Sha256::of(layer));
        assert_eq!(&fs_err::read(path).unwrap(), layer);
    }
    // Two layers are equal, and nothing is asked for twice.
    assert_eq!((count(&server, "/blobs/"), server.log().len()), (3, 4));
    pull(&bench, &server).unwrap();
    assert_eq!(server.log().len(), 5, "only what the tag stands for");

    bench.options.network = Network::Off;
    assert_eq!(pull(&bench, &server).unwrap().digest, image.digest());
    let host = server.authority();
    let registries = registries(&bench, &host, None);
    let pinned = format!("{host}/group/app@{}", image.digest().oci());
    ask(&registries, &pinned).unwrap();
    let error = ask(&registries, &format!("{host}/group/app:other")).unwrap_err();
    assert!(matches!(error, RegistryError::Offline { .. }), "{error}");
    assert_eq!(server.log().len(), 5);
}

#[test]
fn the_architecture_is_chosen_and_what_is_missing_is_named() {
    let (intel, arm) = (Sample::new("amd64", &[1000]), Sample::new("arm64", &[2000]));
    let index = Sample::index(&[("arm64", &arm), ("amd64", &intel)]);
    let only = Sample::index(&[("arm64", &arm)]);
    let mut shelf = Shelf::of(&[&intel, &arm]);
    shelf.manifest("latest", &index);
    shelf.manifest("only", &only);
    let server = Server::start(move |asked, out| shelf.serve(asked, out));
    let bench = Bench::new();
    let pulled = pull(&bench, &server).unwrap();
    assert_eq!(
        (pulled.digest, pulled.image.digest),
        (Sha256::of(&index), intel.digest())
    );
    let host = server.authority();
    let registries = registries(&bench, &host, None);
    let error = ask(&registries, &format!("{host}/group/app:only")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`{host}/group/app:only` has no image for linux/amd64, only for linux/arm64")
    );
    let error = ask(&registries, &format!("{host}/group/app:none")).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
}

/// A registry that gives tokens; a token is good for as many questions as `uses` says.
fn with_tokens(image: &Sample, uses: usize) -> Server {
    let shelf = Shelf::of(&[image]);
    let used = Arc::new(std::sync::Mutex::new((0, 0)));
    Server::start(move |asked, out| {
        if asked.target.starts_with("/token?") {
            let proof = asked.header("authorization");
            if proof != Some("Basic bWU6cGFzcw==") {
                return empty(out, "401 Unauthorized", &[]);
            }
            let mut used = used.lock().unwrap();
            *used = (used.0 + 1, 0);
            return whole(
                out,
                format!("{{\"token\": \"T{}\"}}", used.0).as_bytes(),
                &[],
            );
        }
        let good = {
            let mut used = used.lock().unwrap();
            used.1 += 1;
            let token = format!("Bearer T{}", used.0);
            used.1 <= uses && asked.header("authorization") == Some(&token)
        };
        if !good {
            let host = asked.header("host").unwrap();
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{host}/token?x=1\",service=\"reg\",scope=\"repository:group/app:pull\""
            );
            return empty(out, "401 Unauthorized", &[&challenge]);
        }
        shelf.serve(asked, out)
    })
}

#[test]
fn one_token_is_asked_for_and_a_new_one_when_it_has_expired() {
    let image = Sample::new("amd64", &[1000, 2000, 3000]);
    for (uses, tokens) in [(100, 1), (3, 2)] {
        let server = with_tokens(&image, uses);
        let bench = Bench::new();
        pull(&bench, &server).unwrap();
        assert_eq!(count(&server, "/token"), tokens);
        let log = server.log();
        let asked = log.iter().find(|a| a.target.starts_with("/token")).unwrap();
        assert_eq!(
            asked.target,
            "/token?x=1&service=reg&scope=repository%3Agroup%2Fapp%3Apull"
        );
        assert!(!bench.said().contains("T1"), "{}", bench.said());
    }
    let server = with_tokens(&image, 100);
    let bench = Bench::new();
    let host = server.authority();
    for (credential, says) in [
        (None, "; there are no credentials for it"),
        (
            Some(basic("me", "wrong")),
            " with the credentials there are",
        ),
    ] {
        let registries = registries(&bench, &host, credential);
        let error = ask(&registries, &format!("{host}/group/app:latest")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{host}` refuses access to `group/app`{says}")
        );
    }
}

#[test]
fn blobs_come_from_elsewhere_without_the_credential_and_go_on_after_a_cut() {
    let image = Sample::new("amd64", &[400_000]);
    let layer = image.layers[0].clone();
    let storage = Server::start(move |asked, out| match asked.n {
        0 => cut(out, &layer, 100_000, &[]),
        _ => part(asked, out, &layer, &[]),
    });
    let shelf = Shelf::of(&[&image]);
    let target = format!("Location: {}", storage.url("/x?sig=SECRET"));
    let digest = Sha256::of(&image.layers[0]).oci();
    let server = Server::start(move |asked, out| {
        if asked.header("authorization").is_none() {
            let challenge = "WWW-Authenticate: Basic realm=\"r\"";
            return empty(out, "401 Unauthorized", &[challenge]);
        }
        if asked.target.ends_with(&digest) {
            return empty(out, "307 Temporary Redirect", &[&target]);
        }
        shelf.serve(asked, out)
    });
    let bench = Bench::new();
    pull(&bench, &server).unwrap();
    let log = storage.log();
    assert_eq!(log.len(), 2);
    assert_eq!(log[1].start(), Some(100_000));
    assert!(
        log.iter()
            .all(|asked| asked.header("authorization").is_none())
    );
    assert!(!bench.said().contains("SECRET"));
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let image = Sample::new("amd64", &[1000]);
    let other = Sample::new("amd64", &[1001]);
    // Another manifest than announced, another than asked for, another blob, another size.
    let mut wrong = Shelf::of(&[&image]);
    let name = format!("/v2/group/app/manifests/{}", image.digest().oci());
    wrong.0.insert(name, other.manifest.clone());
    let layer = format!("/v2/group/app/blobs/{}", Sha256::of(&image.layers[0]).oci());
    let mut same_size = image.layers[0].clone();
    same_size[20] ^= 1;
    wrong.0.insert(layer.clone(), same_size);
    let announced = format!("Docker-Content-Digest: {}", other.digest().oci());
    let server = Server::start(move |asked, out| match &asked.target[..] {
        "/v2/group/app/manifests/announced" => whole(out, &image.manifest, &[&announced]),
        _ => wrong.serve(asked, out),
    });
    let bench = Bench::new();
    let host = server.authority();
    let registries = registries(&bench, &host, None);
    let digest = Sample::new("amd64", &[1000]).digest().oci();
    for name in [":announced".to_owned(), format!("@{digest}")] {
        let error = ask(&registries, &format!("{host}/group/app{name}")).unwrap_err();
        assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
    }
    let error = ask(&registries, &format!("{host}/group/app:latest")).unwrap_err();
    let RegistryError::Fetch(FetchError::NoSource { tried, .. }) = error else {
        panic!("{error:?}");
    };
    assert!(matches!(tried[0].cause, Cause::Digest { .. }), "{tried:?}");
    let digest = layer.rsplit(':').next().unwrap().parse().unwrap();
    assert!(bench.store.blob(&digest).unwrap().is_none());
}

#[test]
fn patience_with_a_busy_registry_and_none_with_one_that_forbids() {
    let image = Sample::new("amd64", &[1000]);
    let manifest = image.manifest.clone();
    let shelf = Shelf::of(&[&image]);
    let server = Server::start(move |asked, out| match asked.n {
        0 => empty(out, "429 Too Many Requests", &["Retry-After: 1"]),
        1 => empty(out, "500 Internal Server Error", &[]),
        2 => cut(out, &manifest, 20, &[]),
        _ => shelf.serve(asked, out),
    });
    let mut bench = Bench::new();
    let started = std::time::Instant::now();
    pull(&bench, &server).unwrap();
    assert!(started.elapsed().as_secs() >= 1);

    let server = Server::start(|_, out| empty(out, "403 Forbidden", &[]));
    let error = pull(&bench, &server).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    assert_eq!(server.log().len(), 1);

    bench.options.retries.attempts = 2;
    let server = Server::start(|_, out| empty(out, "503 Service Unavailable", &[]));
    let error = pull(&bench, &server).unwrap_err();
    assert!(error.to_string().contains("HTTP 503"), "{error}");
    assert_eq!(server.log().len(), 2);
}

#[test]
fn a_mirror_is_asked_first_and_the_next_place_when_it_fails() {
    let image = Sample::new("amd64", &[1000]);
    let shelf = Shelf::of(&[&image]);
    let good = Server::start(move |asked, out| {
        let mut asked = asked.clone();
        asked.target = asked.target.replace("/v2/mirror/", "/v2/");
        shelf.serve(&asked, out)
    });
    let bad = Server::start(|_, out| empty(out, "404 Not Found", &[]));
    let bench = Bench::new();
    let text = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"registry.invalid\"\n\
         [[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n\
         [[registry.mirror]]\nlocation = \"{}/mirror\"\ninsecure = true\n",
        bad.authority(),
        good.authority()
    );
    let mut options = RegistryOptions::default();
    options.conf.add(&text).unwrap();
    let registries = Registries::new(bench.fetcher(), options);
    let pulled = ask(&registries, "group/app").unwrap();
    assert_eq!(pulled.digest, image.digest());
    assert_eq!(
        (bad.log().len(), count(&good, "/v2/mirror/group/app/")),
        (1, 3)
    );
    let said = bench.said();
    assert!(
        said.contains("trying `127.0.0.1") && said.contains("/mirror/group/app`"),
        "{said}"
    );
}

#[test]
fn answers_that_are_no_manifests_are_refused() {
    let endless = format!("[{}]", "0,".repeat(3 << 20));
    for (bytes, says) in [
        (&b"not json"[..], "is not valid"),
        (b"{\"schemaVersion\": 2}", "is not valid"),
        (endless.as_bytes(), "larger than the 4194304 bytes"),
    ] {
        let bytes = bytes.to_vec();
        let server = Server::start(move |_, out| whole(out, &bytes, &[]));
        let error = pull(&Bench::new(), &server).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}
