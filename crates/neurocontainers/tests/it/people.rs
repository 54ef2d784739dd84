//! Users of the machine that tests make and remove: they build as people without root do.

use std::{
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nd_testkit::peer;
use serde_json::Value;

/// Who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one who runs the tests.
    Root,
    /// An ordinary user with a range of ids.
    Ranged,
    /// An ordinary user with nothing.
    Alone,
}

/// Somebody with a home and a recipe in it. Home and user go with this value.
pub(crate) struct Person {
    pub(crate) kind: Kind,
    pub(crate) home: PathBuf,
    name: String,
    ids: (u32, u32),
    program: PathBuf,
    peers: Option<PathBuf>,
}

/// What users may read: the program, the base, Apptainer.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    program: PathBuf,
    peers: Option<PathBuf>,
}

/// The files of accounts have one writer at a time.
static ACCOUNTS: Mutex<()> = Mutex::new(());
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Place {
    /// `None`, with the reason printed, where no users can be made.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can make users");
            return None;
        }
        for tool in ["useradd", "userdel", "newuidmap"] {
            peer(tool)?;
        }
        remove_old();
        let folder = tempfile::tempdir().unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(folder.path(), mode).unwrap();
        let program = folder.path().join("neurocontainers");
        nd_testkit::copy_program(env!("CARGO_BIN_EXE_neurocontainers"), &program);
        let peers = apptainer_for_all(folder.path());
        Some(Self {
            folder,
            program,
            peers,
        })
    }

    /// Somebody new, with `recipe` as the recipe `demo` of a repository, and a suite for it.
    pub(crate) fn person(&self, kind: Kind, recipe: &str, suite: &str) -> Person {
        let person = Person::new(kind, &self.program, self.peers.clone());
        let folder = person.home.join("repo/recipes/demo");
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::create_dir_all(person.home.join("repo/releases")).unwrap();
        fs_err::write(folder.join("build.yaml"), recipe).unwrap();
        if !suite.is_empty() {
            fs_err::write(folder.join("fulltest.yaml"), suite).unwrap();
        }
        person.own();
        person
    }
}

impl Person {
    /// Gives them a recipe of this repository.
    pub(crate) fn take_recipe(&self, name: &str) {
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
        let to = self.home.join("repo/recipes").join(name);
        fs_err::create_dir_all(&to).unwrap();
        for entry in fs_err::read_dir(recipes.join(name)).unwrap() {
            let entry = entry.unwrap();
            fs_err::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        self.own();
    }

    fn new(kind: Kind, program: &Path, peers: Option<PathBuf>) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ndt{}x{number}", std::process::id());
        let (home, ids) = if kind == Kind::Root {
            let home = std::env::temp_dir().join(&name);
            fs_err::create_dir(&home).unwrap();
            (home, (0, 0))
        } else {
            // Users of the system never get a range.
            let more: &[&str] = if kind == Kind::Alone {
                &["--system"]
            } else {
                &[]
            };
            accounts(
                "useradd",
                &[&["--create-home"], more, &[name.as_str()]].concat(),
            );
            let passwd = fs_err::read_to_string("/etc/passwd").unwrap();
            let line = passwd.lines().find(|l| l.starts_with(&format!("{name}:")));
            let fields: Vec<_> = line.unwrap().split(':').collect();
            let ids = (fields[2].parse().unwrap(), fields[3].parse().unwrap());
            (PathBuf::from(fields[5]), ids)
        };
        let subuid = fs_err::read_to_string("/etc/subuid").unwrap_or_default();
        let has_range = subuid.lines().any(|l| l.starts_with(&format!("{name}:")));
        assert_eq!(has_range, kind == Kind::Ranged, "{name} in /etc/subuid");
        Self {
            kind,
            home,
            name,
            ids,
            program: program.into(),
            peers,
        }
    }

    /// Makes everything in the home theirs.
    fn own(&self) {
        let mut pending = vec![self.home.clone()];
        while let Some(path) = pending.pop() {
            chown(&path, Some(self.ids.0), Some(self.ids.1)).unwrap();
            if path.is_dir() {
                pending.extend(fs_err::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            }
        }
    }

    /// A program with nothing of ours but the search path.
    pub(crate) fn run(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs([("HOME", &self.home), ("TMPDIR", &self.home)])
            .env("USER", &self.name)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("BUILDDATE", "20260102")
            .envs(self.peers.iter().map(|peers| ("ND_PEERS", peers)))
            .current_dir(self.home.join("repo"));
        if self.kind != Kind::Root {
            command.uid(self.ids.0).gid(self.ids.1);
        }
        command
    }

    /// The command `neurocontainers`.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.run(&self.program);
        command.args(words);
        command
    }

    /// The store that this user's builds keep.
    pub(crate) fn store(&self) -> PathBuf {
        let cache = self.home.join(".cache/neurodesk");
        let entries = fs_err::read_dir(&cache).unwrap().map(|e| e.unwrap().path());
        entries
            .into_iter()
            .find(|path| path.join("blobs").is_dir())
            .unwrap_or(cache)
    }

