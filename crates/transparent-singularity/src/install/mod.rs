//! Installing an image: get it, look at it, plan, commit.

mod place;
mod share;

use std::{collections::BTreeMap, path::Path};

use nd_host::{Clock, Environment, Invocation, Programs};
use nd_modulefile::{Additions, Dialect};
use nd_names::{Architecture, ImageName, Sha256};
use nd_report::Event;
use nd_rootfs::Kind;

use self::place::{place, source};
pub(crate) use self::share::share;
use crate::{
    Applied, Candidate, CommandName, Content, EnvironmentSource, Exposed, FetchContext, Found,
    Given, ImageEnvironment, ImageError, InstallPlan, InstallRecord, ModuleFile, NeedsRun,
    OpenImage, Placement, PlanError, PlanOptions, RecordedFile, Settings, SettingsError, Site,
    SiteError, SourceError, SourceRecord, Unpacked, WrapperStyle, expose, read_environment,
};

/// What to install.
#[derive(Debug, Clone)]
pub struct InstallWish {
    /// The full name.
    pub image: ImageName,
    /// A local image, in place of sources.
    pub from: Option<Given>,
    /// Where to look, in order; of no meaning with `from`.
    pub candidates: Vec<Candidate>,
    /// The digest that the image file has to have. One that the prefix keeps is used before any source
    /// is asked.
    pub sha256: Option<Sha256>,
    /// Languages of module files, in place of those of the settings.
    pub dialects: Option<Vec<Dialect>>,
    /// Whether the image becomes a folder.
    pub unpack: bool,
    /// Options of the runtime, for calls of the installation and as defaults of the image.
    pub options: Vec<String>,
    /// How commands are wrapped.
    pub style: WrapperStyle,
    /// Name of an existing folder below the prefix to install into; its other files stay.
    pub in_place: Option<String>,
    /// Commands and what each is in the image, in place of what the image says.
    pub aliases: Option<BTreeMap<CommandName, String>>,
    /// Whether an image that is there is fetched and installed anew.
    pub force: bool,
}

/// What an installation needs of the machine.
pub struct Means<'a> {
    /// The prefix.
    pub site: &'a Site,
    /// Settings.
    pub settings: &'a Settings,
    /// Downloads.
    pub fetch: &'a FetchContext,
    /// Programs of others.
    pub programs: &'a dyn Programs,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// The caller's environment.
    pub environment: &'a Environment,
    /// The bytes of the launcher.
    pub launcher: Vec<u8>,
}

impl std::fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means")
            .field("site", self.site)
            .finish_non_exhaustive()
    }
}

/// What an installation did.
#[derive(Debug, Clone)]
pub struct Installed {
    /// What was recorded.
    pub record: InstallRecord,
    /// Builds that it replaced.
    pub replaced: Vec<String>,
    /// Whether everything was there already.
    pub unchanged: bool,
    /// What is odd: things left out, variables that lead nowhere, shadowed commands.
    pub notes: Vec<String>,
}

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No image.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The prefix.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An image for another machine.
    #[error("image `{image}` is for {found}, this machine is {here}")]
    Architecture {
        /// Which image.
        image: String,
        /// What it is for.
        found: Architecture,
        /// What this machine is.
        here: Architecture,
    },
    /// The environment of the image has to be asked for by running it, and that failed.
    #[error("`{script}` in the image is more than assignments, and running `env` in it failed")]
    Run {
        /// Which script.
        script: String,
        /// Why.
        #[source]
        source: Box<nd_host::ProgramError>,
    },
    /// The same, without a runtime.
    #[error(
        "`{script}` in the image is more than assignments, and there is neither `apptainer` nor `singularity` to run `env` in it"
    )]
    NoRuntime {
        /// Which script.
        script: String,
    },
    /// Another image than the one that is wanted.
    #[error("`{image}` has the digest {found}, and {wanted} is wanted")]
    Digest {
        /// Which image.
        image: String,
        /// The digest that is wanted.
        wanted: Sha256,
        /// What was found: a digest, or `none` for folders and links.
        found: String,
    },
    /// A group that is none.
    #[error("there is no group `{0}`")]
    Group(String),
}

