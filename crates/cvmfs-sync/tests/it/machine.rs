//! Steps with programs that are played: exact arguments, resumption, devices.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Mutex,
};

use cvmfs_sync::server::{
    Action, Allowed, ApplyError, Credentials, Machine, Progress, Role, State, Step, StepError,
    steps,
};
use insta::assert_snapshot;
use nd_fetch::FetchOptions;
use nd_host::{
    Environment, Finished, Invocation, Outcome, ProgramError, Programs, Stream, SystemPrograms,
};
use nd_report::Cancel;
use nd_testkit::peer;

use crate::{
    life::put,
    servers::{SERVERS, described, on_debian},
};

/// The programs of a machine that starts empty: each does to the folder what the real one would be seen
/// to have done, and the machine answers accordingly.
struct Played {
    root: PathBuf,
    ran: Mutex<Vec<String>>,
    /// The command with this number fails, once.
    fails: Mutex<Option<usize>>,
}

/// Files that packages bring: path, package, text.
const PACKAGED: [(&str, &str, &str); 3] = [
    (
        "/etc/squid/squid.conf",
        "squid",
        "# the default\nhttp_port 3128\n",
    ),
    (
        "/etc/httpd/conf/httpd.conf",
        "httpd",
        "Listen 80\nServerAdmin root@localhost\n",
    ),
    ("/etc/apache2/ports.conf", "apache2", "Listen 80\n"),
];

fn owner(path: &str) -> Option<&'static str> {
    PACKAGED
        .iter()
        .find(|(other, ..)| *other == path)
        .map(|(_, package, _)| *package)
}

