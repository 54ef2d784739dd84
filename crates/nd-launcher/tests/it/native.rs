//! Starts without a runtime, beside those of the real Apptainer.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
        process::ExitStatusExt as _,
    },
    path::Path,
    process::{Command, Stdio},
};

use nd_launcher::{Form, VERBOSE_VARIABLE};

use crate::{
    fixture::{Fixture, program},
    room::on_machine,
    user::User,
};

/// All that a process can see of where it is, in sections.
pub(crate) const VIEW: &str = r#"
section() { echo "== $1"; }
section who; id; section where; pwd; section environment; env | sort
section umask; umask; section limits; ulimit -a; ulimit -H -a
section status; grep -E '^(Uid|Gid|Groups|Sig(Blk|Ign)|ShdPnd|SigPnd|Cap|NoNewPrivs|Seccomp):?' /proc/self/status
section score; cat /proc/self/oom_score_adj
section namespaces; for name in pid ipc uts net cgroup; do readlink /proc/self/ns/$name; done
section maps; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
section descriptors; for at in /proc/$$/fd/*; do echo "${at##*/}"; done
section tables; cat /etc/passwd /etc/resolv.conf /etc/hosts; sort /etc/group; hostname
section places; for at in / /bin /dev /etc /home /mnt /proc /sys /tmp /var/tmp "$HOME" /etc/passwd /etc/hosts; do
    busybox stat -c '%A %u %g %n' "$at"; done
section writing; for at in / /bin /etc /mnt /var; do (: > "$at/x") 2>&1; done; (: > "$HOME/x") && echo home
section arguments; for word; do echo "<$word>"; done
section input; cat
"#;

