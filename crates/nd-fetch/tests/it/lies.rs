//! A registry that does everything wrong that registries do, one thing after the other, for what is
//! pulled from it and for what is pushed to it.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use nd_fetch::{
    Cause, FetchError,
    registry::{Pushed, Quota, RegistryError},
};

use nd_names::Sha256;

use crate::{
    push::{push, stored},
    registry::{Sample, count, pull},
    server::{Asked, Server, cut, empty, head, part, stall, whole},
    support::{Bench, SHORT},
};

/// One wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Status(&'static str),
    /// A status that asks for patience of so many seconds.
    Patience(&'static str, u32),
    /// No word, as long as anybody waits.
    Silence,
    /// Half of what was announced, and then no word.
    Stall,
    /// Half of what was announced, and then the end.
    Cut,
    /// The end before any word.
    HangUp,
    /// A part other than the one asked for.
    OtherPart,
    /// More bytes than there are.
    Longer,
    /// Fewer bytes than there are, as if they were all.
    Shorter,
    /// Other bytes.
    Other,
    /// Somewhere that was good for a moment and is no longer.
    Expired,
}

use Wrong::{
    Cut, Expired, HangUp, Longer, Other, OtherPart, Patience, Shorter, Silence, Stall, Status,
};

/// What passes when one waits: a client has to come through all of it.
const PASSES: &[Wrong] = &[
    Status("500 Internal Server Error"),
    Patience("429 Too Many Requests", 0),
    Silence,
    HangUp,
    Status("503 Service Unavailable"),
];
/// The same for answers that have a body.
const BODY_PASSES: &[Wrong] = &[Cut, Stall];
const UNAUTHORISED: &str = "401 Unauthorized";

impl Wrong {
    /// Answers wrongly in place of `body`.
    fn answer(self, asked: &Asked, out: &mut dyn io::Write, body: &[u8]) -> io::Result<()> {
        let half = body.len() / 2;
        match self {
            Status(status) => empty(out, status, &[]),
            Patience(status, seconds) => empty(out, status, &[&format!("Retry-After: {seconds}")]),
            Silence => {
                stall(out);
                Ok(())
            }
            Stall => {
                cut(out, body, half, &[])?;
                stall(out);
                Ok(())
            }
            Cut => cut(out, body, half, &[]),
            HangUp => Ok(()),
            OtherPart => {
                let range = format!("Content-Range: bytes 1-{}/{0}", body.len());
                head(out, "206 Partial Content", &[&range, "Content-Length: 1"])?;
                out.write_all(&body[..1])
            }
            Longer => whole(out, &[body, b"more"].concat(), &[]),
            Shorter => whole(out, &body[..half], &[]),
            Other => {
                let mut other = body.to_vec();
                other[half] ^= 1;
                whole(out, &other, &[])
            }
            Expired => {
                let host = asked.header("host").unwrap();
                let to = format!("Location: http://{host}/expired?signature=SECRET");
                empty(out, "307 Temporary Redirect", &[&to])
            }
        }
    }
}

/// A registry with one image. What is asked for is answered by each wrong answer of its kind in turn,
/// and rightly after that; a token is wanted for everything.
struct Liar {
    server: Server,
    image: Sample,
}

/// Wrong answers by what they are for: `GET manifests`, `PUT uploads` and so on; the last one goes on
/// for ever if `ever`.
#[derive(Clone)]
struct Lies {
    of: BTreeMap<&'static str, Vec<Wrong>>,
    ever: bool,
}

