//! Extended headers: records `length key=value\n`.

use std::collections::BTreeMap;

/// Records by key; the last of a key wins.
pub(super) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads all records. Keys that sparse maps of version 0.0 repeat are joined with commas into
/// `GNU.sparse.map`.
pub(super) fn parse(mut bytes: &[u8]) -> Result<Records, &'static str> {
    let mut out = Records::new();
    let mut map: Vec<Vec<u8>> = Vec::new();
    while !bytes.is_empty() {
        let bad = "a malformed extended header";
        let space = bytes.iter().take(21).position(|&b| b == b' ').ok_or(bad)?;
        let length = digits(&bytes[..space])
            .and_then(|n| usize::try_from(n).ok())
            .ok_or(bad)?;
        if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(bad);
        }
        let record = &bytes[space + 1..length - 1];
        let equals = record
            .iter()
            .position(|&b| b == b'=')
            .filter(|at| *at > 0)
            .ok_or(bad)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        let text = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
        if key.contains(&0) || text && value.contains(&0) {
            return Err("a NUL byte in an extended header");
        }
        match key {
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let offset = key == b"GNU.sparse.offset";
                if offset != map.len().is_multiple_of(2) || value.contains(&b',') {
                    return Err("a malformed sparse map");
                }
                map.push(value.to_vec());
            }
            _ => {
                out.insert(key.to_vec(), value.to_vec());
            }
        }
        bytes = &bytes[length..];
    }
    if !map.is_empty() {
        out.insert(b"GNU.sparse.map".to_vec(), map.join(&b','));
    }
    Ok(out)
}

/// A number of decimal digits only.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds, rounded down, of `[-]seconds[.fraction]`.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let before = whole.starts_with('-') && fraction.bytes().any(|b| b != b'0');
    if before {
        seconds.checked_sub(1)
    } else {
        Some(seconds)
    }
}

/// Writes one record; its length counts its own digits.
pub(super) fn write(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}
