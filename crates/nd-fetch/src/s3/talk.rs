//! One request to a store: signed, tried again, its refusal in words.

use std::sync::Arc;

use bytes::Bytes;
use nd_host::{Clock as _, SystemClock};
use nd_names::{Sha256, Sha256Hasher};
use reqwest::{Client, Method, Response};
use tokio::runtime::Runtime;

use super::{
    Refusal, S3Credentials, S3Error,
    sign::{Signable, authorization, encode, stamp},
    xml::Document,
};
use crate::{
    Cause, FetchError, FetchOptions, Network, ObjectBody, SafeUrl,
    body::{self, Source},
    client::client,
    retry::{may_pass, retry_after, wait},
};

/// Longer documents are none.
const DOCUMENT: usize = 16 << 20;

/// A bucket of a store. Threads may share it; never to be used from within a runtime.
pub struct Bucket {
    runtime: Arc<Runtime>,
    client: Client,
    options: FetchOptions,
    base: SafeUrl,
    credentials: Option<S3Credentials>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) key: &'a str,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, key: &'a str) -> Self {
        Self {
            method,
            key,
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((encode(name, false), encode(value, false)));
        self
    }

    /// A header; its name is in lower case.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = bytes.into();
        self
    }
}

impl Bucket {
    /// The bucket at `base`. Without credentials nothing is signed. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When connections cannot be set up, or are switched off.
    pub fn new(
        options: FetchOptions,
        base: SafeUrl,
        credentials: Option<S3Credentials>,
    ) -> Result<Self, FetchError> {
        if options.network == Network::Off {
            let name = base.title().to_owned();
            return Err(FetchError::Offline { name, url: base });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(FetchError::Runtime)?;
        Ok(Self {
            runtime: Arc::new(runtime),
            client: client(&options)?,
            options,
            base,
            credentials,
        })
    }

    /// The address below which objects are.
    pub fn base(&self) -> &SafeUrl {
        &self.base
    }

    pub(super) fn invalid(&self, problem: &'static str) -> S3Error {
        let url = self.base.clone();
        S3Error::Invalid { url, problem }
    }

    /// The address of an object, for messages and for whoever reads it.
    ///
    /// # Errors
    ///
    /// When the key makes no address.
    pub fn url(&self, key: &str) -> Result<SafeUrl, S3Error> {
        let mut url = self.base.bare();
        let path = format!("{}/{}", url.path().trim_end_matches('/'), encode(key, true));
        url.set_path(&path);
        SafeUrl::from_url(url).map_err(|_| self.invalid("a key makes no address"))
    }

    /// Asks until there is an answer of success, as often as the options say.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Response, S3Error> {
        let url = self.url(ask.key)?;
        let retries = self.options.retries;
        self.runtime.block_on(async {
            let mut attempts = 0;
            loop {
                attempts += 1;
                let cause = match self.once(ask, &url).await {
                    Ok(response) if response.status().is_success() => return Ok(response),
                    Ok(response) => {
                        let cause = Cause::Status {
                            code: response.status().as_u16(),
                            retry_after: retry_after(response.headers()),
                            at: None,
                        };
                        // A refusal does not pass: addresses of a store do not expire.
                        let passes = response.status() != 403 && may_pass(&cause);
                        if !passes || attempts >= retries.attempts {
                            return Err(self.refusal(response, url.clone()).await);
                        }
                        cause
                    }
                    Err(cause) => cause,
                };
                let again = may_pass(&cause) && attempts < retries.attempts;
                match wait(&retries, attempts, &cause).filter(|_| again) {
                    Some(time) => tokio::time::sleep(time).await,
                    None => {
                        return Err(S3Error::Connection {
                            url: url.clone(),
                            attempts,
                            cause: Box::new(cause),
                        });
                    }
                }
            }
        })
    }

    async fn once(&self, ask: &Ask<'_>, url: &SafeUrl) -> Result<Response, Cause> {
        let mut url = url.bare();
        let mut query = ask.query.clone();
        query.sort();
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let query = query.join("&");
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        let payload = Sha256::of(&ask.body);
        let mut headers = ask.headers.clone();
        if let Some(credentials) = &self.credentials {
            let stamp = stamp(SystemClock.now());
            let host = url.host_str().unwrap_or_default();
            let host = url
                .port()
                .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            headers.extend([
                ("host", host),
                ("x-amz-content-sha256", payload.hex()),
                ("x-amz-date", stamp.clone()),
            ]);
            let token = credentials.session_token.iter();
            headers.extend(token.map(|token| ("x-amz-security-token", token.clone())));
            headers.sort();
            let request = Signable {
                method: ask.method.as_str(),
                path: url.path(),
                query: &query,
                headers: &headers,
                payload: &payload,
            };
            let authorization = authorization(&request, credentials, &stamp);
            headers.push(("authorization", authorization));
        }
        let mut request = self.client.request(ask.method.clone(), url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let idle = self.options.timeouts.idle;
        body::send(request, &Source::Memory(ask.body.clone()), idle, None).await
    }

    async fn refusal(&self, response: Response, url: SafeUrl) -> S3Error {
        let status = response.status().as_u16();
        let text = self.read(response).await.unwrap_or_default();
        let document = Document::parse(&text).ok();
        let word = |name: &str| {
            let text = document.as_ref()?.text(name)?;
            // Words of a stranger, for a terminal.
            let plain = text.chars().filter(|c| !c.is_control()).take(200);
            Some(plain.collect::<String>())
        };
        S3Error::Refused(Box::new(Refusal {
            url,
            status,
            code: word("Code"),
            message: word("Message"),
        }))
    }

    /// The body of a small answer.
    pub(super) fn text(&self, response: Response) -> Result<String, S3Error> {
        let text = self.runtime.block_on(self.read(response));
        text.map_err(|cause| S3Error::Connection {
            url: self.base.clone(),
            attempts: 1,
            cause: Box::new(cause),
        })
    }

    async fn read(&self, mut response: Response) -> Result<String, Cause> {
        let mut bytes = Vec::new();
        let limit = self.options.timeouts.idle;
        loop {
            let next = tokio::time::timeout(limit, response.chunk()).await;
            let what = "no byte of the body";
            match next.map_err(|_| Cause::Timeout { what, limit })? {
                Ok(Some(portion)) => bytes.extend_from_slice(&portion),
                Ok(None) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Err(error) => {
                    let source = crate::error::TransportError::new(error);
                    return Err(Cause::Transport { source, at: None });
                }
            }
            if bytes.len() > DOCUMENT {
                let limit = DOCUMENT as u64;
                return Err(Cause::TooLarge { limit });
            }
        }
    }

    /// The body of an answer, read as it comes.
    pub(super) fn body(&self, answer: Response) -> ObjectBody {
        ObjectBody::new(self.runtime.clone(), self.options.timeouts.idle, answer)
    }

    /// The digest and the bytes of an object, read from the store.
    pub(super) fn digest(&self, key: &str) -> Result<(Sha256, u64), S3Error> {
        let answer = self.ask(&Ask::new(Method::GET, key))?;
        let mut hasher = Sha256Hasher::default();
        let bytes = std::io::copy(&mut self.body(answer), &mut hasher).map_err(|source| {
            let url = self.base.clone();
            S3Error::Body { url, source }
        })?;
        Ok((hasher.finish(), bytes))
    }
}

/// A header of an answer as text.
pub(super) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
