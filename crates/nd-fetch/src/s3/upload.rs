//! Uploads: in parts that stay when the rest fails, never over another object, compared afterwards.

use std::{
    fmt::Write as _, fs::File, io, os::unix::fs::FileExt as _, path::Path, sync::Arc, time::Instant,
};

use md5::{Digest as _, Md5};
use nd_names::Sha256;
use nd_report::{Cancel, Event, Reporter, StepId, StepOutcome};
use reqwest::Method;

use super::{Bucket, META_SHA256, PAGES, Refusal, S3Error, Stored, etag, talk::Ask, xml::Document};

/// Bytes of a part, unless there would be too many parts.
const PART: u64 = 16 << 20;
/// The most parts that an object may have.
const PARTS: u64 = 10_000;
/// The largest part that stores take.
const LARGEST_PART: u64 = 5 << 30;

/// A file to send.
#[derive(Clone)]
pub struct Upload<'a> {
    /// The key that the object gets.
    pub key: &'a str,
    /// The file.
    pub file: &'a Path,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// Who is told, as which step.
    pub told: (Arc<dyn Reporter>, StepId),
    /// The caller's wish to stop, heard between parts.
    pub cancel: &'a Cancel,
}

impl std::fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("key", &self.key)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// What an upload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Bytes of the object.
    pub bytes: u64,
    /// Bytes that were sent; the others were there from an upload that was cut.
    pub sent: u64,
}

/// A part as the store names it, and its MD5 as we know it.
struct Part {
    etag: String,
    md5: [u8; 16],
}

impl Bucket {
    /// Uploads a file. Parts that an earlier attempt has sent, from whatever machine, are compared by
    /// their digests and not sent again. Afterwards the store's tag is compared with ours; where it is
    /// of another kind, the object is read back.
    ///
    /// # Errors
    ///
    /// [`S3Error::Exists`] when another object has the key. After any other error the parts stay for the next
    /// attempt.
    pub fn upload(&self, upload: &Upload<'_>) -> Result<Uploaded, S3Error> {
        let (reporter, id) = &upload.told;
        let file = |source| S3Error::File {
            path: upload.file.to_owned(),
            source,
        };
        let open: File = fs_err::File::open(upload.file).map_err(file)?.into();
        let bytes = open.metadata().map_err(file)?.len();
        let size = part_size(bytes).ok_or_else(|| S3Error::TooLarge {
            path: upload.file.to_owned(),
            bytes,
        })?;
        let started = Instant::now();
        let title = format!("{} to {}", upload.key, self.base().authority());
        reporter.event(Event::Started {
            id: *id,
            title: &title,
            bytes: Some(bytes),
        });
        let result = if bytes <= size {
            self.upload_whole(upload, &open, bytes)
        } else {
            self.upload_parts(upload, &open, bytes, size)
        };
        reporter.event(Event::Finished {
            id: *id,
            outcome: match result {
                Ok(_) => StepOutcome::Done,
                Err(_) => StepOutcome::Failed,
            },
            took: started.elapsed(),
        });
        result
    }

    fn upload_whole(
        &self,
        upload: &Upload<'_>,
        file: &File,
        bytes: u64,
    ) -> Result<Uploaded, S3Error> {
        let content = read(upload, file, 0, bytes)?;
        let tag = hex(&Md5::digest(&content));
        let ask = Ask::new(Method::PUT, upload.key)
            .header("if-none-match", "*")
            .header(META_SHA256, upload.sha256.hex())
            .body(content);
        let sent = bytes;
        match self.ask(&ask) {
            Err(error) if is_taken(&error) => self.must_be_same(upload, bytes)?,
            other => {
                other?;
                self.verify(upload, bytes, &tag)?;
            }
        }
        Ok(Uploaded { bytes, sent })
    }

