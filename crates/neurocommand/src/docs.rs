//! Documents that are made from code: pages of codes, the reference of the command line, keys of
//! deployment files.

use std::fmt::Write as _;

use nd_terminal::Documents;

use crate::{codes::EXPLANATIONS, deployment::KEYS};

/// All documents. `command` is the command line to describe.
pub fn documents(command: clap::Command) -> Documents {
    let mut all = Documents::of(command);
    all.page("book/src/reference/deployment.md", &deployment());
    all.codes(EXPLANATIONS, "");
    all
}

/// The keys of deployment files.
fn deployment() -> String {
    let mut text = String::from(
        "# Deployment files\n\nA deployment file is TOML. These are laid one over the other, the last on top: \
         what the program brings, `/etc/neurodesk/deployment.toml`, `$XDG_CONFIG_HOME/neurodesk/deployment.toml`, \
         `neurodesk.toml` where the program is started, and the file that `--deployment` names. A file that sets \
         `brand` is another project and begins from nothing. `neurocommand config show` says where each value comes \
         from.\n\n| Key | What it says |\n| --- | --- |\n",
    );
    for key in KEYS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{}` | {} |", key.name, key.about);
    }
    text
}