impl Played {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            ran: Mutex::default(),
            fails: Mutex::new(None),
        }
    }

    fn ran(&self) -> Vec<String> {
        self.ran.lock().unwrap().clone()
    }

    fn has_run(&self, start: &str, word: &str) -> bool {
        let ran = self.ran.lock().unwrap();
        ran.iter()
            .any(|line| line.starts_with(start) && line.split(' ').any(|other| other == word))
    }

    fn put(&self, path: &str, text: &str) {
        put(&self.root.join(path), text.as_bytes());
    }

    fn publish(&self, revision: u64) {
        let zero = "0".repeat(40);
        let manifest =
            format!("C{zero}\nRd41d8cd98f00b204e9800998ecf8427e\nD240\nS{revision}\n--\n{zero}\n");
        self.put(
            "storage/cvmfs-storage/srv/cvmfs/software.example.org/.cvmfspublished",
            &manifest,
        );
    }

    /// What a question is answered; `None` for what is no question.
    fn answer(&self, words: &[&str]) -> Option<(bool, &'static str)> {
        Some(match *words {
            ["rpm", "--query", "--quiet", "cvmfs-release"] => (
                self.has_run(
                    "dnf",
                    "https://packages.example.org/cvmfs/release-latest.noarch.rpm",
                ),
                "",
            ),
            ["rpm", "--query", "--quiet", name] => (self.has_run("dnf", name), ""),
            ["dpkg-query", "--show", "cvmfs-release"] => {
                (self.has_run("apt-get", "/root/release.deb"), "")
            }
            ["dpkg-query", "--show", _, name] => (self.has_run("apt-get", name), "installed"),
            ["dpkg-query", "--search", path] => {
                (self.has_run("apt-get", owner(path)?), owner(path)?)
            }
            ["rpm", "--query", "--file", path] => (self.has_run("dnf", owner(path)?), ""),
            // The whole package is looked at; only `rpm` has an exit code for what it finds.
            ["dpkg", "--verify", _] => (true, self.changed()),
            ["rpm", "--verify", "--file", _] => (false, self.changed()),
            ["getent", "passwd", user] => (self.has_run("useradd", user), ""),
            ["systemctl", "is-enabled" | "is-active", "--quiet", "autofs"] => {
                (!self.has_run("systemctl disable", "autofs"), "")
            }
            ["systemctl", "is-enabled", "--quiet", name] => {
                (self.has_run("systemctl enable", name), "")
            }
            ["systemctl", "is-active", "--quiet", name] => {
                (self.has_run("systemctl restart", name), "")
            }
            ["firewall-cmd", "--quiet", "--permanent", port]
                if port.starts_with("--query-port") =>
            {
                (
                    self.has_run("firewall-cmd", &port.replace("query", "add")),
                    "",
                )
            }
            // What is permanent counts after the next reload.
            ["firewall-cmd", "--quiet", port] if port.starts_with("--query-port") => {
                let ran = self.ran();
                let added = ran
                    .iter()
                    .position(|line| line.ends_with(&port.replace("query", "add")));
                let reloaded = |at: usize| ran[at..].iter().any(|line| line.ends_with("--reload"));
                (added.is_some_and(reloaded), "")
            }
            ["test", "-s", _] => (true, ""),
            ["blkid", ..] => (true, "TYPE=ext4\nUSAGE=filesystem"),
            ["cvmfs_config", "chksetup"] => (self.has_run("cvmfs_config", "setup"), ""),
            _ => return None,
        })
    }

    /// A line for the one file of a package that is not as it was installed.
    fn changed(&self) -> &'static str {
        let [squid, httpd, ports] = PACKAGED.map(|(path, _, text)| {
            let now = fs_err::read_to_string(self.root.join(&path[1..]));
            now.is_ok_and(|now| now != text)
        });
        match (squid, httpd || ports) {
            (true, _) => "S.5....T.  c /etc/squid/squid.conf\n..5......  c /etc/other",
            (_, true) => {
                "S.5....T.  c /etc/httpd/conf/httpd.conf\n??5??????  c /etc/apache2/ports.conf"
            }
            _ => "..5......  c /etc/other",
        }
    }

    fn effect(&self, words: &[&str]) {
        if ["dnf", "apt-get"].contains(&words[0]) {
            for (path, package, text) in PACKAGED {
                if words.contains(&package) {
                    self.put(&path[1..], text);
                }
            }
        }
        let (folder, name) = (
            "etc/cvmfs/repositories.d/software.example.org",
            "software.example.org",
        );
        match *words {
            ["timedatectl", "set-timezone", zone] => {
                fs_err::create_dir_all(self.root.join("etc")).unwrap();
                symlink(
                    format!("../usr/share/zoneinfo/{zone}"),
                    self.root.join("etc/localtime"),
                )
                .unwrap();
            }
            ["mount", place] => {
                self.put(
                    "proc/self/mountinfo",
                    &format!("1 1 0:1 / {place} rw - ext4 /dev/vdb rw\n"),
                );
            }
            ["a2enmod", _, module] => {
                self.put(&format!("etc/apache2/mods-enabled/{module}.load"), "x");
            }
            ["cvmfs_server", "mkfs", ..] => {
                self.put(&format!("{folder}/server.conf"), "CVMFS_USER=cvmfs\n");
                for end in ["crt", "key", "masterkey", "pub"] {
                    self.put(&format!("etc/cvmfs/keys/{name}.{end}"), "key");
                    self.effect(&["chmod", "640", &format!("/etc/cvmfs/keys/{name}.{end}")]);
                }
                self.publish(2);
            }
            ["cvmfs_server", "transaction", name] => {
                let lock = format!("storage/spool/cvmfs/{name}/in_transaction.lock");
                assert!(!self.root.join(&lock).exists(), "a transaction is open");
                self.put(&lock, "");
            }
            ["cvmfs_server", "publish", _] => self.publish(3),
            ["cvmfs_server", "add-replica", ..] => {
                self.put(&format!("{folder}/replica.conf"), "x");
            }
            ["cvmfs_server", "snapshot", _] => self.publish(7),
            ["cvmfs_server", "update-geodb"] => self.put("var/lib/cvmfs-server/geo/GeoLite2", "x"),
            ["cvmfs_server", "resign", ..] => {
                let print = ["00"; 20].join(":");
                let text = format!("20260101000000\nE20260201000000\nN{name}\n{print}\n--\n");
                self.put(
                    &format!("storage/cvmfs-storage/srv/cvmfs/{name}/.cvmfswhitelist"),
                    &text,
                );
            }
            ["cvmfs_config", "stat", ..] => self.put(&format!("cvmfs/{name}/containers"), "x"),
            ["chmod", mode, ref paths @ ..] => {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = u32::from_str_radix(mode, 8).unwrap();
                for path in paths {
                    let path = self.root.join(path.trim_start_matches('/'));
                    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            _ => {}
        }
    }
}

impl Programs for Played {
    fn find(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from("/usr/bin").join(name))
    }

    fn run(
        &self,
        invocation: &Invocation,
        _: &mut dyn FnMut(Stream, &[u8]),
        _: &Cancel,
    ) -> Result<Finished, ProgramError> {
        let line: Vec<&str> = std::iter::once(invocation.program())
            .chain(invocation.arguments())
            .map(|word| word.to_str().unwrap())
            .collect();
        let (good, stdout) = if let Some(answer) = self.answer(&line) {
            answer
        } else {
            let number = self.ran.lock().unwrap().len();
            let fails = self.fails.lock().unwrap().take_if(|fails| *fails == number);
            if fails.is_none() {
                self.effect(&line);
                self.ran.lock().unwrap().push(line.join(" "));
            }
            (fails.is_none(), "")
        };
        Ok(Finished {
            shown: invocation.shown(),
            outcome: Outcome::Code(i32::from(!good)),
            stdout: stdout.as_bytes().to_vec(),
            last_lines: Vec::new(),
        })
    }
}

