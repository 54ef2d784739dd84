//! A program that reads modules, and a folder of modules.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use nd_modulefile::{Dialect, Module, Versions};
use tempfile::TempDir;

/// One of the two programs, with modules of its own.
pub(crate) struct Reader {
    program: PathBuf,
    pub(crate) root: TempDir,
    pub(crate) dialect: Dialect,
}

/// Every reader that is installed, with every dialect it reads.
pub(crate) fn readers() -> Vec<Reader> {
    [
        ("lmod", Dialect::Lua),
        ("lmod", Dialect::Tcl),
        ("environment-modules", Dialect::Tcl),
    ]
    .into_iter()
    .filter_map(|(name, dialect)| {
        let program = nd_testkit::peer(name)?;
        let root = tempfile::tempdir().unwrap();
        for name in ["modules", "home", "work"] {
            fs_err::create_dir(root.path().join(name)).unwrap();
        }
        Some(Reader {
            program,
            root,
            dialect,
        })
    })
    .collect()
}

impl Reader {
    /// Installs a module.
    pub(crate) fn put(&self, module: &Module) {
        let file = self
            .root
            .path()
            .join("modules")
            .join(module.file(self.dialect));
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, module.render(self.dialect)).unwrap();
    }

    /// Writes the files with default and hidden versions.
    pub(crate) fn put_versions(&self, versions: &Versions) {
        let folder = self.root.path().join("modules").join(versions.app.as_str());
        fs_err::write(folder.join(Versions::MODULERC), versions.to_modulerc()).unwrap();
        fs_err::write(
            folder.join(Versions::MODULERC_LUA),
            versions.to_modulerc_lua(),
        )
        .unwrap();
        if let Some(text) = versions.to_version() {
            fs_err::write(folder.join(Versions::VERSION), text).unwrap();
        }
    }

    /// A folder with a program that says its name.
    pub(crate) fn folder(&self, name: &str, command: &str) -> nd_modulefile::Folder {
        let folder = self.root.path().join(name);
        let text = format!("#!/bin/sh\necho {command} of {name}\n");
        nd_testkit::program(folder.join(command), text);
        folder.to_str().unwrap().parse().unwrap()
    }

    /// Runs lines of shell in which `m` is `module`, and gives everything that is said.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what starts programs in tests"
    )]
    pub(crate) fn run(&self, lines: &str) -> String {
        let script = format!("m() {{ eval \"$(\"$PROGRAM\" bash \"$@\")\"; }}\n{lines}\n");
        let Output { stdout, stderr, .. } = Command::new("bash")
            .args(["--norc", "--noprofile", "-c", &script])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("PROGRAM", &self.program)
            .env("MODULEPATH", self.root.path().join("modules"))
            .env("HOME", self.root.path().join("home"))
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "dumb")
            .env("LMOD_PAGER", "none")
            .env("MODULES_PAGER", "")
            .env("COLUMNS", "200")
            .current_dir(self.root.path().join("work"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&stdout) + &text(&stderr)
    }

    /// Whether this is Lmod.
    pub(crate) fn is_lmod(&self) -> bool {
        self.program.ends_with("lmod")
    }

    /// Fails unless the text is said by these lines.
    pub(crate) fn says(&self, lines: &str, text: &str) {
        let said = self.run(lines);
        assert!(
            said.contains(text),
            "{} {:?}: no `{text}` in: {said}",
            self.program.display(),
            self.dialect
        );
    }
}
