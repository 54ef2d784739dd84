//! The search path of templates.

use nd_report::{FileId, Sink};

use super::{Host, Settings, args::usage};
use crate::reproenv::{Refusal, RefusalKind, Registry};

/// Takes `--template-path DIR` from the beginning of the arguments.
pub(super) fn options(arguments: &[String]) -> Result<(Vec<String>, &[String]), Refusal> {
    let mut folders = Vec::new();
    let mut rest = arguments;
    while let Some(word) = rest.first() {
        if let Some(folder) = word.strip_prefix("--template-path=") {
            folders.push(folder.to_owned());
            rest = &rest[1..];
        } else if word == "--template-path" {
            let folder = rest
                .get(1)
                .ok_or_else(|| usage("option `--template-path` needs a folder"))?;
            folders.push(folder.clone());
            rest = &rest[2..];
        } else {
            break;
        }
    }
    Ok((folders, rest))
}

/// The built-in templates and those of the folders, or else of the path in `settings`.
///
/// In `compat` a file that holds no template ends everything, as upstream does; otherwise it is
/// told and left out.
pub(super) fn registry(
    mut folders: Vec<String>,
    settings: &Settings,
    compat: bool,
    host: &mut dyn Host,
) -> Result<Registry, Refusal> {
    let mut registry = settings.registry.clone().unwrap_or_else(Registry::built_in);
    let mut origin = "option `--template-path`";
    if folders.is_empty()
        && let Some(path) = settings
            .template_path
            .as_deref()
            .filter(|path| !path.is_empty())
    {
        folders = path.split(':').map(str::to_owned).collect();
        origin = "variable `REPROENV_TEMPLATE_PATH`";
    }
    let mut file = 0;
    let mut seen: Vec<String> = Vec::new();
    for folder in folders {
        let mut names = host
            .list(&folder)
            .map_err(|problem| usage(format!("{origin}: `{folder}`: {problem}")))?;
        names.sort_unstable();
        let of = |ending: &str| {
            let ending = ending.to_owned();
            names
                .iter()
                .filter(move |name| name.ends_with(&ending) && name.len() > ending.len())
        };
        for name in of(".yaml").chain(of(".yml")) {
            file += 1;
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            let mut sink = Sink::new();
            let bytes = host.read(&path);
            let added = match &bytes {
                Ok(bytes) => registry.add(bytes, FileId(file), compat, &mut sink),
                Err(problem) => {
                    host.note(&format!("template `{path}` cannot be read: {problem}"));
                    None
                }
            };
            if let Some(name) = added {
                if seen.contains(&name) {
                    host.note(&format!("template `{path}` replaces another `{name}`"));
                }
                seen.push(name);
                continue;
            }
            host.template_problems(
                &path,
                bytes.as_deref().unwrap_or_default(),
                sink.diagnostics(),
            );
            if compat {
                let message = format!("`{path}` holds no usable template");
                return Err(Refusal::new(RefusalKind::TemplateFile, message));
            }
        }
    }
    Ok(registry)
}
