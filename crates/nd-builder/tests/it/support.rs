//! A store, a base and a context for one test.

use std::{
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use indexmap::IndexMap;
use nd_builder::{
    BaseInfo, BuildError, BuildOptions, BuildPlan, Built, Contexts, HostMount, ImageLayer,
    ImageState, PlanContext, PlanError, build,
};
use nd_host::{Environment, SystemPrograms};
use nd_instructions::{
    Base, CopySource, Definition, EnvPair, Instruction, Network, Op, Origin, PackageManager,
    Script, Stage,
};
use nd_names::{Architecture, Sha256};
use nd_oci::{Compression, LayerContents, LayerOptions, Limits, UNREAD, write_layer};
pub(crate) use nd_report::with_causes;
use nd_report::{Cancel, Event, Reporter};
use nd_rootfs::{
    Attr, CAPABILITY, ContentSink, Contents as _, Duplicates, Entry, Index, Kind, LayerEntry,
    Location, TreePath, Wanted, merge,
};
use nd_sandbox::IdMode;
use nd_store::Store;

/// 2020-09-13: before every test, after nothing.
pub(crate) const EPOCH: i64 = 1_600_000_000;

/// A capability: `cap_net_raw=ep`.
pub(crate) const NET_RAW: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Whether the tests can run here.
pub(crate) fn ready() -> bool {
    nd_testkit::peer("busybox").is_some()
}

pub(crate) fn ids() -> IdMode {
    let environment = Environment::of_process().unwrap();
    IdMode::choose(&environment, &SystemPrograms::new(&environment))
}

pub(crate) struct Lab {
    pub(crate) root: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) context: PathBuf,
    pub(crate) args: IndexMap<String, String>,
    pub(crate) host_mounts: Vec<HostMount>,
    pub(crate) shared: Vec<nd_builder::SharedDir>,
    pub(crate) host_env: Vec<(String, String)>,
    pub(crate) secrets: Vec<nd_builder::Secret>,
    pub(crate) look_in: Option<Box<dyn nd_builder::LookIn>>,
    pub(crate) limits: nd_sandbox::Limits,
    pub(crate) budget: nd_builder::LayerBudget,
    pub(crate) compression: Compression,
    pub(crate) cancel: Cancel,
    pub(crate) said: Said,
    pub(crate) base: BaseInfo,
}

/// Collects events as lines.
#[derive(Default)]
pub(crate) struct Said(pub(crate) Mutex<Vec<String>>);

impl Reporter for Said {
    fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::Started { title, .. } => format!("start {title}"),
            Event::Output { line, .. } => format!("say {}", String::from_utf8_lossy(line)),
            Event::Finished { outcome, .. } => format!("end {outcome:?}"),
            Event::Note { text } => format!("note {text}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Said {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = root.path().join("store");
        Self::at(root, &store)
    }

    /// A lab whose store lies elsewhere.
    pub(crate) fn at(root: tempfile::TempDir, store: &Path) -> Self {
        let context = root.path().join("context");
        fs_err::create_dir_all(&context).unwrap();
        let store = Store::open(store).unwrap();
        let base = BaseInfo {
            layers: vec![layer(&store, &base_entries())],
            state: ImageState {
                env: IndexMap::from([("PATH".into(), "/bin".into())]),
                ..ImageState::default()
            },
        };
        Self {
            root,
            store,
            context,
            args: IndexMap::new(),
            host_mounts: Vec::new(),
            shared: Vec::new(),
            host_env: Vec::new(),
            limits: nd_sandbox::Limits::default(),
            budget: nd_builder::LayerBudget::default(),
            secrets: Vec::new(),
            look_in: None,
            compression: Compression::Zstd,
            cancel: Cancel::default(),
            said: Said::default(),
            base,
        }
    }

    pub(crate) fn contexts(&self) -> Contexts {
        Contexts::new(&self.context).with("cache", self.root.path().join("cache"))
    }

    pub(crate) fn plan(&self, stages: Vec<Stage>) -> Result<BuildPlan, PlanError> {
        let definition = Definition {
            package_manager: PackageManager::Apt,
            stages,
        };
        let bases = IndexMap::from([("base".to_owned(), self.base.clone())]);
        let context = PlanContext {
            platform: Architecture::X86_64,
            ids: ids().name(),
            epoch: EPOCH,
            bases: &bases,
            build_args: &self.args,
        };
        BuildPlan::new(&definition, &context, &self.contexts())
    }

