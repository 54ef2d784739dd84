//! A server that says what a test tells it to say, byte by byte.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What a client asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// How many questions came before.
    pub(crate) n: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| &value[..])
    }

    /// Where the part starts that is asked for.
    pub(crate) fn start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// Answers one question; the connection is closed afterwards.
pub(crate) type Handler = dyn Fn(&Asked, &mut dyn Write) -> io::Result<()> + Send + Sync;

/// A server on a port of its own; it stops when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    scheme: &'static str,
}

impl Server {
    pub(crate) fn start(
        handler: impl Fn(&Asked, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::with_tls(None, handler)
    }

    pub(crate) fn with_tls(
        tls: Option<Arc<rustls::ServerConfig>>,
        handler: impl Fn(&Asked, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            log: Arc::default(),
            stop: Arc::default(),
            scheme: if tls.is_some() { "https" } else { "http" },
        };
        let (log, stop) = (server.log.clone(), server.stop.clone());
        let handler: Arc<Handler> = Arc::new(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (log, handler, tls) = (log.clone(), handler.clone(), tls.clone());
                std::thread::spawn(move || {
                    let Some(config) = tls else {
                        return serve(stream, &log, &*handler);
                    };
                    let connection = rustls::ServerConnection::new(config).unwrap();
                    serve(
                        rustls::StreamOwned::new(connection, stream),
                        &log,
                        &*handler,
                    )
                });
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: impl Read + Write, log: &Mutex<Vec<Asked>>, handler: &Handler) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let header = |line: &String| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let mut asked = Asked {
        n: 0,
        method: lines[0].split(' ').next().unwrap().to_owned(),
        target: lines[0].split(' ').nth(1).unwrap().to_owned(),
        body: Vec::new(),
        headers: lines[1..].iter().map(header).collect(),
    };
    let length = asked.header("content-length");
    asked.body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
    stream.read_exact(&mut asked.body)?;
    {
        let mut log = log.lock().unwrap();
        asked.n = log.len();
        log.push(asked.clone());
    }
    let stream = stream.get_mut();
    handler(&asked, stream)?;
    stream.flush()
}

/// Status line and headers.
pub(crate) fn head(out: &mut dyn Write, status: &str, headers: &[&str]) -> io::Result<()> {
    write!(out, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    for header in headers {
        write!(out, "{header}\r\n")?;
    }
    write!(out, "\r\n")?;
    out.flush()
}

/// An answer without a body.
pub(crate) fn empty(out: &mut dyn Write, status: &str, headers: &[&str]) -> io::Result<()> {
    let mut all = vec!["Content-Length: 0"];
    all.extend(headers);
    head(out, status, &all)
}

/// The whole body.
pub(crate) fn whole(out: &mut dyn Write, body: &[u8], headers: &[&str]) -> io::Result<()> {
    let length = format!("Content-Length: {}", body.len());
    let mut all = vec![&length[..]];
    all.extend(headers);
    head(out, "200 OK", &all)?;
    out.write_all(body)
}

/// The first `sent` bytes of the body, which is announced as a whole.
pub(crate) fn cut(
    out: &mut dyn Write,
    body: &[u8],
    sent: usize,
    headers: &[&str],
) -> io::Result<()> {
    let length = format!("Content-Length: {}", body.len());
    let mut all = vec![&length[..]];
    all.extend(headers);
    head(out, "200 OK", &all)?;
    out.write_all(&body[..sent])?;
    out.flush()
}

/// The part that is asked for, or the whole.
pub(crate) fn part(
    asked: &Asked,
    out: &mut dyn Write,
    body: &[u8],
    headers: &[&str],
) -> io::Result<()> {
    let Some(start) = asked.start() else {
        return whole(out, body, headers);
    };
    let length = format!("Content-Length: {}", body.len() - start);
    let range = format!(
        "Content-Range: bytes {start}-{}/{}",
        body.len() - 1,
        body.len()
    );
    let mut all = vec![&length[..], &range];
    all.extend(headers);
    head(out, "206 Partial Content", &all)?;
    out.write_all(&body[start..])
}

/// Keeps the connection open and says nothing, for longer than any limit of a test.
pub(crate) fn stall(out: &mut dyn Write) {
    let _ = out.flush();
    std::thread::sleep(Duration::from_secs(600));
}
