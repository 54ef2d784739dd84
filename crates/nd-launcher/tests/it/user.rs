//! Wrappers started by an ordinary user.

use std::{ffi::OsStr, path::Path, process::Command};

use nd_testkit::{OrdinaryUser, UserProcess};

use crate::fixture::Fixture;

/// An ordinary user, for the containers of a fixture.
pub(crate) struct User(OrdinaryUser);

impl User {
    /// `None`, with a printed reason, where this process cannot become one.
    pub(crate) fn new(fixture: &Fixture) -> Option<Self> {
        let peer = nd_testkit::peer("apptainer")?;
        let user = OrdinaryUser::new(&fixture.path(""), &peer)?;
        for name in ["home", "run", "work"] {
            user.make_folder(&fixture.path(name));
        }
        Some(Self(user))
    }

    /// Makes a folder that is the user's alone.
    pub(crate) fn make_folder(&self, path: &Path) {
        self.0.make_folder(path);
    }

    /// A program, started from a shell that stays until it ends.
    pub(crate) fn program(&self, fixture: &Fixture, program: impl AsRef<OsStr>) -> Command {
        furnish(fixture, self.0.command(UserProcess::OfShell, program))
    }

    /// A wrapper, started the same way.
    pub(crate) fn wrapper(&self, fixture: &Fixture, name: &str) -> Command {
        self.program(fixture, fixture.folder.join(name))
    }

    /// A wrapper that is the very process that is started; not for Apptainer.
    pub(crate) fn alone(&self, fixture: &Fixture, name: &str) -> Command {
        let wrapper = fixture.folder.join(name);
        furnish(fixture, self.0.command(UserProcess::Itself, wrapper))
    }
}

fn furnish(fixture: &Fixture, mut command: Command) -> Command {
    fixture.furnish(&mut command);
    command.env("XDG_RUNTIME_DIR", fixture.path("run"));
    command
}
