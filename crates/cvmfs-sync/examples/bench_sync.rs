//! `cargo xtask bench sync`: planning for 400 containers, and ten small containers applied beside the
//! sum of their publications.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for the people who work on this"
)]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cvmfs_sync::{
    SourceTree,
    publisher::{ChangeSet, Edit, NativePublisher, Part, Publisher, TreeContents},
    sync::{
        Actual, Desired, FolderView, ImageFolder, PlanOptions, Preparer, Run, RunLimits, State,
        SyncPlan, Trial,
    },
};
use nd_cvmfs::{
    Algorithm, Directory, KeyFolder, Known, NewRepository, RepositoryName, Storage as _, create,
};
use nd_host::{Clock as _, Environment, SystemClock, SystemPrograms};
use nd_names::Architecture;
use nd_report::{Cancel, FileId, Silent, Sink};
use nd_rootfs::TreePath;
use nd_terminal::{Align, Table, human_duration};
use transparent_singularity::{Excludes, WrapperStyle};

/// Containers of the plan.
const MANY: usize = 400;
/// Containers that are published.
const FEW: usize = 10;
/// How often each is measured.
const ROUNDS: usize = 5;
const NAME: &str = "bench.example.org";

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = Table::new([
        ("what", Align::Left),
        ("median", Align::Right),
        ("limit", Align::Right),
    ]);
    for (what, took) in plans(folder.path()) {
        table.row([what, human_duration(took), "1 s".to_owned()]);
    }
    let (sum, applied) = applies(folder.path());
    table.row([
        format!("{FEW} publications"),
        human_duration(sum),
        String::new(),
    ]);
    let ratio = applied.as_secs_f64() / sum.as_secs_f64();
    table.row([
        format!("apply of the same, {ratio:.2} times as long"),
        human_duration(applied),
        human_duration(sum.mul_f64(1.3)),
    ]);
    println!("{}", table.render(100));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn log(count: usize) -> String {
    let lines = (0..count).map(|n| format!("tool{n}_1.0_20240101 categories:one,two parts,\n"));
    lines.collect::<Vec<_>>().concat()
}

fn put(path: PathBuf, bytes: impl AsRef<[u8]>) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

/// A tree of 400 containers, planned for as a folder and as a repository.
fn plans(folder: &Path) -> Vec<(String, Duration)> {
    let root = folder.join("tree");
    let text = log(MANY);
    for n in 0..MANY {
        let stem = format!("tool{n}_1.0_20240101");
        let container = root.join("containers").join(&stem);
        let commands: Vec<String> = (0..40).map(|n| format!("command{n}")).collect();
        put(container.join("commands.txt"), commands.join("\n") + "\n");
        for command in &commands {
            put(container.join(command), "#!/bin/sh\n");
        }
        put(container.join(format!("{stem}.simg/usr/file")), "x");
        let module = format!("whatis(\"{stem}.simg\")\n");
        for shelf in [
            "containers/modules",
            "neurodesk-modules/one",
            "neurodesk-modules/two_parts",
        ] {
            put(root.join(shelf).join(format!("tool{n}/1.0.lua")), &module);
        }
    }
    let options = PlanOptions {
        mount: format!("/cvmfs/{NAME}"),
        ..PlanOptions::default()
    };
    let plan = |view: &mut dyn cvmfs_sync::sync::View| {
        let desired = Desired::read(&text, FileId(0), &mut Sink::new()).unwrap();
        let plan = SyncPlan::new(&desired, &Actual::read(view).unwrap(), &options);
        assert!(plan.steps.is_empty() && plan.modules.len() == 3 * MANY);
    };
    let measure = |run: &mut dyn FnMut()| median((0..ROUNDS).map(|_| time(&mut *run)).collect());
    let in_folder = measure(&mut || plan(&mut FolderView::open(&root).unwrap()));
    let mut publisher = repository(&folder.join("many"));
    // Each container, and each shelf of modules, with a catalogue of its own.
    let mut edits = Vec::new();
    for top in ["containers", "neurodesk-modules"] {
        for name in FolderView::open(&root)
            .map(|mut view| names(&mut view, top))
            .unwrap()
        {
            let at = format!("{top}/{name}");
            let (index, contents) = nd_oci::read_directory(&root.join(&at)).unwrap();
            let contents = Box::new(contents);
            edits.push(directory(&at, TreeContents { index, contents }));
        }
    }
    let change = ChangeSet {
        edits,
        message: "all".parse().unwrap(),
    };
    publisher.publish(change, &Cancel::default()).unwrap();
    let in_files = measure(&mut || plan(&mut *publisher.view().unwrap()));
    vec![
        (format!("plan for {MANY} containers, a folder"), in_folder),
        (
            format!("plan for {MANY} containers, a repository"),
            in_files,
        ),
    ]
}

fn names(view: &mut FolderView, path: &str) -> Vec<String> {
    cvmfs_sync::sync::View::names(view, path).unwrap()
}

