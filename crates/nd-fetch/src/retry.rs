//! Which failures may pass, and how long to wait for that.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::{Cause, Retries};

/// Whether asking the same source again may help. 403 is among them because of signed addresses
/// that expire: the next attempt is redirected to a new one.
pub(crate) fn may_pass(cause: &Cause) -> bool {
    match cause {
        Cause::Status { code, .. } => {
            matches!(code, 403 | 408 | 425 | 429 | 500 | 502 | 503 | 504)
        }
        Cause::Transport { source, .. } => !source.is_certificate(),
        Cause::Timeout { .. } | Cause::Cut { .. } | Cause::Range => true,
        _ => false,
    }
}

/// How long to wait after this many failures in a row; `None` if the server wants more patience
/// than there is.
pub(crate) fn wait(retries: &Retries, failures: u32, cause: &Cause) -> Option<Duration> {
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
    let own = retries
        .first_wait
        .saturating_mul(doubled)
        .min(retries.longest_wait);
    match cause {
        Cause::Status {
            retry_after: Some(asked),
            ..
        } => (*asked <= retries.longest_wait).then_some(own.max(*asked)),
        _ => Some(own),
    }
}

/// What `Retry-After` asks for: seconds, or a date. The date is compared with the server's own
/// `Date`, so that no clock of ours need be right.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let parser = DateTimeParser::new();
    let then = parser.parse_timestamp(text).ok()?;
    let now = headers.get(DATE)?.to_str().ok()?;
    let now = parser.parse_timestamp(now).ok()?;
    let seconds = then.as_second() - now.as_second();
    Some(Duration::from_secs(seconds.max(0).cast_unsigned()))
}

#[cfg(test)]
mod tests {
    //! Waits and what servers ask for.

    use super::*;

    fn status(retry_after: Option<u64>) -> Cause {
        Cause::Status {
            code: 429,
            retry_after: retry_after.map(Duration::from_secs),
            at: None,
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_heed_the_server_up_to_there() {
        let retries = Retries::default();
        let seconds =
            |failures, cause: &Cause| wait(&retries, failures, cause).map(|wait| wait.as_secs());
        let own: Vec<_> = (1..8).filter_map(|n| seconds(n, &status(None))).collect();
        assert_eq!(own, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(seconds(40, &status(None)), Some(30));
        assert_eq!(seconds(1, &status(Some(7))), Some(7));
        assert_eq!(seconds(5, &status(Some(7))), Some(16));
        assert_eq!(seconds(1, &status(Some(31))), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let asked = |after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        let now = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(asked("12", None), Some(12));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:05 GMT", now), Some(5));
        assert_eq!(asked("Wed, 21 Oct 2015 07:27:05 GMT", now), Some(0));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:05 GMT", None), None);
        assert_eq!(asked("soon", now), None);
    }
}
