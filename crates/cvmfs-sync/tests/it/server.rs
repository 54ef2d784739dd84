//! A repository behind a server: read, proved, copied, read by a program of others; servers that stall
//! or lie.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cvmfs_sync::HttpSource;
use nd_fetch::{FetchOptions, ObjectClient};
use nd_report::Cancel;
use nd_testkit::peer;

use crate::life::Life;

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// A while before each answer.
    Slow,
    /// One byte at a time, with a while between any two.
    Drip,
    /// Half of each object, then the end.
    Cut,
    /// Half of each object, then nothing ever.
    Stall,
    /// One bit of each object is another.
    Lie,
    /// Every third answer is an error, unless the same was asked before.
    Shaky,
}

/// Serves a folder on the loopback until dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(root: PathBuf, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let (stopped, list) = (stop.clone(), Arc::clone(&asked));
        let count = AtomicUsize::new(0);
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    let (root, list) = (&root, &list);
                    scope.spawn(move || answer(&stream.unwrap(), root, manner, number, list));
                }
            });
        });
        Self {
            address,
            stop,
            asked,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/cvmfs/{}", self.address, crate::life::NAME)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(
    stream: &TcpStream,
    root: &std::path::Path,
    manner: Manner,
    number: usize,
    list: &Mutex<Vec<String>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        line.clear();
    }
    let again = {
        let mut list = list.lock().unwrap();
        let line = first.trim().to_owned();
        let again = list.contains(&line);
        list.push(line);
        again
    };
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    // A proxy is asked with the whole address.
    let path = target
        .split_once("/cvmfs/test.example.org/")
        .map_or("", |(_, path)| path);
    let file = fs_err::read(root.join(path))
        .ok()
        .filter(|_| !path.contains(".."));
    let mut out = stream;
    if manner == Manner::Slow {
        // More than a busy machine takes for an answer of the others.
        std::thread::sleep(Duration::from_millis(300));
    }
    let _ = match file {
        _ if manner == Manner::Shaky && !again && number % 3 == 2 => {
            out.write_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        None => out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        Some(mut bytes) => {
            let is_object = path.starts_with("data/");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            let end = match manner {
                Manner::Cut | Manner::Stall if is_object => bytes.len() / 2,
                _ => bytes.len(),
            };
            if manner == Manner::Lie && is_object {
                bytes[end / 2] ^= 1;
            }
            let body = if method == "HEAD" { &[][..] } else { &bytes[..end] };
            if manner == Manner::Drip {
                let _ = out.write_all(head.as_bytes());
                for byte in body {
                    // Until whoever asked goes away.
                    if out.write_all(&[*byte]).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                return;
            }
            let sent = out.write_all(head.as_bytes()).and_then(|()| out.write_all(body));
            if manner == Manner::Stall && is_object {
                // Until whoever asked goes away.
                let _ = out.read(&mut [0]);
            }
            sent
        }
    };
}

fn published() -> Life {
    let life = Life::new();
    life.put("tree/bin/tool", "#!/bin/sh\n");
    life.put("tree/empty", "");
    for n in 0..30 {
        life.put(&format!("tree/share/{n}"), format!("number {n}\n"));
    }
    let mut noise = vec![0u8; 700 << 10];
    let mut state = 7u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    life.put("tree/large", noise);
    let at = [
        "--at",
        "containers/one",
        "--nested",
        "always",
        "--chunks",
        "64,128,256",
    ];
    life.write(&[&["publish", "tree"][..], &at].concat());
    life.put("small/readme", "read me\n");
    life.write(&["publish", "small", "--at", "small", "--nested", "never"]);
    life
}

#[test]
fn a_repository_is_proved_and_copied_over_http_also_through_a_proxy_and_with_a_shaky_server() {
    let life = published();
    for manner in [Manner::Honest, Manner::Shaky] {
        let server = Server::start(life.storage(), manner);
        assert_eq!(life.run(&["verify", "--full", &server.url()])["good"], true);
        let copy = format!("copy-{manner:?}");
        life.run(&["replicate", &server.url(), &copy]);
        assert_eq!(life.run(&["verify", "--full", &copy])["good"], true);
    }
    let proxy = Server::start(life.storage(), Manner::Honest);
    let command = [
        "cat",
        "http://stratum.invalid/cvmfs/test.example.org",
        "small/readme",
    ];
    let output = life
        .command(&command)
        .env("http_proxy", format!("http://{}", proxy.address))
        .output()
        .unwrap();
    assert_eq!(
        output.stdout,
        b"read me\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let asked = proxy.asked.lock().unwrap().join("\n");
    assert!(
        asked.contains("GET http://stratum.invalid/cvmfs/"),
        "{asked}"
    );
}

#[test]
fn a_server_that_cuts_its_answers_short_is_named_and_nothing_is_published() {
    let life = published();
    let server = Server::start(life.storage(), Manner::Cut);
    let output = life
        .command(&["replicate", &server.url(), "copy"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("data/") && said.contains("ended after"),
        "{said}"
    );
    assert!(!life.env.work().join("copy/.cvmfspublished").exists());
}

#[test]
fn a_server_that_lies_is_named_object_by_object_and_not_copied() {
    let life = published();
    // Catalogues are objects as well: what is read of them is what they are called.
    let server = Server::start(life.storage(), Manner::Lie);
    for words in [
        &["verify", "--full", &server.url()][..],
        &["replicate", &server.url(), "copy"],
    ] {
        let output = life.command(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(if words[0] == "verify" { 1 } else { 6 }),
            "{said}"
        );
        assert!(
            said.contains("data/") && said.contains("another hash"),
            "{said}"
        );
    }
    assert!(!life.env.work().join("copy/.cvmfspublished").exists());
}

#[test]
fn a_server_that_stalls_is_waited_for_no_longer_than_was_said() {
    let life = published();
    let server = Server::start(life.storage(), Manner::Stall);
    let mut options = FetchOptions::default();
    options.timeouts.idle = Duration::from_secs(2);
    let client = ObjectClient::new(options, server.url().parse().unwrap()).unwrap();
    let source = HttpSource::new(client);
    let options = nd_cvmfs::VerifyOptions {
        depth: nd_cvmfs::Depth::Full,
        keys: &[],
        name: None,
        now: jiff::Timestamp::now(),
        threads: None,
    };
    let refused = nd_cvmfs::verify(&source, &options, &Cancel::default()).unwrap_err();
    let said = nd_report::with_causes(&refused);
    assert!(said.contains("data/") && said.contains("no byte"), "{said}");
}

#[test]
fn the_independent_reader_reads_every_file_with_equal_bytes() {
    let Some(reader) = peer("cvmfs-reader") else {
        return;
    };
    let life = published();
    // What the reader asks of a Stratum 1, and waits long for where it is missing.
    let date = "Thu Nov 26 00:00:00 UTC 2026\n";
    for marker in [".cvmfs_last_snapshot", ".cvmfs_is_snapshotting"] {
        fs_err::write(life.storage().join(marker), date).unwrap();
    }
    let server = Server::start(life.storage(), Manner::Honest);
    let cache = life.env.work().join("reader-cache");
    fs_err::create_dir(&cache).unwrap();
    let output = life
        .env
        .command(reader)
        .arg(server.url())
        .arg(&cache)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found: BTreeMap<String, String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| {
            let (digest, path) = line.split_once("  ")?;
            Some((path.to_owned(), digest.to_owned()))
        })
        .collect();
    let mut expected = BTreeMap::new();
    for (folder, at) in [("tree", "/containers/one"), ("small", "/small")] {
        let root = life.env.work().join(folder);
        let mut waiting = vec![root.clone()];
        while let Some(dir) = waiting.pop() {
            for entry in fs_err::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                    continue;
                }
                let below = path.strip_prefix(&root).unwrap().display().to_string();
                let bytes = fs_err::read(&path).unwrap();
                let digest = nd_names::Sha256::of(bytes);
                expected.insert(format!("{at}/{below}"), digest.hex());
            }
        }
    }
    let empty = nd_names::Sha256::of(b"");
    expected.insert("/containers/one/.cvmfscatalog".into(), empty.hex());
    assert_eq!(found, expected);
}
