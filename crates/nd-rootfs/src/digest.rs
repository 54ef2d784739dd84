//! Identity of trees: a SHA-256 per directory over length-prefixed records, rule set 1.
//!
//! Three digests of one tree: `tree1` (equal in every packaging), `tree1full` (with modes, owners,
//! capabilities, devices) and `tree1rest` (what the rules leave out, so that no byte goes
//! unwatched). Times, link groups, foreign attributes and the attributes of the root are in none.

use std::{borrow::Cow, fmt, str::FromStr};

use nd_names::{Sha256, Sha256Hasher};

use crate::{
    Attr, CAPABILITY, DeviceClass, Entry, Index, Kind, TreePath,
    rules::{IMPLIED, left_out},
};

/// Which fields a digest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// `tree1`: content.
    Tree,
    /// `tree1full`: content and the attributes a faithful packaging keeps.
    Full,
    /// `tree1rest`: what the rules leave out.
    Rest,
}

impl Profile {
    /// Name with the figure of the rule set.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree1",
            Self::Full => "tree1full",
            Self::Rest => "tree1rest",
        }
    }
}

/// The digest of a tree, written `tree1:sha256:<64 hex digits>` (or `tree1full:`, `tree1rest:`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeDigest {
    /// What it covers.
    pub profile: Profile,
    /// The node of the root.
    pub node: Sha256,
}

/// The three digests of one tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeDigests {
    /// `tree1`, *the* tree digest.
    pub tree: TreeDigest,
    /// `tree1full`.
    pub full: TreeDigest,
    /// `tree1rest`; compare it within one packaging only.
    pub rest: TreeDigest,
}

/// The text is no tree digest this rule set knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTreeDigestError {
    /// A tree digest of another rule set: nothing can be compared with it.
    #[error("`{0}` is a tree digest of an unknown version and cannot be compared")]
    UnknownVersion(String),
    /// Something else.
    #[error("`{0}` is not of the form `tree1:sha256:` with 64 lower-case hex digits")]
    Malformed(String),
}

/// Takes all three digests of a whole image.
pub fn digests(index: &Index) -> TreeDigests {
    let (inside, rest) = split(index);
    TreeDigests {
        tree: fold(&inside, 0, Profile::Tree),
        full: fold(&inside, 0, Profile::Full),
        rest: fold(&rest, 0, Profile::Rest),
    }
}

/// The node of one directory of a tree, without the rules for whole images. `None` if `dir` is no
/// directory. Equal directories have equal nodes in every image.
pub fn subtree_digest(index: &Index, dir: &TreePath, profile: Profile) -> Option<TreeDigest> {
    index.get(dir).filter(|entry| entry.kind.is_dir())?;
    let below: Vec<Cow<'_, Entry>> = index.subtree(dir.as_bytes())[1..]
        .iter()
        .map(Cow::Borrowed)
        .collect();
    Some(fold(&below, dir.as_bytes().len() + 1, profile))
}

type Entries<'a> = Vec<Cow<'a, Entry>>;

fn split(index: &Index) -> (Entries<'_>, Entries<'_>) {
    let (mut inside, mut rest): (Entries<'_>, Entries<'_>) = (Vec::new(), Vec::new());
    for entry in index {
        if left_out(entry) {
            for dir in entry.path.ancestors().filter_map(|dir| index.get(dir)) {
                if !left_out(dir) {
                    rest.push(Cow::Borrowed(dir));
                }
            }
            rest.push(Cow::Borrowed(entry));
        } else {
            inside.push(Cow::Borrowed(entry));
        }
    }
    rest.sort_by(|a, b| a.path.cmp(&b.path));
    rest.dedup_by(|a, b| a.path == b.path);

    for point in IMPLIED {
        let Ok(path) = TreePath::new(point) else {
            continue;
        };
        let find = |path: &TreePath| inside.binary_search_by(|entry| entry.path.cmp(path));
        let parent_is_dir = path
            .parent()
            .is_none_or(|dir| find(&dir).is_ok_and(|at| inside[at].kind.is_dir()));
        if let Err(at) = find(&path)
            && parent_is_dir
        {
            let kind = Kind::Dir { implicit: true };
            let entry = Entry {
                path,
                attr: Attr::implicit(),
                kind,
                group: None,
            };
            inside.insert(at, Cow::Owned(entry));
        }
    }
    (inside, rest)
}

/// One directory whose children are being hashed.
struct Open<'a> {
    entry: Option<&'a Entry>,
    hasher: Sha256Hasher,
}

