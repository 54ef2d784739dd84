//! Small files that know whether they are whole: payload, then its SHA-256.

use nd_names::Sha256;

/// Adds the checksum.
pub(crate) fn seal(mut payload: Vec<u8>) -> Vec<u8> {
    let sum = Sha256::of(&payload);
    payload.extend_from_slice(sum.as_bytes());
    payload
}

/// The payload, if the checksum is right.
pub(crate) fn open(mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let at = sealed.len().checked_sub(32)?;
    if Sha256::of(&sealed[..at]).as_bytes()[..] != sealed[at..] {
        return None;
    }
    sealed.truncate(at);
    Some(sealed)
}
