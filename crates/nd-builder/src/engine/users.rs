//! Names of users and groups, as the image's own files know them.

use std::io;

use nd_host::RootDir;

/// Files of accounts above this size are refused.
const LIMIT: u64 = 16 << 20;

/// Who a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: Vec<u8>,
}

/// Why nobody has that name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("the image has no user `{0}`")]
    User(String),
    #[error("the image has no group `{0}`")]
    Group(String),
    #[error("failed to read the accounts of the image")]
    Read(#[source] io::Error),
}

/// The account of `user[:group]`, names or numbers, in the tree at `root`.
pub(crate) fn account(root: &RootDir, text: &str) -> Result<Account, UserError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let passwd = read(root, b"/etc/passwd")?;
    let groups = read(root, b"/etc/group")?;
    let number: Option<u32> = user.parse().ok();
    let lines = || passwd.split(|&b| b == b'\n').map(fields);
    let found = lines().find(|line| match number {
        Some(uid) => field(line, 2) == Some(uid),
        None => line.first() == Some(&user.as_bytes()) && field(line, 2).is_some(),
    });
    let uid = number.or_else(|| found.as_ref().and_then(|line| field(line, 2)));
    let uid = uid.ok_or_else(|| UserError::User(user.into()))?;
    let home = found
        .as_ref()
        .and_then(|line| line.get(5))
        .filter(|home| !home.is_empty());
    let home = home.map_or_else(
        || {
            if uid == 0 {
                b"/root".to_vec()
            } else {
                b"/".to_vec()
            }
        },
        |home| home.to_vec(),
    );
    if let Some(group) = group {
        let gid = group_id(&groups, group)?;
        return Ok(Account {
            uid,
            gid,
            groups: Vec::new(),
            home,
        });
    }
    let gid = found.as_ref().and_then(|line| field(line, 3)).unwrap_or(0);
    let mut further = Vec::new();
    if let Some(name) = found.as_ref().and_then(|line| line.first()) {
        for line in groups.split(|&b| b == b'\n').map(fields) {
            let members = line.get(3).copied().unwrap_or_default();
            if members.split(|&b| b == b',').any(|member| member == *name)
                && let Some(id) = field(&line, 2)
                && id != gid
            {
                further.push(id);
            }
        }
    }
    Ok(Account {
        uid,
        gid,
        groups: further,
        home,
    })
}

/// The owner of copied files: as [`account`], but a user without a group gets the group of the same
/// number, as `COPY --chown` has it.
pub(crate) fn owner(root: &RootDir, text: &str) -> Result<(u32, u32), UserError> {
    let account = account(root, text)?;
    let alone_and_numeric = text.parse::<u32>().is_ok();
    Ok((
        account.uid,
        if alone_and_numeric {
            account.uid
        } else {
            account.gid
        },
    ))
}

fn group_id(groups: &[u8], name: &str) -> Result<u32, UserError> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    let mut lines = groups.split(|&b| b == b'\n').map(fields);
    let found = lines.find(|line| line.first() == Some(&name.as_bytes()));
    found
        .and_then(|line| field(&line, 2))
        .ok_or_else(|| UserError::Group(name.into()))
}

fn fields(line: &[u8]) -> Vec<&[u8]> {
    line.split(|&b| b == b':').collect()
}

fn field(line: &[&[u8]], at: usize) -> Option<u32> {
    std::str::from_utf8(line.get(at)?).ok()?.parse().ok()
}

fn read(root: &RootDir, path: &[u8]) -> Result<Vec<u8>, UserError> {
    match root.read(path, LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(UserError::Read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_looked_up_in_the_image() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:7:8:A,B:/home/ann:/bin/sh\n";
        fs_err::write(dir.path().join("etc/passwd"), passwd).unwrap();
        fs_err::write(
            dir.path().join("etc/group"),
            "root:x:0:\nlab:x:20:bob,ann\nann:x:8:\n",
        )
        .unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        let of = |text: &str| {
            let account = account(&root, text).unwrap();
            let home = String::from_utf8(account.home).unwrap();
            (account.uid, account.gid, account.groups, home)
        };
        assert_eq!(of("ann"), (7, 8, vec![20], "/home/ann".into()));
        assert_eq!(of("7"), (7, 8, vec![20], "/home/ann".into()));
        assert_eq!(of("ann:lab"), (7, 20, vec![], "/home/ann".into()));
        assert_eq!(of("99"), (99, 0, vec![], "/".into()));
        assert_eq!(of("99:5"), (99, 5, vec![], "/".into()));
        assert!(matches!(account(&root, "bob"), Err(UserError::User(_))));
        assert!(matches!(
            account(&root, "ann:none"),
            Err(UserError::Group(_))
        ));
        assert_eq!(owner(&root, "99").unwrap(), (99, 99));
        assert_eq!(owner(&root, "ann").unwrap(), (7, 8));
    }
}
