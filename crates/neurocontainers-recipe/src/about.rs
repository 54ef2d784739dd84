//! Lists and rules for what recipes say about their containers.

/// Categories that new recipes choose from.
pub const CATEGORIES: &[&str] = &[
    "functional imaging",
    "fetal imaging",
    "image reconstruction",
    "spectroscopy",
    "image registration",
    "rodent imaging",
    "data organisation",
    "diffusion imaging",
    "structural imaging",
    "quantitative imaging",
    "image segmentation",
    "visualization",
    "statistics",
    "quality control",
    "spine",
    "electrophysiology",
    "bids apps",
    "machine learning",
    "phase processing",
    "molecular biology",
    "hippocampus",
    "body",
    "shape analysis",
    "cryo EM",
    "programming",
    "workflows",
];

/// Categories that older recipes have and that still build.
pub const LEGACY_CATEGORIES: &[&str] = &[
    "connectomics",
    "conversion",
    "data management",
    "file conversion",
    "microscopy",
    "modeling",
    "motion correction",
    "other",
    "preprocessing",
    "simulation",
    "statistical analysis",
    "tractography",
];

/// Why an icon cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IconError {
    /// There is none.
    #[error("icon is required and must be a base64 image data URI")]
    Missing,
    /// It is something else.
    #[error("icon must be a base64 image data URI such as `data:image/png;base64,…`")]
    NoDataUri,
    /// Its data cannot be decoded.
    #[error("icon contains invalid base64 data")]
    NoBase64,
    /// It has no data.
    #[error("icon must decode to non-empty image data")]
    Empty,
}

/// Checks the form of an icon: a data URI of an image with base64 data.
///
/// # Errors
///
/// Says what is wrong with it.
pub fn check_icon(icon: Option<&str>) -> Result<(), IconError> {
    let icon = icon
        .map(str::trim)
        .filter(|icon| !icon.is_empty())
        .ok_or(IconError::Missing)?;
    let (subtype, data) = icon
        .strip_prefix("data:image/")
        .and_then(|rest| rest.split_once(";base64,"))
        .ok_or(IconError::NoDataUri)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-');
    if subtype.is_empty() || !subtype.bytes().all(plain) || data.trim().is_empty() {
        return Err(IconError::NoDataUri);
    }
    decoded_length(data)
        .ok_or(IconError::NoBase64)
        .and_then(|length| match length {
            0 => Err(IconError::Empty),
            _ => Ok(()),
        })
}

/// How many bytes standard base64 with padding stands for; `None` if it is not that. White space
/// is skipped. Nothing is decoded: icons are large and mostly only checked.
fn decoded_length(data: &str) -> Option<usize> {
    // Padding stands at the end, so what comes before it is counted without looking at order.
    let end = data
        .trim_end_matches(|c: char| c == '=' || c.is_ascii_whitespace())
        .len();
    let (body, tail) = data.split_at(end);
    let padding = tail.bytes().filter(|byte| *byte == b'=').count();
    let (mut digits, mut spaces) = (0_usize, 0_usize);
    // Counts of a byte each, so that many letters are looked at in one instruction.
    for chunk in body.as_bytes().chunks(128) {
        let (mut some, mut white) = (0_u8, 0_u8);
        for byte in chunk {
            let letter = byte | 0x20;
            some += u8::from(letter.wrapping_sub(b'a') < 26)
                | u8::from(byte.wrapping_sub(b'0') < 10)
                | u8::from(*byte == b'+')
                | u8::from(*byte == b'/');
            white += u8::from(*byte == b' ') | u8::from(byte.wrapping_sub(b'\t') < 5);
        }
        digits += usize::from(some);
        spaces += usize::from(white);
    }
    let fits = digits + spaces == body.len()
        && (digits + padding).is_multiple_of(4)
        && padding <= 2
        && (padding == 0 || digits % 4 >= 2);
    fits.then_some(digits * 3 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icons_are_data_uris_with_decodable_data() {
        let check = |icon| check_icon(Some(icon));
        assert_eq!(check("data:image/png;base64,aGVsbG8="), Ok(()));
        assert_eq!(check(" data:image/svg+xml;base64,aGVs\nbG8= "), Ok(()));
        assert_eq!(
            check("data:image/png;base64,aGVsbG8"),
            Err(IconError::NoBase64)
        );
        assert_eq!(check("data:image/png;base64,"), Err(IconError::NoDataUri));
        assert_eq!(check("https://x/y.png"), Err(IconError::NoDataUri));
        assert_eq!(check_icon(None), Err(IconError::Missing));
    }
}