    pub(crate) fn try_build_stages(&self, stages: Vec<Stage>) -> Result<Built, BuildError> {
        self.try_build_plan(&self.plan(stages).unwrap())
    }

    pub(crate) fn try_build_plan(&self, plan: &BuildPlan) -> Result<Built, BuildError> {
        let contexts = self.contexts();
        let options = BuildOptions {
            emulator: None,
            ids: ids(),
            compression: self.compression,
            contexts: &contexts,
            shared: &self.shared,
            host_mounts: self.host_mounts.clone(),
            host_env: self.host_env.clone(),
            offline: false,
            limits: self.limits,
            budget: self.budget,
            secrets: &self.secrets,
            look_in: self.look_in.as_deref(),
            reporter: &self.said,
            cancel: &self.cancel,
        };
        build(plan, &self.store, &options)
    }

    pub(crate) fn try_build(&self, ops: Vec<Op>) -> Result<Built, BuildError> {
        self.try_build_stages(vec![stage(ops)])
    }

    pub(crate) fn build(&self, ops: Vec<Op>) -> Built {
        let built = self.try_build(ops);
        built.unwrap_or_else(|error| panic!("{}\n{:#?}", with_causes(&error), self.said.lines()))
    }

    /// The merged tree of an image.
    pub(crate) fn index(&self, built: &Built) -> Index {
        let indexes: Vec<_> = built
            .layers
            .iter()
            .map(|layer| self.store.layer_index(&layer.diff_id).unwrap().unwrap())
            .collect();
        let all: Vec<_> = indexes.iter().collect();
        merge(&all, Duplicates::Refuse).unwrap().index
    }

    /// The content of a file of an image.
    pub(crate) fn text(&self, built: &Built, path: &str) -> String {
        let index = self.index(built);
        let entry = index.get(path).unwrap_or_else(|| panic!("no `{path}`"));
        let Kind::File { size, content, at } = entry.kind else {
            panic!("`{path}` is no file");
        };
        let mut wanted = Wanted::default();
        wanted.insert(at, size, content);
        let blobs = built.layers.iter().map(ImageLayer::blob).collect();
        let store = std::sync::Arc::new(self.store.clone());
        let mut contents = LayerContents::new(store, blobs, Limits::default());
        let mut out = Collect::default();
        contents.visit(&wanted, &mut out).unwrap();
        String::from_utf8(out.0).unwrap()
    }

    /// What the topmost layer says, as short lines.
    pub(crate) fn top(&self, built: &Built) -> Vec<String> {
        let layer = built.layers.last().unwrap();
        let index = self.store.layer_index(&layer.diff_id).unwrap().unwrap();
        let line = |entry: &LayerEntry| match entry {
            LayerEntry::Whiteout(path) => format!("- {path}"),
            LayerEntry::Opaque(path) => format!("opaque {path:?}"),
            LayerEntry::Link { path, target } => format!("{path} = {target}"),
            LayerEntry::Entry(entry) if entry.kind.is_dir() => format!("{}/", entry.path),
            LayerEntry::Entry(entry) => entry.path.to_string(),
        };
        index.entries.iter().map(line).collect()
    }

    /// Names below the store's folder of temporary files, without those of open stores.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        let own = self.store.temporary();
        let tmp = own.parent().unwrap();
        let all = fs_err::read_dir(tmp).unwrap().map(|e| e.unwrap().path());
        let others = all.filter(|path| path.is_dir() && path != own);
        let inside = fs_err::read_dir(own).unwrap().map(|e| e.unwrap().path());
        others.chain(inside).collect()
    }
}

#[derive(Default)]
struct Collect(Vec<u8>);

impl ContentSink for Collect {
    fn file(&mut self, _: Location, _: u64, _: &Sha256, bytes: &mut dyn Read) -> io::Result<()> {
        bytes.read_to_end(&mut self.0).map(|_| ())
    }
}

/// Puts a layer of these entries into a store.
pub(crate) fn layer(store: &Store, entries: &[(Entry, Vec<u8>)]) -> ImageLayer {
    let all: Vec<_> = entries
        .iter()
        .map(|(e, _)| LayerEntry::Entry(e.clone()))
        .collect();
    let mut source = |entry: &Entry| {
        let found = entries.iter().find(|(e, _)| e.path == entry.path).unwrap();
        Ok(Box::new(io::Cursor::new(found.1.clone())) as Box<dyn Read>)
    };
    let options = LayerOptions {
        compression: Compression::Gzip,
        clamp: None,
    };
    let mut blob = store.new_blob().unwrap();
    let written = write_layer(&all, &mut source, options, &mut blob).unwrap();
    blob.flush().unwrap();
    let (digest, size) = blob.finish().unwrap();
    ImageLayer {
        diff_id: written.diff_id,
        digest,
        size,
        compression: Compression::Gzip,
    }
}