fn now() -> jiff::Timestamp {
    "2026-01-10T00:00:00Z".parse().unwrap()
}

/// The steps of a role, but for the tests of servers that are not there.
fn of(text: &str, role: Role) -> Vec<Step> {
    let licence = "CVMFS_GEO_ACCOUNT_ID=1\nCVMFS_GEO_LICENSE_KEY=s3cret\n";
    let credentials = Credentials::parse(licence).unwrap();
    let mut steps = steps(&described(text), role, Some(&credentials)).unwrap();
    steps.retain(|step| !matches!(step.action, Action::Answers { .. }));
    steps
}

fn open<'a>(root: &Path, programs: &'a dyn Programs, cancel: &'a Cancel) -> Machine<'a> {
    // The device itself is not looked at here.
    put(&root.join("dev/vdb"), b"");
    Machine::open(root, Some(programs), cancel, now(), FetchOptions::default()).unwrap()
}

fn apply(machine: &Machine<'_>, steps: &[Step]) -> Result<usize, ApplyError> {
    let mut done = 0;
    machine.apply(steps, &Allowed::default(), &mut |_, progress| {
        done += usize::from(progress == Progress::Did);
    })?;
    Ok(done)
}

#[test]
fn the_commands_of_every_role_in_order() {
    for (system, text) in [("dnf", SERVERS.to_owned()), ("apt", on_debian())] {
        for role in [Role::Stratum0, Role::Stratum1, Role::Proxy, Role::Client] {
            let folder = tempfile::tempdir().unwrap();
            let (programs, cancel) = (Played::new(folder.path()), Cancel::default());
            let (machine, steps) = (open(folder.path(), &programs, &cancel), of(&text, role));
            apply(&machine, &steps).unwrap();
            let ran = programs.ran();
            assert_snapshot!(format!("commands-{}-{system}", role.name()), ran.join("\n"));
            // Everything is done, and says so without doing anything.
            let planned = machine.plan(&steps).unwrap();
            assert!(
                planned.iter().all(|(_, state)| *state == State::Done),
                "{planned:?}"
            );
            assert_eq!(apply(&machine, &steps).unwrap(), 0);
            assert_eq!(programs.ran(), ran);
        }
    }
}

