//! Several processes with one store, and processes that are killed.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "these tests need processes to start, to listen to and to kill"
)]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use nd_fetch::{Fetcher, Freshness, Request};
use nd_names::Sha256;
use nd_report::{Cancel, Event, Reporter};
use nd_store::{ItemKind, Store};

use crate::{
    server::{Server, cut, part, stall, whole},
    support::{Bench, body, fetch, options, request, verified},
};

/// Says aloud what there is to note.
struct Aloud;

impl Reporter for Aloud {
    fn event(&self, event: Event<'_>) {
        if let Event::Note { text } = event {
            println!("{text}");
        }
    }
}

/// Not a test of its own: the process that the others start.
#[test]
fn child() {
    let Some(root) = std::env::var_os("ND_FETCH_TEST_ROOT") else {
        return;
    };
    let text = std::env::var("ND_FETCH_TEST_URL").unwrap();
    let store = Store::open(std::path::PathBuf::from(root)).unwrap();
    let fetcher = Fetcher::new(options(), store, Arc::new(Aloud));
    let asked = Request {
        sha256: std::env::var("ND_FETCH_TEST_SHA256")
            .ok()
            .map(|text| text.parse().unwrap()),
        freshness: Freshness::Refetch,
        ..request(&text)
    };
    fetch(&fetcher, &asked, &Cancel::default()).unwrap();
}

fn start(bench: &Bench, url: &str, digest: Option<String>, out: Stdio) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "processes::child", "--nocapture"])
        .env("ND_FETCH_TEST_ROOT", bench.dir.path())
        .env("ND_FETCH_TEST_URL", url)
        .stdout(out);
    if let Some(digest) = digest {
        command.env("ND_FETCH_TEST_SHA256", digest);
    }
    command.spawn().unwrap()
}

#[test]
fn eight_processes_ask_and_the_server_sees_one_download() {
    for digest in [None, Some(Sha256::of(body(400_000)).hex())] {
        let gate = Arc::new(Mutex::new(()));
        let shut = gate.lock().unwrap();
        let opens = gate.clone();
        let server = Server::start(move |_, out| {
            drop(opens.lock().unwrap());
            whole(out, &body(400_000), &[])
        });
        let bench = Bench::new();
        let (said, saying) = std::io::pipe().unwrap();
        let children: Vec<_> = (0..8)
            .map(|_| {
                let saying = saying.try_clone().unwrap();
                start(&bench, &server.url("/f"), digest.clone(), saying.into())
            })
            .collect();
        drop(saying);
        // The server answers when all others have come and wait.
        let lines = BufReader::new(&said).lines().map(Result::unwrap);
        let waiting = lines.filter(|line| line.ends_with("; waiting"));
        assert_eq!(waiting.take(7).count(), 7);
        drop(shut);
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(server.log().len(), 1);
        assert_eq!(bench.kept(), (1, 0));
    }
}

#[test]
fn after_a_kill_the_download_goes_on_at_the_byte_it_had_reached() {
    const N: usize = 3_000_000;
    for known in [false, true] {
        let server = Server::start(|asked, out| match asked.n {
            0 => {
                cut(out, &body(N), 2_000_000, &["ETag: \"one\""])?;
                stall(out);
                Ok(())
            }
            _ => part(asked, out, &body(N), &["ETag: \"one\""]),
        });
        let bench = Bench::new();
        let digest = known.then(|| Sha256::of(body(N)).hex());
        let mut child = start(&bench, &server.url("/f"), digest, Stdio::null());
        let reached = || {
            let items = bench.store.list().unwrap();
            let partial = items.iter().find(|item| item.kind == ItemKind::Partial);
            partial.map_or(0, |item| item.bytes)
        };
        while reached() < 2_000_000 {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(bench.kept(), (0, 1), "nothing but the part is left");

        let asked = if known {
            verified(&server.url("/f"), &body(N))
        } else {
            request(&server.url("/f"))
        };
        let fetched = bench.fetch(&asked).unwrap();
        assert_eq!(fs_err::read(fetched.path).unwrap(), body(N));
        assert_eq!(server.log()[1].start(), Some(2_000_000));
        assert_eq!(server.log()[1].header("if-range"), Some("\"one\""));
        assert_eq!(bench.kept(), (1, 0));
    }
}
