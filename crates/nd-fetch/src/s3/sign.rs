//! Signatures of requests, version 4.

use std::fmt::{self, Write as _};

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use nd_host::Environment;
use nd_names::Sha256;

/// Who asks a store, and where it is.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
    /// What makes a pair that is good for some hours.
    pub session_token: Option<String>,
    /// The region of the store; stores without regions take any.
    pub region: String,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl S3Credentials {
    /// What `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and `AWS_REGION` (else
    /// `AWS_DEFAULT_REGION`, else `us-east-1`) say; `None` without a pair of keys.
    pub fn from_environment(environment: &Environment) -> Option<Self> {
        let text = |name: &str| {
            let text = environment.text(name).filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        let region = text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION"));
        Some(Self {
            access_key: text("AWS_ACCESS_KEY_ID")?,
            secret_key: text("AWS_SECRET_ACCESS_KEY")?,
            session_token: text("AWS_SESSION_TOKEN"),
            region: region.unwrap_or_else(|| "us-east-1".into()),
        })
    }
}

/// A request as it is signed.
pub(super) struct Signable<'a> {
    pub(super) method: &'a str,
    /// The path as it is sent.
    pub(super) path: &'a str,
    /// The query as it is sent: sorted and encoded.
    pub(super) query: &'a str,
    /// Headers in lower case, sorted by name; `host` and `x-amz-date` are among them.
    pub(super) headers: &'a [(&'a str, String)],
    /// Digest of the body.
    pub(super) payload: &'a Sha256,
}

/// The time as requests carry it.
pub(super) fn stamp(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The value of the header `Authorization`.
pub(super) fn authorization(
    request: &Signable<'_>,
    credentials: &S3Credentials,
    stamp: &str,
) -> String {
    let day = stamp.get(..8).unwrap_or(stamp);
    let scope = format!("{day}/{}/s3/aws4_request", credentials.region);
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
    for (name, value) in request.headers {
        // Writing to a string cannot fail.
        let _ = writeln!(canonical, "{name}:{}", value.trim());
    }
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let _ = write!(canonical, "\n{names}\n{}", request.payload.hex());
    let digest = Sha256::of(canonical.as_bytes());
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", digest.hex());
    let secret = format!("AWS4{}", credentials.secret_key);
    let parts = [day, &credentials.region, "s3", "aws4_request", &text];
    let signature = parts
        .iter()
        .fold(secret.into_bytes(), |key, part| hmac(&key, part));
    let mut hex = String::new();
    for byte in signature {
        let _ = write!(hex, "{byte:02x}");
    }
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={hex}",
        credentials.access_key
    )
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `text` with everything but letters, digits and `-._~` encoded, and `/` where it parts a path.
pub(super) fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            b'/' if keep_slash => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    //! The examples of the specification of the signature.

    use super::*;

    fn signature(query: &str, path: &str, more: &[(&'static str, &str)]) -> String {
        let credentials = S3Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
            region: "us-east-1".into(),
        };
        let payload = Sha256::of(b"");
        let mut headers = vec![
            ("host", "examplebucket.s3.amazonaws.com".to_owned()),
            ("x-amz-content-sha256", payload.hex()),
            ("x-amz-date", "20130524T000000Z".to_owned()),
        ];
        headers.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        headers.sort();
        let request = Signable {
            method: "GET",
            path,
            query,
            headers: &headers,
            payload: &payload,
        };
        let text = authorization(&request, &credentials, "20130524T000000Z");
        assert!(!format!("{credentials:?}").contains("EXAMPLE"));
        text.rsplit('=').next().unwrap().to_owned()
    }

    #[test]
    fn signs_as_the_specification_does() {
        assert_eq!(
            signature("", "/test.txt", &[("range", "bytes=0-9")]),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(
            signature("max-keys=2&prefix=J", "/", &[]),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn encodes_what_is_not_plain() {
        assert_eq!(encode("a/b+c d~é.simg", true), "a/b%2Bc%20d~%C3%A9.simg");
        assert_eq!(encode("a/b=", false), "a%2Fb%3D");
        let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(stamp(now), "20260102T030405Z");
    }
}