#[test]
fn a_client_without_autofs_has_a_mount_of_its_own() {
    let text = SERVERS.replace("[client]", "[client]\nautofs = false");
    let folder = tempfile::tempdir().unwrap();
    let (programs, cancel) = (Played::new(folder.path()), Cancel::default());
    let (machine, steps) = (
        open(folder.path(), &programs, &cancel),
        of(&text, Role::Client),
    );
    apply(&machine, &steps).unwrap();
    assert_eq!(
        programs.ran()[2..],
        [
            "cvmfs_config setup",
            "cvmfs_config umount",
            "systemctl disable --now autofs",
            "mount /cvmfs/software.example.org",
            "cvmfs_config stat -v software.example.org",
        ]
    );
    let fstab = fs_err::read_to_string(folder.path().join("etc/fstab")).unwrap();
    assert_eq!(
        fstab,
        "software.example.org /cvmfs/software.example.org cvmfs defaults,_netdev,nodev 0 0\n"
    );
    assert_eq!(apply(&machine, &steps).unwrap(), 0);
}

#[test]
fn a_set_up_that_was_stopped_at_any_command_goes_on_from_there() {
    let steps = of(SERVERS, Role::Stratum0);
    let folder = tempfile::tempdir().unwrap();
    let (programs, cancel) = (Played::new(folder.path()), Cancel::default());
    apply(&open(folder.path(), &programs, &cancel), &steps).unwrap();
    let whole = programs.ran();
    for stop in 0..whole.len() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Played::new(folder.path());
        *programs.fails.lock().unwrap() = Some(stop);
        let machine = open(folder.path(), &programs, &cancel);
        let error = apply(&machine, &steps).unwrap_err();
        assert!(matches!(error.source, StepError::Program(_)), "{error:?}");
        apply(&machine, &steps).unwrap();
        // Every command at least once; those of the interrupted step perhaps once more.
        let ran = programs.ran();
        assert!(
            whole.iter().all(|line| ran.contains(line)),
            "{stop}: {ran:?}"
        );
        assert!(ran.len() <= whole.len() + 2, "{stop}: {ran:?}");
    }
}

#[test]
fn a_service_is_started_again_when_its_configuration_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (programs, cancel) = (Played::new(folder.path()), Cancel::default());
    let (machine, steps) = (
        open(folder.path(), &programs, &cancel),
        of(SERVERS, Role::Proxy),
    );
    apply(&machine, &steps).unwrap();
    let before = programs.ran().len();
    let other = SERVERS.replace("\"10.1.0.0/16\"", "\"10.2.0.0/16\"");
    apply(&machine, &of(&other, Role::Proxy)).unwrap();
    assert_eq!(
        programs.ran()[before..],
        [
            "squid -k parse",
            "systemctl enable squid",
            "systemctl restart squid"
        ]
    );
}

#[test]
fn what_packages_and_we_wrote_is_replaced_and_what_somebody_changed_is_not() {
    let root = tempfile::tempdir().unwrap();
    let (programs, cancel) = (Played::new(root.path()), Cancel::default());
    let machine = open(root.path(), &programs, &cancel);
    let path = root.path().join("etc/squid/squid.conf");
    let kept = root
        .path()
        .join("var/lib/cvmfs-sync/replaced/etc/squid/squid.conf");
    let read = |path: &Path| fs_err::read_to_string(path).unwrap();
    apply(&machine, &of(SERVERS, Role::Proxy)).unwrap();
    assert_eq!(read(&kept), PACKAGED[0].2);
    // Our own text makes room for a newer one, and the packaged one stays kept.
    let other = of(
        &SERVERS.replace("\"10.1.0.0/16\"", "\"10.2.0.0/16\""),
        Role::Proxy,
    );
    apply(&machine, &other).unwrap();
    assert!(read(&path).contains("10.2.0.0/16"));
    assert_eq!(read(&kept), PACKAGED[0].2);
    // Somebody's does not.
    let changed = read(&path) + "# mine\n";
    put(&path, changed.as_bytes());
    let error = apply(&machine, &of(SERVERS, Role::Proxy)).unwrap_err();
    assert!(
        error.replaceable && matches!(error.source, StepError::Refused(_)),
        "{error:?}"
    );
    assert_eq!(read(&path), changed);
    let allowed = Allowed {
        replace: true,
        ..Allowed::default()
    };
    machine
        .apply(&of(SERVERS, Role::Proxy), &allowed, &mut |_, _| {})
        .unwrap();
    assert_eq!(read(&kept), changed);
}