    fn upload_parts(
        &self,
        upload: &Upload<'_>,
        file: &File,
        bytes: u64,
        size: u64,
    ) -> Result<Uploaded, S3Error> {
        let (id, there) = match self.unfinished(upload.key)? {
            Some(id) => {
                let there = self.parts(upload.key, &id)?;
                (id, there)
            }
            None => (self.begin(upload)?, Vec::new()),
        };
        let (mut parts, mut sent) = (Vec::new(), 0);
        for number in 1..=bytes.div_ceil(size) {
            upload.cancel.check()?;
            let at = (number - 1) * size;
            let length = size.min(bytes - at);
            let content = read(upload, file, at, length)?;
            let md5: [u8; 16] = Md5::digest(&content).into();
            let known = |part: &&(u64, String)| part.0 == number && part.1 == hex(&md5);
            let etag = if let Some((_, etag)) = there.iter().find(known) {
                etag.clone()
            } else {
                sent += length;
                self.send_part(upload.key, &id, number, content)?
            };
            parts.push(Part { etag, md5 });
            let (reporter, step) = &upload.told;
            reporter.event(Event::Advanced {
                id: *step,
                bytes: at + length,
            });
        }
        let tag = tag_of(&parts);
        match self.complete(upload.key, &id, &parts) {
            // Gone is an upload that somebody else has completed, or that was completed by an
            // attempt whose answer was lost.
            Err(error) if is_taken(&error) || error.status() == Some(404) => {
                // What was sent is of no use any more.
                let abort = Ask::new(Method::DELETE, upload.key).query("uploadId", &id);
                let _ = self.ask(&abort);
                self.must_be_same(upload, bytes)?;
            }
            other => {
                other?;
                self.verify(upload, bytes, &tag)?;
            }
        }
        Ok(Uploaded { bytes, sent })
    }

    fn begin(&self, upload: &Upload<'_>) -> Result<String, S3Error> {
        let ask = Ask::new(Method::POST, upload.key)
            .query("uploads", "")
            .header(META_SHA256, upload.sha256.hex());
        let begun = self.document(&ask)?;
        let id = begun.text("UploadId").filter(|id| !id.is_empty());
        id.map(str::to_owned)
            .ok_or_else(|| self.invalid("an upload has no name"))
    }

    /// The newest upload of `key` that did not end.
    fn unfinished(&self, key: &str) -> Result<Option<String>, S3Error> {
        let ask = Ask::new(Method::GET, "")
            .query("uploads", "")
            .query("prefix", key);
        let list = match self.document(&ask) {
            // Who may not list uploads, or asks a store that cannot, sends all parts.
            Err(error) if matches!(error.status(), Some(403 | 405 | 501)) => return Ok(None),
            other => other?,
        };
        let mine = list
            .items("Upload")
            .filter(|item| item.get("Key").is_some_and(|found| found == key));
        let newest = mine.max_by_key(|item| item.get("Initiated").cloned());
        Ok(newest.and_then(|item| item.get("UploadId").cloned()))
    }

    /// Numbers and tags of the parts that are there.
    fn parts(&self, key: &str, id: &str) -> Result<Vec<(u64, String)>, S3Error> {
        let mut all = Vec::new();
        let mut after = String::new();
        for _ in 0..PAGES {
            let mut ask = Ask::new(Method::GET, key).query("uploadId", id);
            if !after.is_empty() {
                ask = ask.query("part-number-marker", &after);
            }
            let page = self.document(&ask)?;
            for item in page.items("Part") {
                let number = item.get("PartNumber").and_then(|text| text.parse().ok());
                let etag = item
                    .get("ETag")
                    .map(|text| text.trim_matches('"').to_owned());
                all.extend(number.zip(etag));
            }
            let next = page.text("NextPartNumberMarker").unwrap_or_default();
            if page.text("IsTruncated") != Some("true") || next == after {
                return Ok(all);
            }
            next.clone_into(&mut after);
        }
        Err(self.invalid("the list of parts does not end"))
    }

    fn send_part(
        &self,
        key: &str,
        id: &str,
        number: u64,
        content: Vec<u8>,
    ) -> Result<String, S3Error> {
        let ask = Ask::new(Method::PUT, key)
            .query("partNumber", &number.to_string())
            .query("uploadId", id)
            .body(content);
        let answer = self.ask(&ask)?;
        etag(&answer).ok_or_else(|| self.invalid("a part has no tag"))
    }