/// Installs an image. Repeating it is harmless: what is there and right stays as it is.
pub fn install(wish: &InstallWish, means: &Means<'_>) -> Result<Installed, InstallError> {
    let site = means.site;
    let _here = site.enter()?;
    let _lock = site.lock(&wish.image)?;
    let stem = wish.image.stem();
    let folder_name = wish.in_place.clone().unwrap_or_else(|| stem.clone());
    if let Some(there) = already(wish, means, &stem)? {
        return Ok(there);
    }
    let say = |text: &str| means.fetch.reporter.event(Event::Note { text });
    let staged = site.stage(&stem)?;
    let mut obtained = source(wish, means, &staged)?;
    if let Some(wanted) = wish.sha256
        && obtained.source.sha256 != Some(wanted.to_string())
    {
        let found = obtained.source.sha256.unwrap_or_else(|| "none".into());
        return Err(InstallError::Digest {
            image: stem,
            wanted,
            found,
        });
    }
    say(&format!("{stem}: {}", obtained.source.from));
    let placement = place(wish, means, &staged, &mut obtained, &stem)?;
    let image_path = staged.path().join(format!("{stem}.simg"));
    let mut image = OpenImage::open(&image_path)?;
    if let Some(found) = image.architecture()?
        && found != means.fetch.architecture
        && !has_emulator(found)
    {
        return Err(InstallError::Architecture {
            image: stem,
            found,
            here: means.fetch.architecture,
        });
    }
    let (environment, difference) = match read_environment(&mut image)? {
        Ok(environment) => (environment, std::collections::BTreeMap::new()),
        Err(needs) => run_environment(&image_path, &wish.options, means.programs, needs)?,
    };
    let mut exposed = expose(&mut image, environment, &means.settings.excludes)?;
    if let Some(aliases) = &wish.aliases {
        let named = aliases
            .iter()
            .map(|(name, target)| (name.clone(), Found::Alias(target.clone())));
        exposed.commands = named.collect();
    }
    let folder = site.prefix().join(&folder_name);
    let options = PlanOptions {
        style: wish.style,
        launcher: means.launcher.clone(),
        sha256: obtained.source.sha256.clone(),
        options: wish.options.clone(),
        dialects: match &wish.dialects {
            Some(dialects) => dialects.clone(),
            None => means.settings.dialects()?,
        },
        additions: additions(means, &wish.image),
        tests: tests(wish, means),
    };
    let plan = InstallPlan::new(
        &wish.image,
        placement,
        &folder,
        &exposed,
        &image.metadata,
        &options,
    )?;
    let mut notes: Vec<String> = exposed.left_out.iter().map(ToString::to_string).collect();
    let missing = exposed
        .commands
        .iter()
        .filter(|(_, found)| **found == Found::Missing);
    notes.extend(
        missing.map(|(name, _)| {
            format!("`{name}` of `DEPLOY_BINS` is not on the `PATH` of the image")
        }),
    );
    notes.extend(plan.notes.iter().cloned());
    notes.extend(shadows(site, &wish.image, &exposed)?);
    plan.files
        .write_to(staged.path(), &[crate::COMMANDS])
        .map_err(SiteError::io("write below", staged.path()))?;
    let mut record = record(
        wish,
        means,
        &plan,
        &exposed,
        &image,
        obtained.source,
        folder_name,
        difference,
    );
    drop(image);
    if placement == Placement::Folder {
        let unpacked = Unpacked::of(&image_path).map_err(|source| SourceError::Io {
            path: image_path.clone(),
            source: std::io::Error::other(source),
        })?;
        record.unpacked = Some(unpacked);
    }
    share(staged.path(), &means.settings.site)?;
    let applied = if wish.in_place.is_some() {
        site.commit_in_place(&staged, &record)?
    } else {
        site.commit(&staged, &plan, &record)?
    };
    for folder in [
        site.modules().join(wish.image.app.as_str()),
        site.state().join("images"),
        site.state().join("locks"),
    ] {
        share(&folder, &means.settings.site)?;
    }
    forget_download(means, &obtained.content);
    let Applied { replaced } = applied;
    Ok(Installed {
        record,
        replaced,
        unchanged: false,
        notes,
    })
}

