//! Making a menu known to the desktop, for a user or for everybody.

use std::{collections::BTreeMap, io};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{MenuError, system::with_merge_line};
use crate::deployment::Deployment;

/// Where what [`install`] made is written down, below the prefix.
const RECORD: &str = ".menu-installed.json";

/// Where a desktop looks for menus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Folder of menus that are merged into that of the desktop.
    pub merged_menus: Utf8PathBuf,
    /// Folder of entries.
    pub applications: Utf8PathBuf,
    /// Folder of menu folders.
    pub directories: Utf8PathBuf,
    /// The menu to change, when it is to be changed.
    pub system_menu: Option<Utf8PathBuf>,
}

/// A link that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The link.
    pub path: Utf8PathBuf,
    /// What it points to.
    pub target: Utf8PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    schema_version: u32,
    links: Vec<Link>,
    /// Menus that were changed: path, and the name of the copy of what was there.
    #[serde(default)]
    menus: BTreeMap<Utf8PathBuf, Utf8PathBuf>,
}

impl Installation {
    /// For one user: below `config` and `data`, the user's base folders.
    pub fn of_user(config: &Utf8Path, data: &Utf8Path) -> Self {
        Self {
            merged_menus: config.join("menus/applications-merged"),
            applications: data.join("applications"),
            directories: data.join("desktop-directories"),
            system_menu: None,
        }
    }

    /// For everybody, as `deployment` says, below `root` (`/`).
    pub fn of_machine(deployment: &Deployment, root: &Utf8Path) -> Self {
        let below = |path: &Utf8Path| root.join(path.strip_prefix("/").unwrap_or(path));
        Self {
            merged_menus: below(Utf8Path::new("/etc/xdg/menus/applications-merged")),
            applications: below(&deployment.applications_dir),
            directories: below(&deployment.directories_dir),
            system_menu: deployment
                .system_menu
                .as_deref()
                .filter(|_| deployment.edit_system_menu)
                .map(below),
        }
    }

    fn links(&self, deployment: &Deployment, prefix: &Utf8Path) -> Vec<Link> {
        let menu = deployment.menu_file();
        let mut links = vec![
            (
                self.applications.join(&deployment.slug),
                prefix.join("applications"),
            ),
            (
                self.directories.join(&deployment.slug),
                prefix.join("desktop-directories"),
            ),
        ];
        // A menu that is changed names ours; merged twice, everything would stand there twice.
        match self.system_menu.as_deref().and_then(Utf8Path::parent) {
            Some(folder) => links.push((folder.join(&menu), prefix.join(&menu))),
            None => links.push((self.merged_menus.join(&menu), prefix.join(&menu))),
        }
        links
            .into_iter()
            .map(|(path, target)| Link { path, target })
            .collect()
    }
}

/// Links the menu below `prefix` into the folders of `installation`. A second time nothing changes.
///
/// # Errors
///
/// When something that is no link of ours is in the way; then nothing was done.
pub fn install(
    deployment: &Deployment,
    prefix: &Utf8Path,
    installation: &Installation,
) -> Result<Vec<Link>, MenuError> {
    let links = installation.links(deployment, prefix);
    for link in &links {
        if !is_free(link)? {
            return Err(MenuError::InTheWay {
                path: link.path.clone(),
            });
        }
    }
    let mut record = read(prefix)?;
    let changed = match &installation.system_menu {
        Some(menu) => {
            tidy_up(menu);
            let text = fs_err::read_to_string(menu)?;
            let new = with_merge_line(&text, &deployment.menu_file()).map_err(|source| {
                MenuError::Merge {
                    path: menu.clone(),
                    source,
                }
            })?;
            (new != text).then_some((menu, text, new))
        }
        None => None,
    };
    // What is about to be made is written down first, so that an interrupted run can be undone.
    for link in &links {
        if !record.links.contains(link) {
            record.links.push(link.clone());
        }
    }
    if let Some((menu, text, new)) = changed {
        let copy = Utf8PathBuf::from(format!("{menu}.BAK"));
        let copy = if copy.exists() && fs_err::read_to_string(&copy)? != text {
            // The desktop brought a new menu since; both copies are kept.
            Utf8PathBuf::from(format!("{menu}.{}.BAK", deployment.slug))
        } else {
            copy
        };
        record.menus.insert(menu.clone(), copy.clone());
        write(prefix, &record)?;
        nd_host::write_atomic(copy.as_std_path(), text.as_bytes())?;
        nd_host::write_atomic(menu.as_std_path(), new.as_bytes())?;
    } else {
        write(prefix, &record)?;
    }
    for link in &links {
        if fs_err::read_link(&link.path).is_ok_and(|target| target == link.target) {
            continue;
        }
        if let Some(folder) = link.path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        fs_err::os::unix::fs::symlink(&link.target, &link.path)?;
    }
    Ok(links)
}

/// Undoes what [`install`] did, by its record: removes links that still point to the menu, and gives
/// changed menus back unless somebody changed them since. Gives the links that are gone.
pub fn uninstall(deployment: &Deployment, prefix: &Utf8Path) -> Result<Vec<Link>, MenuError> {
    let record = read(prefix)?;
    let mut gone = Vec::new();
    for link in record.links {
        if fs_err::read_link(&link.path).is_ok_and(|target| target == link.target) {
            fs_err::remove_file(&link.path)?;
            gone.push(link);
        }
    }
    for (menu, copy) in record.menus {
        tidy_up(&menu);
        let (Ok(now), Ok(before)) = (fs_err::read_to_string(&menu), fs_err::read_to_string(&copy))
        else {
            continue;
        };
        let ours = with_merge_line(&before, &deployment.menu_file());
        let ours = ours.is_ok_and(|ours| ours == now);
        if ours {
            nd_host::write_atomic(menu.as_std_path(), before.as_bytes())?;
        }
        // Given back just now, or by a run that was killed.
        if ours || now == before {
            fs_err::remove_file(&copy)?;
        }
    }
    match fs_err::remove_file(prefix.join(RECORD)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(gone),
    }
}

/// Removes what killed runs left beside the menu of a desktop, as far as that can be done now.
fn tidy_up(menu: &Utf8Path) {
    if let Some(folder) = menu.parent() {
        let _ = nd_host::remove_abandoned(folder.as_std_path());
    }
}

/// Whether the place of a link is free, or has that link.
fn is_free(link: &Link) -> io::Result<bool> {
    match fs_err::symlink_metadata(&link.path) {
        Ok(there) if there.is_symlink() => Ok(fs_err::read_link(&link.path)? == link.target),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn read(prefix: &Utf8Path) -> Result<Record, MenuError> {
    let path = prefix.join(RECORD);
    match fs_err::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|source| MenuError::List { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record {
            schema_version: 1,
            ..Record::default()
        }),
        Err(error) => Err(error.into()),
    }
}

fn write(prefix: &Utf8Path, record: &Record) -> Result<(), MenuError> {
    let text = serde_json::to_vec_pretty(record).map_err(io::Error::from)?;
    nd_host::write_atomic(prefix.join(RECORD).as_std_path(), &text)?;
    Ok(())
}
