//! Who the image's user is.

use nd_host::{NodeKind, RootDir};
use nd_sandbox::User;

/// Account files are read up to this size.
const LIMIT: u64 = 16 << 20;

/// An account of the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: User,
    /// Its home, where the image says one.
    pub(super) home: Option<Vec<u8>>,
}

/// The account files of an image.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) passwd: Vec<u8>,
    pub(super) group: Vec<u8>,
}

impl Accounts {
    /// From the layers, the topmost first.
    pub(super) fn read(lowers: &[RootDir]) -> Self {
        let file = |path: &[u8]| -> Vec<u8> {
            for lower in lowers {
                match lower.node(path, true) {
                    Ok(Some(node)) if node.kind == NodeKind::File => {
                        return lower.read(path, LIMIT).unwrap_or_default();
                    }
                    // A whiteout hides the layers below.
                    Ok(Some(_)) => return Vec::new(),
                    Ok(None) | Err(_) => {}
                }
            }
            Vec::new()
        };
        Self {
            passwd: file(b"etc/passwd"),
            group: file(b"etc/group"),
        }
    }

    /// The account of `USER[:GROUP]`, each a name or a number; the unknown name otherwise.
    pub(super) fn resolve(&self, text: &str) -> Result<Account, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let number = user.parse::<u32>().ok();
        let line = records(&self.passwd).find(|fields| {
            fields.first() == Some(&user.as_bytes())
                || number.is_some() && numeric(fields.get(2)) == number
        });
        let uid = line
            .as_ref()
            .and_then(|fields| numeric(fields.get(2)))
            .or(number)
            .ok_or_else(|| user.to_owned())?;
        let gid = match group {
            Some(group) => records(&self.group)
                .find(|fields| fields.first() == Some(&group.as_bytes()))
                .and_then(|fields| numeric(fields.get(2)))
                .or_else(|| group.parse().ok())
                .ok_or_else(|| group.to_owned())?,
            None => line
                .as_ref()
                .and_then(|fields| numeric(fields.get(3)))
                .unwrap_or(0),
        };
        let name = line.as_ref().and_then(|fields| fields.first().copied());
        // Naming a group is choosing all groups, as container engines have it.
        let groups = match (name, group) {
            (Some(name), None) => records(&self.group)
                .filter(|fields| {
                    fields.get(3).is_some_and(|members| {
                        members.split(|&byte| byte == b',').any(|m| m == name)
                    })
                })
                .filter_map(|fields| numeric(fields.get(2)))
                .collect(),
            _ => Vec::new(),
        };
        Ok(Account {
            user: User { uid, gid, groups },
            home: line
                .as_ref()
                .and_then(|fields| fields.get(5))
                .filter(|home| !home.is_empty())
                .map(|home| home.to_vec()),
        })
    }
}

fn records(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| line.split(|&byte| byte == b':').collect())
}

fn numeric(field: Option<&&[u8]>) -> Option<u32> {
    std::str::from_utf8(field?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    //! Names and numbers, as container engines resolve them.

    use nd_sandbox::User;

    use super::Accounts;

    #[test]
    fn users_and_groups_are_names_or_numbers() {
        let accounts = Accounts {
            passwd: b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n".to_vec(),
            group: b"root:x:0:\nusers:x:100:\naudio:x:29:bob,ann\n".to_vec(),
        };
        let user = |uid, gid, groups: &[u32]| User {
            uid,
            gid,
            groups: groups.to_vec(),
        };
        for (text, expected, home) in [
            ("root", user(0, 0, &[]), Some("/root")),
            ("ann", user(1000, 100, &[29]), Some("/home/ann")),
            ("1000", user(1000, 100, &[29]), Some("/home/ann")),
            ("ann:audio", user(1000, 29, &[]), Some("/home/ann")),
            ("4711", user(4711, 0, &[]), None),
            ("4711:12", user(4711, 12, &[]), None),
        ] {
            let account = accounts.resolve(text).unwrap();
            assert_eq!(account.user, expected, "{text}");
            assert_eq!(account.home.as_deref(), home.map(str::as_bytes), "{text}");
        }
        assert_eq!(accounts.resolve("eve").unwrap_err(), "eve");
        assert_eq!(accounts.resolve("ann:eve").unwrap_err(), "eve");
    }
}
