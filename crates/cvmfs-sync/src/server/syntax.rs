//! What the programs that read a file say to it.

use std::{fmt::Write as _, path::Path};

use nd_host::{Finished, Invocation, ProgramError, Programs};
use nd_report::Cancel;

use super::{
    description::Family,
    files::{ConfigFile, Syntax},
};

/// Modules that the frame of a test loads: those that our configuration needs.
const MODULES: [&str; 7] = [
    "mpm_event",
    "authz_core",
    "alias",
    "mime",
    "headers",
    "expires",
    "log_config",
];

/// A file could not be given to the program that reads it.
#[derive(Debug, thiserror::Error)]
pub enum SyntaxError {
    /// A place for the test could not be made.
    #[error("failed to prepare a test of `{path}`")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The program is missing or could not be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// What the program that reads `file` finds wrong with our part of it: nothing when it is fine or when
/// no program can say. `folder` is an empty folder that the test may fill.
pub fn check_syntax(
    file: &ConfigFile,
    family: Family,
    folder: &Path,
    programs: &dyn Programs,
    cancel: &Cancel,
) -> Result<Option<String>, SyntaxError> {
    let own = folder.join("part.conf");
    let put = |path: &Path, text: &str| {
        fs_err::write(path, text).map_err(|source| SyntaxError::Io {
            path: file.path.clone(),
            source,
        })
    };
    put(&own, &file.content.over(None))?;
    let invocation = match file.syntax {
        Syntax::Plain => return Ok(None),
        Syntax::Squid => Invocation::new("squid")
            .args(["-k", "parse", "-f"])
            .arg(&own),
        Syntax::Apache => {
            let main = folder.join("main.conf");
            put(&main, &frame(family, folder))?;
            // This is what `apachectl configtest` runs, with another file.
            let program = match family {
                Family::Dnf => "httpd",
                Family::Apt => "apache2",
            };
            Invocation::new(program).args(["-t", "-f"]).arg(main)
        }
    };
    let finished = programs.run(&invocation.env("LC_ALL", "C"), &mut |_, _| {}, cancel)?;
    Ok((!finished.outcome.success()).then(|| complaint(&finished)))
}

/// The smallest configuration around our part.
fn frame(family: Family, folder: &Path) -> String {
    let root = match family {
        Family::Dnf => "/etc/httpd",
        Family::Apt => "/usr/lib/apache2",
    };
    let folder = folder.display();
    let mut text = format!(
        "ServerRoot \"{root}\"\nServerName localhost\nDefaultRuntimeDir \"{folder}\"\nPidFile \"{folder}/pid\"\nErrorLog \"{folder}/log\"\n"
    );
    for module in MODULES {
        // Some are part of the program itself, depending on who built it.
        let _ = writeln!(
            text,
            "<IfModule !{module}_module>
    LoadModule {module}_module modules/mod_{module}.so
</IfModule>"
        );
    }
    let _ = writeln!(text, "Include \"{folder}/part.conf\"");
    text
}

/// The lines in which a program complains; Squid also tells of everything that it understood.
fn complaint(finished: &Finished) -> String {
    let told = ["| Processing", "| Startup", "| Initializing"];
    let lines: Vec<&str> = finished
        .last_lines
        .iter()
        .map(String::as_str)
        .filter(|line| !told.iter().any(|word| line.contains(word)))
        .collect();
    if lines.is_empty() {
        finished.outcome.to_string()
    } else {
        lines.join("\n")
    }
}
