//! Small files that know whether they are whole: payload, then its SHA-256.

use sha2::Digest as _;

/// Adds the checksum.
pub(crate) fn seal(mut payload: Vec<u8>) -> Vec<u8> {
    let sum = sha2::Sha256::digest(&payload);
    payload.extend_from_slice(&sum);
    payload
}

/// The payload, if the checksum is right.
pub(crate) fn open(mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let at = sealed.len().checked_sub(32)?;
    if sha2::Sha256::digest(&sealed[..at])[..] != sealed[at..] {
        return None;
    }
    sealed.truncate(at);
    Some(sealed)
}
