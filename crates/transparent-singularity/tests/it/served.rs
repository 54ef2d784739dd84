//! Servers on loopback that answer as a test tells them, and settings that name them as sources.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use crate::fixture::Desk;

pub(crate) const STEM: &str = "tool_1.0_20240131";

/// An answer: status line, headers, body.
pub(crate) type Answer = (u16, Vec<(String, String)>, Vec<u8>);
type Answers = dyn Fn(&str, &[String]) -> Answer + Send + Sync;

/// A server that answers each path as it is told, one request a connection.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(
        answers: impl Fn(&str, &[String]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let (asked, answers): (_, Arc<Answers>) = (server.asked.clone(), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, answers) = (asked.clone(), answers.clone());
                std::thread::spawn(move || serve(stream, &asked, &*answers));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>, answers: &Answers) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        headers.push(line.trim().to_lowercase());
    }
    let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
    asked.lock().unwrap().push(first.trim().to_owned());
    let (code, more, body) = answers(&path, &headers);
    let mut head = format!("HTTP/1.1 {code} x\r\nConnection: close\r\n");
    if !more.iter().any(|(name, _)| name == "Content-Length") {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    for (name, value) in more {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    let _ = stream.write_all(head.as_bytes());
    if !first.starts_with("HEAD") {
        let _ = stream.write_all(&body);
    }
}

pub(crate) fn plain(code: u16, body: impl Into<Vec<u8>>) -> Answer {
    (code, Vec::new(), body.into())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    nd_names::Sha256::of(bytes).to_string()
}

/// A desk with settings that name these sources, and an image's bytes.
pub(crate) struct Bench {
    pub(crate) desk: Desk,
    pub(crate) settings: PathBuf,
    pub(crate) image: Vec<u8>,
}

impl Bench {
    pub(crate) fn new() -> Option<Self> {
        let desk = Desk::new();
        let image = fs_err::read(desk.image("served.sif")?).unwrap();
        let settings = desk.env.work().join("settings.toml");
        Some(Self {
            desk,
            settings,
            image,
        })
    }

    pub(crate) fn sources(&self, text: &str) {
        fs_err::write(&self.settings, text).unwrap();
    }

    pub(crate) fn install(&self, words: &[&str]) -> (i32, String) {
        let settings = self.settings.display().to_string();
        let mut all = vec!["--settings", settings.as_str(), "install"];
        all.extend(words);
        let out = self.desk.program(&all).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }
}

pub(crate) fn objects(name: &str, url: &str) -> String {
    format!("[[source]]\nname = \"{name}\"\nkind = \"objects\"\nurl = \"{url}\"\n")
}

/// The part of `body` that is asked for, of any kind.
pub(crate) fn part(headers: &[String], body: &[u8]) -> Answer {
    let range = headers
        .iter()
        .find_map(|line| line.strip_prefix("range: bytes="))
        .and_then(|text| text.split_once('-'));
    let Some((start, end)) = range else {
        return plain(200, body);
    };
    let start: usize = start.parse().unwrap();
    let end = end
        .parse()
        .map_or(body.len(), |end: usize| body.len().min(end + 1));
    let text = format!("bytes {start}-{}/{}", end - 1, body.len());
    (
        206,
        vec![("Content-Range".to_owned(), text)],
        body[start..end].to_vec(),
    )
}
