//! What is not done again, and why the rest is.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use nd_builder::{Because, HostMount, Part, StepState, prune};
use nd_instructions::Op;
use nd_report::Cancel;

use crate::support::*;

fn states(lab: &Lab, ops: Vec<Op>) -> Vec<StepState> {
    let plan = lab.plan(vec![stage(ops)]).unwrap();
    plan.states(&lab.store, ids(), lab.compression).unwrap()
}

fn cached(built: &nd_builder::Built) -> Vec<bool> {
    built.steps.iter().map(|step| step.cached).collect()
}

pub(crate) fn a_second_build_starts_nothing() {
    let lab = Lab::new();
    fs_err::write(lab.context.join("f"), "x").unwrap();
    let ops = vec![
        run("echo a > /a"),
        copy(&["f"], "/f"),
        run("true"),
        run("cat /f >> /a"),
    ];
    let first = lab.build(ops.clone());
    assert_eq!(cached(&first), [false; 4]);
    // Without trees and indexes, anything that was unpacked or read would be seen.
    let root = lab.store.root();
    for folder in ["trees", "indexes"] {
        fs_err::remove_dir_all(root.join(folder)).unwrap();
        fs_err::create_dir(root.join(folder)).unwrap();
    }
    let second = lab.build(ops.clone());
    assert_eq!(cached(&second), [true; 4]);
    assert_eq!(second.layers, first.layers);
    assert_eq!(second.steps[0].entries, first.steps[0].entries);
    assert_eq!(fs_err::read_dir(root.join("trees")).unwrap().count(), 0);
    assert_eq!(states(&lab, ops), [const { StepState::Cached }; 4]);
}

pub(crate) fn a_change_is_built_from_where_it_is() {
    let mut lab = Lab::new();
    fs_err::write(lab.context.join("f"), "one").unwrap();
    let arg = || Op::Arg {
        name: "X".into(),
        default: Some("0".into()),
    };
    let ops = |script: &str| {
        vec![
            run("echo a > /a"),
            copy(&["f"], "/f"),
            arg(),
            run(script),
            run("cat /b > /c"),
        ]
    };
    let missing = StepState::Missing;
    assert_eq!(
        states(&lab, ops("echo b > /b"))[..2],
        [missing(Because::New), missing(Because::Earlier)]
    );
    lab.build(ops("echo b > /b"));
    let built = lab.build(ops("echo B > /b"));
    assert_eq!(cached(&built), [true, true, false, false]);
    assert_eq!(lab.text(&built, "c"), "B\n");
    // Back to what was there before.
    assert_eq!(cached(&lab.build(ops("echo b > /b"))), [true; 4]);

    fs_err::write(lab.context.join("f"), "two").unwrap();
    let changed = missing(Because::Changed(vec![Part::Sources]));
    let now = states(&lab, ops("echo b > /b"));
    assert_eq!(
        now[..3],
        [StepState::Cached, changed, missing(Because::Earlier)]
    );
    let built = lab.build(ops("echo b > /b"));
    assert_eq!(cached(&built), [true, false, false, false]);
    // Who may read an input, and when it was written, is no change.
    let file = lab.context.join("f");
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    fs_err::write(&file, "two").unwrap();
    assert_eq!(cached(&lab.build(ops("echo b > /b"))), [true; 4]);

    // A variable reaches every step behind it; a blob that was removed is made again.
    lab.args.insert("X".into(), "1".into());
    let changed = missing(Because::Changed(vec![Part::Environment(vec!["X".into()])]));
    assert_eq!(states(&lab, ops("echo b > /b"))[2], changed);
    lab.args.clear();
    let layer = built.steps[3].layer.unwrap();
    fs_err::remove_file(lab.store.blob_path(&layer.digest)).unwrap();
    assert_eq!(
        states(&lab, ops("echo b > /b"))[3],
        missing(Because::Removed)
    );
    assert_eq!(
        cached(&lab.build(ops("echo b > /b"))),
        [true, true, true, false]
    );
}

pub(crate) fn what_stood_on_other_bytes_is_built_again() {
    let lab = Lab::new();
    let ops = || {
        vec![
            run("head -c 16 /dev/urandom > /random"),
            run("cat /random > /copy"),
        ]
    };
    let first = lab.build(ops());
    fs_err::remove_file(lab.store.blob_path(&first.steps[0].layer.unwrap().digest)).unwrap();
    let second = lab.build(ops());
    assert_eq!(cached(&second), [false, false]);
    assert_ne!(first.layers, second.layers);
}

pub(crate) fn two_builds_share_their_work() {
    let mut lab = Lab::new();
    let mut other = Lab::at(tempfile::tempdir().unwrap(), lab.store.root());
    let gate = tempfile::tempdir().unwrap();
    for lab in [&mut lab, &mut other] {
        lab.host_mounts = vec![HostMount {
            source: gate.path().to_owned(),
            target: "/gate".into(),
        }];
    }
    let ops = || {
        vec![
            run("until test -e /gate/open; do sleep 0.02; done; head -c 16 /dev/urandom > /random"),
            run("cat /random > /copy"),
        ]
    };
    let waits = |lab: &Lab| {
        let said = lab.said.lines();
        said.iter()
            .any(|line| line.contains("waiting for another build"))
    };
    let (a, b) = std::thread::scope(|scope| {
        let a = scope.spawn(|| lab.build(ops()));
        let b = scope.spawn(|| other.build(ops()));
        // The one goes on when the other waits for it.
        while !(waits(&lab) || waits(&other) || a.is_finished() || b.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        fs_err::write(gate.path().join("open"), "").unwrap();
        (a.join().unwrap(), b.join().unwrap())
    });
    assert_eq!(a.layers, b.layers);
    for step in 0..2 {
        assert_ne!(a.steps[step].cached, b.steps[step].cached, "step {step}");
    }
    assert!(
        waits(&lab) || waits(&other),
        "{:?} {:?}",
        lab.said.lines(),
        other.said.lines()
    );
}

pub(crate) fn what_was_pruned_is_built_again() {
    let lab = Lab::new();
    let base = fs_err::read(lab.store.blob_path(&lab.base.layers[0].digest)).unwrap();
    let ops = || {
        vec![run(
            "mkdir -m 0 /closed && mkdir /closed/x && chown 33:33 /closed || true",
        )]
    };
    let first = lab.build(ops());
    let mut items = 0;
    loop {
        let pruned = prune(&lab.store, 0, ids(), &Cancel::default()).unwrap();
        items += pruned.items;
        // A process that another test is starting just now holds copies of our locks for a moment.
        if pruned.left == 0 {
            break;
        }
        std::thread::yield_now();
    }
    assert!(items >= 7, "{items}");
    let trees = lab.store.root().join("trees");
    let left = fs_err::read_dir(trees)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().path().is_dir());
    assert_eq!(left.count(), 0);
    assert_eq!(lab.left_over(), Vec::<std::path::PathBuf>::new());
    lab.store.put_blob(&base[..], None).unwrap();
    let second = lab.build(ops());
    assert_eq!(
        (cached(&second), second.layers),
        (vec![false], first.layers)
    );
}
