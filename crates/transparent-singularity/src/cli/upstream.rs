//! Called by the name of upstream's script, in a folder of upstream's kind.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser as _;
use nd_host::Environment;
use nd_names::ImageName;
use nd_terminal::{Failure, FailureKind};

use super::{Cli, Context, Verb, clean, install};
use crate::{SCRIPT, Site, WrapperStyle};

/// The program under upstream's name: upstream's options, results and exit codes.
pub(super) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let mut stderr = std::io::stderr().lock();
            for line in failure.render().lines() {
                let line = line.strip_prefix("error: ").unwrap_or(line);
                let _ = writeln!(stderr, "[ERROR] {SCRIPT}: {line}");
            }
            // 2 is what upstream's callers look for, whatever went wrong.
            ExitCode::from(2)
        }
    }
}

/// Upstream's options.
#[derive(Debug, Default)]
struct Words {
    image: Option<String>,
    storage: String,
    unpack: bool,
    options: String,
}

fn parse(words: impl Iterator<Item = String>) -> Result<Words, Failure> {
    let mut out = Words {
        storage: "auto".into(),
        ..Words::default()
    };
    let mut words = words;
    let mut container = None;
    while let Some(word) = words.next() {
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                (name.to_owned(), Some(value.to_owned()))
            }
            _ => (word.clone(), None),
        };
        let mut take = || {
            let missing =
                || Failure::new(FailureKind::Usage, format!("option `{name}` needs a value"));
            value.take().or_else(|| words.next()).ok_or_else(missing)
        };
        match name.as_str() {
            "-c" | "--container" => container = Some(take()?),
            "-s" | "--storage" => out.storage = take()?,
            "-u" | "--unpack" => out.unpack = take()? == "true",
            "-o" | "--singularity-opts" => out.options = take()?,
            "--default" => {}
            _ => {
                // Only the first counts, as with upstream.
                out.image.get_or_insert(word);
            }
        }
    }
    out.image = out.image.or(container);
    Ok(out)
}

/// The folder this program was called in: where the link or copy of that name stands.
fn base(environment: &Environment) -> Result<PathBuf, Failure> {
    let called = std::env::args_os()
        .next()
        .map(PathBuf::from)
        .unwrap_or_default();
    let called = if called.components().count() > 1 {
        environment.absolute(called)
    } else {
        let found = nd_host::Programs::find(&nd_host::SystemPrograms::new(environment), SCRIPT);
        found.unwrap_or_else(|| environment.working_directory().join(SCRIPT))
    };
    let folder = called.parent().unwrap_or(Path::new("/"));
    Ok(fs_err::canonicalize(folder)?)
}

fn run() -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let words: Result<Vec<String>, _> = std::env::args_os()
        .skip(1)
        .map(std::ffi::OsString::into_string)
        .collect();
    let words = words.map_err(|word| {
        Failure::new(
            FailureKind::Usage,
            format!("`{}` is no text", word.display()),
        )
    })?;
    let words = parse(words.into_iter())?;
    // The same frame as of our own command line.
    let cli = Cli::try_parse_from(["transparent-singularity", "gc"])?;
    let mut context = Context::new(&cli, cli.output.printer())?;
    let Some(text) = &words.image else {
        return super::manage::available(&context, &[], true);
    };
    let name = text.rsplit('/').next().unwrap_or(text);
    let image: ImageName = name.parse().map_err(|error| {
        Failure::new(
            FailureKind::Usage,
            format!("{error}; expected is name_version_YYYYMMDD[.simg]"),
        )
    })?;
    let base = base(&environment)?;
    let prefix = base.parent().unwrap_or(Path::new("/"));
    context.site = Site::new(clean(prefix));
    let folder = base.file_name().and_then(|name| name.to_str());
    let folder = folder.ok_or_else(|| {
        Failure::new(
            FailureKind::Usage,
            format!("`{}` is no folder for an image", base.display()),
        )
    })?;
    // What is there already under the image's name is kept, as upstream says.
    let there = base.join(format!("{}.simg", image.stem()));
    let args = install::InstallArgs {
        image: Some(image.stem()),
        storage: words.storage,
        unpack: Some(words.unpack),
        singularity_opts: (!words.options.is_empty()).then_some(words.options),
        wrapper_style: WrapperStyle::Launcher,
        in_place: Some(folder.to_owned()),
        from: fs_err::metadata(&there)
            .is_ok()
            .then(|| there.display().to_string()),
        ..install::InstallArgs::default()
    };
    let _ = Verb::Gc;
    install::install(&context, &args)
}

#[cfg(test)]
mod tests {
    //! Upstream's options.

    use super::*;

    #[test]
    fn options_mean_what_upstream_says() {
        let words = |text: &str| parse(text.split(' ').map(str::to_owned)).unwrap();
        let read = words("-c a_1_20240101 --unpack true --singularity-opts=--nv b_1_20240101 c");
        assert_eq!(read.image.as_deref(), Some("b_1_20240101"));
        assert!(read.unpack);
        assert_eq!(
            (read.options.as_str(), read.storage.as_str()),
            ("--nv", "auto")
        );
        assert!(!words("-u yes x_1_20240101").unpack);
        assert!(parse(["-s".to_owned()].into_iter()).is_err());
    }
}
