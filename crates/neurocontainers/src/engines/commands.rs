//! The command lines of engines, as values.

use std::path::{Path, PathBuf};

use nd_host::Invocation;
use nd_names::Architecture;

use super::EngineKind;

/// Everything that command lines depend on.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The build folder.
    pub context: PathBuf,
    /// The Dockerfile, which names bases by [`Base::name`] where the engine needs that.
    pub dockerfile: PathBuf,
    /// The definition, whose bases are paths.
    pub definition: PathBuf,
    /// Base images.
    pub bases: Vec<Base>,
    /// Named contexts.
    pub contexts: Vec<(String, PathBuf)>,
    /// Files of the machine that steps see: source and target.
    pub mounts: Vec<(PathBuf, String)>,
    /// Architecture of the image.
    pub architecture: Architecture,
    /// Name of the image where the engine keeps images.
    pub tag: String,
    /// Where the image goes.
    pub out: PathBuf,
    /// Date of the image, seconds since 1970.
    pub epoch: i64,
    /// Whether steps have no network.
    pub offline: bool,
    /// Whether Docker has `buildx`.
    pub buildx: bool,
    /// `storage.conf` of buildah.
    pub storage: PathBuf,
    /// The user's identity decides whether Apptainer needs to feign being root.
    pub is_root: bool,
}

/// A base image on disk.
#[derive(Debug, Clone)]
pub struct Base {
    /// As the recipe names it.
    pub reference: String,
    /// What engines that keep images call it; nobody else's image has this name.
    pub name: String,
    /// An OCI layout of this image alone.
    pub layout: PathBuf,
    /// The same as an archive of Docker.
    pub archive: PathBuf,
    /// Digest of its manifest.
    pub digest: nd_names::Sha256,
}

/// What is run, in order; the image is at [`Inputs::out`] then. `program` is the engine's.
pub fn commands(engine: EngineKind, program: &Path, inputs: &Inputs) -> Vec<Invocation> {
    match engine {
        EngineKind::Embedded => Vec::new(),
        EngineKind::Buildah => buildah(program, inputs),
        EngineKind::Docker => docker(program, inputs),
        EngineKind::Buildkit => vec![buildkit(program, inputs)],
        EngineKind::Apptainer => vec![apptainer(program, inputs)],
    }
}

fn network(inputs: &Inputs) -> &'static str {
    if inputs.offline { "none" } else { "host" }
}

fn pair(key: &str, path: &Path) -> String {
    format!("{key}={}", path.display())
}

fn buildah(program: &Path, inputs: &Inputs) -> Vec<Invocation> {
    let start = || Invocation::new(program).env("CONTAINERS_STORAGE_CONF", &inputs.storage);
    // Names of images come from the archive: those of layouts come from paths, and must be in lower
    // case then.
    let mut out: Vec<Invocation> = inputs
        .bases
        .iter()
        .map(|base| {
            let archive = format!("docker-archive:{}", base.archive.display());
            start().args(["pull", "--quiet"]).arg(archive)
        })
        .collect();
    let mut build = start()
        .args(["build", "--isolation", "chroot", "--layers"])
        .args(["--format", "oci", "--pull-never"])
        .arg("--platform")
        .arg(format!("linux/{}", inputs.architecture.oci()))
        .arg("--timestamp")
        .arg(inputs.epoch.to_string())
        .args(["--network", network(inputs)]);
    for (source, target) in &inputs.mounts {
        let mount = format!("{}:{target}:ro", source.display());
        build = build.arg("--volume").arg(mount);
    }
    for (key, path) in &inputs.contexts {
        build = build.arg("--build-context").arg(pair(key, path));
    }
    let build = build
        .arg("--file")
        .arg(&inputs.dockerfile)
        .arg("--tag")
        .arg(&inputs.tag)
        .arg(&inputs.context);
    let push = start()
        .args(["push", "--quiet"])
        .arg(&inputs.tag)
        .arg(format!("oci:{}:image", inputs.out.display()));
    out.extend([build, push]);
    out
}

fn docker(program: &Path, inputs: &Inputs) -> Vec<Invocation> {
    let start = || Invocation::new(program);
    let mut out: Vec<Invocation> = inputs
        .bases
        .iter()
        .map(|base| start().args(["load", "--input"]).arg(&base.archive))
        .collect();
    let mut build = start();
    if inputs.buildx {
        build = build
            .args(["buildx", "build", "--load", "--platform"])
            .arg(format!("linux/{}", inputs.architecture.oci()))
            .env("DOCKER_BUILDKIT", "1");
        for (key, path) in &inputs.contexts {
            build = build.arg("--build-context").arg(pair(key, path));
        }
    } else {
        build = build.arg("build").env("DOCKER_BUILDKIT", "0");
    }
    out.push(
        build
            .args(["--network", network(inputs)])
            .arg("--file")
            .arg(&inputs.dockerfile)
            .arg("--tag")
            .arg(&inputs.tag)
            .arg(&inputs.context),
    );
    out.push(
        start()
            .args(["save", "--output"])
            .arg(&inputs.out)
            .arg(&inputs.tag),
    );
    out
}