    fn complete(&self, key: &str, id: &str, parts: &[Part]) -> Result<(), S3Error> {
        let mut text = "<CompleteMultipartUpload>".to_owned();
        for (number, part) in (1..).zip(parts) {
            // What goes into the document is what a store may give as a tag, and no more.
            if !part
                .etag
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                return Err(self.invalid("the tag of a part is none"));
            }
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "<Part><PartNumber>{number}</PartNumber><ETag>\"{}\"</ETag></Part>",
                part.etag
            );
        }
        text += "</CompleteMultipartUpload>";
        let ask = Ask::new(Method::POST, key)
            .query("uploadId", id)
            .header("if-none-match", "*")
            .body(text);
        let answer = self.ask(&ask)?;
        // A store that takes its time says yes first, and what came of it in the document.
        let document = Document::parse(&self.text(answer)?).unwrap_or_default();
        if document.root == "Error" {
            return Err(S3Error::Refused(Box::new(Refusal {
                url: self.url(key)?,
                status: 200,
                code: document.text("Code").map(str::to_owned),
                message: document.text("Message").map(str::to_owned),
            })));
        }
        Ok(())
    }

    fn stored(&self, upload: &Upload<'_>) -> Result<Stored, S3Error> {
        self.head(upload.key)?.ok_or_else(|| S3Error::Different {
            url: self.base().clone(),
            problem: format!("`{}` is not there", upload.key),
        })
    }

    /// Compares what is stored with what was sent.
    fn verify(&self, upload: &Upload<'_>, bytes: u64, tag: &str) -> Result<(), S3Error> {
        let stored = self.stored(upload)?;
        let url = self.url(upload.key)?;
        if stored.bytes != bytes {
            let problem = format!("it has {} bytes in place of {bytes}", stored.bytes);
            return Err(S3Error::Different { url, problem });
        }
        if stored.etag.as_deref() == Some(tag) {
            return Ok(());
        }
        // Stores that encrypt have tags of another kind.
        let (found, _) = self.digest(upload.key)?;
        if found == upload.sha256 {
            return Ok(());
        }
        let problem = format!("its digest is {found} in place of {}", upload.sha256);
        Err(S3Error::Different { url, problem })
    }

    /// What somebody else has uploaded meanwhile is good when it is the same.
    fn must_be_same(&self, upload: &Upload<'_>, bytes: u64) -> Result<(), S3Error> {
        let stored = self.stored(upload)?;
        let same = stored.bytes == bytes
            && match stored.sha256 {
                Some(found) => found == upload.sha256,
                None => self.digest(upload.key)?.0 == upload.sha256,
            };
        if same {
            return Ok(());
        }
        let url = self.url(upload.key)?;
        Err(S3Error::Exists { url })
    }
}

/// Whether a store refuses because the key has an object.
fn is_taken(error: &S3Error) -> bool {
    matches!(error.status(), Some(409 | 412))
}

/// Bytes of the parts of a file; `None` when no store takes it.
fn part_size(bytes: u64) -> Option<u64> {
    let mebibyte = 1 << 20;
    let needed = bytes.div_ceil(PARTS).div_ceil(mebibyte) * mebibyte;
    let size = needed.max(PART);
    (size <= LARGEST_PART).then_some(size)
}

fn read(upload: &Upload<'_>, file: &File, at: u64, length: u64) -> Result<Vec<u8>, S3Error> {
    let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let read: io::Result<()> = file.read_exact_at(&mut content, at);
    read.map_err(|source| S3Error::File {
        path: upload.file.to_owned(),
        source,
    })?;
    Ok(content)
}

/// The tag that a store gives an object of these parts: the MD5 of their MD5s, and how many they are.
fn tag_of(parts: &[Part]) -> String {
    let mut all = Md5::new();
    for part in parts {
        all.update(part.md5);
    }
    format!("{}-{}", hex(&all.finalize()), parts.len())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_enough_and_small_enough() {
        assert_eq!(part_size(1), Some(PART));
        assert_eq!(part_size(PART * PARTS), Some(PART));
        let large = part_size(PART * PARTS + 1).unwrap();
        assert!(large > PART && (PART * PARTS + 1).div_ceil(large) <= PARTS);
        assert_eq!(part_size(u64::MAX / 2), None);
    }
}
