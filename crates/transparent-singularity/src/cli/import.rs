//! `import`: entries of Singularity Registry HPC.

use std::path::PathBuf;

use clap::Args;
use nd_host::SystemClock;
use nd_terminal::{Failure, FailureKind, OrFail as _};

use super::{
    Context,
    install::{Ready, failure, tell},
};
use crate::{Candidate, Given, ImageSource, InstallWish, ShpcEntry, WrapperStyle};

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The entry, a `container.yaml`
    pub entry: PathBuf,
    /// Name of the installed image [default: from the entry, with the date of today]
    #[arg(long = "as", value_name = "TOOL_VERSION_DATE")]
    pub name: Option<String>,
    /// The tag to install [default: the latest]
    #[arg(long)]
    pub tag: Option<String>,
    /// The registry is spoken to without encryption
    #[arg(long)]
    pub plain_http: bool,
}

/// Installs what an entry of Singularity Registry HPC names, under its aliases.
pub(super) fn import(context: &Context, args: &ImportArgs) -> Result<(), Failure> {
    let path = context.environment.absolute(&args.entry);
    let entry = ShpcEntry::parse(&fs_err::read_to_string(&path)?).or_fail(FailureKind::Failed)?;
    let wrong =
        |text: &str| Failure::new(FailureKind::Failed, format!("`{}` {text}", path.display()));
    let (tag, digest) = match (&args.tag, &entry.latest) {
        (Some(tag), _) => {
            let digest = entry
                .tags
                .get(tag)
                .ok_or_else(|| wrong("has no such tag"))?;
            (tag.clone(), digest.clone())
        }
        (None, Some(latest)) => latest.clone(),
        (None, None) => return Err(wrong("names no latest tag")),
    };
    if entry.aliases.is_empty() {
        return Err(wrong("names no aliases"));
    }
    let folder = path.parent().unwrap_or(&path);
    let image = if let Some(name) = &args.name {
        name.parse().or_fail(FailureKind::Usage)?
    } else {
        let title = entry
            .docker
            .as_deref()
            .and_then(|text| text.rsplit('/').next());
        let title = title.or_else(|| folder.file_name().and_then(|name| name.to_str()));
        // A tag of ours holds the date already.
        let (version, date) = match tag.rsplit_once('_') {
            Some((version, date)) if date.len() == 8 => (version.to_owned(), date.to_owned()),
            _ => (
                tag.replace('_', "-"),
                nd_host::Clock::now(&SystemClock)
                    .strftime("%Y%m%d")
                    .to_string(),
            ),
        };
        let name = format!(
            "{}_{version}_{date}",
            title.unwrap_or_default().to_lowercase()
        );
        name.parse().map_err(|error| {
            Failure::new(FailureKind::Failed, error).hint("give a name with `--as`")
        })?
    };
    let (from, candidates) = match (&entry.docker, &entry.path) {
        (_, Some(file)) if !file.contains('/') => {
            (Some(Given::Path(folder.join(file))), Vec::new())
        }
        (Some(docker), _) => {
            // A digest says more than a tag.
            let reference = if digest.starts_with("sha256:") {
                format!("{docker}@{digest}")
            } else {
                format!("{docker}:{tag}")
            };
            let source = ImageSource::Registry {
                reference,
                plain_http: args.plain_http,
            };
            (
                None,
                vec![Candidate {
                    name: "entry".into(),
                    source,
                }],
            )
        }
        _ => return Err(wrong("names neither `docker` nor an image beside it")),
    };
    let ready = Ready::new(context, WrapperStyle::Launcher)?;
    let wish = InstallWish {
        image,
        from,
        candidates,
        sha256: None,
        dialects: None,
        unpack: false,
        options: Vec::new(),
        style: WrapperStyle::Launcher,
        in_place: None,
        aliases: Some(entry.aliases),
        force: true,
    };
    let installed = crate::install(&wish, &ready.means(context)).map_err(failure)?;
    tell(context, &installed)
}