fn buildkit(program: &Path, inputs: &Inputs) -> Invocation {
    let mut folder = inputs.dockerfile.clone();
    folder.pop();
    let name = inputs.dockerfile.file_name().unwrap_or_default();
    let mut build = Invocation::new(program)
        .args(["build", "--frontend", "dockerfile.v0"])
        .arg("--local")
        .arg(pair("context", &inputs.context))
        .arg("--local")
        .arg(pair("dockerfile", &folder))
        .arg("--opt")
        .arg(format!("filename={}", name.to_string_lossy()))
        .arg("--opt")
        .arg(format!("platform=linux/{}", inputs.architecture.oci()))
        .arg("--opt")
        .arg(format!("build-arg:SOURCE_DATE_EPOCH={}", inputs.epoch));
    if inputs.offline {
        build = build.args(["--opt", "force-network-mode=none"]);
    }
    // A context of a name has to be declared besides being offered.
    for (key, path) in &inputs.contexts {
        build = build
            .arg("--local")
            .arg(pair(key, path))
            .arg("--opt")
            .arg(format!("context:{key}=local:{key}"));
    }
    for (number, base) in inputs.bases.iter().enumerate() {
        let digest = base.digest.oci();
        build = build
            .arg("--oci-layout")
            .arg(pair(&format!("base{number}"), &base.layout))
            .arg("--opt")
            .arg(format!(
                "context:{}=oci-layout://base{number}@{digest}",
                base.reference
            ));
    }
    build
        .arg("--output")
        .arg(format!("type=oci,dest={}", inputs.out.display()))
}

fn apptainer(program: &Path, inputs: &Inputs) -> Invocation {
    let mut build = Invocation::new(program)
        .args(["build", "--force"])
        .directory(&inputs.context);
    if !inputs.is_root {
        build = build.arg("--fakeroot");
    }
    for (source, target) in &inputs.mounts {
        let bind = format!("{}:{target}:ro", source.display());
        build = build.arg("--bind").arg(bind);
    }
    build.arg(&inputs.out).arg(&inputs.definition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        Inputs {
            context: "/b/demo".into(),
            dockerfile: "/t/Dockerfile".into(),
            definition: "/t/definition".into(),
            bases: vec![Base {
                reference: "debian:12".into(),
                name: "localhost/nd-base:0".into(),
                layout: "/t/base-0".into(),
                archive: "/t/base-0.tar".into(),
                digest: nd_names::Sha256::from_bytes([0; 32]),
            }],
            contexts: vec![("neurocontainer-cache".into(), "/b/demo/cache".into())],
            mounts: vec![("/t/m".into(), "/etc/apt/apt.conf.d/x".into())],
            architecture: Architecture::X86_64,
            tag: "localhost/nd/demo:1".into(),
            out: "/t/out".into(),
            epoch: 7,
            offline: false,
            buildx: true,
            storage: "/t/storage.conf".into(),
            is_root: false,
        }
    }

    fn shown(engine: EngineKind, inputs: &Inputs) -> Vec<String> {
        let all = commands(engine, Path::new("tool"), inputs);
        all.iter().map(Invocation::shown).collect()
    }

    #[test]
    fn docker_and_buildkit_get_exactly_these_words() {
        let mut inputs = inputs();
        assert_eq!(
            shown(EngineKind::Docker, &inputs),
            [
                "tool load --input /t/base-0.tar",
                "tool buildx build --load --platform linux/amd64 --build-context \
                 neurocontainer-cache=/b/demo/cache --network host --file /t/Dockerfile --tag \
                 localhost/nd/demo:1 /b/demo",
                "tool save --output /t/out localhost/nd/demo:1",
            ]
        );
        inputs.buildx = false;
        inputs.offline = true;
        assert_eq!(
            shown(EngineKind::Docker, &inputs)[1],
            "tool build --network none --file /t/Dockerfile --tag localhost/nd/demo:1 /b/demo"
        );
        let digest = "0".repeat(64);
        assert_eq!(
            shown(EngineKind::Buildkit, &inputs),
            [format!(
                "tool build --frontend dockerfile.v0 --local context=/b/demo --local dockerfile=/t \
                 --opt filename=Dockerfile --opt platform=linux/amd64 --opt \
                 build-arg:SOURCE_DATE_EPOCH=7 --opt force-network-mode=none --local \
                 neurocontainer-cache=/b/demo/cache --opt \
                 context:neurocontainer-cache=local:neurocontainer-cache --oci-layout \
                 base0=/t/base-0 --opt context:debian:12=oci-layout://base0@sha256:{digest} --output \
                 type=oci,dest=/t/out"
            )]
        );
    }

    #[test]
    fn buildah_and_apptainer_see_files_of_the_machine() {
        let inputs = inputs();
        assert_eq!(
            shown(EngineKind::Buildah, &inputs)[0],
            "tool pull --quiet docker-archive:/t/base-0.tar"
        );
        assert_eq!(
            shown(EngineKind::Buildah, &inputs)[1],
            "tool build --isolation chroot --layers --format oci --pull-never --platform linux/amd64 \
             --timestamp 7 --network host --volume /t/m:/etc/apt/apt.conf.d/x:ro --build-context \
             neurocontainer-cache=/b/demo/cache --file /t/Dockerfile --tag localhost/nd/demo:1 \
             /b/demo"
        );
        assert_eq!(
            shown(EngineKind::Apptainer, &inputs),
            [
                "tool build --force --fakeroot --bind /t/m:/etc/apt/apt.conf.d/x:ro /t/out \
              /t/definition"
            ]
        );
    }
}
