//! The command line of `neurodocker`, from words to text; files and questions go through a
//! [`Host`].

mod args;
mod catalogue;
mod frame;
mod help;
mod paths;
mod sbom;
mod steps;

use std::io;

use nd_instructions::PackageManager;
use nd_report::Diagnostic;

use crate::reproenv::{
    Format, RecipeOptions, Refusal, RefusalKind, Registry, Spec, compact_json, nearest, read_spec,
    render_recipe,
};
use args::usage;
use frame::frame;

/// What the command line needs of the machine.
pub trait Host {
    /// The bytes of a file.
    fn read(&mut self, path: &str) -> io::Result<Vec<u8>>;
    /// Names of the files in a folder, not of those in folders below it.
    fn list(&mut self, folder: &str) -> io::Result<Vec<String>>;
    /// All of standard input.
    fn input(&mut self) -> io::Result<Vec<u8>>;
    /// Shows a question and gives the line of the answer; `None` at the end of the input.
    fn ask(&mut self, question: &str) -> Option<String>;
    /// Shows what users of a template must know.
    fn alert(&mut self, text: &str);
    /// Shows a note.
    fn note(&mut self, text: &str);
    /// Shows problems of a template file whose text is `bytes`.
    fn template_problems(&mut self, path: &str, bytes: &[u8], problems: &[Diagnostic]);
}

/// What is known before the command line is read.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Folders of templates, as `REPROENV_TEMPLATE_PATH` has them; `--template-path` replaces it.
    pub template_path: Option<String>,
    /// Templates that are there without any path; the built-in ones if absent.
    pub registry: Option<Registry>,
    /// Whether the compatible mode is on without `--compat`.
    pub compat: bool,
}

/// What a command line gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output, final newline included.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// The exit status.
    pub status: u8,
    /// Files to write: path and text.
    pub files: Vec<(String, String)>,
}

impl Outcome {
    fn data(stdout: String) -> Self {
        Self {
            stdout,
            ..Self::default()
        }
    }

    fn misused(stderr: String) -> Self {
        Self {
            stderr,
            status: 2,
            ..Self::default()
        }
    }
}

/// A refusal and the status it ends with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// Why.
    #[source]
    pub refusal: Refusal,
    /// The exit status.
    pub status: u8,
}

/// Runs a command line, without the name of the program.
pub fn run(
    arguments: &[String],
    settings: &Settings,
    host: &mut dyn Host,
) -> Result<Outcome, Refused> {
    let (arguments, compat) = without_compat(arguments);
    let compat = compat || settings.compat;
    top(&arguments, settings, compat, host).map_err(|refusal| Refused {
        status: refusal.status(compat),
        refusal,
    })
}

/// Takes `--compat`, `--compat=2.1` and `--compat 2.1` away, wherever they stand as options.
fn without_compat(arguments: &[String]) -> (Vec<String>, bool) {
    let mut kept = Vec::with_capacity(arguments.len());
    let mut compat = false;
    let mut rest = arguments.iter().peekable();
    while let Some(word) = rest.next() {
        if word == "--compat" {
            compat = true;
            let version = |next: &&String| next.starts_with(|c: char| c.is_ascii_digit());
            rest.next_if(version);
        } else if word.starts_with("--compat=") {
            compat = true;
        } else {
            kept.push(word.clone());
        }
    }
    (kept, compat)
}

fn top(
    arguments: &[String],
    settings: &Settings,
    compat: bool,
    host: &mut dyn Host,
) -> Result<Outcome, Refusal> {
    let Some(first) = arguments.first() else {
        return Ok(Outcome::misused(help::top()));
    };
    let rest = &arguments[1..];
    match first.as_str() {
        "--help" => Ok(Outcome::data(help::top())),
        "--version" => Ok(Outcome::data(format!(
            "neurodocker version {}\n",
            env!("CARGO_PKG_VERSION")
        ))),
        "generate" => generate(rest, settings, compat, host),
        "genfromjson" => from_json(rest, settings, compat, host),
        "templates" => templates(rest, settings, compat, host),
        word => {
            let what = if word.starts_with('-') {
                "option"
            } else {
                "command"
            };
            let refusal = usage(format!("there is no {what} `{word}`"));
            let commands = ["generate", "genfromjson", "minify", "templates"];
            Err(match nearest(word, commands, 1) {
                Some(near) => refusal.hint(format!("did you mean {near}?")),
                None => refusal.hint("commands: `generate`, `genfromjson`, `minify`, `templates`"),
            })
        }
    }
}

fn format_of(word: &str, compat: bool) -> Option<Format> {
    match word {
        "docker" => Some(Format::Docker),
        "singularity" => Some(Format::Singularity),
        "apptainer" if !compat => Some(Format::Singularity),
        _ => None,
    }
}