#[test]
fn a_folder_with_content_is_moved_whole_and_the_original_stays() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    put(&at("srv/cvmfs/a/file"), b"text");
    let environment = Environment::of_process().unwrap();
    let cancel = Cancel::default();
    let programs = Inside(SystemPrograms::new(&environment), root.path().to_owned());
    let machine = Machine::open(
        root.path(),
        Some(&programs),
        &cancel,
        now(),
        FetchOptions::default(),
    )
    .unwrap();
    let steps = of(SERVERS, Role::Stratum1);
    let link: Vec<Step> = steps
        .into_iter()
        .filter(|step| step.id == "srv-cvmfs")
        .collect();
    // A copy that was cut off before is not taken for a whole one.
    put(&at("storage/cvmfs-storage/srv/cvmfs.part/half"), b"");
    assert_eq!(apply(&machine, &link).unwrap(), 1);
    let names = |path: &str| -> Vec<String> {
        let read = fs_err::read_dir(at(path)).unwrap();
        read.map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(
        fs_err::read(at("storage/cvmfs-storage/srv/cvmfs/a/file")).unwrap(),
        b"text"
    );
    assert_eq!(names("storage/cvmfs-storage/srv/cvmfs"), ["a"]);
    assert_eq!(fs_err::read(at("srv/cvmfs.moved/a/file")).unwrap(), b"text");
    // Killed before the copy got its name, and before the link was made.
    let to = "storage/cvmfs-storage/srv/cvmfs";
    fs_err::remove_file(at("srv/cvmfs")).unwrap();
    fs_err::rename(at(to), at(&format!("{to}.part"))).unwrap();
    assert_eq!(apply(&machine, &link).unwrap(), 1);
    assert_eq!(names(to), ["a"]);
    // Two folders with content: nobody knows which one counts.
    fs_err::remove_file(at("srv/cvmfs")).unwrap();
    put(&at("srv/cvmfs/b"), b"");
    let error = apply(&machine, &link).unwrap_err();
    assert!(matches!(error.source, StepError::Refused(_)), "{error:?}");
}

/// Real programs whose absolute paths lie inside a folder.
struct Inside(SystemPrograms, PathBuf);

impl Programs for Inside {
    fn find(&self, name: &str) -> Option<PathBuf> {
        self.0.find(name)
    }