/// What is there already and needs nothing: the same name, from the same bytes as far as is known.
fn already(
    wish: &InstallWish,
    means: &Means<'_>,
    stem: &str,
) -> Result<Option<Installed>, InstallError> {
    let site = means.site;
    let Some(record) = site.record(stem)? else {
        return Ok(None);
    };
    let same_form = !wish.unpack || record.placement != Placement::File;
    let same_modules = wish.dialects.as_ref().is_none_or(|wanted| {
        let there = record.modules.iter();
        wanted.len() == record.modules.len()
            && there
                .map(|module| Dialect::of_file(&module.path))
                .all(|dialect| wanted.contains(&dialect))
    });
    let same_options = wish.options.is_empty() || wish.options == record.options;
    let whole =
        site.is_committed(&record) && crate::verify(site, &record, crate::Depth::Quick).is_empty();
    if wish.sha256.is_some() && wish.sha256 != record.sha256() {
        return Ok(None);
    }
    if wish.force || wish.from.is_some() && !is_same_file(wish, &record) {
        return Ok(None);
    }
    if !(same_form && same_modules && same_options && whole && record.style == wish.style) {
        return Ok(None);
    }
    Ok(Some(Installed {
        record,
        replaced: Vec::new(),
        unchanged: true,
        notes: Vec::new(),
    }))
}

/// Whether `--from` names the very bytes that are installed.
fn is_same_file(wish: &InstallWish, record: &InstallRecord) -> bool {
    let Some(Given::Path(path)) = &wish.from else {
        return false;
    };
    let Ok(mut file) = fs_err::File::open(path) else {
        return false;
    };
    match (record.sha256(), Sha256::of_rest(&mut file)) {
        (Some(known), Ok(found)) => known == found,
        _ => false,
    }
}

/// Whether this machine runs programs of another architecture by an emulator that works in containers.
pub fn has_emulator(architecture: Architecture) -> bool {
    let path = format!("/proc/sys/fs/binfmt_misc/qemu-{}", architecture.as_str());
    let Ok(text) = fs_err::read_to_string(path) else {
        return false;
    };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    text.lines().next() == Some("enabled") && flags.is_some_and(|flags| flags.contains('F'))
}

type Difference = std::collections::BTreeMap<String, String>;

/// Asks an image for its variables by running `env -0` in it, once, with `options` of the runtime. Gives
/// those that its files did not tell as well.
///
/// # Errors
///
/// Without a runtime, and when running fails.
pub fn run_environment(
    image: &Path,
    options: &[String],
    programs: &dyn Programs,
    needs: NeedsRun,
) -> Result<(ImageEnvironment, Difference), InstallError> {
    let NeedsRun { script, partial } = needs;
    let runtime = ["apptainer", "singularity"]
        .into_iter()
        .find_map(|name| programs.find(name));
    let Some(runtime) = runtime else {
        return Err(InstallError::NoRuntime { script });
    };
    let asked = Invocation::new(runtime)
        .args(["--silent", "exec", "--cleanenv", "--no-home"])
        .args(options.iter())
        .arg("--pwd")
        .arg("/")
        .arg(image)
        .args(["env", "-0"])
        .directory("/")
        .limit(std::time::Duration::from_secs(120));
    let ran = programs.check(&asked).map_err(|source| InstallError::Run {
        script,
        source: Box::new(source),
    })?;
    let environment = ImageEnvironment::of_run(&ran.stdout);
    // What the runtime itself sets is no part of the image.
    let of_runtime = |name: &str| {
        [
            "PWD",
            "HOME",
            "SHLVL",
            "_",
            "LANG",
            "TERM",
            "PS1",
            "PROMPT_COMMAND",
            "LD_LIBRARY_PATH",
            "USER_PATH",
        ]
        .contains(&name)
            || name.starts_with("APPTAINER")
            || name.starts_with("SINGULARITY")
    };
    let difference = environment
        .variables
        .iter()
        .filter(|(name, value)| !of_runtime(name) && partial.get(name) != Some(value.as_slice()))
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    Ok((environment, difference))
}

