//! The published list of a tree: mtree in full-path form, one line per entry in tree order.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nd_names::Sha256;

use crate::{
    Attr, CAPABILITY, DeviceClass, Entry, Index, IndexError, Kind, Location, PathError,
    TreeDigests, TreePath, Xattrs,
};

/// Why a list could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The first line is not `#mtree`.
    #[error("the list does not start with `#mtree`")]
    Signature,
    /// A line that cannot be understood.
    #[error("line {line} of the list: {problem}")]
    Line {
        /// Number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// The lines do not make a tree.
    #[error("the list is no tree")]
    Tree(#[from] IndexError),
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// No path, or one that does not start with `./`.
    #[error("no path below `./`")]
    NoPath,
    /// A bad path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A keyword that is missing or has a bad value.
    #[error("`{0}` is missing or has a bad value")]
    Keyword(&'static str),
    /// A backslash that starts no octal number.
    #[error("a bad escape")]
    Escape,
}

/// Writes the list of a tree. Extended attributes other than `security.capability` and the
/// grouping of hard links are not in it; everything the digests see is.
pub fn write_list(index: &Index, digests: &TreeDigests) -> Vec<u8> {
    let mut out = format!(
        "#mtree\n# {}\n# {}\n# {}\n",
        digests.tree, digests.full, digests.rest
    );
    for entry in index {
        out.push_str("./");
        escape(entry.path.as_bytes(), &mut out);
        let attr = &entry.attr;
        let kind = match entry.kind {
            Kind::Dir { .. } => "dir",
            Kind::File { .. } => "file",
            Kind::Symlink { .. } => "link",
            Kind::Fifo => "fifo",
            Kind::Socket => "socket",
            Kind::Device {
                class: DeviceClass::Char,
                ..
            } => "char",
            Kind::Device {
                class: DeviceClass::Block,
                ..
            } => "block",
        };
        let mode = if kind == "link" { 0o777 } else { attr.mode };
        let (uid, gid, time) = (attr.uid, attr.gid, attr.mtime);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            " type={kind} mode={mode:04o} uid={uid} gid={gid} time={time}.0"
        );
        match &entry.kind {
            Kind::File { size, content, .. } => {
                let _ = write!(out, " size={size} sha256digest={content}");
            }
            Kind::Symlink { target } => {
                out.push_str(" link=");
                escape(target, &mut out);
            }
            Kind::Device { major, minor, .. } => {
                let _ = write!(out, " device=linux,{major},{minor}");
            }
            _ => {}
        }
        if let Some(value) = attr.capability() {
            let _ = write!(out, " xattr.security.capability={}", STANDARD.encode(value));
        }
        out.push('\n');
    }
    out.into_bytes()
}

/// Reads a list written by [`write_list`]. Locations of files are their line numbers.
pub fn parse_list(list: &[u8]) -> Result<Index, ListError> {
    let mut lines = list.split(|&b| b == b'\n').enumerate();
    if lines.next().is_none_or(|(_, line)| line != b"#mtree") {
        return Err(ListError::Signature);
    }
    let mut entries = Vec::new();
    for (at, line) in lines {
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        let line_number = at + 1;
        let entry = parse_line(line, line_number as u64).map_err(|problem| ListError::Line {
            line: line_number,
            problem,
        })?;
        entries.push(entry);
    }
    Ok(Index::from_entries(entries)?)
}

const CAPABILITY_KEY: &str = "xattr.security.capability";

fn parse<T: std::str::FromStr>(key: &'static str, text: &str) -> Result<T, LineProblem> {
    text.parse().map_err(|_| LineProblem::Keyword(key))
}

fn parse_line(line: &[u8], number: u64) -> Result<Entry, LineProblem> {
    let mut words = line.split(|&b| b == b' ').filter(|word| !word.is_empty());
    let path = words
        .next()
        .and_then(|word| word.strip_prefix(b"./"))
        .ok_or(LineProblem::NoPath)?;
    let path = TreePath::new(unescape(path)?)?;
    let pairs: Vec<(&[u8], &[u8])> = words
        .filter_map(|word| {
            word.iter()
                .position(|&b| b == b'=')
                .map(|at| (&word[..at], &word[at + 1..]))
        })
        .collect();
    let find = |key: &'static str| {
        let found = pairs.iter().find(|(name, _)| *name == key.as_bytes());
        found
            .map(|(_, value)| *value)
            .ok_or(LineProblem::Keyword(key))
    };
    let text = |key: &'static str| {
        find(key)
            .and_then(|value| std::str::from_utf8(value).map_err(|_| LineProblem::Keyword(key)))
    };

    let mode = u16::from_str_radix(text("mode")?, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777);
    let time = text("time")?;
    let mut attr = Attr {
        mode: mode.ok_or(LineProblem::Keyword("mode"))?,
        uid: parse("uid", text("uid")?)?,
        gid: parse("gid", text("gid")?)?,
        mtime: parse("time", time.strip_suffix(".0").unwrap_or(time))?,
        xattrs: Xattrs::default(),
    };
    if let Ok(value) = find(CAPABILITY_KEY) {
        let value = STANDARD
            .decode(value)
            .map_err(|_| LineProblem::Keyword(CAPABILITY_KEY))?;
        attr.xattrs.insert(CAPABILITY, value);
    }
    let device = |class| -> Result<Kind, LineProblem> {
        let numbers = text("device")?
            .strip_prefix("linux,")
            .and_then(|rest| rest.split_once(','));
        let (major, minor) = numbers.ok_or(LineProblem::Keyword("device"))?;
        Ok(Kind::Device {
            class,
            major: parse("device", major)?,
            minor: parse("device", minor)?,
        })
    };
    let kind = match find("type")? {
        b"dir" => Kind::Dir { implicit: false },
        b"file" => Kind::File {
            size: parse("size", text("size")?)?,
            content: parse::<Sha256>("sha256digest", text("sha256digest")?)?,
            at: Location::Host(number),
        },
        b"link" => Kind::Symlink {
            target: unescape(find("link")?)?.into(),
        },
        b"fifo" => Kind::Fifo,
        b"socket" => Kind::Socket,
        b"char" => device(DeviceClass::Char)?,
        b"block" => device(DeviceClass::Block)?,
        _ => return Err(LineProblem::Keyword("type")),
    };
    Ok(Entry {
        path,
        attr,
        kind,
        group: None,
    })
}

fn escape(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if matches!(byte, 0x21..=0x7e) && !matches!(byte, b'\\' | b'#' | b'=') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\{byte:03o}");
        }
    }
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, LineProblem> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'\\' {
            out.push(byte);
            rest = tail;
            continue;
        }
        let digits = tail.first_chunk::<3>().ok_or(LineProblem::Escape)?;
        let value = digits.iter().try_fold(0_u32, |value, digit| match digit {
            b'0'..=b'7' => Some(value * 8 + u32::from(digit - b'0')),
            _ => None,
        });
        out.push(
            value
                .and_then(|v| u8::try_from(v).ok())
                .ok_or(LineProblem::Escape)?,
        );
        rest = &tail[3..];
    }
    Ok(out)
}
