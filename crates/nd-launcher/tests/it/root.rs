//! Root's commands without a runtime, beside those of the real Apptainer, with each of its settings for root.

use std::collections::{BTreeMap, BTreeSet};

use nd_launcher::{Form, VERBOSE_VARIABLE};

use crate::{
    fixture::Fixture,
    native::{MOUNTS, VIEW},
    room::on_machine,
};

/// A machine whose Apptainer has another setting for root. Words: its settings, and what is said there.
const MACHINE: &str = r#"mine=$(mktemp -d -p /var/tmp); mount -t tmpfs none "$mine"
grep -v '^root default capabilities' "$1" > "$mine/conf"; echo "root default capabilities = $2" >> "$mine/conf"
mount --bind "$mine/conf" "$1"; umount -l "$mine"; rmdir "$mine"; shift 2"#;

fn loops() -> usize {
    let found = fs_err::read_dir("/sys/block").unwrap();
    let used = found.filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.join("loop/backing_file").exists()
    });
    used.count()
}

#[test]
fn the_view_of_root_is_that_of_apptainer() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let Some(apptainer) = nd_testkit::peer("apptainer") else {
        return;
    };
    let prefix = apptainer.ancestors().nth(3).unwrap();
    let settings = prefix.join("etc/apptainer/apptainer.conf");
    if !settings.exists() {
        println!("skipped: Apptainer has its settings elsewhere");
        return;
    }
    let before = loops();
    for form in [Form::Folder, Form::Sif] {
        let Some(fixture) = Fixture::real(form) else {
            return;
        };
        let data = fixture.path("data");
        fs_err::write(&data, "some data\n").unwrap();
        for privileges in ["no", "file", "full"] {
            let seen = |runtime: &str, script: &str| {
                let policy = format!("runtime {runtime}\nbind {}:/mnt/data:ro\n", data.display());
                fixture.policy(&policy);
                let mut wrapper = fixture.wrapper("sh");
                wrapper.args(["-c", script, "sh", "a b", ""]);
                let words = [settings.as_os_str(), privileges.as_ref()];
                let mut command = on_machine(&fixture, MACHINE, &words, &wrapper);
                let ran = command
                    .stdin(std::process::Stdio::null())
                    .env(VERBOSE_VARIABLE, "1")
                    .output()
                    .unwrap();
                (
                    ran.status.code(),
                    String::from_utf8(ran.stdout).unwrap(),
                    String::from_utf8(ran.stderr).unwrap(),
                )
            };
            // Nothing of the machine is written to.
            let view = VIEW.replace("(: > \"$HOME/x\") && echo home", "");
            let (native, apptainer) = (seen("native", &view), seen("apptainer", &view));
            // That no program gives more is the one thing that is added.
            let stricter = |text: &str| text.replace("NoNewPrivs:\t0", "NoNewPrivs:\t1");
            assert_eq!(native.2, "", "{form:?} {privileges}");
            if privileges == "full" && apptainer.0 != Some(0) {
                // Where root itself lacks a capability, as here, Apptainer asks for it in vain. Nobody has more
                // than whoever started it.
                let own = fs_err::read_to_string("/proc/self/status").unwrap();
                for line in own.lines().filter(|line| line.starts_with("Cap")) {
                    assert!(native.1.contains(line), "{form:?}: {line}");
                }
                continue;
            }
            assert_eq!(native.1, stricter(&apptainer.1), "{form:?} {privileges}");
            assert_eq!(native.0, Some(0));
            // Targets with their file systems, and what is forbidden there.
            let mounts = |runtime: &str| -> BTreeMap<String, BTreeSet<String>> {
                let (_, text, said) = seen(runtime, MOUNTS);
                assert_eq!(said, "");
                text.lines()
                    // Its own place is below a folder that root has.
                    .filter(|line| !line.contains("/apptainer/mnt/session"))
                    .map(|line| {
                        let (mount, options) = line.rsplit_once(' ').unwrap();
                        let words = options.split(',');
                        let words =
                            words.filter(|word| ["ro", "nosuid", "nodev", "noexec"].contains(word));
                        (mount.to_owned(), words.map(str::to_owned).collect())
                    })
                    .collect()
            };
            let (native, apptainer) = (mounts("native"), mounts("apptainer"));
            assert!(
                native.keys().eq(apptainer.keys()),
                "{form:?}: {native:?} {apptainer:?}"
            );
            for (mount, forbidden) in &apptainer {
                assert!(native[mount].is_superset(forbidden), "{form:?}: {mount}");
            }
        }
    }
    assert_eq!(loops(), before);
}
