//! Looking into a build: parts of a plan, what is known of it, shells over failed steps, secrets.

use std::{
    io::Read as _,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::{Arc, Mutex},
};

use nd_builder::{BuildError, LookIn, Secret, StepExit, StepName, StepState};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::support::*;

pub(crate) fn a_build_stops_after_a_step_and_tells_what_it_knows() {
    let lab = Lab::new();
    let ops = vec![run("echo a > /a"), run("true"), run("echo c > /c")];
    let plan = lab.plan(vec![stage(ops)]).unwrap();
    let part = plan.until(plan.find_step("2").unwrap());
    let built = lab.try_build_plan(&part).unwrap();
    assert_eq!(built.steps.len(), 2);
    assert!(lab.index(&built).get("a").is_some());
    assert!(lab.index(&built).get("c").is_none());

    let known = plan.known(&lab.store, ids(), lab.compression).unwrap();
    assert_eq!(known.states[..2], [StepState::Cached, StepState::Cached]);
    assert!(!known.complete());
    assert_eq!(known.results.len(), 2);
    let layers: Vec<_> = known.layers.iter().map(|(layer, _)| *layer).collect();
    assert_eq!(layers, built.layers);
    let lines = known.layers.iter().map(|(_, step)| {
        let origin = step.as_ref()?.origin.as_ref()?;
        Some(origin.line)
    });
    // The base, the first step; the second changed nothing.
    assert_eq!(lines.collect::<Vec<_>>(), [None, Some(10)]);
    let around = plan.surroundings(1).unwrap();
    assert!(around.env.contains(&("PATH".into(), "/bin".into())));
}

/// Types into the shell of a failed step and keeps what it says.
struct Typist {
    text: &'static str,
    heard: Arc<Mutex<String>>,
}

impl LookIn for Typist {
    fn look(
        &self,
        failed: &StepName,
        exit: StepExit,
        shell: &mut dyn FnMut(OwnedFd, &str) -> Result<(), BuildError>,
    ) {
        assert_eq!(exit, StepExit::Code(7));
        assert_eq!(failed.origin.as_ref().unwrap().line, 11);
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let far = rustix::fs::open(&*name, flags, Mode::empty()).unwrap();
        shell(far, "vt100").unwrap();
        rustix::io::write(near.as_fd(), self.text.as_bytes()).unwrap();
        let mut said = Vec::new();
        // Ends with an error when the last holder of the far end is gone.
        let _ = std::fs::File::from(near).read_to_end(&mut said);
        self.heard
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(&said));
    }
}

pub(crate) fn a_shell_looks_at_what_a_failed_step_left() {
    let mut lab = Lab::new();
    let heard = Arc::default();
    lab.secrets = vec![Secret::new("token", b"open-sesame".to_vec()).unwrap()];
    lab.look_in = Some(Box::new(Typist {
        // A terminal of its own: job control works, and `tty` is not the caller's.
        text: "echo left=$(cat /left) e=$E t=$TERM; cat /run/secrets/token; : < /dev/tty && echo tty-ok; exit\n",
        heard: Arc::clone(&heard),
    }));
    let failing = run("echo half > /left; test -e /run/secrets/token; exit 7");
    let error = lab.try_build(vec![env("E", "in env"), failing.clone()]);
    assert!(matches!(error, Err(BuildError::Script { .. })), "{error:?}");
    let said = heard.lock().unwrap().clone();
    for wanted in ["left=half e=in env t=vt100", "open-sesame", "tty-ok"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert_eq!(lab.left_over(), Vec::<std::path::PathBuf>::new());
    // Nothing of it became part of the next build.
    lab.look_in = None;
    assert!(lab.try_build(vec![env("E", "in env"), failing]).is_err());
}

pub(crate) fn a_secret_is_read_and_kept_nowhere() {
    const VALUE: &str = "correct horse battery";
    let mut lab = Lab::new();
    lab.secrets = vec![Secret::new("token", format!("{VALUE}\n").into_bytes()).unwrap()];
    let ops = vec![
        run("cat /run/secrets/token; wc -c < /run/secrets/token > /size"),
        run("test ! -e /run/secrets && touch /unnamed"),
        user("ann"),
        run(
            "test \"$(cat /run/secrets/token)\" && stat -c '%a %u %g' /run/secrets/token > /tmp/mode; ! echo x > /run/secrets/token",
        ),
    ];
    let built = lab.build(ops.clone());
    assert_eq!(
        lab.text(&built, "size").trim(),
        (VALUE.len() + 1).to_string()
    );
    let mode = lab.text(&built, "tmp/mode");
    assert!(mode == "400 7 8\n" || mode == "400 0 0\n", "{mode}");
    let index = lab.index(&built);
    assert!(index.get("run").is_none() && index.get("unnamed").is_some());
    let said = lab.said.lines().join("\n");
    assert!(said.contains("say ***"), "{said}");
    assert!(!said.contains(VALUE) && !format!("{built:?}").contains(VALUE));
    let found = files_with(lab.store.root(), VALUE.as_bytes());
    assert_eq!(found, Vec::<std::path::PathBuf>::new());
    for layer in &built.layers {
        let blob = lab.store.blob(&layer.digest).unwrap().unwrap();
        let mut tar = Vec::new();
        layer
            .compression
            .decoder(blob)
            .unwrap()
            .read_to_end(&mut tar)
            .unwrap();
        assert!(!holds(&tar, VALUE.as_bytes()));
    }
    // Another value is not another step.
    lab.secrets = vec![Secret::new("token", b"something else".to_vec()).unwrap()];
    assert!(lab.build(ops).steps.iter().all(|step| step.cached));
}

pub(crate) fn a_secret_in_a_layer_is_refused() {
    let mut lab = Lab::new();
    lab.secrets = vec![Secret::new("token", b"do not keep me\n".to_vec()).unwrap()];
    let keeping = vec![run("cp /run/secrets/token /root/kept")];
    let error = lab.try_build(keeping).unwrap_err();
    assert!(matches!(error, BuildError::SecretKept { .. }), "{error:?}");
    assert!(files_with(lab.store.root(), b"do not keep me").is_empty());
    // A message of failure hides it, too.
    let failing = vec![run("cat /run/secrets/token >&2; exit 1")];
    let error = format!("{:?}", lab.try_build(failing).unwrap_err());
    assert!(
        error.contains("***") && !error.contains("do not keep me"),
        "{error}"
    );
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

/// Files below a folder that hold some bytes.
fn files_with(folder: &Path, wanted: &[u8]) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            out.extend(files_with(&path, wanted));
        } else if fs_err::read(&path).is_ok_and(|bytes| holds(&bytes, wanted)) {
            out.push(path);
        }
    }
    out
}