/// Folds sorted entries; the first `skip` bytes of each path are the directory they are taken in.
/// Open directories stand on a heap stack: depth is bounded by path length only.
fn fold(entries: &[Cow<'_, Entry>], skip: usize, profile: Profile) -> TreeDigest {
    let start = || {
        let mut hasher = Sha256Hasher::default();
        hasher.update(profile.name());
        hasher.update([0]);
        hasher
    };
    let mut root = start();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut buffer = Vec::new();
    let mut close = |open: &mut Vec<Open<'_>>, root: &mut Sha256Hasher| {
        let Some(Open {
            entry: Some(entry),
            hasher,
        }) = open.pop()
        else {
            return;
        };
        record_head(entry, profile, &mut buffer);
        let above = open.last_mut().map_or(root, |dir| &mut dir.hasher);
        above.update(&buffer);
        above.update(hasher.finish().as_bytes());
    };
    let mut leaf = Vec::new();
    for entry in entries {
        while let Some(Open {
            entry: Some(dir), ..
        }) = open.last()
            && !entry.path.is_below(dir.path.as_bytes())
        {
            close(&mut open, &mut root);
        }
        debug_assert!(entry.path.as_bytes().len() > skip);
        if entry.kind.is_dir() {
            open.push(Open {
                entry: Some(entry),
                hasher: start(),
            });
        } else if record_head(entry, profile, &mut leaf) {
            record_body(entry, profile, &mut leaf);
            open.last_mut()
                .map_or(&mut root, |dir| &mut dir.hasher)
                .update(&leaf);
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut root);
    }
    TreeDigest {
        profile,
        node: root.finish(),
    }
}

fn number(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes kind, name and attributes; false if the entry does not exist for this profile.
fn record_head(entry: &Entry, profile: Profile, out: &mut Vec<u8>) -> bool {
    out.clear();
    let full = profile == Profile::Full;
    let kind = match &entry.kind {
        Kind::Dir { .. } => b'd',
        Kind::File { .. } if !full && entry.attr.mode & 0o111 != 0 => b'x',
        Kind::File { .. } => b'f',
        Kind::Symlink { .. } => b'l',
        Kind::Socket if profile != Profile::Rest => return false,
        Kind::Socket => b's',
        _ if profile == Profile::Tree => return false,
        Kind::Fifo => b'p',
        Kind::Device {
            class: DeviceClass::Char,
            ..
        } => b'c',
        Kind::Device {
            class: DeviceClass::Block,
            ..
        } => b'b',
    };
    out.push(kind);
    text(entry.path.name(), out);
    if full {
        let symlink = matches!(entry.kind, Kind::Symlink { .. });
        let mode = if symlink {
            0o777
        } else {
            entry.attr.mode & 0o7777
        };
        number(u64::from(mode), out);
        number(u64::from(entry.attr.uid), out);
        number(u64::from(entry.attr.gid), out);
        match entry.attr.capability() {
            None => number(0, out),
            Some(value) => {
                number(1, out);
                text(CAPABILITY, out);
                text(&value, out);
            }
        }
    }
    true
}

fn record_body(entry: &Entry, profile: Profile, out: &mut Vec<u8>) {
    match &entry.kind {
        Kind::File { size, content, .. } => {
            number(*size, out);
            out.extend_from_slice(content.as_bytes());
        }
        Kind::Symlink { target } => text(target, out),
        Kind::Device { major, minor, .. } if profile == Profile::Full => {
            number(u64::from(*major), out);
            number(u64::from(*minor), out);
        }
        _ => {}
    }
}

impl fmt::Display for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:sha256:{}", self.profile.name(), self.node)
    }
}

impl fmt::Debug for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeDigest({self})")
    }
}

impl FromStr for TreeDigest {
    type Err = ParseTreeDigestError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let malformed = || ParseTreeDigestError::Malformed(given.into());
        let (name, digest) = given.split_once(':').ok_or_else(malformed)?;
        let profile = [Profile::Tree, Profile::Full, Profile::Rest]
            .into_iter()
            .find(|profile| profile.name() == name);
        let Some(profile) = profile else {
            let figure = name
                .strip_prefix("tree")
                .map(|rest| rest.as_bytes().first());
            return Err(match figure {
                Some(Some(b'0'..=b'9')) => ParseTreeDigestError::UnknownVersion(given.into()),
                _ => malformed(),
            });
        };
        if !digest.starts_with("sha256:") {
            return Err(malformed());
        }
        let node = digest.parse().map_err(|_| malformed())?;
        Ok(Self { profile, node })
    }
}
