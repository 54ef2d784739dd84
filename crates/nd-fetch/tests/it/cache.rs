//! What was downloaded before: used, revalidated, replaced, stale, offline.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use nd_fetch::{FetchError, FileUrls, Freshness, Network, Origin, Request};
use nd_names::Sha256;

use crate::{
    server::{Server, empty, head, whole},
    support::{Bench, body, causes, request, url, verified},
};

/// Serves version `n` of a body with an entity tag, and 304 to who has it.
fn versions(version: Arc<AtomicUsize>) -> Server {
    Server::start(move |asked, out| {
        let n = version.load(Ordering::SeqCst);
        if n == 99 {
            return empty(out, "503 Service Unavailable", &[]);
        }
        let etag = format!("\"v{n}\"");
        let header = format!("ETag: {etag}");
        if asked.header("if-none-match") == Some(&etag) {
            return head(out, "304 Not Modified", &[&header]);
        }
        whole(out, &body(1000 + n), &[&header])
    })
}

#[test]
fn a_download_is_reported_used_revalidated_replaced_and_used_stale() {
    let version = Arc::new(AtomicUsize::new(1));
    let server = versions(version.clone());
    let bench = Bench::new();
    let ask = |freshness| {
        bench.fetch(&Request {
            freshness,
            ..request(&server.url("/f"))
        })
    };
    let first = ask(Freshness::Revalidate).unwrap();
    assert_eq!(first.origin, Origin::Network);
    assert_eq!((first.bytes, first.digest), (1001, Sha256::of(body(1001))));
    assert_eq!(fs_err::read(&first.path).unwrap(), body(1001));
    assert_eq!(first.etag.as_deref(), Some("\"v1\""));
    assert_eq!(ask(Freshness::Any).unwrap().origin, Origin::Cache);
    assert_eq!(server.log().len(), 1);
    assert_eq!(
        ask(Freshness::Revalidate).unwrap().origin,
        Origin::Revalidated
    );
    assert_eq!(
        server.log()[1].header("if-none-match"),
        Some("\"v1\""),
        "{:?}",
        server.log()
    );

    version.store(2, Ordering::SeqCst);
    assert_eq!(ask(Freshness::Any).unwrap().bytes, 1001);
    let second = ask(Freshness::Revalidate).unwrap();
    assert_eq!((second.origin, second.bytes), (Origin::Network, 1002));

    version.store(99, Ordering::SeqCst);
    let before = server.log().len();
    let stale = ask(Freshness::Revalidate).unwrap();
    assert_eq!((stale.origin, stale.bytes), (Origin::Stale, 1002));
    assert_eq!(server.log().len(), before + 1, "no patience needed");
    assert!(
        bench
            .said()
            .contains("without knowing whether it has changed: HTTP 503"),
        "{}",
        bench.said()
    );
    assert_eq!(causes(ask(Freshness::Refetch)).len(), 1);
}

#[test]
fn a_known_digest_needs_no_server_and_no_network() {
    let server = Server::start(|_, out| whole(out, &body(500), &[]));
    let mut bench = Bench::new();
    bench.options.network = Network::Off;
    let asked = verified(&server.url("/dir/f.gz?token=SECRET"), &body(500));
    let error = bench.fetch(&asked).unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "`f.gz` was not downloaded before and the network is off: {}?…",
            server.url("/dir/f.gz")
        )
    );

    bench.options.network = Network::On;
    bench.fetch(&asked).unwrap();
    bench.options.network = Network::Off;
    let other = verified("https://nowhere.invalid/f", &body(500));
    assert_eq!(bench.fetch(&other).unwrap().origin, Origin::Cache);
    // Without a digest, by its URL.
    let by_url = request(&server.url("/dir/f.gz?token=SECRET"));
    assert_eq!(bench.fetch(&by_url).unwrap().origin, Origin::Cache);
    assert_eq!(server.log().len(), 1);

    bench.store.prune(0).unwrap();
    assert!(matches!(
        bench.fetch(&by_url),
        Err(FetchError::Offline { .. })
    ));
}

#[test]
fn files_of_this_machine_only_where_the_caller_allows_it() {
    let mut bench = Bench::new();
    let file = bench.dir.path().join("a file");
    fs_err::write(&file, b"abc").unwrap();
    let text = url::Url::from_file_path(&file).unwrap().to_string();
    let error = bench.fetch(&request(&text)).unwrap_err();
    assert!(error.to_string().contains("`file://` URLs are refused"));
    bench.options.file_urls = FileUrls::Allow;
    bench.options.network = Network::Off;
    assert_eq!(bench.fetch(&verified(&text, b"abc")).unwrap().bytes, 3);
    assert_eq!(
        bench.fetch(&request(&text)).unwrap().digest,
        Sha256::of(b"abc")
    );
    for odd in ["file:///dev/zero", "file:///", "file:///absent"] {
        assert_eq!(causes(bench.fetch(&request(odd))).len(), 1, "{odd}");
    }
    assert_eq!(causes(bench.fetch(&verified(&text, b"abd"))).len(), 1);
}

#[test]
fn many_at_once_come_back_in_their_order() {
    let server = Server::start(|asked, out| {
        let n: usize = asked.target[1..].parse().unwrap();
        whole(out, &body(n), &[])
    });
    let bench = Bench::new();
    let sizes = [5000, 1, 70_000, 0, 5000, 33];
    let requests = sizes.map(|n| Request {
        urls: vec![url(&server.url(&format!("/{n}")))],
        ..verified(&server.url("/"), &body(n))
    });
    let parallel = std::num::NonZeroUsize::new(4).unwrap();
    let results = bench
        .fetcher()
        .fetch_all_blocking(&requests, parallel, &nd_report::Cancel::default())
        .unwrap();
    let found = results.into_iter().map(|result| result.unwrap().bytes);
    assert!(found.eq(sizes.map(|n| n as u64)));
    assert_eq!(server.log().len(), 5, "the same is downloaded once");
    assert_eq!(bench.kept(), (5, 0));
}
