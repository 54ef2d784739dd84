//! One question over HTTP, with its redirects.

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, LOCATION},
};
use url::Url;

use crate::{
    Cause, Credential, Downgrade, FetchOptions, SafeUrl, error::TransportError, retry::retry_after,
};

/// An answer, and the address that gave it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    /// Where redirects led to, if there were any.
    pub(crate) redirected: Option<SafeUrl>,
}

impl Answer {
    /// The status as a reason for failure.
    pub(crate) fn status_cause(&self) -> Cause {
        Cause::Status {
            code: self.response.status().as_u16(),
            retry_after: retry_after(self.response.headers()),
            at: self.redirected.clone(),
        }
    }
}

/// Asks something about `url`, without a body, and follows redirects. The credential (that of the URL before the given one) is
/// shown to the origin of `url` alone; once a redirect has left it, it is shown to nobody.
pub(crate) async fn send(
    client: &Client,
    options: &FetchOptions,
    method: &Method,
    url: &SafeUrl,
    headers: &HeaderMap,
    credential: Option<&Credential>,
) -> Result<Answer, Cause> {
    let of_url = url
        .user_info()
        .map(|(user, password)| Credential::Basic { user, password });
    let mut credential = of_url.as_ref().or(credential);
    let mut at = url.bare();
    let mut redirected = None;
    for _ in 0..=options.max_redirects {
        let request = client.request(method.clone(), at.clone());
        let request = with_credential(request.headers(headers.clone()), credential);
        let limit = options.timeouts.connect + options.timeouts.idle;
        let response = match tokio::time::timeout(limit, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_timeout() => {
                return Err(Cause::Timeout {
                    what: "no connection",
                    limit: options.timeouts.connect,
                });
            }
            Ok(Err(error)) => {
                return Err(Cause::Transport {
                    source: TransportError::new(error),
                    at: redirected,
                });
            }
            Err(_) => {
                return Err(Cause::Timeout {
                    what: "no answer",
                    limit,
                });
            }
        };
        if !is_redirect(response.status()) {
            return Ok(Answer {
                response,
                redirected,
            });
        }
        let next = next(&at, &response, options)?;
        if next.url().origin() != at.origin() {
            credential = None;
        }
        at = next.bare();
        redirected = Some(next);
    }
    Err(Cause::Redirects {
        limit: options.max_redirects,
    })
}

pub(crate) fn with_credential(
    request: RequestBuilder,
    credential: Option<&Credential>,
) -> RequestBuilder {
    match credential {
        Some(Credential::Basic { user, password }) => request.basic_auth(user, Some(password)),
        Some(Credential::Bearer(token)) => request.bearer_auth(token),
        None => request,
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn next(at: &Url, response: &Response, options: &FetchOptions) -> Result<SafeUrl, Cause> {
    let location = response.headers().get(LOCATION);
    let text = location.and_then(|location| std::str::from_utf8(location.as_bytes()).ok());
    let next = text.and_then(|text| at.join(text).ok());
    let next = next.and_then(|url| SafeUrl::from_url(url).ok());
    let next = next.filter(|next| !next.is_file()).ok_or(Cause::Location)?;
    let down = at.scheme() == "https" && next.url().scheme() == "http";
    if down && options.downgrade == Downgrade::Refuse {
        return Err(Cause::Downgrade { to: next });
    }
    Ok(next)
}
