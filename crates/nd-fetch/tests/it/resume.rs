//! Going on after a cut, with servers that know how and servers that do not.

use std::time::Duration;

use nd_fetch::{Cause, Origin, Rate, Request};
use nd_names::Sha256;
use nd_store::ItemKind;

use crate::{
    server::{Server, cut, empty, head, part, stall, whole},
    support::{Bench, body, causes, request, url, verified},
};

const N: usize = 300_000;
const TAG: &str = "ETag: \"one\"";

#[test]
fn a_cut_and_a_stalled_download_go_on_where_they_stood() {
    for stalls in [false, true] {
        let server = Server::start(move |asked, out| match asked.n {
            0 => {
                cut(out, &body(N), 100_000, &[TAG])?;
                if stalls {
                    stall(out);
                }
                Ok(())
            }
            _ => part(asked, out, &body(N), &[TAG]),
        });
        let mut bench = Bench::new();
        if stalls {
            bench.options.timeouts.idle = Duration::from_secs(2);
        }
        let fetched = bench.fetch(&request(&server.url("/f"))).unwrap();
        assert_eq!(fs_err::read(fetched.path).unwrap(), body(N));
        let log = server.log();
        assert_eq!(log.len(), 2);
        assert_eq!(log[1].start(), Some(100_000));
        assert_eq!(log[1].header("if-range"), Some("\"one\""));
        assert_eq!(bench.kept(), (1, 0));
    }
}

#[test]
fn downloads_are_no_faster_than_their_rate() {
    let server = Server::start(|asked, out| part(asked, out, &body(N), &[TAG]));
    let mut bench = Bench::new();
    bench.options.rate = Rate::bytes_per_second(400_000);
    let begun = std::time::Instant::now();
    for path in ["/one", "/two"] {
        let fetched = bench.fetch(&request(&server.url(path))).unwrap();
        assert_eq!(fs_err::read(fetched.path).unwrap(), body(N));
    }
    // Twice 300 kB, but for what comes at once in the beginning.
    assert!(begun.elapsed().as_millis() > 1300, "{:?}", begun.elapsed());
}

#[test]
fn what_one_run_left_the_next_one_goes_on_with() {
    let server = Server::start(|asked, out| match asked.n {
        0 => cut(out, &body(N), 100_000, &[TAG]),
        1 => cut(out, &body(N), 0, &[TAG]),
        _ => part(asked, out, &body(N), &[TAG]),
    });
    let mut bench = Bench::new();
    bench.options.retries.attempts = 1;
    let asked = request(&server.url("/f"));
    let tried = causes(bench.fetch(&asked));
    assert!(
        matches!(
            tried[..],
            [(
                1,
                Cause::Cut {
                    got: 100_000,
                    expected: Some(300_000),
                    ..
                }
            )]
        ),
        "{tried:?}"
    );
    assert_eq!(bench.kept(), (0, 1));
    // The server takes it for a new download and breaks it before the first byte: nothing is left.
    causes(bench.fetch(&asked));
    assert_eq!(bench.kept(), (0, 0));
    assert_eq!(bench.fetch(&asked).unwrap().bytes, N as u64);
    assert_eq!(server.log()[2].start(), None);
}

#[test]
fn after_a_restart_of_the_machine_only_a_digest_makes_a_part_trusted() {
    for known in [false, true] {
        let server = Server::start(|asked, out| match asked.n {
            0 => cut(out, &body(N), 100_000, &[TAG]),
            _ => part(asked, out, &body(N), &[TAG]),
        });
        let mut bench = Bench::new();
        bench.options.retries.attempts = 1;
        let mut asked = request(&server.url("/f"));
        asked.sha256 = known.then(|| Sha256::of(body(N)));
        causes(bench.fetch(&asked));
        let items = bench.store.list().unwrap();
        let left = items
            .iter()
            .find(|item| item.kind == ItemKind::Partial)
            .unwrap();
        let name = left.path.file_name().unwrap().to_str().unwrap();
        let key = name.parse().unwrap();
        let note = bench.store.record("partial", &key).unwrap().unwrap();
        let mut note: serde_json::Value = serde_json::from_slice(&note).unwrap();
        note["record"]["boot"] = "another".into();
        let note = note.to_string();
        bench
            .store
            .put_record("partial", &key, note.as_bytes())
            .unwrap();
        bench.fetch(&asked).unwrap();
        assert_eq!(server.log()[1].start(), known.then_some(100_000));
    }
}