/// The mounts: target, file system, and what is forbidden there.
pub(crate) const MOUNTS: &str = r#"while read -r _ _ _ _ target options rest; do
    rest=" $rest"; kind=${rest##* - }; echo "$target ${kind%% *} $options"; done < /proc/self/mountinfo"#;

/// One container, started in both ways.
pub(crate) struct Pair {
    pub(crate) fixture: Fixture,
    pub(crate) user: User,
}

impl Pair {
    pub(crate) fn new(form: Form) -> Option<Self> {
        let fixture = Fixture::real(form)?;
        let user = User::new(&fixture)?;
        Some(Self { fixture, user })
    }

    /// A wrapper without a runtime; it must be one.
    pub(crate) fn native(&self, policy: &str, change: &dyn Fn(&mut Command)) -> Seen {
        let seen = self.seen(&format!("runtime native\nkeep 1\n{policy}"), change);
        assert!(!seen.said.contains("left to"), "{}", seen.said);
        seen
    }

    pub(crate) fn apptainer(&self, policy: &str, change: &dyn Fn(&mut Command)) -> Seen {
        self.seen(&format!("runtime apptainer\n{policy}"), change)
    }

    pub(crate) fn seen(&self, policy: &str, change: &dyn Fn(&mut Command)) -> Seen {
        self.fixture.policy(policy);
        let mut command = self.user.wrapper(&self.fixture, "sh");
        command.env(VERBOSE_VARIABLE, "1");
        change(&mut command);
        let ran = command.output().unwrap();
        Seen {
            status: ran.status.code(),
            text: String::from_utf8_lossy(&ran.stdout).into_owned(),
            said: String::from_utf8_lossy(&ran.stderr).into_owned(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) status: Option<i32>,
    pub(crate) text: String,
    pub(crate) said: String,
}

#[test]
fn the_view_of_a_folder_is_that_of_apptainer() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    same_view(&pair);
}

#[test]
fn the_view_of_a_sif_file_is_that_of_apptainer() {
    let Some(pair) = Pair::new(Form::Sif) else {
        return;
    };
    same_view(&pair);
}

fn same_view(pair: &Pair) {
    fs_err::write(pair.fixture.path("data"), "some data\n").unwrap();
    let data = pair.fixture.path("data");
    let bind = format!("bind {}:/mnt/data:ro\n", data.display());
    let odd = format!("bind {}:/no/such/place\n", data.display());
    let pass = "pass LAB_*\nenv FIXED=a b\n";
    let tmp = format!("tmp {}\n", pair.fixture.path("tmp").display());
    pair.user.make_folder(&pair.fixture.path("tmp"));
    // Displays of both kinds.
    let cookies = pair.fixture.path("home/.Xauthority");
    fs_err::write(&cookies, "cookies").unwrap();
    let socket = UnixListener::bind(pair.fixture.path("run/wayland-7")).unwrap();
    for (name, policy) in [
        ("plain", String::new()),
        ("binds", format!("{bind}{odd}bind /usr/share:/mnt/share\n")),
        (
            "options",
            "option --bind\noption /usr/lib:/mnt/lib,/etc:/mnt/etc:ro\n".into(),
        ),
        ("variables", pass.into()),
        ("temporary folder", tmp),
    ] {
        let view = |command: &mut Command| {
            let input = fs_err::File::open(&data).unwrap().into_parts().0;
            command.args(["-c", VIEW, "sh", "a b", "", "*", "$x"]);
            command.stdin(input).envs([
                ("LAB_NAME", "the lab"),
                ("OTHER", "not seen"),
                ("TERM", "dumb"),
                ("http_proxy", "http://proxy:3128"),
                ("APPTAINERENV_GIVEN", "by hand"),
                ("SINGULARITYENV_PREPEND_PATH", "/opt/first"),
                ("DISPLAY", ":7"),
                ("WAYLAND_DISPLAY", "wayland-7"),
            ]);
            command.env("XAUTHORITY", &cookies);
        };
        let (native, apptainer) = (pair.native(&policy, &view), pair.apptainer(&policy, &view));
        assert_eq!(native.status, Some(0), "{name}: {native:?}");
        assert_eq!(native.text, apptainer.text, "{name}: {}", native.said);
        let mounts = |command: &mut Command| {
            command.args(["-c", MOUNTS]).env("XAUTHORITY", &cookies);
            command.env("WAYLAND_DISPLAY", "wayland-7");
        };
        let table = |seen: Seen| -> BTreeMap<String, (String, Vec<String>)> {
            let mut found = BTreeMap::new();
            for line in seen.text.lines() {
                let words: Vec<&str> = line.splitn(3, ' ').collect();
                let (target, kind, options) = (words[0], words[1], words[2]);
                // Apptainer's own, which are seen where it lies in a folder that is bound.
                if target.contains("/apptainer/mnt/session") {
                    continue;
                }
                let forbids = options
                    .split(',')
                    .filter(|word| matches!(*word, "ro" | "nosuid" | "nodev" | "noexec"))
                    .map(str::to_owned);
                found.insert(target.to_owned(), (kind.to_owned(), forbids.collect()));
            }
            found
        };
        let native = table(pair.native(&policy, &mounts));
        let apptainer = table(pair.apptainer(&policy, &mounts));
        let keys = |table: &BTreeMap<String, _>| table.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&native), keys(&apptainer), "{name}");
        for (target, (kind, forbids)) in &apptainer {
            let (ours, more) = &native[target];
            assert_eq!(ours, kind, "{target}");
            for word in forbids {
                assert!(more.contains(word), "{name}: {target} without {word}");
            }
        }
    }
    drop(socket);
}

#[test]
fn scripts_of_an_image_are_understood() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let image = pair.fixture.folder.join("abc_1.0_20240131.simg");
    let scripts = image.join(".singularity.d/env");
    // Those that Apptainer itself writes, and some of a recipe.
    fs_err::create_dir_all(&scripts).unwrap();
    for (name, text) in [
        (
            "10-docker2singularity.sh",
            "export PATH=\"/opt/abc/bin:/bin\"\nexport V=\"${V:-\"the image's\"}\"\n",
        ),
        (
            "90-environment.sh",
            "# own\nexport PATH=/opt/more:$PATH\nLOCAL=1\nexport LANG=${LANG:-C.UTF-8}\n",
        ),
        ("91-environment.sh", ""),
        (
            "99-base.sh",
            "if [ -z \"${LD_LIBRARY_PATH:-}\" ]; then\n    LD_LIBRARY_PATH=\"/.singularity.d/libs\"\nelse\n    LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH:/.singularity.d/libs\"\nfi\nif [ -z \"${PS1:-}\" ]; then PS1=\"Apptainer> \"; fi\nexport LD_LIBRARY_PATH PS1\n",
        ),
    ] {
        program(&scripts.join(name), text);
    }
    symlink("91-environment.sh", scripts.join("98-link.sh")).unwrap();
    let view = |command: &mut Command| {
        command.args(["-c", "env | sort"]).envs([
            ("APPTAINERENV_V", "the user's"),
            ("APPTAINERENV_LD_LIBRARY_PATH", "/mine"),
            ("APPTAINERENV_APPEND_PATH", "/last"),
            ("APPTAINERENV_PS1", "mine> "),
        ]);
    };
    let (native, apptainer) = (pair.native("", &view), pair.apptainer("", &view));
    assert_eq!(native, apptainer);
    assert!(native.text.contains("V=the user's\n"), "{}", native.text);
}