fn directory(at: &str, tree: TreeContents) -> Edit {
    Edit::Directory {
        at: TreePath::new(at).unwrap(),
        parts: vec![Part { below: None, tree }],
    }
}

fn time(run: &mut dyn FnMut()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}

/// A new repository with keys of its own.
fn repository(folder: &Path) -> NativePublisher {
    let name: RepositoryName = NAME.parse().unwrap();
    let keys = KeyFolder::new(folder.join("keys"), name.clone());
    let keys = keys.create(SystemClock.now()).unwrap();
    let storage = Directory::new(folder.join("storage"));
    storage.prepare().unwrap();
    let new = NewRepository {
        name: name.clone(),
        algorithm: Algorithm::Sha1,
        ttl: 240,
        collectable: true,
        days: 30,
        meta_info: None,
    };
    create(&storage, &new, &keys, SystemClock.now()).unwrap();
    let known = Known::open(&folder.join("known.db")).unwrap();
    NativePublisher::new(Box::new(storage), name, keys, known, Box::new(SystemClock))
}

/// Ten images as squashfs files, each of 500 files and some 12 MB.
fn images(folder: &Path) -> PathBuf {
    let images = folder.join("images");
    fs_err::create_dir_all(&images).unwrap();
    for n in 0..FEW {
        let root = folder.join("root");
        let mut random = n as u64 + 1;
        let mut bytes = |length: usize| -> Vec<u8> {
            let mut next = || {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // Text, more or less: it compresses to a half.
                b"etaoin shrdlucmf"[(random >> 60) as usize]
            };
            (0..length).map(|_| next()).collect()
        };
        for file in 0..500 {
            let path = format!("usr/lib/part{}/file{file}", file % 20);
            put(root.join(path), bytes(16 << 10));
        }
        put(root.join("opt/tool/data"), bytes(4 << 20));
        put(root.join("opt/tool/bin/show"), "#!/bin/sh\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(root.join("opt/tool/bin/show"), mode).unwrap();
        let script = root.join(".singularity.d/env/10-docker2singularity.sh");
        put(script, "export DEPLOY_PATH=\"/opt/tool/bin\"\n");
        let (index, mut contents) = nd_oci::read_directory(&root).unwrap();
        let path = images.join(format!("tool{n}_1.0_20240101.simg"));
        let mut file = std::io::BufWriter::new(fs_err::File::create(path).unwrap());
        let options = nd_squashfs::WriteOptions::default();
        nd_squashfs::write(&index, &mut contents, &mut file, &options).unwrap();
        fs_err::remove_dir_all(&root).unwrap();
    }
    images
}

/// The sum of ten publications, and one run that applies the same.
fn applies(folder: &Path) -> (Duration, Duration) {
    let images = images(folder);
    let (mut sums, mut runs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut publisher = repository(&folder.join(format!("sum{round}")));
        let mut sum = Duration::ZERO;
        for n in 0..FEW {
            let stem = format!("tool{n}_1.0_20240101");
            sum += time(&mut || {
                let path = images.join(format!("{stem}.simg"));
                let SourceTree {
                    index, contents, ..
                } = SourceTree::open(&path, folder, &Cancel::default()).unwrap();
                let at = format!("containers/{stem}/{stem}.simg");
                let change = ChangeSet {
                    edits: vec![directory(&at, TreeContents { index, contents })],
                    message: "one".parse().unwrap(),
                };
                publisher.publish(change, &Cancel::default()).unwrap();
            });
        }
        sums.push(sum);
        runs.push(apply(folder, &images, round));
    }
    (median(sums), median(runs))
}

fn apply(folder: &Path, images: &Path, round: usize) -> Duration {
    let mut publisher = repository(&folder.join(format!("run{round}")));
    let environment = Environment::new([("PATH", "/usr/bin:/bin")], folder);
    let preparer = Preparer {
        mount: format!("/cvmfs/{NAME}"),
        style: WrapperStyle::Script,
        launcher: Vec::new(),
        excludes: Excludes::built_in(),
        trial: Trial::Never,
        programs: Box::new(SystemPrograms::new(&environment)),
        architecture: Architecture::X86_64,
        temporary: folder.to_owned(),
    };
    let state = folder.join(format!("state{round}"));
    let mut state = State::lock(state, SystemClock.now()).unwrap();
    let options = PlanOptions {
        mount: format!("/cvmfs/{NAME}"),
        ..PlanOptions::default()
    };
    let desired = Desired::read(&log(FEW), FileId(0), &mut Sink::new()).unwrap();
    let cancel = Cancel::default();
    let began = Instant::now();
    let report = Run {
        menu: None,
        publisher: &mut publisher,
        images: &ImageFolder(images.to_owned()),
        preparer: &preparer,
        state: &mut state,
        clock: &SystemClock,
        limits: RunLimits::default(),
        cancel: &cancel,
        reporter: &Silent,
    }
    .apply(&desired, &options)
    .unwrap();
    assert_eq!(report.done.len(), FEW);
    began.elapsed()
}