fn additions(means: &Means<'_>, image: &ImageName) -> Additions {
    let Some(folder) = &means.settings.site.additions else {
        return Additions::default();
    };
    let read = |dialect: &str| {
        fs_err::read_to_string(folder.join(format!("{}.{dialect}", image.app))).ok()
    };
    Additions {
        lua: read("lua"),
        tcl: read("tcl"),
    }
}

/// The test reports that stand beside a local image, as a build leaves them.
fn tests(wish: &InstallWish, means: &Means<'_>) -> Option<Vec<u8>> {
    let Some(Given::Path(path)) = &wish.from else {
        return None;
    };
    let path = means
        .environment
        .absolute(path)
        .with_file_name(crate::TESTS);
    let found = fs_err::metadata(&path).ok()?;
    if !found.is_file() || found.len() > 4 << 20 {
        return None;
    }
    let bytes = fs_err::read(&path).ok()?;
    let reports: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let is_report = |report: &serde_json::Value| report["cases"].is_array();
    let fits = reports
        .as_array()
        .is_some_and(|list| !list.is_empty() && list.iter().all(is_report));
    fits.then_some(bytes)
}

/// Commands that another installed tool has as well.
fn shadows(site: &Site, image: &ImageName, exposed: &Exposed) -> Result<Vec<String>, SiteError> {
    let mut notes = Vec::new();
    for other in site.installed()? {
        if other.name().app == image.app {
            continue;
        }
        let both: Vec<&str> = (other.commands.iter().map(String::as_str))
            .filter(|name| {
                exposed
                    .commands
                    .keys()
                    .any(|command| command.as_str() == *name)
            })
            .collect();
        if let Some(first) = both.first() {
            let more = if both.len() > 1 {
                format!(" and {} more", both.len() - 1)
            } else {
                String::new()
            };
            notes.push(format!(
                "`{first}`{more} of {} and of {} shadow each other when both are loaded",
                image.stem(),
                other.image
            ));
        }
    }
    Ok(notes)
}

#[expect(clippy::too_many_arguments, reason = "one record of all of them")]
fn record(
    wish: &InstallWish,
    means: &Means<'_>,
    plan: &InstallPlan,
    exposed: &Exposed,
    image: &OpenImage,
    source: SourceRecord,
    folder: String,
    difference: Difference,
) -> InstallRecord {
    let files = plan
        .files
        .index
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::File { content, .. } => Some(RecordedFile {
                path: entry.path.to_string(),
                sha256: content.to_string(),
                mode: entry.attr.mode.into(),
            }),
            _ => None,
        });
    InstallRecord {
        version: InstallRecord::VERSION,
        image: wish.image.stem(),
        folder,
        installed: means.clock.now().to_string(),
        by: env!("CARGO_PKG_VERSION").into(),
        placement: plan.placement,
        style: wish.style,
        source,
        tree: image.metadata.tree.clone(),
        unpacked: None,
        labels: image.metadata.labels.clone(),
        options: wish.options.clone(),
        environment: exposed.environment.source,
        difference,
        commands: exposed.commands.keys().map(ToString::to_string).collect(),
        files: files.collect(),
        modules: plan.modules.iter().map(ModuleFile::clone).collect(),
    }
}

/// A download that is installed under a second name need not stay in the store.
fn forget_download(means: &Means<'_>, content: &Content) {
    let Content::File { path, .. } = content else {
        return;
    };
    if path.starts_with(means.fetch.store.root()) {
        // Somebody else may be at it, and then it is theirs.
        let _ = fs_err::remove_file(path);
    }
}

/// How the variables of an image came to be known, in words.
pub fn environment_text(source: EnvironmentSource) -> &'static str {
    match source {
        EnvironmentSource::Configuration => "the configuration of the image",
        EnvironmentSource::Scripts => "the scripts of the image, read",
        EnvironmentSource::Run => "`env -0`, run in the image",
        EnvironmentSource::Nothing => "nothing",
    }
}