#[test]
fn what_is_not_understood_is_left_to_apptainer() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let image = pair.fixture.folder.join("abc_1.0_20240131.simg");
    let left = |policy: &str, change: &dyn Fn(&mut Command), reason: &str| {
        let seen = pair.seen(&format!("runtime native\n{policy}"), &|command| {
            command.args(["-c", "echo \"$APPTAINER_NAME\""]);
            change(command);
        });
        let expected = format!("apptainer`: {reason}\n");
        assert!(seen.said.contains(&expected), "{seen:?}");
        assert_eq!(seen.text, "abc_1.0_20240131.simg\n", "{seen:?}");
        // Nobody is told who did not ask.
        let quiet = pair.seen(&format!("runtime native\n{policy}"), &|command| {
            command.args(["-c", "echo \"$APPTAINER_NAME\""]);
            change(command);
            command.env_remove(VERBOSE_VARIABLE);
        });
        assert!(!quiet.said.contains("left to"), "{quiet:?}");
    };
    left(
        "option --no-home\n",
        &|_| {},
        "the option `--no-home` is the runtime's",
    );
    left(
        "clean-environment off\n",
        &|_| {},
        "the policy wants no clean environment",
    );
    left(
        "",
        &|command| {
            command.env("APPTAINERENV_X", "$HOME");
        },
        "the variable `X` is the runtime's",
    );
    left(
        "",
        &|command| {
            command.env("APPTAINER_NO_MOUNT", "sys");
        },
        "the variable `APPTAINER_NO_MOUNT` is the runtime's",
    );
    let scripts = image.join(".singularity.d/env");
    fs_err::create_dir_all(&scripts).unwrap();
    program(&scripts.join("90-environment.sh"), "export A=$(echo b)\n");
    left(
        "",
        &|_| {},
        "`/.singularity.d/env/90-environment.sh` in the image is more than assignments",
    );
    fs_err::remove_dir_all(image.join(".singularity.d")).unwrap();
    // A mount point that the image does not have.
    fs_err::remove_dir(image.join("sys")).unwrap();
    left(
        "",
        &|_| {},
        "failed to find `/sys` in the image: No such file or directory (os error 2)",
    );
}

#[test]
fn the_command_is_the_process_that_was_started() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    pair.fixture.policy("runtime native\n");
    let script = "trap 'echo stopped; exit 3' TERM; echo $$; while :; do sleep 0.05; done";
    let mut child = pair
        .user
        .alone(&pair.fixture, "sh")
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), child.id().to_string());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "stopped");
    assert_eq!(child.wait().unwrap().code(), Some(3));

    let status = |script: &str| {
        let mut command = pair.user.alone(&pair.fixture, "sh");
        command.args(["-c", script]).status().unwrap()
    };
    assert_eq!(status("exit 42").code(), Some(42));
    assert_eq!(status("kill -KILL $$").signal(), Some(9));
    // Closed standard streams stay closed: the shell's own look at the folder is number 0.
    let mut shell = pair.user.program(&pair.fixture, "sh");
    shell.args(["-c", "exec \"$0\" -c 'echo /proc/$$/fd/[0-9] >&2' <&- >&-"]);
    shell.arg(pair.fixture.folder.join("sh"));
    let ran = shell.output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    let open: Vec<&str> = said
        .split_whitespace()
        .map(|path| &path[path.len() - 1..])
        .collect();
    assert_eq!(open, ["0", "2"], "{said}");
}

