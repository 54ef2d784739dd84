//! Help texts.

use std::fmt::Write as _;

use crate::reproenv::{Registry, newest_first};

/// Help of the program.
pub(super) fn top() -> String {
    "\
Usage: neurodocker [OPTIONS] COMMAND [ARGS]...

  Write recipes for neuroimaging containers.

Options:
  --compat [2.1]  Write exactly what neurodocker 2.1 writes.
  --version       Show the version and exit.
  --help          Show this message and exit.

Commands:
  generate     Write a Dockerfile or an Apptainer (Singularity) definition.
  genfromjson  The same from a JSON specification.
  minify       Make an image smaller: keep what commands use.
  templates    List, show and export templates.
"
    .to_owned()
}

/// Help of `generate`.
pub(super) fn generate() -> String {
    "\
Usage: neurodocker generate [OPTIONS] COMMAND [ARGS]...

  Write a recipe.

Options:
  --template-path DIRECTORY  Folder of templates in files `*.yaml`; may be repeated
                             [env var: REPROENV_TEMPLATE_PATH]
  --help                     Show this message and exit.

Commands:
  docker       Write a Dockerfile.
  singularity  Write an Apptainer (Singularity) definition; `apptainer` is the same.
"
    .to_owned()
}

/// Help of `genfromjson`.
pub(super) fn from_json() -> String {
    "\
Usage: neurodocker genfromjson [OPTIONS] {docker|singularity} [INPUT]

  Write a recipe from a JSON specification.

  INPUT is a path, or `-` or nothing for standard input.

Options:
  --template-path DIRECTORY  Folder of templates; may be repeated
                             [env var: REPROENV_TEMPLATE_PATH]
  --help                     Show this message and exit.
"
    .to_owned()
}

/// Help of `generate docker` and its like.
pub(super) fn recipe(word: &str, registry: &Registry) -> String {
    let mut out = format!(
        "\
Usage: neurodocker generate {word} [OPTIONS]

  Write a recipe to standard output. Instructions come in the order of the options.

Options:
  -p, --pkg-manager [apt|yum]  What installs packages.  [required]
  -b, --base-image IMAGE       Begin a stage from an image; `--from` is the same.  [required]
  --as NAME                    Name the stage.
  --arg KEY=VALUE              Define a build argument.
  --copy SRC... DEST           Copy files into the image.
  --copy-from STAGE SRC... DEST
                               Copy files from a stage or image.
  --add SRC DEST               Copy a file, or unpack an archive.
  --env KEY=VALUE...           Set variables.
  --entrypoint WORD...         Set what the image starts.
  --install PACKAGE...         Install packages; `opts=TEXT` replaces the usual options.
  --label KEY=VALUE...         Set labels.
  --run TEXT                   Run a shell text.
  --run-bash TEXT              Run a text in bash.
  --user NAME                  Switch to an account, and make it where it does not exist.
  --workdir PATH               Change the working directory.
  --yes                        Agree to all licences beforehand.
  --json                       Print the JSON specification instead.
  --from-json FILE             Take instructions from a JSON specification.
  --sbom FILE                  Write what the templates install, as SPDX.
  --no-default-header          Leave locale and startup script out.
  --no-embed-spec              Do not save the specification in the image.
  --no-labels                  Add no labels.
  --help                       Show this message and exit.

Templates, each with KEY=VALUE... (`neurodocker templates show NAME` tells more):
"
    );
    for name in registry.names() {
        let Some(template) = registry.find(&name).filter(|found| !found.is_private()) else {
            continue;
        };
        _ = writeln!(out, "  --{name}");
        if let Some(alert) = &template.alert {
            _ = writeln!(out, "      {alert}");
        }
        for method in &template.methods {
            let mut words: Vec<String> = Vec::new();
            for required in &method.required {
                words.push(format!("{required} (required)"));
            }
            for (optional, default) in &method.optional {
                words.push(format!("{optional}={default}"));
            }
            let words = if words.is_empty() {
                "no arguments".to_owned()
            } else {
                words.join(", ")
            };
            _ = writeln!(out, "      {}: {words}", method.name);
            if !method.urls.is_empty() {
                let mut versions: Vec<&str> =
                    method.urls.iter().map(|url| url.0.as_str()).collect();
                newest_first(&mut versions);
                _ = writeln!(out, "          versions: {}", versions.join(", "));
            }
        }
    }
    out
}

/// Help of `templates`.
pub(super) fn templates() -> String {
    "\
Usage: neurodocker templates [--template-path DIRECTORY]... COMMAND

  Commands:
    list [--json]              One line for each template.
    show NAME [--json]         Methods, arguments, versions and licence of a template.
    versions NAME [--json]     Its versions, newest first, one a line; `*` is any other.
    export --upstream FOLDER   Write all templates in upstream's schema.
"
    .to_owned()
}
