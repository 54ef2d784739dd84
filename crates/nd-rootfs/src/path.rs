//! Paths inside a tree: bytes, without `.` and `..`, ordered part by part.

use std::{cmp::Ordering, fmt};

/// The longest name of one part, in bytes.
pub const MAX_NAME: usize = 255;
/// The longest path, in bytes.
pub const MAX_PATH: usize = 4095;
/// The longest symlink target, in bytes.
pub const MAX_TARGET: usize = 4095;

/// A path below the root of a tree: parts of 1 to 255 bytes joined by `/`, no leading or trailing
/// `/`, no `.` or `..`, no NUL, at most 4,095 bytes. The root itself has no `TreePath`.
///
/// Ordered as trees are walked: a directory precedes its children and its subtree is contiguous.
///
/// ```
/// use nd_rootfs::TreePath;
/// let mut paths = ["a.b", "a-b", "a/b", "a"].map(|p| TreePath::new(p).unwrap());
/// paths.sort();
/// assert_eq!(paths.map(|p| p.to_string()), ["a", "a/b", "a-b", "a.b"]);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Box<[u8]>);

/// Why bytes are no path of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing, or only slashes, where a path below the root is needed.
    #[error("the path is empty")]
    Empty,
    /// A `..` part, which could lead out of the root.
    #[error("`{0}` has a `..` part")]
    Parent(String),
    /// An empty or `.` part, or a slash at an end.
    #[error("`{0}` is not in normal form")]
    NotNormal(String),
    /// A NUL byte.
    #[error("`{0}` holds a NUL byte")]
    Nul(String),
    /// A part longer than 255 bytes.
    #[error("`{0}` has a name of more than {MAX_NAME} bytes")]
    LongName(String),
    /// More than 4,095 bytes.
    #[error("`{0}` is longer than {MAX_PATH} bytes")]
    Long(String),
}

impl TreePath {
    /// Takes a path in normal form.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return Err(PathError::Empty);
        }
        check_length(bytes)?;
        for part in bytes.split(|&b| b == b'/') {
            match part {
                b"" | b"." => return Err(PathError::NotNormal(show(bytes))),
                _ => check_part(part, bytes)?,
            }
        }
        Ok(Self(bytes.into()))
    }

    /// Takes a path as archives write it: leading `/` and `./`, repeated and trailing slashes go.
    /// Gives `None` for the root. A `..` part is refused, never interpreted.
    pub fn clean(bytes: &[u8]) -> Result<Option<Self>, PathError> {
        let mut out = Vec::with_capacity(bytes.len().min(MAX_PATH + 1));
        for part in bytes.split(|&b| b == b'/') {
            if matches!(part, b"" | b".") {
                continue;
            }
            check_part(part, bytes)?;
            if !out.is_empty() {
                out.push(b'/');
            }
            out.extend_from_slice(part);
        }
        check_length(&out)?;
        Ok((!out.is_empty()).then(|| Self(out.into())))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The path of the directory that holds this entry; `None` where that is the root.
    pub fn parent(&self) -> Option<TreePath> {
        let at = self.0.iter().rposition(|&b| b == b'/')?;
        Some(Self(self.0[..at].into()))
    }

    /// The parts, outermost first.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/')
    }

    /// Every directory above this entry as bytes, outermost first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        let slashes = self.0.iter().enumerate().filter(|(_, b)| **b == b'/');
        slashes.map(|(at, _)| &self.0[..at])
    }

    /// This path with one more part.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        Self::below(Some(self), name)
    }

    /// The path of `name` in `dir`, or in the root.
    pub fn below(dir: Option<&Self>, name: &[u8]) -> Result<Self, PathError> {
        if name.contains(&b'/') {
            return Err(PathError::NotNormal(show(name)));
        }
        match dir {
            Some(dir) => Self::new([&dir.0, &b"/"[..], name].concat()),
            None => Self::new(name),
        }
    }

    /// Joins parts that come from other paths of one tree.
    pub(crate) fn from_parts(parts: &[&[u8]]) -> Self {
        Self(parts.join(&b'/').into())
    }

    /// Whether this path lies below `dir` (and is not `dir` itself).
    pub fn is_below(&self, dir: &[u8]) -> bool {
        self.0
            .strip_prefix(dir)
            .is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

fn check_length(bytes: &[u8]) -> Result<(), PathError> {
    if bytes.len() > MAX_PATH {
        Err(PathError::Long(show(&bytes[..64])))
    } else {
        Ok(())
    }
}

fn check_part(part: &[u8], whole: &[u8]) -> Result<(), PathError> {
    let shown = || show(&whole[..whole.len().min(MAX_PATH)]);
    if part == b".." {
        Err(PathError::Parent(shown()))
    } else if part.len() > MAX_NAME {
        Err(PathError::LongName(shown()))
    } else if part.contains(&0) {
        Err(PathError::Nul(shown()))
    } else {
        Ok(())
    }
}

/// Compares two paths part by part, bytewise: as bytes with every `/` read as byte 0.
pub fn tree_order(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.iter().zip(b).position(|(x, y)| x != y);
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    match common {
        Some(at) => rank(a[at]).cmp(&rank(b[at])),
        None => a.len().cmp(&b.len()),
    }
}

/// Bytes as text for people: valid UTF-8 as it is, control and other bytes as `\xNN`.
pub fn show(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        tree_order(&self.0, &other.0)
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl AsRef<[u8]> for TreePath {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({self})")
    }
}

impl TryFrom<&str> for TreePath {
    type Error = PathError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}
