//! Recipes whose files and READMEs come from a server of the test's own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use crate::build::Fixture;

/// A server that answers with what is filed under the path, and remembers what was asked.
pub(crate) struct Server {
    address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let heard = log.clone();
        let files: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(path, body)| ((*path).to_owned(), body.to_vec()))
            .collect();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, heard) = (files.clone(), heard.clone());
                std::thread::spawn(move || answer(stream, &files, &heard));
            }
        });
        Self { address, log }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many questions there were, and none is remembered any more.
    pub(crate) fn asked(&self) -> usize {
        std::mem::take(&mut *self.log.lock().unwrap()).len()
    }
}

fn answer(stream: std::net::TcpStream, files: &[(String, Vec<u8>)], log: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(path.clone());
    let found = files.iter().find(|(at, _)| *at == path);
    let (status, body) = match found {
        Some((_, body)) => ("200 OK", &body[..]),
        None => ("404 Not Found", &b""[..]),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let out = stream.get_mut();
    // Whoever asked may have gone.
    let _ = out
        .write_all(head.as_bytes())
        .and_then(|()| out.write_all(body));
}

/// A recipe with two downloads, one of them with a digest, and a README from a URL.
fn recipe(fixture: &Fixture, server: &Server, sha256: &str) {
    let path = fixture.env.work().join("recipes/demo/build.yaml");
    let text = fs_err::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("structured_readme:").unwrap();
    let (_, after) = rest.split_once("build:\n").unwrap();
    let text = format!(
        "{before}readme_url: {}\nbuild:\n{after}",
        server.url("/README.md")
    );
    let files = format!(
        "    - file: {{name: one, url: \"{}\"}}\n    - file: {{name: two, url: \"{}\", sha256: {sha256}, executable: true}}\n    - run:\n        - mkdir -p /opt/demo\n        - cat {{{{ get_file(\"one\") }}}} > /opt/demo/one\n        - cp {{{{ get_file(\"two\") }}}} /opt/demo/two\n",
        server.url("/one.txt"),
        server.url("/two.sh"),
    );
    let text = text.replace(
        "    - copy: [data.txt",
        &format!("{files}    - copy: [data.txt"),
    );
    fs_err::write(path, text).unwrap();
}

const TWO: &[u8] = b"#!/bin/sh\necho two\n";

fn server() -> Server {
    Server::start(&[
        ("/README.md", b"# Demo from afar\n"),
        ("/one.txt", b"the first file\n"),
        ("/two.sh", TWO),
    ])
}

fn hex(bytes: &[u8]) -> String {
    nd_names::Sha256::of(bytes).hex()
}

#[test]
fn a_recipe_with_downloads_is_built_and_built_again_without_a_network() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let server = server();
    recipe(&fixture, &server, &hex(TWO));
    let first = fixture.build(&["--no-test"]);
    assert_eq!(server.asked(), 3);
    let oci = std::path::PathBuf::from(first["oci"]["path"].as_str().unwrap());
    let said = |path: &str| crate::support::files_of(&oci, path);
    assert_eq!(said("opt/demo/one"), b"the first file\n");
    assert_eq!(said("opt/demo/two"), TWO);
    assert_eq!(said("README.md"), b"# Demo from afar\n");
    let staged = fixture.env.work().join("build/demo");
    let readme = fs_err::read_to_string(staged.join("README.md")).unwrap();
    assert_eq!(readme, "# Demo from afar\n");

    let second = fixture.build(&["--no-test", "--network", "none"]);
    assert_eq!(second["all_cached"], true, "{second:#}");
    // From nothing but the downloads.
    fs_err::remove_dir_all(&staged).unwrap();
    let third = fixture.build(&["--no-test"]);
    assert_eq!(third["image_digest"], first["image_digest"]);
    assert_eq!(server.asked(), 0);
}

#[test]
fn a_download_that_is_not_the_promised_one_is_shown_at_its_line() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let server = server();
    recipe(&fixture, &server, &hex(b"something else"));
    let base = fixture.base.to_str().unwrap();
    let output = fixture
        .command(&["build", "demo", "--base", base])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = fs_err::read_to_string(fixture.env.work().join("recipes/demo/build.yaml")).unwrap();
    let line = text
        .lines()
        .position(|line| line.contains("name: two"))
        .unwrap()
        + 1;
    assert!(said.contains(&format!("build.yaml:{line}:")), "{said}");
    let flat: String = said
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '│')
        .collect();
    assert!(flat.contains(&hex(TWO)), "{said}");
    assert!(flat.contains(&hex(b"something else")), "{said}");
    assert!(said.contains("download"), "{said}");
    assert!(!fixture.env.work().join("build/demo/cache").exists());
}

#[test]
fn without_a_network_every_missing_download_is_named_until_it_is_fetched() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let server = server();
    recipe(&fixture, &server, &hex(TWO));
    // The README has to be there for the recipe to be read.
    let fetched = fixture.command(&["render", "demo"]).output().unwrap();
    assert!(fetched.status.success());
    assert_eq!(server.asked(), 1);
    let base = fixture.base.to_str().unwrap();
    let build = ["build", "demo", "--base", base, "--offline", "--no-test"];
    let output = fixture.command(&build).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "one.txt",
        "two.sh",
        "network is off",
        "neurocontainers fetch",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(server.asked(), 0);

    let output = fixture.command(&["fetch", "demo"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains(&hex(TWO)),
        "{said}"
    );
    let output = fixture.command(&build).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(server.asked(), 2);
}