    fn run(
        &self,
        invocation: &Invocation,
        on_line: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, ProgramError> {
        let inside = invocation.arguments().map(|word| {
            let word = word.to_str().unwrap();
            match word.strip_prefix('/') {
                Some(path) => self.1.join(path).into_os_string(),
                None => word.into(),
            }
        });
        let program = invocation.program();
        if program == "lsblk" {
            // It knows block devices alone, and the test has a file.
            return self
                .0
                .run(&Invocation::new("echo").arg("vdb"), on_line, cancel);
        }
        self.0
            .run(&Invocation::new(program).args(inside), on_line, cancel)
    }
}

#[test]
fn only_an_empty_device_that_was_named_gets_a_file_system() {
    let (Some(_), Some(_)) = (peer("mkfs.ext4"), peer("blkid")) else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let device = root.path().join("dev/vdb");
    put(&device, b"");
    let image = fs_err::OpenOptions::new()
        .write(true)
        .open(&device)
        .unwrap();
    image.set_len(16 << 20).unwrap();
    let environment = Environment::of_process().unwrap();
    let cancel = Cancel::default();
    let programs = Inside(SystemPrograms::new(&environment), root.path().to_owned());
    let machine = Machine::open(
        root.path(),
        Some(&programs),
        &cancel,
        now(),
        FetchOptions::default(),
    )
    .unwrap();
    let step: Vec<Step> = of(SERVERS, Role::Stratum0)
        .into_iter()
        .filter(|step| step.id == "format")
        .collect();
    let allowed = |device: &str| Allowed {
        format: Some(device.parse().unwrap()),
        replace: true,
    };
    let apply = |allowed: &Allowed| {
        let mut done = 0;
        let mut count = |_: &Step, progress| done += usize::from(progress == Progress::Did);
        machine.apply(&step, allowed, &mut count).map(|()| done)
    };
    let refused = |allowed: &Allowed| {
        let error = apply(allowed).unwrap_err();
        assert!(matches!(error.source, StepError::Refused(_)), "{error:?}");
    };
    refused(&Allowed::default());
    refused(&allowed("/dev/vdc"));
    // Something that is no file system that anybody knows.
    let mut head = vec![0; 4096];
    head[4000] = 1;
    fs_err::write(&device, &head).unwrap();
    refused(&allowed("/dev/vdb"));
    // A table of partitions.
    head[510..512].copy_from_slice(&[0x55, 0xaa]);
    head[446 + 4] = 0x83;
    head[446 + 8] = 1;
    head[446 + 12] = 4;
    fs_err::write(&device, &head).unwrap();
    refused(&allowed("/dev/vdb"));
    let image = fs_err::File::create(&device).unwrap();
    image.set_len(16 << 20).unwrap();
    assert_eq!(apply(&allowed("/dev/vdb")).unwrap(), 1);
    let made = fs_err::read(&device).unwrap();
    assert_eq!(made[1024 + 56..1024 + 58], [0x53, 0xef]);
    // And never again.
    assert_eq!(apply(&allowed("/dev/vdb")).unwrap(), 0);
    assert_eq!(fs_err::read(&device).unwrap(), made);
}

#[test]
fn a_licence_is_roots_alone_and_nobody_else_sees_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let (programs, cancel) = (Played::new(root.path()), Cancel::default());
    // What others put there stays, with its mode narrowed.
    put(
        &root.path().join("etc/cvmfs/server.local"),
        b"CVMFS_NUM_WORKERS=16\n",
    );
    let (machine, steps) = (
        open(root.path(), &programs, &cancel),
        of(SERVERS, Role::Stratum1),
    );
    let shown = format!("{:?}", machine.plan(&steps).unwrap());
    assert!(shown.contains("etc/cvmfs/server.local"));
    assert!(!shown.contains("s3cret"));
    apply(&machine, &steps).unwrap();
    let path = root.path().join("etc/cvmfs/server.local");
    let mode = fs_err::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let text = fs_err::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        "CVMFS_NUM_WORKERS=16\nCVMFS_GEO_ACCOUNT_ID=1\nCVMFS_GEO_LICENSE_KEY=s3cret\n"
    );
    assert!(!programs.ran().join(" ").contains("s3cret"));
}

#[test]
fn bytes_that_are_no_text_are_not_written_back_as_others() {
    let root = tempfile::tempdir().unwrap();
    let (programs, cancel) = (Played::new(root.path()), Cancel::default());
    let path = root.path().join("etc/cvmfs/default.local");
    put(&path, b"# caf\xe9\n");
    let (machine, steps) = (
        open(root.path(), &programs, &cancel),
        of(SERVERS, Role::Client),
    );
    let error = apply(&machine, &steps).unwrap_err();
    assert!(matches!(error.source, StepError::Io { .. }), "{error:?}");
    assert_eq!(fs_err::read(&path).unwrap(), b"# caf\xe9\n");
}

#[test]
fn two_do_not_apply_at_once() {
    let root = tempfile::tempdir().unwrap();
    let (programs, cancel) = (Played::new(root.path()), Cancel::default());
    let machine = open(root.path(), &programs, &cancel);
    let held = machine.lock().unwrap();
    assert!(held.is_some());
    assert!(machine.lock().unwrap().is_none());
    drop(held);
    assert!(machine.lock().unwrap().is_some());
}
