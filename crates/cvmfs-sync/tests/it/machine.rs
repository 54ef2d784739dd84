//! Steps with programs that are played: exact arguments, resumption, devices.

use std::path::{Path, PathBuf};

use cvmfs_sync::server::{
    Action, Allowed, ApplyError, Credentials, Machine, Progress, Role, State, Step, StepError,
    steps,
};
use insta::assert_snapshot;
use nd_fetch::FetchOptions;
use nd_host::{Environment, Finished, Invocation, ProgramError, Programs, Stream, SystemPrograms};
use nd_report::Cancel;
use nd_testkit::peer;

use crate::{
    life::put,
    played::{PACKAGED, Played},
    servers::{SERVERS, described, on_debian},
};

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
