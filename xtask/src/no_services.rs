//! Packages of servers without their servers: what tests need must not run on the machine of whoever
//! develops.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use xshell::{Shell, cmd};

/// Where Debian's packages ask whether they may start what they bring.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// A line of the file that nobody else writes.
const MARK: &str = "# while `cargo xtask setup` installs packages";

/// Packages of ours that bring services, and these.
const SERVICES: &[(&str, &[&str])] = &[
    ("apache2", &["apache2"]),
    ("docker-registry", &["docker-registry"]),
    (
        "docker.io",
        &["docker.service", "docker.socket", "containerd"],
    ),
    ("slurmctld", &["slurmctld"]),
    ("slurmd", &["slurmd"]),
    ("squid", &["squid"]),
];

/// While it lives, packages that are installed start nothing.
#[derive(Debug)]
pub(crate) struct NoServices(Option<PathBuf>);

impl NoServices {
    /// From now on.
    pub(crate) fn begin() -> io::Result<Self> {
        Self::at(Path::new(POLICY), std::process::id())
    }

    fn at(path: &Path, process: u32) -> io::Result<Self> {
        match fs_err::read_to_string(path) {
            // The machine has a policy of its own.
            Ok(text) if !text.contains(MARK) => return Ok(Self(None)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // It says so no longer than this process lives, whatever ends it.
        let text = format!("#!/bin/sh\n{MARK}\n[ -d /proc/{process} ] && exit 101\nexit 0\n");
        fs_err::write(path, text)?;
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path.to_owned())))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What stays of it allows everything.
            let _ = fs_err::remove_file(path);
        }
    }
}

/// Keeps what `packages` brought from being started with the machine.
pub(crate) fn not_at_boot(shell: &Shell, packages: &[&str]) {
    let ours = SERVICES.iter().filter(|(name, _)| packages.contains(name));
    for service in ours.flat_map(|(_, services)| *services) {
        // Without systemd there is nothing to keep.
        let _ = cmd!(shell, "systemctl disable {service}")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_start_nothing_while_we_live_and_policies_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy-rc.d");
        let shell = Shell::new().unwrap();
        let refused = || cmd!(shell, "{path} apache2 start").quiet().run().is_err();
        let quiet = NoServices::at(&path, std::process::id()).unwrap();
        assert!(refused());
        drop(quiet);
        assert!(!path.exists());
        // Left by one that was killed: numbers of processes end at 2^22.
        std::mem::forget(NoServices::at(&path, 1 << 23).unwrap());
        assert!(!refused());
        drop(NoServices::at(&path, std::process::id()).unwrap());
        assert!(!path.exists());
        fs_err::write(&path, "#!/bin/sh\nexit 101\n").unwrap();
        drop(NoServices::at(&path, std::process::id()).unwrap());
        assert!(path.exists());
    }
}
