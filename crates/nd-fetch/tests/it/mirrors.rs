//! Several mirrors at once, some of which stall, cut, lie or lead to addresses that have expired.

use std::{
    io::{self, Write},
    num::NonZeroU32,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nd_fetch::{Cause, FetchError, Fetched, Mirrors, Request};

use crate::{
    server::{Asked, Server, empty, head, stall, whole},
    support::{Bench, body, causes, url, verified},
};

const N: usize = 3_000_000;
const PIECE: usize = 100_000;

/// The range that is asked for.
fn range(asked: &Asked) -> (usize, usize) {
    let text = asked.header("range").unwrap();
    let (start, end) = text
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let end = end.parse().map_or(N, |end: usize| N.min(end + 1));
    (start.parse().unwrap(), end)
}

/// The first `sent` bytes of the piece that is asked for.
fn piece(asked: &Asked, out: &mut dyn Write, body: &[u8], sent: usize) -> io::Result<()> {
    if asked.header("range").is_none() {
        return whole(out, body, &[]);
    }
    let (start, end) = range(asked);
    let length = format!("Content-Length: {}", end - start);
    let content = format!("Content-Range: bytes {start}-{}/{}", end - 1, body.len());
    head(out, "206 Partial Content", &[&length, &content])?;
    out.write_all(&body[start..end.min(start + sent)])?;
    out.flush()
}

fn good() -> Server {
    let body = body(N);
    Server::start(move |asked, out| piece(asked, out, &body, N))
}

fn request(servers: &[&Server]) -> Request {
    let urls: Vec<_> = servers.iter().map(|one| url(&one.url("/f"))).collect();
    Request {
        mirrors: Mirrors::AtOnce {
            piece: NonZeroU32::new(u32::try_from(PIECE).unwrap()).unwrap(),
        },
        urls,
        ..verified(&servers[0].url("/f"), &body(N))
    }
}

fn right(fetched: &Fetched) {
    assert_eq!(fs_err::read(&fetched.path).unwrap(), body(N));
}

#[test]
fn every_mirror_gives_pieces_and_no_byte_comes_twice_but_the_first() {
    // In step with each other for some pieces, whichever of them the machine lets run first.
    let steps = Arc::new([3; 4].map(Barrier::new));
    let slow = || {
        let (body, steps) = (body(N), steps.clone());
        Server::start(move |asked, out| {
            if let Some(step) = steps.get(asked.n) {
                step.wait();
            }
            std::thread::sleep(Duration::from_millis(10));
            piece(asked, out, &body, N)
        })
    };
    let servers = [slow(), slow(), slow()];
    let bench = Bench::new();
    let begun = Instant::now();
    let fetched = bench
        .fetch(&request(&[&servers[0], &servers[1], &servers[2]]))
        .unwrap();
    let took = begun.elapsed();
    right(&fetched);
    let mut asked = 0;
    for server in &servers {
        let log = server.log();
        assert!(log.len() > 3, "{}", log.len());
        assert!(log.iter().all(|one| one.header("range").is_some()));
        asked += log.len();
    }
    // Pieces, the first one of each, and hardly more: one that is long on its way is asked for again,
    // which on a busy machine happens for each of the six that are at a time.
    let late = took.as_millis() as usize / 150;
    assert!(asked <= N / PIECE + 3 + 4 + 6 * late, "{asked} in {took:?}");
    assert_eq!(bench.kept(), (1, 0));
}

#[test]
fn stalls_cuts_and_expired_addresses_cost_hardly_any_time() {
    let stalls = {
        let body = body(N);
        Server::start(move |asked, out| {
            if asked.n > 0 {
                piece(asked, out, &body, 1000)?;
                stall(out);
                return Ok(());
            }
            piece(asked, out, &body, N)
        })
    };
    let cuts = {
        let body = body(N);
        Server::start(move |asked, out| {
            let sent = if asked.n % 3 == 0 { N } else { 80_000 };
            piece(asked, out, &body, sent)
        })
    };
    // Each address is good once.
    let signed = Arc::new(AtomicUsize::new(0));
    let expires = {
        let (body, signed) = (body(N), signed.clone());
        Server::start(move |asked, out| {
            if asked.target == "/f" {
                let n = signed.fetch_add(1, Ordering::SeqCst);
                let to = format!(
                    "Location: /signed?{}",
                    if n % 2 == 0 { "old" } else { "new" }
                );
                return empty(out, "302 Found", &[&to]);
            }
            if asked.target.ends_with("old") {
                return empty(out, "403 Forbidden", &[]);
            }
            piece(asked, out, &body, N)
        })
    };
    let mut bench = Bench::new();
    bench.options.timeouts.idle = Duration::from_secs(600);
    let begun = Instant::now();
    let fetched = bench.fetch(&request(&[&stalls, &cuts, &expires])).unwrap();
    right(&fetched);
    assert!(
        begun.elapsed() < Duration::from_secs(300),
        "{:?}",
        begun.elapsed()
    );
    assert!(signed.load(Ordering::SeqCst) > 2);
}

#[test]
fn a_liar_is_found_by_its_first_bytes_or_by_the_digest() {
    for at in [10, N - 10] {
        let lies = {
            let mut body = body(N);
            body[at] ^= 1;
            Server::start(move |asked, out| piece(asked, out, &body, N))
        };
        let slow = {
            let body = body(N);
            Server::start(move |asked, out| {
                std::thread::sleep(Duration::from_millis(30));
                piece(asked, out, &body, N)
            })
        };
        let bench = Bench::new();
        let fetched = bench.fetch(&request(&[&lies, &slow])).unwrap();
        right(&fetched);
        assert_eq!(fetched.url, url(&slow.url("/f")));
        assert_eq!(bench.kept(), (1, 0));
        // Alone, it is what its digest says.
        let bench = Bench::new();
        let other = lies.url("/g");
        let mut twice = request(&[&lies, &lies]);
        twice.urls[1] = url(&other);
        let causes = causes(bench.fetch(&twice));
        assert!(
            causes
                .iter()
                .all(|(_, cause)| matches!(cause, Cause::Digest { .. })),
            "{causes:?}"
        );
        assert_eq!(bench.kept().0, 0);
    }
}

#[test]
fn servers_without_ranges_are_asked_in_turn() {
    let plain = || {
        let body = body(N);
        Server::start(move |_, out| whole(out, &body, &[]))
    };
    let (first, second) = (plain(), plain());
    let bench = Bench::new();
    right(&bench.fetch(&request(&[&first, &second])).unwrap());
    // One for the ranges, one for the whole.
    assert!(first.log().len() <= 2);
    let (bench, good) = (Bench::new(), good());
    let fetched = bench.fetch(&request(&[&first, &good])).unwrap();
    right(&fetched);
    assert_eq!(fetched.url, url(&good.url("/f")));
}

#[test]
fn what_all_of_them_left_is_gone_on_with() {
    let broken = Arc::new(AtomicUsize::new(0));
    let server = || {
        let (body, broken) = (body(N), broken.clone());
        Server::start(move |asked, out| {
            let (start, _) = asked.header("range").map_or((0, 0), |_| range(asked));
            if start > N / 2 && broken.load(Ordering::SeqCst) == 0 {
                return empty(out, "404 Not Found", &[]);
            }
            piece(asked, out, &body, N)
        })
    };
    let (first, second) = (server(), server());
    let bench = Bench::new();
    let asked = request(&[&first, &second]);
    let tried = causes(bench.fetch(&asked));
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert_eq!(bench.kept(), (0, 1));
    broken.store(1, Ordering::SeqCst);
    let before = (first.log().len(), second.log().len());
    right(&bench.fetch(&asked).unwrap());
    let later = first.log().split_off(before.0);
    let later = later.into_iter().chain(second.log().split_off(before.1));
    for one in later {
        assert!(range(&one).0 >= N / 2 - 2 * PIECE, "{one:?}");
    }
    assert_eq!(bench.kept(), (1, 0));
}

#[test]
fn more_than_there_is_room_for_is_refused_before_it_comes() {
    for count in [1, 2] {
        let servers = [good(), good()];
        let mut bench = Bench::new();
        bench.options.keep_free = u64::MAX;
        let servers: Vec<_> = servers.iter().take(count).collect();
        let error = bench.fetch(&request(&servers)).unwrap_err();
        assert!(
            matches!(error, FetchError::NoSpace { needed, free: 0, .. } if needed == N as u64),
            "{error:?}"
        );
        assert_eq!(bench.kept().0, 0);
    }
}
