//! Many small objects of one server, for callers that are not asynchronous: a repository's files
//! over HTTP, each answer read as it comes.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client, Method, Response, StatusCode,
    header::{CACHE_CONTROL, HeaderMap, HeaderValue},
};
use tokio::runtime::Runtime;

use crate::{
    Cause, FetchError, FetchOptions, Network, SafeUrl, Tried,
    client::client,
    error::TransportError,
    http::{Answer, send},
    retry::{may_pass, wait},
};

/// Asks one server for objects by path. Threads may share it; never to be used from within a runtime.
pub struct ObjectClient {
    connections: Arc<Connections>,
    base: SafeUrl,
    headers: HeaderMap,
}

struct Connections {
    runtime: Arc<Runtime>,
    client: Client,
    options: FetchOptions,
}

impl std::fmt::Debug for ObjectClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectClient")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl ObjectClient {
    /// Objects below `base`. Nothing is asked yet.
    pub fn new(options: FetchOptions, base: SafeUrl) -> Result<Self, FetchError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(FetchError::Runtime)?;
        let client = client(&options)?;
        Ok(Self {
            connections: Arc::new(Connections {
                runtime: Arc::new(runtime),
                client,
                options,
            }),
            base,
            headers: HeaderMap::new(),
        })
    }

    /// Has every cache on the way ask the server whether its copy is still the current one.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        let now = HeaderValue::from_static("max-age=0");
        self.headers.insert(CACHE_CONTROL, now);
        self
    }

    /// The address below which objects are.
    pub fn base(&self) -> &SafeUrl {
        &self.base
    }

    /// The bytes of the object at `path`; `None` when the server has none. What fails for reasons that
    /// may pass is asked again before the first byte was given, not afterwards.
    pub fn get(&self, path: &str) -> Result<Option<ObjectBody>, FetchError> {
        let answer = self.ask(&Method::GET, path)?;
        let connections = &self.connections;
        let idle = connections.options.timeouts.idle;
        Ok(
            answer
                .map(|answer| ObjectBody::new(connections.runtime.clone(), idle, answer.response)),
        )
    }

    /// How many bytes the object at `path` has; `None` when the server has none.
    pub fn size(&self, path: &str) -> Result<Option<u64>, FetchError> {
        let answer = self.ask(&Method::HEAD, path)?;
        let length = |answer: Answer| {
            let text = answer
                .response
                .headers()
                .get(reqwest::header::CONTENT_LENGTH);
            let text = text.and_then(|text| text.to_str().ok());
            // A server that does not say has it all the same.
            text.and_then(|text| text.parse().ok()).unwrap_or(1)
        };
        Ok(answer.map(length))
    }

    fn ask(&self, method: &Method, path: &str) -> Result<Option<Answer>, FetchError> {
        let Connections {
            runtime,
            client,
            options,
        } = &*self.connections;
        let name = || path.to_owned();
        let mut url = self.base.url().clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        let failed = |url: &SafeUrl, attempts, cause| FetchError::NoSource {
            name: name(),
            tried: vec![Tried {
                url: url.clone(),
                attempts,
                cause,
            }],
        };
        let url = SafeUrl::from_url(url).map_err(|_| FetchError::NoUrl { name: name() })?;
        if options.network == Network::Off {
            return Err(FetchError::Offline { name: name(), url });
        }
        runtime.block_on(async {
            let mut attempts = 0;
            loop {
                attempts += 1;
                let sent = send(client, options, method, &url, &self.headers, None).await;
                let cause = match sent {
                    Ok(answer) => match answer.response.status() {
                        status if status.is_success() => return Ok(Some(answer)),
                        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
                        _ => answer.status_cause(),
                    },
                    Err(cause) => cause,
                };
                let again = may_pass(&cause) && attempts < options.retries.attempts;
                match wait(&options.retries, attempts, &cause).filter(|_| again) {
                    Some(time) => tokio::time::sleep(time).await,
                    None => return Err(failed(&url, attempts, cause)),
                }
            }
        })
    }
}

/// The bytes of an object as they come. A body that ends early or stalls is an error.
pub struct ObjectBody {
    runtime: Arc<Runtime>,
    idle: Duration,
    response: Response,
    length: Option<u64>,
    got: u64,
    portion: bytes::Bytes,
}

impl std::fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectBody")
            .field("length", &self.length)
            .field("got", &self.got)
            .finish_non_exhaustive()
    }
}

impl Read for ObjectBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.portion.is_empty() {
            let limit = self.idle;
            let next = async { tokio::time::timeout(limit, self.response.chunk()).await };
            let next = self.runtime.block_on(next);
            match next {
                Ok(Ok(Some(portion))) => {
                    self.got += portion.len() as u64;
                    self.portion = portion;
                }
                Ok(Ok(None)) => {
                    let cut = self.length.is_some_and(|length| self.got < length);
                    return if cut { Err(self.cut(None)) } else { Ok(0) };
                }
                Ok(Err(error)) => return Err(self.cut(Some(TransportError::new(error)))),
                Err(_) => {
                    let what = "no byte of the body";
                    return Err(io::Error::other(Cause::Timeout { what, limit }));
                }
            }
        }
        let length = out.len().min(self.portion.len());
        out[..length].copy_from_slice(&self.portion.split_to(length));
        Ok(length)
    }
}

impl ObjectBody {
    pub(crate) fn new(runtime: Arc<Runtime>, idle: Duration, response: Response) -> Self {
        Self {
            runtime,
            idle,
            length: response.content_length(),
            response,
            got: 0,
            portion: bytes::Bytes::new(),
        }
    }

    fn cut(&self, source: Option<TransportError>) -> io::Error {
        io::Error::other(Cause::Cut {
            got: self.got,
            expected: self.length,
            source,
        })
    }
}
