//! Servers that refuse, lie, wander or never end; and callers that lose patience.

use std::time::{Duration, Instant};

use nd_fetch::{Cause, Downgrade, FetchError, Request};
use nd_names::Sha256;
use nd_report::Cancel;

use crate::{
    server::{Server, cut, empty, head, stall, whole},
    support::{Bench, SHORT, body, causes, fetch, request, url, verified},
};

#[test]
fn statuses_in_turn_end_with_the_thing_when_they_may_pass() {
    let server = Server::start(|asked, out| match asked.n {
        0 => empty(out, "500 Internal Server Error", &[]),
        1 => empty(out, "429 Too Many Requests", &["Retry-After: 1"]),
        2 => empty(out, "403 Forbidden", &[]),
        _ => whole(out, &body(10), &[]),
    });
    let mut bench = Bench::new();
    bench.options.retries.attempts = 4;
    let started = Instant::now();
    bench.fetch(&request(&server.url("/f"))).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After");
    assert_eq!(server.log().len(), 4);
    assert!(
        bench.said().contains("HTTP 429: Too Many Requests"),
        "{}",
        bench.said()
    );
}

#[test]
fn each_source_fails_for_its_own_reason() {
    let server = Server::start(|asked, out| match &asked.target[..] {
        "/401" => empty(out, "401 Unauthorized", &[]),
        "/403" => empty(out, "403 Forbidden", &[]),
        "/404" => empty(out, "404 Not Found", &[]),
        "/429" => empty(out, "429 Too Many Requests", &["Retry-After: 3600"]),
        _ => empty(out, "500 Internal Server Error", &[]),
    });
    let bench = Bench::new();
    let paths = ["/401", "/403", "/404", "/429", "/500"];
    let error = bench
        .fetch(&Request {
            name: Some("data".into()),
            urls: paths.map(|path| url(&server.url(path))).to_vec(),
            ..verified(&server.url("/"), b"x")
        })
        .unwrap_err();
    let root = server.url("");
    assert_eq!(
        error.to_string().replace(&root, "U"),
        "failed to download `data` from U/401 after 1 attempt: HTTP 401: Unauthorized; \
         from U/403 after 3 attempts: HTTP 403: Forbidden; \
         from U/404 after 1 attempt: HTTP 404: Not Found; \
         from U/429 after 1 attempt: HTTP 429: Too Many Requests; \
         from U/500 after 3 attempts: HTTP 500: Internal Server Error"
    );
    assert_eq!(server.log().len(), 9);
    assert_eq!(bench.kept(), (0, 0));
}

#[test]
fn the_next_mirror_is_asked_and_nobody_listening_is_a_reason() {
    let closed = Server::start(|_, _| Ok(())).url("/f");
    let server = Server::start(|_, out| whole(out, &body(10), &[]));
    let bench = Bench::new();
    for sha256 in [None, Some(Sha256::of(body(10)))] {
        let fetched = bench.fetch(&Request {
            urls: vec![
                url("http://127.0.0.1:1/f"),
                url(&closed),
                url(&server.url("/f")),
            ],
            sha256,
            freshness: nd_fetch::Freshness::Refetch,
            ..request(&closed)
        });
        assert_eq!(fetched.unwrap().bytes, 10);
    }
    let tried = causes(bench.fetch(&request("http://127.0.0.1:1/f")));
    assert!(matches!(tried[..], [(3, Cause::Transport { .. })]));
    assert!(
        bench.said().contains("onnection refused"),
        "{}",
        bench.said()
    );
}