#[test]
fn hostile_images_lead_nowhere_else() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let image = pair.fixture.folder.join("abc_1.0_20240131.simg");
    let secret = pair.fixture.path("secret");
    fs_err::create_dir(&secret).unwrap();
    let replace = |name: &str, target: &Path| {
        let at = image.join(name);
        let _ = fs_err::remove_dir_all(&at).or_else(|_| fs_err::remove_file(&at));
        symlink(target, at).unwrap();
    };
    // Tables and mount points as links: to the host's, up and out, and through `/proc`.
    let of_the_host = Path::new("/usr/lib/os-release");
    assert!(of_the_host.exists());
    replace("etc/passwd", of_the_host);
    replace("etc/hosts", Path::new("../../../../../../../../etc/other"));
    replace("mnt", Path::new("/../../.."));
    replace("srv", &secret);
    fs_err::set_permissions(&secret, PermissionsExt::from_mode(0o777)).unwrap();
    let bind = format!("bind {}:/srv/in/it\n", pair.fixture.path("home").display());
    let seen = pair.native(&bind, &|command| {
        command.args([
            "-c",
            "cat /etc/passwd; ls -d /etc/hosts /etc/other; ls /srv/in/it/..",
        ]);
    });
    // The links lead to paths of the image, which are not there; nothing is made on the host.
    assert_eq!(seen.text, "/etc/hosts\nit\n", "{seen:?}");
    assert_eq!(fs_err::read_dir(&secret).unwrap().count(), 0);

    for (name, target) in [
        ("proc", Path::new("/proc/self/root/proc")),
        ("dev", Path::new("/")),
        ("sys", Path::new("bin")),
        ("tmp", secret.as_path()),
    ] {
        replace(name, target);
        let seen = pair.seen("runtime native\n", &|command| {
            command.args(["-c", "true"]);
        });
        assert!(seen.said.contains("left to"), "{name}: {seen:?}");
        fs_err::remove_file(image.join(name)).unwrap();
        fs_err::create_dir(image.join(name)).unwrap();
    }

    // A script that is no file, and one that does not end.
    let scripts = image.join(".singularity.d/env");
    fs_err::create_dir_all(&scripts).unwrap();
    for (name, target) in [("1.sh", "/dev/zero"), ("2.sh", "/proc/self/environ")] {
        symlink(target, scripts.join(name)).unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scripts.join("3.sh"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let seen = pair.seen("runtime native\n", &|command| {
        command.args(["-c", "echo ran"]);
    });
    assert!(
        seen.text == "ran\n" || seen.said.contains("left to"),
        "{seen:?}"
    );
}

#[test]
fn without_a_runtime_the_reason_is_told() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let image = pair.fixture.folder.join("abc_1.0_20240131.simg");
    fs_err::remove_dir(image.join("sys")).unwrap();
    let seen = pair.seen("runtime native\n", &|command| {
        command.args(["-c", "true"]).env("PATH", "/usr/bin:/bin");
    });
    assert_eq!(seen.status, Some(127));
    let expected =
        "neurodesk: error: cannot start without a runtime: failed to find `/sys` in the image";
    assert!(seen.said.starts_with(expected), "{seen:?}");
}

/// Marks what the test about leftovers starts.
const LEAVER: &str = "ND_TEST_LEAVER";

/// Programs that run with this value of the mark.
fn left_over(value: &str) -> usize {
    let mark = format!("{LEAVER}={value}\0");
    let marked = fs_err::read_dir("/proc").unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        fs_err::read(path.join("environ")).is_ok_and(|variables| {
            variables
                .windows(mark.len())
                .any(|part| part == mark.as_bytes())
        })
    });
    marked.count()
}

/// Runs the command where nobody else mounts anything, and says when it leaves mounts.
const ALONE: &str = r#"mount --make-rprivate /
before=$(cat /proc/self/mountinfo); PATH=$path "$@"
[ "$before" = "$(cat /proc/self/mountinfo)" ] || echo "mounts are left"
exit 0"#;

