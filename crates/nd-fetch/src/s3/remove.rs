//! Removal: of one object, and of many by one request.

use std::collections::HashSet;

use base64::Engine as _;
use md5::{Digest as _, Md5};
use quick_xml::escape::escape;
use reqwest::Method;

use super::{Bucket, S3Error, talk::Ask};

impl Bucket {
    /// The most objects that [`Self::delete_many`] removes at a time.
    pub const MANY: usize = 1000;

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub fn delete(&self, key: &str) -> Result<(), S3Error> {
        match self.ask(&Ask::new(Method::DELETE, key)) {
            Err(error) if error.status() == Some(404) && error.code() != Some("NoSuchBucket") => {
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Removes objects by one request,
    /// [`DeleteObjects`](https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html), and gives
    /// the keys of which the store does not say that they are gone: what is wrong with one of them
    /// [`Self::delete`] tells, and it tries again what may pass.
    ///
    /// # Errors
    ///
    /// When the store does not answer, knows no such request, or refuses it as a whole, as it does for
    /// more than [`Self::MANY`] keys.
    pub fn delete_many<'k>(&self, keys: &[&'k str]) -> Result<Vec<&'k str>, S3Error> {
        let mut text = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
        for key in keys {
            text.push_str("<Object><Key>");
            text.push_str(&escape(*key));
            text.push_str("</Key></Object>");
        }
        text.push_str("</Delete>");
        let digest = base64::engine::general_purpose::STANDARD.encode(Md5::digest(&text));
        let ask = Ask::new(Method::POST, "")
            .query("delete", "")
            .header("content-md5", digest)
            .header("content-type", "application/xml")
            .body(text);
        let answer = self.document(&ask)?;
        let gone: HashSet<&str> = (answer.items("Deleted"))
            .filter_map(|item| item.get("Key").map(String::as_str))
            .collect();
        let mut left = keys.to_vec();
        left.retain(|key| !gone.contains(key));
        Ok(left)
    }
}