    /// Apptainer as this user.
    pub(crate) fn apptainer(&self, words: &[&str]) -> Option<Command> {
        let prefix = self.peers.as_ref()?.join("apptainer/usr/bin");
        let mut command = self.run(&prefix.join("apptainer"));
        command.args(words);
        let path = format!("{}:/usr/bin:/bin", prefix.display());
        command.env("PATH", path);
        Some(command)
    }

    /// Builds the recipe `demo`; the summary.
    pub(crate) fn build(&self, more: &[&str]) -> Value {
        self.build_of("demo", more)
    }

    /// Builds a recipe; the summary.
    pub(crate) fn build_of(&self, recipe: &str, more: &[&str]) -> Value {
        let words = [&["build", recipe, "--json"][..], more].concat();
        summary(&self.command(&words).output().unwrap())
    }
}

/// Whether what takes minutes is to run, and a base can be bootstrapped.
pub(crate) fn slow() -> bool {
    std::env::var_os("ND_SLOW_TESTS").is_some() && peer("mmdebstrap").is_some()
}

/// The summary of a build that must have succeeded.
pub(crate) fn summary(output: &Output) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap()
}

impl Drop for Person {
    fn drop(&mut self) {
        if self.kind == Kind::Root {
            let _ = fs_err::remove_dir_all(&self.home);
        } else {
            remove(&self.name);
        }
    }
}

/// How often accounts are asked for while others change them; one that removes a large home is long at
/// it, on a busy machine for minutes.
const TURNS: u32 = 6_000;

/// Runs a tool of accounts, which refuses while another one holds their lock.
fn accounts(tool: &str, words: &[&str]) -> Output {
    let _alone = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let program = peer(tool).unwrap();
    let mut turn = 0;
    loop {
        let output = Command::new(&program).args(words).output().unwrap();
        turn += 1;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() || turn == TURNS || !said.contains("lock") {
            assert!(turn < TURNS, "{tool}: {said}");
            return output;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn remove(name: &str) {
    accounts("userdel", &["--remove", "--force", name]);
}

/// Removes users of tests that were killed.
fn remove_old() {
    let passwd = fs_err::read_to_string("/etc/passwd").unwrap();
    for line in passwd.lines() {
        let name = line.split(':').next().unwrap();
        let number = name
            .strip_prefix("ndt")
            .and_then(|rest| rest.split_once('x'));
        let Some((process, _)) = number else { continue };
        if process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists() {
            remove(name);
        }
    }
}

/// Apptainer where everybody can run it, also when the one that was set up lies in a closed folder: its
/// programs name their loader and libraries by path.
fn apptainer_for_all(folder: &Path) -> Option<PathBuf> {
    let program = peer("apptainer")?;
    let old = program.parent()?.parent()?.parent()?;
    let peers = folder.join("peers");
    let new = peers.join("apptainer");
    if !old.join("usr/bin/patchelf").is_file() {
        println!("skipped: Apptainer is not in a prefix that can be moved");
        return None;
    }
    fs_err::create_dir(&peers).unwrap();
    let check = |output: Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        output.stdout
    };
    check(
        Command::new("cp")
            .arg("-a")
            .args([old, new.as_path()])
            .output()
            .unwrap(),
    );
    let patchelf = new.join("usr/bin/patchelf");
    let libraries = fs_err::read_dir(new.join("usr/lib")).unwrap();
    let libraries = libraries
        .map(|e| e.unwrap().path())
        .find(|path| path.join("apptainer/bin/starter").is_file());
    let libraries = libraries.unwrap();
    let loader = fs_err::read_dir(&libraries)
        .unwrap()
        .map(|e| e.unwrap().path());
    let loader = loader.into_iter().find(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("ld-linux")
    });
    let loader = loader.unwrap();
    let patch = |words: &[&std::ffi::OsStr]| {
        let mut command = Command::new(&loader);
        command
            .arg("--library-path")
            .arg(&libraries)
            .arg(&patchelf)
            .args(words);
        command.output().unwrap()
    };
    let programs = fs_err::read_dir(new.join("usr/bin"))
        .unwrap()
        .map(|e| e.unwrap().path());
    for file in programs.chain([libraries.join("apptainer/bin/starter")]) {
        let asked = patch(&["--print-interpreter".as_ref(), file.as_ref()]);
        let found = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
        if asked.status.success() && found.starts_with(old) {
            check(patch(&[
                "--set-interpreter".as_ref(),
                loader.as_ref(),
                "--force-rpath".as_ref(),
                "--set-rpath".as_ref(),
                libraries.as_ref(),
                file.as_ref(),
            ]));
        }
    }
    let settings = new.join("etc/apptainer/apptainer.conf");
    let text = fs_err::read_to_string(&settings).unwrap();
    let (old, new) = (old.display().to_string(), new.display().to_string());
    fs_err::write(&settings, text.replace(&old, &new)).unwrap();
    // As device managers have it where people log in.
    let device = Path::new("/dev/fuse");
    if device.exists() {
        let mode = std::fs::Permissions::from_mode(0o666);
        fs_err::set_permissions(device, mode).unwrap();
    }
    Some(peers)
}
