//! Stores of objects that speak S3: what is there, uploads that go on where they were cut, removal.
//!
//! A [`Bucket`] is an address below which objects are: `https://BUCKET.s3.REGION.amazonaws.com`, or
//! `https://HOST/BUCKET` as other stores have it. Requests are signed by
//! [version 4](https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html) of
//! the signature, or not at all where everybody may do what is asked.

mod error;
mod remove;
mod sign;
mod talk;
mod upload;
mod xml;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use nd_names::Sha256;
use reqwest::{Method, Response};

pub use self::{
    error::{Refusal, S3Error},
    sign::S3Credentials,
    talk::Bucket,
    upload::{Upload, Uploaded},
};
use self::{
    talk::{Ask, header},
    xml::Document,
};
use crate::ObjectBody;

/// Header of the digest that an object was uploaded with.
const META_SHA256: &str = "x-amz-meta-sha256";
/// Pages of a list; a store that gives more goes round in circles.
const PAGES: usize = 100_000;

/// What a store says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub bytes: u64,
    /// Its entity tag, without quotes.
    pub etag: Option<String>,
    /// The digest that it was uploaded with, as far as that was said.
    pub sha256: Option<Sha256>,
    /// How long ago it was written, by the clock of the store.
    pub age: Option<Duration>,
}

/// What holds back a [`Bucket::put_if`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    None,
    /// An object of that key.
    Absent,
    /// An object whose entity tag is another, or none at all.
    Is(&'a str),
}

/// What readers of an object are told about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Described<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Cache-Control`.
    pub cache_control: Option<&'a str>,
}

/// An object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
    /// When it was last written; `None` when the store says nothing that can be read.
    pub modified: Option<Timestamp>,
}

impl Bucket {
    /// What is known about the object `key`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub fn head(&self, key: &str) -> Result<Option<Stored>, S3Error> {
        let ask = Ask::new(Method::HEAD, key);
        let answer = match self.ask(&ask) {
            Err(error) if error.status() == Some(404) => return Ok(None),
            other => other?,
        };
        self.stored_by(&answer).map(Some)
    }

    /// The object `key`, and what is known about it; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub fn get(&self, key: &str) -> Result<Option<(Stored, ObjectBody)>, S3Error> {
        let answer = match self.ask(&Ask::new(Method::GET, key)) {
            Err(error) if error.status() == Some(404) => return Ok(None),
            other => other?,
        };
        Ok(Some((self.stored_by(&answer)?, self.body(answer))))
    }

    fn stored_by(&self, answer: &Response) -> Result<Stored, S3Error> {
        let bytes = header(answer, "content-length").and_then(|text| text.parse().ok());
        let time = |name| {
            let parser = jiff::fmt::rfc2822::DateTimeParser::new();
            parser.parse_timestamp(header(answer, name)?).ok()
        };
        let age = time("date").zip(time("last-modified")).map(|(now, then)| {
            let seconds = now.as_second() - then.as_second();
            Duration::from_secs(seconds.max(0).cast_unsigned())
        });
        Ok(Stored {
            bytes: bytes.ok_or_else(|| self.invalid("it does not say how long the object is"))?,
            etag: etag(answer),
            sha256: header(answer, META_SHA256).and_then(|text| text.parse().ok()),
            age,
        })
    }

    /// Every object whose key begins with `prefix`, by key.
    ///
    /// # Errors
    ///
    /// When the store does not answer, refuses, or gives no list.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, S3Error> {
        let mut all = BTreeMap::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let mut ask = Ask::new(Method::GET, "")
                .query("list-type", "2")
                .query("prefix", prefix);
            if let Some(token) = &after {
                ask = ask.query("continuation-token", token);
            }
            let page = self.document(&ask)?;
            for item in page.items("Contents") {
                let (Some(key), Some(bytes)) = (item.get("Key"), item.get("Size")) else {
                    return Err(self.invalid("an object of the list has no key or no size"));
                };
                let bytes = bytes
                    .parse()
                    .map_err(|_| self.invalid("a size is no number"))?;
                let modified = item.get("LastModified").and_then(|text| text.parse().ok());
                let listed = Listed {
                    key: key.clone(),
                    bytes,
                    modified,
                };
                all.insert(key.clone(), listed);
            }
            after = page.text("NextContinuationToken").map(str::to_owned);
            if page.text("IsTruncated") != Some("true") || after.is_none() {
                return Ok(all.into_values().collect());
            }
        }
        Err(self.invalid("the list does not end"))
    }

    /// Writes a small object, over an older one.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), S3Error> {
        self.put_if(key, bytes, Described::default(), Condition::None)?;
        Ok(())
    }

    /// Writes an object if its condition is met; its entity tag, or `None` when something is in the
    /// way. An attempt whose answer was lost and that is made again may find itself in the way.
    ///
    /// # Errors
    ///
    /// When the store does not answer, refuses for another reason, or gives no tag.
    pub fn put_if(
        &self,
        key: &str,
        bytes: &[u8],
        described: Described<'_>,
        condition: Condition<'_>,
    ) -> Result<Option<String>, S3Error> {
        let mut ask = Ask::new(Method::PUT, key).body(bytes.to_vec());
        for (name, value) in [
            ("content-type", described.content_type),
            ("cache-control", described.cache_control),
        ] {
            if let Some(value) = value {
                ask = ask.header(name, value);
            }
        }
        ask = match condition {
            Condition::None => ask,
            Condition::Absent => ask.header("if-none-match", "*"),
            Condition::Is(tag) => ask.header("if-match", format!("\"{tag}\"")),
        };
        let answer = match self.ask(&ask) {
            // 409: somebody else writes at this moment. 404: nothing is left to be compared with.
            Err(error)
                if condition != Condition::None
                    && (matches!(error.status(), Some(409 | 412))
                        || error.code() == Some("NoSuchKey")) =>
            {
                return Ok(None);
            }
            other => other?,
        };
        let tag = etag(&answer);
        let tag = tag.ok_or_else(|| self.invalid("a written object has no entity tag"))?;
        Ok(Some(tag))
    }

    fn document(&self, ask: &Ask<'_>) -> Result<Document, S3Error> {
        let answer = self.ask(ask)?;
        Document::parse(&self.text(answer)?).map_err(|source| S3Error::Xml {
            url: self.base().clone(),
            source: Box::new(source),
        })
    }
}

/// The entity tag that an answer gives, without quotes.
fn etag(answer: &Response) -> Option<String> {
    header(answer, "etag").map(|text| text.trim_matches('"').to_owned())
}
