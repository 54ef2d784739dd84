//! What stands between a program and a store: it counts requests, and fails as stores do.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::place::variables;

/// How a store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Not at all.
    Well,
    /// Every third request is answered with an error.
    Fails,
    /// No condition of a request reaches the store.
    Heedless,
    /// So many requests reach the store, and those after them are never answered.
    Silent(usize),
    /// The removal of many objects is answered with this status and text; none of them goes.
    Removal(u16, &'static str),
}

/// Passes requests on to a store, one for each connection.
pub(crate) struct Between {
    address: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Methods and paths of the requests.
    requests: Mutex<Vec<String>>,
    /// How many of them were answered, or left by the program.
    answered: AtomicUsize,
}

impl Between {
    pub(crate) fn new(to: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, to) = (listener.local_addr().unwrap(), to.to_owned());
        let seen = Arc::<Seen>::default();
        let between = Self {
            address: address.to_string(),
            seen: seen.clone(),
        };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (to, seen) = (to.clone(), seen.clone());
                std::thread::spawn(move || {
                    pass(client, &to, manner, &seen);
                    seen.answered.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        between
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The variables that lead here.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        variables(&self.address)
    }

    /// Methods and paths of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Waits until `program` ends, or is killed because a request came that is never answered; says
    /// whether it was. The store has done then what it was asked before.
    pub(crate) fn kills(&self, mut program: Child, limit: usize) -> bool {
        let pause = || std::thread::sleep(Duration::from_millis(5));
        let killed = loop {
            if let Some(end) = program.try_wait().unwrap() {
                assert!(end.success(), "{end}");
                break false;
            }
            if self.requests().len() > limit {
                program.kill().unwrap();
                program.wait().unwrap();
                break true;
            }
            pause();
        };
        while self.seen.answered.load(Ordering::SeqCst) < self.requests().len() {
            pause();
        }
        killed
    }
}

/// The head of a request, without its end, and its body.
fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut request = Vec::new();
    let mut portion = vec![0; 64 << 10];
    let end = loop {
        let got = client.read(&mut portion).ok().filter(|got| *got > 0)?;
        request.extend_from_slice(&portion[..got]);
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let length: usize = (head.lines().find(|line| is(line, "content-length:")))
        .and_then(|line| line.split_once(':')?.1.trim().parse().ok())
        .unwrap_or(0);
    let mut body = request.split_off(end + 4);
    while body.len() < length {
        let got = client.read(&mut portion).ok().filter(|got| *got > 0)?;
        body.extend_from_slice(&portion[..got]);
    }
    Some((head, body))
}

fn is(line: &str, name: &str) -> bool {
    line.to_ascii_lowercase().starts_with(name)
}

fn pass(mut client: TcpStream, to: &str, manner: Manner, seen: &Seen) -> Option<()> {
    let (head, body) = request(&mut client)?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1");
    let number = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push(line.to_owned());
        requests.len()
    };
    let mut answer = |status: &str, text: &str| {
        let length = text.len();
        let answer = format!(
            "HTTP/1.1 {status} x\r\nRetry-After: 0\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        );
        client.write_all(answer.as_bytes()).ok()
    };
    match manner {
        Manner::Fails if number.is_multiple_of(3) => return answer("503", ""),
        Manner::Silent(limit) if number > limit => {
            // Until the program ends.
            let _ = client.read(&mut [0]);
            return None;
        }
        Manner::Removal(status, text) if line.starts_with("POST ") && line.contains("?delete") => {
            return answer(&status.to_string(), text);
        }
        _ => {}
    }
    let kept = head.lines().filter(|line| {
        let conditional = is(line, "if-match:") || is(line, "if-none-match:");
        !(is(line, "connection:") || manner == Manner::Heedless && conditional)
    });
    let kept: Vec<&str> = kept.chain(["Connection: close\r\n\r\n"]).collect();
    let head = kept.join("\r\n");
    let mut store = TcpStream::connect(to).ok()?;
    store.write_all(head.as_bytes()).ok()?;
    store.write_all(&body).ok()?;
    std::io::copy(&mut store, &mut client).ok()?;
    Some(())
}
