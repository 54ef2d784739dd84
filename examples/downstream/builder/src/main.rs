//! Builds a tiny image on another one, both as layouts on disk, without any network.

use std::{error::Error, fs, io, path::Path, process::ExitCode};

use nd_builder::{
    BuildOptions, BuildPlan, Built, Contexts, LayerBudget, PlanContext, build, import_base,
    indexmap::IndexMap,
    nd_host::{Environment, SystemPrograms},
    nd_instructions::{Base, CopySource, Definition, Instruction, Op, PackageManager, Stage},
    nd_names::Architecture,
    nd_oci::{
        Compression, ImageSpec, LayerOptions, Layout,
        oci_spec::image::{Arch, ImageConfiguration, Os, RootFsBuilder},
        read_directory,
    },
    nd_report::{Cancel, Silent},
    nd_rootfs::{Entry, LayerEntry},
    nd_sandbox::{IdMode, Limits, hook},
    nd_store::Store,
};

fn main() -> ExitCode {
    // First, before any thread: what changes files is this program again, in namespaces of its own.
    hook(&[nd_builder::role()]);
    match run() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    let base = make_base(root)?;
    let store = Store::open(root.join("store"))?;
    let context = root.join("context");
    fs::create_dir(&context)?;
    fs::write(context.join("hello"), "hello\n")?;

    let ops = [
        Op::Workdir {
            path: "/srv".to_owned(),
        },
        Op::Copy {
            from: CopySource::Context,
            sources: vec!["hello".to_owned()],
            dest: "./".to_owned(),
            owner: None,
        },
    ];
    let definition = Definition {
        package_manager: PackageManager::Apt,
        stages: vec![Stage {
            name: None,
            base: Base::Image("base".to_owned()),
            body: ops.map(|op| Instruction { op, origin: None }).into(),
        }],
    };
    let environment = Environment::of_process()?;
    let ids = IdMode::choose(&environment, &SystemPrograms::new(&environment));
    let base = import_base(&store, &base, &base.image(None)?)?;
    let contexts = Contexts::new(context);
    let planned = PlanContext {
        platform: Architecture::of_this_program().ok_or("an architecture without images")?,
        ids: ids.name(),
        epoch: 1_600_000_000,
        bases: &IndexMap::from([("base".to_owned(), base)]),
        build_args: &IndexMap::new(),
    };
    let plan = BuildPlan::new(&definition, &planned, &contexts)?;
    let options = BuildOptions {
        ids,
        emulator: None,
        compression: Compression::Gzip,
        contexts: &contexts,
        host_mounts: Vec::new(),
        shared: &[],
        host_env: Vec::new(),
        offline: true,
        limits: Limits::default(),
        budget: LayerBudget::default(),
        secrets: &[],
        look_in: None,
        reporter: &Silent,
        cancel: &Cancel::default(),
    };
    let built = build(&plan, &store, &options)?;
    let again = build(&plan, &store, &options)?;
    if !again.steps.iter().all(|step| step.cached) || again.layers != built.layers {
        return Err("the second build did not take everything from the store".into());
    }
    write(&root.join("image"), &store, &built)
}

/// An image of one folder with one file.
fn make_base(root: &Path) -> Result<Layout, Box<dyn Error>> {
    let files = root.join("files");
    fs::create_dir_all(files.join("etc"))?;
    fs::write(files.join("etc/motd"), "welcome\n")?;
    let (index, _) = read_directory(&files)?;
    let entries: Vec<_> = index.iter().cloned().map(LayerEntry::Entry).collect();
    let mut open = |entry: &Entry| {
        let file = fs::File::open(files.join(entry.path.to_string()))?;
        Ok(Box::new(file) as Box<dyn io::Read>)
    };
    let options = LayerOptions {
        compression: Compression::Gzip,
        clamp: None,
    };
    let layout = Layout::create(root.join("base"))?;
    let layer = layout.write_layer(&entries, &mut open, options)?;
    let spec = ImageSpec {
        config: configuration(vec![layer.diff_id.oci()])?,
        layers: vec![layer.descriptor()],
        annotations: Default::default(),
        reference: None,
    };
    layout.write_image(&spec)?;
    Ok(layout)
}

/// What was built as an image on disk.
fn write(path: &Path, store: &Store, built: &Built) -> Result<String, Box<dyn Error>> {
    let layout = Layout::create(path)?;
    for layer in &built.layers {
        layout.put_from_store(store, &layer.digest)?;
    }
    let diff_ids = built.layers.iter().map(|layer| layer.diff_id.oci());
    let mut config = configuration(diff_ids.collect())?;
    config.set_config(Some(built.state.config()));
    let layers = built.layers.iter().map(|layer| layer.descriptor());
    let spec = ImageSpec {
        config,
        layers: layers.collect(),
        annotations: Default::default(),
        reference: Some("latest".to_owned()),
    };
    let image = layout.write_image(&spec)?;
    Ok(format!("{} layers, {}", image.layers.len(), image.digest))
}

fn configuration(diff_ids: Vec<String>) -> Result<ImageConfiguration, Box<dyn Error>> {
    let architecture = Architecture::of_this_program().ok_or("an architecture without images")?;
    let mut config = ImageConfiguration::default();
    config.set_os(Os::Linux);
    config.set_architecture(Arch::from(architecture.oci()));
    let files = RootFsBuilder::default().typ("layers").diff_ids(diff_ids);
    config.set_rootfs(files.build()?);
    Ok(config)
}