#[test]
fn progress_starts_the_row_of_failures_anew() {
    // Seven cuts with three attempts: each one brings more than it takes to count.
    let server = Server::start(|asked, out| {
        let (start, all) = (asked.start().unwrap_or(0), body(8 * 70_000));
        if start + 70_000 == all.len() {
            return part(asked, out, &all, &[TAG]);
        }
        if start == 0 {
            return cut(out, &all, 70_000, &[TAG]);
        }
        let range = format!(
            "Content-Range: bytes {start}-{}/{}",
            all.len() - 1,
            all.len()
        );
        let length = format!("Content-Length: {}", all.len() - start);
        head(out, "206 Partial Content", &[&range, &length, TAG])?;
        out.write_all(&all[start..start + 70_000])
    });
    let bench = Bench::new();
    let fetched = bench.fetch(&request(&server.url("/f"))).unwrap();
    assert_eq!(fs_err::read(fetched.path).unwrap(), body(8 * 70_000));
    assert_eq!(server.log().len(), 8);
}

#[test]
fn a_server_without_parts_gives_the_whole_again() {
    let server = Server::start(|asked, out| match asked.n {
        0 => cut(out, &body(N), 100_000, &[TAG]),
        _ => whole(out, &body(N), &[TAG]),
    });
    let bench = Bench::new();
    let fetched = bench.fetch(&request(&server.url("/f"))).unwrap();
    assert_eq!(fs_err::read(fetched.path).unwrap(), body(N));
}

#[test]
fn without_anything_to_recognise_it_by_nothing_is_continued() {
    let server = Server::start(|asked, out| match asked.n {
        0 => cut(out, &body(N), 100_000, &["ETag: W/\"weak\""]),
        _ => part(asked, out, &body(N), &[]),
    });
    let bench = Bench::new();
    bench.fetch(&request(&server.url("/f"))).unwrap();
    assert_eq!(server.log()[1].start(), None);
    // A digest recognises it, too.
    let server = Server::start(|asked, out| match asked.n {
        0 => cut(out, &body(N + 1), 100_000, &[]),
        _ => part(asked, out, &body(N + 1), &[]),
    });
    let asked = verified(&server.url("/f"), &body(N + 1));
    bench.fetch(&asked).unwrap();
    assert_eq!(server.log()[1].start(), Some(100_000));
}

#[test]
fn what_changed_between_the_attempts_is_never_mixed() {
    let newer = || {
        let mut newer = body(N);
        newer.reverse();
        newer
    };
    // The server heeds `If-Range`; it does not and says so; it does not and gives other parts; it
    // has another size; it has nothing there any more.
    for how in 0..5 {
        let server = Server::start(move |asked, out| {
            let tag = "ETag: \"two\"";
            match (asked.n, how) {
                (0, _) => cut(out, &body(N), 100_000, &[TAG]),
                (1, 0) => whole(out, &newer(), &[tag]),
                (1, 2) => {
                    let range = "Content-Range: bytes 0-299999/300000";
                    head(out, "206 Partial Content", &[range, TAG])?;
                    out.write_all(&newer())
                }
                (1, 3) => part(asked, out, &newer()[..200_000], &[]),
                (1, 4) => empty(
                    out,
                    "416 Range Not Satisfiable",
                    &["Content-Range: bytes */5"],
                ),
                _ => part(asked, out, &newer(), &[tag]),
            }
        });
        let bench = Bench::new();
        let fetched = bench.fetch(&request(&server.url("/f"))).unwrap();
        assert_eq!(fs_err::read(fetched.path).unwrap(), newer(), "{how}");
        assert_eq!(server.log()[1].start(), Some(100_000));
        assert_eq!(server.log().len(), if how == 0 { 2 } else { 3 });
    }
}

#[test]
fn a_mirror_goes_on_where_another_stopped_and_a_bad_beginning_is_begun_again() {
    for bad in [false, true] {
        let first = Server::start(move |asked, out| {
            let mut bytes = body(N);
            bytes[5] ^= u8::from(bad);
            match asked.n {
                0 => cut(out, &bytes, 100_000, &[TAG]),
                _ => empty(out, "404 Not Found", &[]),
            }
        });
        let second = Server::start(|asked, out| part(asked, out, &body(N), &["ETag: \"other\""]));
        let bench = Bench::new();
        let fetched = bench
            .fetch(&Request {
                urls: vec![url(&first.url("/f")), url(&second.url("/g"))],
                ..verified(&first.url("/f"), &body(N))
            })
            .unwrap();
        assert_eq!(fetched.origin, Origin::Network);
        assert_eq!(fetched.url, url(&second.url("/g")));
        let starts: Vec<_> = second
            .log()
            .iter()
            .map(crate::server::Asked::start)
            .collect();
        let expected = [Some(100_000), None];
        assert_eq!(starts, expected[..=usize::from(bad)]);
        assert_eq!(second.log()[0].header("if-range"), None);
    }
}