pub(crate) fn entry(path: &str, mode: u16, kind: Kind) -> Entry {
    Entry {
        path: TreePath::new(path).unwrap(),
        attr: Attr {
            mtime: 1_500_000_000,
            ..Attr::new(mode)
        },
        kind,
        group: None,
    }
}

pub(crate) fn dir(path: &str) -> (Entry, Vec<u8>) {
    (
        entry(path, 0o755, Kind::Dir { implicit: false }),
        Vec::new(),
    )
}

pub(crate) fn file(path: &str, mode: u16, content: &[u8]) -> (Entry, Vec<u8>) {
    let kind = Kind::File {
        size: content.len() as u64,
        content: UNREAD,
        at: Location::Host(0),
    };
    (entry(path, mode, kind), content.to_vec())
}

pub(crate) fn symlink(path: &str, target: &str) -> (Entry, Vec<u8>) {
    let kind = Kind::Symlink {
        target: target.as_bytes().into(),
    };
    (entry(path, 0o777, kind), Vec::new())
}

/// busybox, some accounts, and a few things to change.
pub(crate) fn base_entries() -> Vec<(Entry, Vec<u8>)> {
    let busybox = nd_testkit::peer("busybox").unwrap();
    let mut out = vec![
        dir("bin"),
        dir("etc"),
        dir("old"),
        dir("old/sub"),
        dir("root"),
        dir("usr"),
        dir("var"),
        dir("var/log"),
        file("bin/busybox", 0o755, &fs_err::read(&busybox).unwrap()),
        file(
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nann:x:7:8::/home/ann:/bin/sh\n",
        ),
        file("etc/group", 0o644, b"root:x:0:\nann:x:8:\nlab:x:20:ann\n"),
        file(
            "bin/getent",
            0o755,
            b"#!/bin/sh\ngrep \"^$2:\" /etc/passwd\n",
        ),
        file("old/a", 0o644, b"a\n"),
        file("old/sub/b", 0o600, b"b\n"),
        symlink("link", "old"),
        symlink("out", "/usr"),
    ];
    let mut tmp = dir("tmp");
    tmp.0.attr.mode = 0o1777;
    let mut capable = file("usr/capable", 0o755, b"x");
    capable.0.attr.xattrs.insert(CAPABILITY, NET_RAW);
    capable.0.attr.xattrs.insert(*b"user.note", *b"kept");
    out.extend([tmp, capable]);
    let applets = "sh cat echo mkdir rm rmdir mv ln cp ls chmod chown touch true false sleep id env pwd \
                   test grep stat seq tail head date printf wc dd find readlink mount umount uname";
    out.extend(
        applets
            .split_whitespace()
            .map(|name| symlink(&format!("bin/{name}"), "busybox")),
    );
    out
}

pub(crate) fn stage(ops: Vec<Op>) -> Stage {
    let instruction = |(number, op): (u32, Op)| Instruction {
        op,
        origin: Some(Origin {
            file: "recipes/x/build.yaml".into(),
            line: 10 + number,
            span: None,
        }),
    };
    Stage {
        name: None,
        base: Base::Image("base".into()),
        body: (0..).zip(ops).map(instruction).collect(),
    }
}

pub(crate) fn run(script: &str) -> Op {
    Op::Run {
        script: Script::Commands(vec![script.into()]),
        mounts: Vec::new(),
        network: Network::None,
    }
}

pub(crate) fn env(name: &str, value: &str) -> Op {
    Op::Env {
        pairs: vec![EnvPair {
            name: name.into(),
            value: value.into(),
        }],
    }
}

pub(crate) fn user(user: &str) -> Op {
    Op::User { user: user.into() }
}

pub(crate) fn copy(sources: &[&str], dest: &str) -> Op {
    copy_from(CopySource::Context, sources, dest, None)
}

pub(crate) fn copy_from(from: CopySource, sources: &[&str], dest: &str, owner: Option<&str>) -> Op {
    Op::Copy {
        from,
        sources: sources.iter().map(|s| (*s).into()).collect(),
        dest: dest.into(),
        owner: owner.map(Into::into),
    }
}