#[test]
fn lengths_that_lie_are_noticed() {
    // More announced than comes.
    let server = Server::start(|_, out| cut(out, &body(100), 60, &[]));
    let bench = Bench::new();
    let tried = causes(bench.fetch(&request(&server.url("/f"))));
    assert!(
        matches!(
            tried[..],
            [(
                3,
                Cause::Cut {
                    got: 60,
                    expected: Some(100),
                    ..
                }
            )]
        ),
        "{tried:?}"
    );

    // Less announced than comes: the digest or the size tells.
    let server = Server::start(|_, out| {
        head(out, "200 OK", &["Content-Length: 60"])?;
        out.write_all(&body(100))
    });
    let bench = Bench::new();
    let tried = causes(bench.fetch(&verified(&server.url("/f"), &body(100))));
    assert!(
        matches!(tried[..], [(1, Cause::Digest { .. })]),
        "{tried:?}"
    );
    let sized = |size| Request {
        size: Some(size),
        ..request(&server.url("/f"))
    };
    let tried = causes(bench.fetch(&sized(100)));
    assert!(
        matches!(
            tried[..],
            [(
                1,
                Cause::Size {
                    expected: 100,
                    found: 60
                }
            )]
        ),
        "{tried:?}"
    );

    // None announced: the connection's end counts, and the size tells again.
    let server = Server::start(|_, out| {
        head(out, "200 OK", &[])?;
        out.write_all(&body(60))
    });
    assert_eq!(bench.fetch(&request(&server.url("/f"))).unwrap().bytes, 60);
    let fresh = Bench::new();
    for (size, found) in [
        (100, "ended after 60 of 100"),
        (50, "60 bytes, expected 50"),
    ] {
        let error = fresh
            .fetch(&Request {
                size: Some(size),
                ..request(&server.url("/f"))
            })
            .unwrap_err();
        assert!(error.to_string().contains(found), "{error}");
    }
    assert_eq!(fresh.kept().0, 0);
}

#[test]
fn other_bytes_never_get_a_name() {
    let wrong = Server::start(|_, out| whole(out, &body(101), &[]));
    let right = Server::start(|_, out| whole(out, &body(100), &[]));
    let bench = Bench::new();
    let asked = verified(&wrong.url("/f"), &body(100));
    let tried = causes(bench.fetch(&asked));
    assert!(
        matches!(tried[..], [(1, Cause::Digest { .. })]),
        "{tried:?}"
    );
    assert_eq!(bench.kept(), (0, 0));
    let fetched = bench
        .fetch(&Request {
            urls: vec![url(&wrong.url("/f")), url(&right.url("/f"))],
            ..asked
        })
        .unwrap();
    assert_eq!(fs_err::read(fetched.path).unwrap(), body(100));
    assert_eq!(bench.kept(), (1, 0));
}

#[test]
fn sizes_have_a_ceiling_announced_or_not() {
    let announced = Server::start(|_, out| whole(out, &body(100_000), &[]));
    let endless = Server::start(|_, out| {
        head(out, "200 OK", &["Transfer-Encoding: chunked"])?;
        loop {
            write!(out, "1000\r\n")?;
            out.write_all(&[7; 0x1000])?;
            write!(out, "\r\n")?;
        }
    });
    let mut bench = Bench::new();
    for server in [&announced, &endless] {
        let tried = causes(bench.fetch(&Request {
            max_bytes: Some(50_000),
            ..request(&server.url("/f"))
        }));
        assert!(
            matches!(tried[..], [(1, Cause::TooLarge { limit: 50_000 })]),
            "{tried:?}"
        );
    }
    bench.options.max_bytes = 99_999;
    causes(bench.fetch(&request(&announced.url("/f"))));
    assert_eq!(bench.kept(), (0, 0));
}

#[test]
fn redirects_are_followed_to_a_limit_and_expired_ones_asked_for_again() {
    let server = Server::start(|asked, out| match (&asked.target[..], asked.n) {
        ("/loop", _) => empty(out, "302 Found", &["Location: loop"]),
        ("/nowhere", _) => empty(out, "302 Found", &[]),
        ("/file", _) => empty(out, "302 Found", &["Location: file:///etc/passwd"]),
        ("/f", 0) => empty(out, "302 Found", &["Location: /signed?sig=OLD"]),
        ("/f", _) => empty(
            out,
            "307 Temporary Redirect",
            &["Location: ./signed?sig=NEW"],
        ),
        ("/signed?sig=NEW", _) => whole(out, &body(10), &[]),
        _ => empty(out, "403 Forbidden", &[]),
    });
    let bench = Bench::new();
    assert_eq!(bench.fetch(&request(&server.url("/f"))).unwrap().bytes, 10);
    let targets: Vec<_> = server.log().iter().map(|a| a.target.clone()).collect();
    assert_eq!(targets, ["/f", "/signed?sig=OLD", "/f", "/signed?sig=NEW"]);
    let said = bench.said();
    assert!(
        said.contains("/signed?…)") && !said.contains("OLD"),
        "{said}"
    );

    let tried = causes(bench.fetch(&request(&server.url("/loop"))));
    assert!(matches!(tried[..], [(1, Cause::Redirects { limit: 10 })]));
    for path in ["/nowhere", "/file"] {
        let tried = causes(bench.fetch(&request(&server.url(path))));
        assert!(matches!(tried[..], [(1, Cause::Location)]), "{tried:?}");
    }
}