impl Lies {
    fn of(kinds: &[(&'static str, &[&[Wrong]])], ever: bool) -> Self {
        let of = kinds.iter().map(|(kind, lies)| (*kind, lies.concat()));
        Self {
            of: of.collect(),
            ever,
        }
    }
}

impl Liar {
    fn start(lies: &Lies) -> Self {
        let image = Sample::new("amd64", &[120_000]);
        let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for blob in image.layers.iter().chain([&image.config]) {
            blobs.insert(Sha256::of(blob).oci(), blob.clone());
        }
        let manifest = image.manifest.clone();
        let Lies { of, ever } = lies.clone();
        let told: Mutex<BTreeMap<String, usize>> = Mutex::default();
        let server = Server::start(move |asked, out| {
            let target = asked.target.split('?').next().unwrap();
            match target {
                "/token" => return whole(out, b"{\"token\": \"T\"}", &[]),
                "/expired" => return empty(out, "403 Forbidden", &[]),
                _ => {}
            }
            let (folder, name) = target.rsplit_once('/').unwrap();
            let kind = format!("{} {}", asked.method, folder.rsplit('/').next().unwrap());
            // One blob is enough to lie about; which one comes first is not known.
            let about = if kind == "GET blobs" { name } else { "" };
            let body: &[u8] = match &kind[..] {
                "GET manifests" => &manifest,
                "GET blobs" => &blobs[name],
                _ => b"nothing to see here",
            };
            if asked.header("authorization") != Some("Bearer T") {
                let host = asked.header("host").unwrap();
                let challenge = format!(
                    "WWW-Authenticate: Bearer realm=\"http://{host}/token\",scope=\"repository:group/app:pull\""
                );
                return empty(out, UNAUTHORISED, &[&challenge]);
            }
            let turn = {
                let mut told = told.lock().unwrap();
                let turn = told.entry(format!("{kind} {about}")).or_default();
                *turn += 1;
                *turn - 1
            };
            let lies = of.get(&kind[..]).map_or(&[][..], Vec::as_slice);
            let lie = lies.get(turn).or_else(|| lies.last().filter(|_| ever));
            if let Some(lie) = lie {
                return lie.answer(asked, out, body);
            }
            let quota = ["RateLimit-Limit: 100;w=21600", "RateLimit-Remaining: 7"];
            match &kind[..] {
                "GET manifests" => whole(out, body, &quota),
                "GET blobs" => part(asked, out, body, &[]),
                "HEAD blobs" => empty(out, "404 Not Found", &[]),
                "POST uploads" => {
                    let to = format!("Location: /v2/group/app/blobs/uploads/{}", asked.n);
                    empty(out, "202 Accepted", &[&to])
                }
                _ => {
                    let has = format!("Docker-Content-Digest: {}", Sha256::of(&asked.body).oci());
                    empty(out, "201 Created", &[&has])
                }
            }
        });
        Self { server, image }
    }
}

/// Limits that let a client come through everything.
fn patient() -> Bench {
    let mut bench = Bench::new();
    bench.options.retries.attempts = 20;
    bench.options.retries.longest_wait = std::time::Duration::from_millis(40);
    bench.options.timeouts = SHORT;
    bench
}

/// Limits under which `lie` is soon met as what it is.
fn hasty(lie: Wrong) -> Bench {
    let mut bench = Bench::new();
    bench.options.retries.attempts = 2;
    bench.options.retries.longest_wait = std::time::Duration::from_millis(40);
    if matches!(lie, Silence | Stall) {
        // Whoever is slow now looks silent, too, which is what is expected.
        bench.options.timeouts.connect = std::time::Duration::from_millis(100);
        bench.options.timeouts.idle = std::time::Duration::from_millis(100);
    }
    bench
}

#[test]
fn a_pull_comes_through_everything_that_passes() {
    let passes = &[PASSES, BODY_PASSES][..];
    let blobs = &[PASSES, BODY_PASSES, &[OtherPart, Expired]][..];
    let lies = Lies::of(&[("GET manifests", passes), ("GET blobs", blobs)], false);
    let liar = Liar::start(&lies);
    let bench = patient();
    let pulled = pull(&bench, &liar.server).unwrap();
    assert_eq!(pulled.image.digest, liar.image.digest());
    let left = Quota {
        limit: 100,
        remaining: 7,
    };
    assert_eq!(pulled.quota, Some(left));
    let layer = fs_err::read(bench.store.blob_path(&Sha256::of(&liar.image.layers[0])));
    assert_eq!(layer.unwrap(), liar.image.layers[0]);
    assert_eq!(count(&liar.server, "/token"), 1);
    let said = bench.said();
    for reason in ["HTTP 500", "HTTP 429", "HTTP 503", "no answer", "HTTP 403"] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
    assert!(!said.contains("SECRET"), "{said}");
}

/// A failure in a word or two.
fn reason(error: &RegistryError) -> String {
    let word = |cause: &Cause| match cause {
        Cause::Status { code, .. } => format!("HTTP {code}"),
        Cause::Timeout { .. } => "silence".to_owned(),
        Cause::Transport { .. } => "transport".to_owned(),
        Cause::Cut { .. } => "cut".to_owned(),
        Cause::Size { .. } => "size".to_owned(),
        Cause::Digest { .. } => "digest".to_owned(),
        other => format!("{other:?}"),
    };
    match error {
        RegistryError::Denied { .. } => "denied".to_owned(),
        RegistryError::NotFound { .. } => "missing".to_owned(),
        RegistryError::Answer { cause, .. } => word(cause),
        RegistryError::Fetch(FetchError::NoSource { tried, .. }) => word(&tried[0].cause),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_pull_ends_at_what_does_not_pass_and_keeps_nothing_wrong() {
    // What it means for a manifest, and for a blob.
    let cases = [
        (Status(UNAUTHORISED), "denied", "HTTP 401"),
        (Status("403 Forbidden"), "denied", "HTTP 403"),
        (Status("404 Not Found"), "missing", "HTTP 404"),
        (Status("500 Internal Server Error"), "HTTP 500", "HTTP 500"),
        // Longer than anybody waits.
        (
            Patience("429 Too Many Requests", 3600),
            "HTTP 429",
            "HTTP 429",
        ),
        (Silence, "silence", "silence"),
        (HangUp, "transport", "transport"),
        (Expired, "denied", "HTTP 403"),
        (Stall, "silence", "silence"),
        (Cut, "cut", "cut"),
        // Without a digest, nobody knows what a name should give.
        (Longer, "", "size"),
        (Shorter, "", "size"),
        (Other, "", "digest"),
    ];
    for (lie, of_manifest, of_blob) in cases {
        for (kind, expected) in [("GET manifests", of_manifest), ("GET blobs", of_blob)] {
            if expected.is_empty() {
                continue;
            }
            let liar = Liar::start(&Lies::of(&[(kind, &[&[lie]])], true));
            let bench = hasty(lie);
            let error = pull(&bench, &liar.server).unwrap_err();
            assert_eq!(reason(&error), expected, "{kind}, {lie:?}: {error:?}");
            for blob in liar.image.layers.iter().chain([&liar.image.config]) {
                let kept = bench.store.blob(&Sha256::of(blob)).unwrap();
                assert!(kept.is_none(), "{kind}, {lie:?}");
            }
            let shown = format!("{error} {error:?} {}", bench.said());
            assert!(!shown.contains("SECRET"), "{shown}");
        }
    }
}

#[test]
fn a_push_comes_through_everything_that_passes() {
    let kinds: &[(&str, &[&[Wrong]])] = &[
        ("HEAD blobs", &[PASSES]),
        ("POST uploads", &[PASSES]),
        // An upload that the registry has forgotten is begun anew.
        ("PUT uploads", &[PASSES, &[Status("404 Not Found")]]),
        ("PUT manifests", &[PASSES]),
    ];
    let liar = Liar::start(&Lies::of(kinds, false));
    let bench = patient();
    let image = stored(&bench, &liar.image);
    let pushed = push(&bench, &liar.server, &image, "group/app:1", None).unwrap();
    let all = Pushed {
        sent: 2,
        ..Pushed::default()
    };
    assert_eq!(pushed, all);
    let log = liar.server.log();
    let puts = || log.iter().filter(|asked| asked.method == "PUT");
    // Each address that an upload was given is sent to once, whole.
    let uploads: Vec<_> = puts()
        .filter(|put| put.target.contains("/uploads/"))
        .collect();
    let addresses: std::collections::BTreeSet<_> = uploads.iter().map(|put| &put.target).collect();
    assert_eq!(addresses.len(), uploads.len());
    let whole = [&liar.image.config, &liar.image.layers[0]];
    assert!(uploads.iter().all(|put| whole.contains(&&put.body)));
    assert_eq!(puts().next_back().unwrap().body, liar.image.manifest);
    assert_eq!(count(&liar.server, "/token"), 1, "one token for all of it");
}

#[test]
fn a_push_ends_at_what_does_not_pass_and_sets_no_tag() {
    for kind in ["HEAD blobs", "POST uploads", "PUT uploads", "PUT manifests"] {
        let cases = [
            (Status(UNAUTHORISED), "denied"),
            (Status("403 Forbidden"), "denied"),
            (Status("400 Bad Request"), "HTTP 400"),
            (Status("500 Internal Server Error"), "HTTP 500"),
            (Patience("429 Too Many Requests", 3600), "HTTP 429"),
            (Silence, "silence"),
            (HangUp, "transport"),
        ];
        for (lie, expected) in cases {
            let liar = Liar::start(&Lies::of(&[(kind, &[&[lie]])], true));
            let bench = hasty(lie);
            let image = stored(&bench, &liar.image);
            let error = push(&bench, &liar.server, &image, "group/app:1", None).unwrap_err();
            assert_eq!(reason(&error), expected, "{kind}, {lie:?}: {error:?}");
            let tagged = count(&liar.server, "/manifests/");
            let expected = if kind == "PUT manifests" {
                1..=3
            } else {
                0..=0
            };
            assert!(expected.contains(&tagged), "{kind}, {lie:?}: {tagged}");
        }
    }
}

#[test]
fn a_registry_that_stores_something_else_or_gives_no_address_is_told_of() {
    let image = Sample::new("amd64", &[1000]);
    let said = Arc::new(Mutex::new(("Location: /up/x", String::new())));
    let says = said.clone();
    let server = Server::start(move |asked, out| {
        let (location, digest) = says.lock().unwrap().clone();
        match &asked.method[..] {
            "HEAD" => empty(out, "404 Not Found", &[]),
            "POST" => empty(out, "202 Accepted", &[location]),
            _ => empty(out, "201 Created", &[&digest]),
        }
    });
    let bench = Bench::new();
    let stored = stored(&bench, &image);
    let other = Sha256::of(b"other").oci();
    let ends = |location, digest: &str| {
        *said.lock().unwrap() = (location, format!("Docker-Content-Digest: {digest}"));
        push(&bench, &server, &stored, "group/app:1", None)
            .unwrap_err()
            .to_string()
    };
    let error = ends("Location: /up/x", &other);
    assert!(error.contains(&format!("it is {other} now")), "{error}");
    for location in [
        "X: nowhere",
        "Location: http://[",
        "Location: file:///etc/passwd",
    ] {
        let error = ends(location, "");
        assert!(error.contains("address"), "{location}: {error}");
    }
    assert_eq!(count(&server, "/manifests/"), 0);
}