fn generate(
    arguments: &[String],
    settings: &Settings,
    compat: bool,
    host: &mut dyn Host,
) -> Result<Outcome, Refusal> {
    let (folders, rest) = paths::options(arguments)?;
    let Some(word) = rest.first() else {
        return Ok(Outcome::misused(help::generate()));
    };
    if word == "--help" {
        return Ok(Outcome::data(help::generate()));
    }
    let format = format_of(word, compat).ok_or_else(|| {
        let what = if word.starts_with('-') {
            "option"
        } else {
            "command"
        };
        usage(format!("`generate` has no {what} `{word}`"))
            .hint("commands: `docker`, `singularity` (or `apptainer`)")
    })?;
    let registry = paths::registry(folders, settings, compat, host)?;
    let occurrences = args::occurrences(&rest[1..], &registry, compat)?;
    let wishes = steps::wishes(&occurrences);
    if wishes.help {
        return Ok(Outcome::data(help::recipe(word, &registry)));
    }
    if let Some(path) = &wishes.from_json {
        let beside = ["from-json", "json", "sbom", "no-embed-spec", "yes"];
        if let Some(other) = occurrences
            .iter()
            .find(|other| other.template || !beside.contains(&other.option.as_str()))
        {
            return Err(usage(format!(
                "option `--{}` cannot stand beside `--from-json`, which has all instructions",
                other.option
            )));
        }
        let spec = spec_of(Some(path), &registry, compat, host)?;
        let options = RecipeOptions {
            compat,
            no_embedded_spec: wishes.no_embed_spec,
        };
        return finish(&spec, &registry, format, options, &wishes);
    }
    let manager = manager(wishes.manager.as_deref())?;
    if !wishes.base {
        return Err(usage("option `-b` or `--base-image` is missing")
            .hint("for example `--base-image debian:bookworm-slim`"));
    }
    steps::check_all(&occurrences, compat)?;
    let mut list = steps::steps(&occurrences, &registry, wishes.yes, compat, host)?;
    frame(&mut list, &registry, &wishes, compat);
    let spec = Spec {
        manager,
        existing_users: None,
        steps: list,
        templates: Vec::new(),
    };
    if compat {
        // Upstream checks the list against its schema, in which templates have their own case.
        let words = compact_json(&spec.to_json());
        read_spec(words.as_bytes(), &registry, true)?;
    }
    let options = RecipeOptions {
        compat,
        no_embedded_spec: wishes.no_embed_spec,
    };
    finish(&spec, &registry, format, options, &wishes)
}

/// Writes what is wished for: recipe or specification, and a list of contents beside it.
fn finish(
    spec: &Spec,
    registry: &Registry,
    format: Format,
    options: RecipeOptions,
    wishes: &steps::Wishes,
) -> Result<Outcome, Refusal> {
    let recipe = render_recipe(spec, registry, format, options)?;
    let mut outcome = Outcome::data(if wishes.json {
        format!("{}\n", compact_json(&recipe.record))
    } else {
        format!("{}\n", recipe.text)
    });
    if let Some(path) = &wishes.sbom {
        outcome.files.push((path.clone(), sbom::spdx(&recipe)));
    }
    Ok(outcome)
}

fn manager(given: Option<&str>) -> Result<PackageManager, Refusal> {
    let given = given.ok_or_else(|| {
        usage("option `-p` or `--pkg-manager` is missing").hint("it is `apt` or `yum`")
    })?;
    match given.to_lowercase().as_str() {
        "apt" => Ok(PackageManager::Apt),
        "yum" => Ok(PackageManager::Yum),
        _ => Err(usage(format!(
            "option `--pkg-manager`: `{given}` is neither `apt` nor `yum`"
        ))),
    }
}

fn from_json(
    arguments: &[String],
    settings: &Settings,
    compat: bool,
    host: &mut dyn Host,
) -> Result<Outcome, Refusal> {
    let (folders, rest) = if compat {
        (Vec::new(), arguments)
    } else {
        paths::options(arguments)?
    };
    if rest.iter().any(|word| word == "--help") {
        return Ok(Outcome::data(help::from_json()));
    }
    if let Some(word) = rest
        .iter()
        .find(|word| word.starts_with('-') && *word != "-")
    {
        return Err(usage(format!("`genfromjson` has no option `{word}`")));
    }
    let (word, input) = match rest {
        [] => return Err(usage("`genfromjson` needs `docker` or `singularity`")),
        [word] => (word, None),
        [word, input] => (word, Some(input.as_str())),
        [_, _, extra, ..] => return Err(usage(format!("unexpected argument `{extra}`"))),
    };
    let format = format_of(&word.to_lowercase(), compat)
        .ok_or_else(|| usage(format!("`{word}` is neither `docker` nor `singularity`")))?;
    let settings = if compat {
        // Upstream looks at no path here.
        &Settings {
            template_path: None,
            ..settings.clone()
        }
    } else {
        settings
    };
    let registry = paths::registry(folders, settings, compat, host)?;
    let spec = spec_of(input, &registry, compat, host)?;
    let options = RecipeOptions {
        compat,
        no_embedded_spec: false,
    };
    finish(&spec, &registry, format, options, &steps::Wishes::default())
}

fn spec_of(
    input: Option<&str>,
    registry: &Registry,
    compat: bool,
    host: &mut dyn Host,
) -> Result<Spec, Refusal> {
    let text = match input {
        None | Some("-") => host.input(),
        Some(path) => host.read(path),
    };
    let text = text.map_err(|problem| {
        usage(format!(
            "cannot read the specification `{}`: {problem}",
            input.unwrap_or("-")
        ))
    })?;
    let read = read_spec(&text, registry, compat).map_err(|mut refusal| {
        if let Some(path) = input.filter(|path| *path != "-") {
            refusal.message = format!("`{path}`: {}", refusal.message);
        }
        refusal
    })?;
    for repair in &read.repairs {
        host.note(&format!("specification: {repair}"));
    }
    Ok(read.spec)
}

fn templates(
    arguments: &[String],
    settings: &Settings,
    compat: bool,
    host: &mut dyn Host,
) -> Result<Outcome, Refusal> {
    let (folders, rest) = paths::options(arguments)?;
    let registry = paths::registry(folders, settings, compat, host)?;
    catalogue::run(rest, &registry)
}

fn unknown_template(name: &str, registry: &Registry) -> Refusal {
    let message = format!("there is no template `{name}`");
    let refusal = Refusal::new(RefusalKind::UnknownTemplate, message);
    let names = registry.names();
    match nearest(name, names.iter().map(String::as_str), 2) {
        Some(near) => refusal.hint(format!("near to it: {near}")),
        None => refusal,
    }
}
