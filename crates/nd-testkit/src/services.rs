//! Servers of others on loopback, started for one test and ended with it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this is called by tests, which start programs and end at the first thing that is wrong"
)]

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::peer;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server that is killed when dropped.
#[derive(Debug)]
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often a server is started anew that ended before it listened: somebody else took its port.
const ATTEMPTS: usize = 5;

/// An address on loopback that nobody listens on now.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Server {
    /// Starts `program` with the words that `words` gives for an address.
    fn start(program: &Path, words: impl Fn(&str) -> Vec<String>) -> Self {
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            let address = free_address();
            let child = Command::new(program)
                .args(words(&address))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut server = Self { child, address };
            while server.child.try_wait().unwrap().is_none() {
                if TcpStream::connect(&server.address).is_ok() {
                    return server;
                }
                assert!(
                    begun.elapsed() < PATIENCE,
                    "`{}` does not listen",
                    program.display()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
            attempts += 1;
            assert!(
                attempts < ATTEMPTS,
                "`{}` ends before it listens",
                program.display()
            );
        }
    }
}

/// A store of objects that speaks S3: the `moto_server` of PyPI. Everybody may do everything, and what
/// requests are signed with is not looked at.
#[derive(Debug)]
pub struct ObjectStore(Server);

impl ObjectStore {
    /// Starts a store; `None` after saying why when the program is missing.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start() -> Option<Self> {
        let program = peer("moto_server")?;
        Some(Self(Server::start(&program, |address| {
            let (host, port) = address.split_once(':').unwrap();
            ["-H", host, "-p", port].map(str::to_owned).into()
        })))
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Makes a bucket; its address.
    pub fn bucket(&self, name: &str) -> String {
        self.ask("PUT", &format!("/{name}"), b"");
        // As published images are: everybody may read, without a signature.
        let policy = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": "*",
            "Action": "s3:*", "Resource": "arn:aws:s3:::{name}/*"}}]}}"#
        );
        self.ask("PUT", &format!("/{name}?policy"), policy.as_bytes());
        format!("http://{}/{name}", self.0.address)
    }

    /// Puts an object, `BUCKET/KEY`.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.ask("PUT", &format!("/{path}"), bytes);
    }

    /// The bytes of an object, `BUCKET/KEY`.
    pub fn get(&self, path: &str) -> Vec<u8> {
        self.ask("GET", &format!("/{path}"), b"")
    }

    /// Sends one request and gives the body of its answer, which has to be one of success.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.0.address).unwrap();
        let (host, length) = (&self.0.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let said = || String::from_utf8_lossy(&answer).into_owned();
        assert!(
            head.starts_with("HTTP/1.1 20"),
            "{method} {path}: {}",
            said()
        );
        answer.split_off(end + 4)
    }
}

/// A registry of images: the `docker-registry` of Debian.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    _folder: TempDir,
}

/// What a registry wants of those who talk to it; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct RegistrySettings<'a> {
    /// Certificate and key, PEM: connections are encrypted.
    pub tls: Option<(&'a str, &'a str)>,
    /// Users and their passwords as `htpasswd` keeps them: nobody else may do anything.
    pub users: Option<&'a str>,
}

impl Registry {
    /// Starts an empty registry without encryption and without users; `None` after saying why when
    /// the program is missing.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start() -> Option<Self> {
        Self::start_with(RegistrySettings::default())
    }

    /// The same with these settings.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start_with(settings: RegistrySettings<'_>) -> Option<Self> {
        let program = peer("docker-registry")?;
        let folder = TempDir::new().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs_err::write(&path, text).unwrap();
            path.display().to_string()
        };
        let data = folder.path().join("data").display().to_string();
        let mut more = String::new();
        if let Some((certificate, key)) = settings.tls {
            let (certificate, key) = (put("server.pem", certificate), put("server.key", key));
            let tls = format!("  tls:\n    certificate: {certificate}\n    key: {key}\n");
            more.push_str(&tls);
        }
        if let Some(users) = settings.users {
            let path = put("users", users);
            let auth = format!("auth:\n  htpasswd:\n    realm: r\n    path: {path}\n");
            more.push_str(&auth);
        }
        let server = Server::start(&program, |address| {
            let config = format!(
                "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {data}\n\
                 http:\n  addr: {address}\n{more}"
            );
            vec!["serve".to_owned(), put("config.yml", &config)]
        });
        Some(Self {
            server,
            _folder: folder,
        })
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.server.address
    }
}

/// What skopeo prints for these words; `None` after saying why when it is missing.
///
/// # Panics
///
/// When it fails.
pub fn skopeo(words: &[&str]) -> Option<String> {
    let output = Command::new(peer("skopeo")?)
        .arg("--insecure-policy")
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