#[test]
fn many_starts_leave_nothing() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    pair.fixture.policy("runtime native\n");
    let slow = std::env::var_os("ND_SLOW_TESTS").is_some();
    let in_a_row = if slow { 10_000 } else { 100 };
    let script = format!(
        "i=0; while [ $i -lt 200 ]; do \"$0\" -c 'pwd' & i=$((i + 1)); done; wait\n\
         i=0; while [ $i -lt {in_a_row} ]; do \"$0\" -c 'pwd'; i=$((i + 1)); done"
    );
    // Tests run side by side: only what was started here counts.
    let value = std::process::id().to_string();
    let mut shell = pair.user.program(&pair.fixture, "sh");
    shell
        .args(["-c", &script])
        .arg(pair.fixture.folder.join("sh"));
    let ran = on_machine(&pair.fixture, ALONE, &[], &shell)
        .env(LEAVER, &value)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let text = String::from_utf8(ran.stdout).unwrap();
    let work = pair.fixture.path("work");
    let started = text.lines().filter(|line| Path::new(line) == work);
    assert_eq!(started.count(), 200 + in_a_row);
    assert!(!text.contains("mounts are left"));
    assert_eq!(left_over(&value), 0);
}

#[test]
fn a_megabyte_of_arguments_and_variables_arrives() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let seen = pair.native("pass LONG*\n", &|command| {
        command
            .args(["-c", "echo $# ${#1} ${#LONG} ${#LONG999}", "sh"])
            .arg("x".repeat(130_000))
            .args(std::iter::repeat_n("y".repeat(500), 1000))
            .env("LONG", "z".repeat(100_000))
            .envs((0..1000).map(|number| (format!("LONG{number}"), "v".repeat(400))));
    });
    assert_eq!(seen.text, "1001 130000 100000 400\n", "{}", seen.said);
    // Nothing that is not passed comes along, and what is no text does.
    let seen = pair.native("pass ODD\n", &|command| {
        command
            .args([
                "-c",
                "printf '%s' \"$ODD$1$HIDDEN\" | busybox od -An -tx1",
                "sh",
            ])
            .arg(OsStr::from_bytes(b"\xff\n'"))
            .env("ODD", OsStr::from_bytes(b"\xfe \""))
            .env("HIDDEN", "no");
    });
    assert_eq!(seen.text.trim(), "fe 20 22 ff 0a 27", "{}", seen.said);
}

#[test]
fn accounts_of_a_directory_service_are_asked_for() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    if !rustix::process::getuid().is_root() {
        return;
    }
    // What plays it: the same tables, and a line that says what it was asked.
    let getent = pair.fixture.path("getent");
    let tables = pair.fixture.path("");
    program(
        &getent,
        &format!(
            "#!/bin/sh\necho \"$*\" >> '{0}/work/asked'\nread -r _ < /dev/null\ntable=$1; shift\n\
             for number; do grep \"^[^:]*:x:$number:\" '{0}'\"$table\"; done\nexit 2\n",
            tables.display()
        ),
    );
    let seen = pair.native("", &|command| {
        let script = "id; grep tester /etc/passwd; grep lab /etc/group; echo \"$HOME\"";
        command.args(["-c", script]).env("TEST_GETENT", &getent);
    });
    let home = pair.fixture.path("home");
    let home = home.display();
    let expected = format!(
        "uid=54321(tester) gid=54321(tester) groups=54321(tester),65534\n\
         tester:x:54321:54321:A Tester,,,:{home}:/bin/sh\nlab:x:54322:tester\n{home}\n"
    );
    assert_eq!(seen.text, expected, "{seen:?}");
    let asked = fs_err::read_to_string(pair.fixture.path("work/asked")).unwrap();
    assert_eq!(asked, "passwd 54321\ngroup 54321 54322\n");
}

#[test]
fn the_launcher_says_what_a_machine_allows() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let launcher = pair.fixture.path("nd-launcher");
    nd_testkit::copy_program(pair.fixture.folder.join("sh"), &launcher);
    let ran = |script: &str| {
        let mut command = pair.user.program(&pair.fixture, "sh");
        command.args(["-c", script, "sh"]).arg(&launcher);
        let ran = command.output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    let all = "yes: mounts in user namespaces\nyes: overlays in user namespaces\n\
               yes: FUSE in user namespaces\n";
    assert_eq!(ran("\"$1\" probe"), (Some(0), all.into()));
    // A machine without them: as deep in namespaces as they go.
    let script = "exec unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" probe' \"$1\"";
    let (status, text) = ran(script);
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.starts_with("no: user namespaces: failed to make"),
        "{text}"
    );
}
