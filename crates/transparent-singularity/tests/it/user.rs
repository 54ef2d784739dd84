//! An ordinary user: a prefix of one's own on top of a site's that one may only read.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};

use nd_testkit::{OrdinaryUser, UserProcess, peer};

use crate::fixture::{Desk, PROGRAM, search_path};

const STEM: &str = "tool_1.0_20240131";
const OWN: &str = "mine_2.0_20250101";

/// A user with a home, settings that name a site below, and a prefix of one's own.
struct Person {
    user: OrdinaryUser,
    home: PathBuf,
    prefix: PathBuf,
    settings: PathBuf,
}

impl Person {
    fn new(site: &Desk) -> Option<Self> {
        let root = site.env.root();
        let user = OrdinaryUser::new(root, &peer("apptainer")?)?;
        let home = root.join("home");
        user.make_folder(&home);
        let settings = root.join("settings.toml");
        let text = format!("[site]\nstack = [\"{}\"]\n", site.prefix.display());
        fs_err::write(&settings, text).unwrap();
        for path in [&settings, &site.env.work()] {
            fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        Some(Self {
            user,
            prefix: home.join("my prefix"),
            home,
            settings,
        })
    }

    fn start(&self, program: impl AsRef<Path>, words: &[&str]) -> Output {
        let mut command = self
            .user
            .command(UserProcess::OfShell, program.as_ref().as_os_str());
        command
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", &self.home)
            .env("ND_CACHE_DIR", self.home.join("cache"))
            .current_dir("/tmp")
            .args(words);
        command.output().unwrap()
    }

    fn ask(&self, prefix: &Path, words: &[&str]) -> Output {
        let given = [
            "--prefix",
            prefix.to_str().unwrap(),
            "--settings",
            self.settings.to_str().unwrap(),
        ];
        self.start(PROGRAM, &[&given[..], words].concat())
    }

    /// Standard output of what has to succeed.
    fn run(&self, words: &[&str]) -> String {
        let out = self.ask(&self.prefix, words);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{words:?}: {said}");
        String::from_utf8(out.stdout).unwrap()
    }
}

#[test]
fn a_users_prefix_stands_on_a_site_that_is_only_read() {
    let Some(site) = Desk::installed(STEM) else {
        return;
    };
    let Some(person) = Person::new(&site) else {
        return;
    };
    let from = site.env.work().join("some.sif");
    let from = from.to_str().unwrap();
    let before = site.listing();
    person.run(&["install", OWN, "--from", from]);
    let commands = person.run(&["commands"]);
    assert!(
        commands.contains(OWN) && commands.contains(STEM),
        "{commands}"
    );
    person.run(&["verify"]);
    // Both run, as what the user is.
    for (folder, stem) in [(&person.prefix, OWN), (&site.prefix, STEM)] {
        let out = person.start(folder.join(stem).join("show"), &["a b"]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.starts_with("<show><a b>"), "{text}{out:?}");
        assert_eq!(out.status.code(), Some(7));
    }
    for words in [
        &["explain", "show"][..],
        &["prove", "show", "--check"],
        &["path", "tool"],
    ] {
        person.run(words);
    }
    let id = person.run(&["exec", "tool", "--", "id", "-u"]);
    assert_ne!(id.trim(), "0");
    // The same name in one's own prefix hides the site's.
    person.run(&["install", STEM, "--from", from]);
    let path = person.run(&["path", "tool"]);
    assert!(path.starts_with(person.prefix.to_str().unwrap()), "{path}");
    person.run(&["uninstall", STEM]);
    let path = person.run(&["path", "tool"]);
    assert!(path.starts_with(site.prefix.to_str().unwrap()), "{path}");
    // What is the site's is not the user's to change.
    for words in [
        &["uninstall", STEM][..],
        &["repair"],
        &["install", OWN, "--from", from],
        &["install", STEM, "--from", from, "--reinstall"],
    ] {
        let out = person.ask(&site.prefix, words);
        assert_eq!(out.status.code(), Some(1), "{words:?} {out:?}");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(said.contains("ermission denied"), "{words:?}: {said}");
    }
    assert_eq!(site.listing(), before);
    site.run(&["verify"]);
    person.run(&["uninstall", OWN]);
    assert_eq!(fs_err::read_dir(&person.prefix).unwrap().count(), 0);
}

#[test]
fn a_module_tree_that_cannot_be_written_leaves_the_old_build() {
    let Some(site) = Desk::installed("other_1.0_20240101") else {
        return;
    };
    let Some(person) = Person::new(&site) else {
        return;
    };
    let from = site.env.work().join("some.sif");
    let from = from.to_str().unwrap();
    person.run(&["install", STEM, "--from", from]);
    let modules = person.prefix.join("modules");
    for place in [modules.join("tool"), modules.clone()] {
        fs_err::set_permissions(&place, PermissionsExt::from_mode(0o555)).unwrap();
        let newer = if place == modules {
            OWN
        } else {
            "tool_1.0_20250101"
        };
        let out = person.ask(&person.prefix, &["install", newer, "--from", from]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains("ermission denied"), "{said}");
        fs_err::set_permissions(&place, PermissionsExt::from_mode(0o755)).unwrap();
        // Nothing of the new build is there, and all of the old one.
        assert!(!person.prefix.join(newer).exists());
        person.run(&["verify"]);
        let listed = person.run(&["list", "--json"]);
        assert!(listed.contains(STEM) && !listed.contains(newer), "{listed}");
    }
    person.run(&["uninstall", STEM]);
    assert_eq!(fs_err::read_dir(&person.prefix).unwrap().count(), 0);
}
