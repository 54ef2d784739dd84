//! The shape of a NIfTI volume, from its header.

use std::io::{self, Read, Seek as _, SeekFrom};

/// Why a file has no shape.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NiftiError {
    /// It could not be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It is no NIfTI file.
    #[error("`{0}` is no NIfTI image")]
    NoImage(String),
}

/// Length of the longer header, that of NIfTI-2.
const HEADER: u64 = 540;

/// Sizes along the axes of an image (`.nii` or `.nii.gz`, NIfTI-1 or -2, either byte order), called
/// `name` where it is none.
pub(crate) fn shape(mut file: std::fs::File, name: &str) -> Result<Vec<i64>, NiftiError> {
    let mut header = Vec::new();
    (&mut file).take(HEADER).read_to_end(&mut header)?;
    if header.starts_with(&[0x1f, 0x8b]) {
        file.seek(SeekFrom::Start(0))?;
        header.clear();
        let plain = flate2::read::MultiGzDecoder::new(file);
        plain.take(HEADER).read_to_end(&mut header)?;
    }
    parse(&header).ok_or_else(|| NiftiError::NoImage(name.to_owned()))
}

fn parse(header: &[u8]) -> Option<Vec<i64>> {
    let size: [u8; 4] = header.get(..4)?.try_into().ok()?;
    for little in [true, false] {
        let size = if little {
            i32::from_le_bytes(size)
        } else {
            i32::from_be_bytes(size)
        };
        let number = |at: usize, bytes: usize| -> Option<i64> {
            let raw = header.get(at..at + bytes)?;
            let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
            let value = if little {
                raw.iter().rev().fold(0, add)
            } else {
                raw.iter().fold(0, add)
            };
            Some(if bytes == 2 {
                i64::from(value as u16 as i16)
            } else {
                value as i64
            })
        };
        let (at, bytes, magic) = match size {
            348 => (40, 2, header.get(344..347)?),
            540 => (16, 8, header.get(4..7)?),
            _ => continue,
        };
        if !matches!(magic, b"n+1" | b"ni1" | b"n+2" | b"ni2") {
            return None;
        }
        let axes = usize::try_from(number(at, bytes)?)
            .ok()
            .filter(|n| (1..=7).contains(n))?;
        return (1..=axes)
            .map(|axis| number(at + axis * bytes, bytes))
            .collect();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(big: bool, second: bool) -> Vec<u8> {
        let mut out = vec![0; if second { 540 } else { 348 }];
        let length = (out.len() as i32).to_le_bytes();
        out[..4].copy_from_slice(&length);
        let (at, width) = if second { (16, 8) } else { (40, 2) };
        for (number, value) in [3_u8, 64, 65, 48].into_iter().enumerate() {
            out[at + number * width] = value;
        }
        if second {
            out[4..8].copy_from_slice(b"n+2\0");
        } else {
            out[344..348].copy_from_slice(b"n+1\0");
        }
        if big {
            out[..4].reverse();
            for number in 0..4 {
                out[at + number * width..at + (number + 1) * width].reverse();
            }
        }
        out
    }

    #[test]
    fn both_versions_in_both_byte_orders_packed_or_not() {
        for big in [false, true] {
            for second in [false, true] {
                assert_eq!(
                    parse(&header(big, second)),
                    Some(vec![64, 65, 48]),
                    "{big} {second}"
                );
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.nii.gz");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, &header(true, false)).unwrap();
        fs_err::write(&path, packed.finish().unwrap()).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        assert_eq!(shape(file, "x").unwrap(), [64, 65, 48]);
    }

    #[test]
    fn other_files_have_no_shape() {
        assert_eq!(parse(b"text"), None);
        assert_eq!(parse(&[0; 348]), None);
        let mut no_axes = header(false, false);
        no_axes[40] = 9;
        assert_eq!(parse(&no_axes), None);
    }
}
