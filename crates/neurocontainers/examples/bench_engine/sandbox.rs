//! Starting `true`: in a prepared root, and without any.

use std::{
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nd_host::{Environment, SystemPrograms};
use nd_runtime::{RunSpec, Runtime as _, SandboxImage, SandboxRuntime};
use nd_sandbox::IdMode;

use crate::{
    measure::{Taken, median, run},
    report::Report,
};

/// What the set-up may take besides five times `fork` and `exec`.
const EXTRA: Duration = Duration::from_millis(3);

pub(crate) fn bench(starts: usize, folder: &Path, report: &mut Report) {
    let what = "sandbox: `true` in a prepared root";
    let environment = Environment::of_process().unwrap();
    let programs = SystemPrograms::new(&environment);
    let ids = IdMode::choose(&environment, &programs);
    let Some(busybox) = nd_testkit::peer("busybox") else {
        report.skip(what, "busybox is not installed");
        return;
    };
    let root = root(folder, &busybox);
    if let Some((uid, gid)) = ids.owner() {
        // As unpacked layers do, it belongs to the root inside.
        run(Command::new("chown")
            .arg("-hR")
            .arg(format!("{uid}:{gid}"))
            .arg(&root));
    }
    let image = SandboxImage {
        lowers: vec![root.clone()],
        env: vec![("PATH".into(), "/bin".into())],
        ..SandboxImage::default()
    };
    let runtime = SandboxRuntime::new(image, ids);
    let spec = RunSpec::new(["/bin/true"]);
    // The first one starts the engine.
    assert!(runtime.run(&spec, &mut |_, _| {}).unwrap().success());
    let program = root.join("bin/true");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        let started = Instant::now();
        assert!(runtime.run(&spec, &mut |_, _| {}).unwrap().success());
        ours.push(taken(started));
        let started = Instant::now();
        assert!(Command::new(&program).status().unwrap().success());
        bare.push(taken(started));
    }
    let (ours, bare) = (median(ours), median(bare));
    report.compare(
        what,
        ours,
        "fork and exec",
        bare,
        5.0 + EXTRA.as_secs_f64() / bare.time.as_secs_f64(),
    );
}

fn taken(started: Instant) -> Taken {
    Taken {
        time: started.elapsed(),
        processor: Duration::ZERO,
        memory: 0,
    }
}

/// A root with a static `true`.
fn root(folder: &Path, busybox: &Path) -> PathBuf {
    let root = folder.join("prepared-root");
    for dir in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        fs_err::create_dir_all(root.join(dir)).unwrap();
    }
    fs_err::copy(busybox, root.join("bin/busybox")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(root.join("bin/busybox"), mode).unwrap();
    let _ = symlink("busybox", root.join("bin/true"));
    root
}