#[test]
fn a_redirect_never_leads_out_of_encryption_unless_allowed() {
    let plain = Server::start(|_, out| whole(out, &body(10), &[]));
    let target = format!("Location: {}", plain.url("/f?sig=SECRET"));
    let authority = crate::tls::Authority::new("ours");
    let server = Server::with_tls(Some(authority.server()), move |_, out| {
        empty(out, "302 Found", &[&target])
    });
    let mut bench = Bench::new();
    bench.options.trust = authority.trust(bench.dir.path());
    let error = bench.fetch(&request(&server.url("/f"))).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("from `https` to http://") && !text.contains("SECRET"),
        "{text}"
    );
    assert!(plain.log().is_empty());
    bench.options.downgrade = Downgrade::Allow;
    bench.fetch(&request(&server.url("/f"))).unwrap();
}

#[test]
fn a_wish_to_stop_is_heard_while_a_server_says_nothing() {
    let server = Server::start(|asked, out| {
        if asked.target == "/f" {
            cut(out, &body(100_000), 70_000, &["ETag: \"x\""])?;
        }
        stall(out);
        Ok(())
    });
    for (path, left) in [("/f", (0, 1)), ("/silent", (0, 1))] {
        let mut bench = Bench::new();
        bench.options.timeouts.idle = Duration::from_secs(600);
        let cancel = Cancel::default();
        let fetcher = bench.fetcher();
        let seen = server.log().len();
        let (result, took) = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let started = Instant::now();
                let result = fetch(&fetcher, &request(&server.url(path)), &cancel);
                (result, started.elapsed())
            });
            while server.log().len() == seen && !work.is_finished() {
                std::thread::yield_now();
            }
            cancel.cancel();
            work.join().unwrap()
        });
        assert!(
            matches!(result, Err(FetchError::Cancelled(_))),
            "{result:?}"
        );
        assert!(took < Duration::from_secs(300), "{took:?}");
        assert_eq!(bench.kept(), left);
    }
}

#[test]
fn silence_before_the_answer_ends_too() {
    let server = Server::start(|_, out| {
        stall(out);
        Ok(())
    });
    let mut bench = Bench::new();
    bench.options.timeouts = SHORT;
    bench.options.retries.attempts = 2;
    let tried = causes(bench.fetch(&request(&server.url("/f"))));
    assert!(
        matches!(tried[..], [(2, Cause::Timeout { .. })]),
        "{tried:?}"
    );
}

#[test]
fn a_drop_at_a_time_is_a_stall() {
    let server = Server::start(|_, out| {
        head(out, "200 OK", &["Content-Length: 1000"])?;
        for byte in body(1000) {
            out.write_all(&[byte])?;
            out.flush()?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    });
    let mut bench = Bench::new();
    bench.options.timeouts.idle = Duration::from_millis(50);
    bench.options.retries.attempts = 1;
    let tried = causes(bench.fetch(&request(&server.url("/f"))));
    assert!(
        matches!(tried[..], [(1, Cause::Timeout { .. })]),
        "{tried:?}"
    );
}

#[test]
fn a_request_without_a_url_is_refused() {
    let bench = Bench::new();
    let none = Request {
        urls: Vec::new(),
        ..request("http://h/f")
    };
    let error = bench.fetch(&none).unwrap_err();
    assert_eq!(error.to_string(), "`download` has no URL to download from");
}
