//! Commands in a shell without modules, and what other tools read.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use nd_host::{AtomicFile, Environment};
use nd_terminal::{Failure, FailureKind};
use serde_json::json;

use super::Context;
use crate::{InstallRecord, Site, quoted, shpc};

/// Shells that can be told what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellKind {
    /// bash, and what reads the same
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// csh and tcsh
    Csh,
}

/// Arguments of `activate` and `deactivate`.
#[derive(Debug, Args)]
pub struct ActivateArgs {
    /// Which image
    pub name: String,
    /// The shell [default: the one of `SHELL`]
    #[arg(long, value_enum)]
    pub shell: Option<ShellKind>,
}

/// Arguments of `shell-init`.
#[derive(Debug, Args)]
pub struct ShellInitArgs {
    /// Tools to keep in every shell
    #[arg(required_unless_present = "remove")]
    pub names: Vec<String>,
    /// Write the block, in place of one that is there; without this it is printed
    #[arg(long, conflicts_with = "remove")]
    pub write: bool,
    /// Remove the block
    #[arg(long)]
    pub remove: bool,
    /// The shell [default: the one of `SHELL`]
    #[arg(long, value_enum)]
    pub shell: Option<ShellKind>,
}

/// What can be written for other tools.
#[derive(Debug, Subcommand)]
pub enum ExportVerb {
    /// An entry of Singularity Registry HPC: printed, or written into a registry
    Shpc {
        /// Which image
        name: String,
        /// A registry that is a folder, which gets the entry and the image
        #[arg(long, value_name = "DIR")]
        registry: Option<PathBuf>,
    },
    /// A tar of wrappers and modules, without the image
    Tar {
        /// Which image
        name: String,
        /// The file to write
        #[arg(long, short)]
        output: PathBuf,
    },
}

impl ShellKind {
    /// The shell that somebody uses.
    fn of(environment: &Environment) -> Self {
        let name = environment.text("SHELL").unwrap_or_default();
        match name.rsplit('/').next().unwrap_or_default() {
            "zsh" => Self::Zsh,
            "fish" => Self::Fish,
            "csh" | "tcsh" => Self::Csh,
            _ => Self::Bash,
        }
    }

    /// Puts `folder` before `PATH` unless it is there; evaluated by the shell.
    pub fn activation(self, folder: &str) -> String {
        let word = self.word(folder);
        match self {
            Self::Bash | Self::Zsh => format!(
                "case \":${{PATH}}:\" in *:{word}:*) ;; *) PATH={word}\"${{PATH:+:${{PATH}}}}\" ;; esac; export PATH\n"
            ),
            Self::Fish => format!("contains -- {word} $PATH; or set -gx PATH {word} $PATH\n"),
            Self::Csh => {
                format!("if (\":${{PATH}}:\" !~ *\\:{word}\\:*) setenv PATH {word}\":${{PATH}}\"\n")
            }
        }
    }

    /// Takes `folder` out of `PATH`, wherever and however often it stands there; evaluated by the
    /// shell, whose `PATH` is now `path`.
    pub fn deactivation(self, folder: &str, path: &str) -> String {
        let word = self.word(folder);
        match self {
            Self::Bash | Self::Zsh => format!(
                "PATH=\"$(nd_rest=\"${{PATH}}:\"; nd_path=; while [ -n \"$nd_rest\" ]; do nd_part=\"${{nd_rest%%:*}}\"; nd_rest=\"${{nd_rest#*:}}\"; [ \"$nd_part\" = {word} ] || nd_path=\"$nd_path:$nd_part\"; done; printf '%s' \"${{nd_path#:}}\")\"; export PATH\n"
            ),
            Self::Fish => format!(
                "set -gx PATH (for nd_part in $PATH; test $nd_part = {word}; or echo $nd_part; end)\n"
            ),
            // csh has no way to divide `PATH` that keeps blanks, so it is told the result.
            Self::Csh => {
                let parts: Vec<&str> = path.split(':').filter(|part| *part != folder).collect();
                format!("setenv PATH {}\n", self.word(&parts.join(":")))
            }
        }
    }

    /// A word that the shell reads as exactly this text.
    fn word(self, text: &str) -> String {
        match self {
            Self::Bash | Self::Zsh => quoted(text),
            Self::Fish => format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'")),
            Self::Csh => quoted(text).replace('!', r"\!"),
        }
    }

    /// The start-up file of the shell.
    fn file(self, environment: &Environment) -> Option<PathBuf> {
        let home = environment.home()?;
        Some(match self {
            Self::Bash => home.join(".bashrc"),
            Self::Zsh => environment
                .get("ZDOTDIR")
                .map_or(home.to_path_buf(), PathBuf::from)
                .join(".zshrc"),
            Self::Fish => environment
                .get("XDG_CONFIG_HOME")
                .map_or_else(|| home.join(".config"), PathBuf::from)
                .join("fish/conf.d/neurodesk.fish"),
            Self::Csh => {
                let own = home.join(".tcshrc");
                if own.exists() {
                    own
                } else {
                    home.join(".cshrc")
                }
            }
        })
    }
}

fn folder_text(site: &Site, record: &InstallRecord) -> Result<String, Failure> {
    let folder = site.folder(record);
    let text = folder.to_str().filter(|text| !text.contains([':', '\n']));
    text.map(str::to_owned).ok_or_else(|| {
        Failure::new(
            FailureKind::Failed,
            format!("`{}` cannot stand in `PATH`", folder.display()),
        )
    })
}

/// Text that another program reads, as it is, or as a value.
fn give(context: &Context, text: &str) -> Result<(), Failure> {
    if context.is_json() {
        let value = json!({"schema_version": 1, "text": text});
        return context.printer.json(&value);
    }
    context.printer.data(text)
}

pub(super) fn activate(context: &Context, args: &ActivateArgs) -> Result<(), Failure> {
    let (site, record) = context.find(&args.name)?;
    let shell = args
        .shell
        .unwrap_or_else(|| ShellKind::of(&context.environment));
    give(context, &shell.activation(&folder_text(&site, &record)?))
}

pub(super) fn deactivate(context: &Context, args: &ActivateArgs) -> Result<(), Failure> {
    let (site, record) = context.find(&args.name)?;
    let shell = args
        .shell
        .unwrap_or_else(|| ShellKind::of(&context.environment));
    let path = context.environment.text("PATH").unwrap_or_default();
    let text = shell.deactivation(&folder_text(&site, &record)?, path);
    give(context, &text)
}

const BEGIN: &str = "# >>> neurodesk >>> written by `transparent-singularity shell-init`";
const END: &str = "# <<< neurodesk <<<";

/// The text of a start-up file with `block` in place of one that is there, or at its end; without a
/// block, that is gone. Every other byte stays.
fn with_block(text: &str, block: Option<&str>) -> String {
    let begin = text
        .find(BEGIN)
        .filter(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n');
    let range = begin.and_then(|begin| {
        let end = begin + text[begin..].find(END)? + END.len();
        Some(begin..end + usize::from(text[end..].starts_with('\n')))
    });
    let new = block.map(|block| format!("{BEGIN}\n{block}{END}\n"));
    let mut out = text.to_owned();
    match (range, new) {
        (Some(range), new) => out.replace_range(range, new.as_deref().unwrap_or("")),
        (None, Some(new)) => {
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&new);
        }
        (None, None) => {}
    }
    out
}

pub(super) fn shell_init(context: &Context, args: &ShellInitArgs) -> Result<(), Failure> {
    let shell = args
        .shell
        .unwrap_or_else(|| ShellKind::of(&context.environment));
    let mut block = String::new();
    for name in &args.names {
        let (site, record) = context.find(name)?;
        block += &shell.activation(&folder_text(&site, &record)?);
    }
    if !args.write && !args.remove {
        return give(context, &block);
    }
    let file = shell.file(&context.environment);
    let file = file.ok_or_else(|| Failure::new(FailureKind::Failed, "`HOME` is not set"))?;
    // A link keeps being one: what it leads to is edited.
    let target = fs_err::canonicalize(&file).unwrap_or_else(|_| file.clone());
    let old = match fs_err::read_to_string(&target) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let new = with_block(&old, (!args.remove).then_some(block.as_str()));
    let changed = new != old;
    if changed {
        fs_err::create_dir_all(target.parent().unwrap_or(&target))?;
        if new.is_empty() {
            // The file was ours alone.
            fs_err::remove_file(&target)?;
        } else {
            // Nobody else reads it for a moment who may not.
            let mut file = AtomicFile::create(&target)?;
            if let Ok(found) = fs_err::metadata(&target) {
                file.file().set_permissions(found.permissions())?;
            }
            file.write_all(new.as_bytes())?;
            file.commit()?;
        }
    }
    if context.is_json() {
        return context
            .printer
            .json(&json!({"schema_version": 1, "file": file, "changed": changed}));
    }
    let what = match (changed, args.remove) {
        (false, _) => "is as it should be",
        (true, true) => "has no block of ours any more",
        (true, false) => "was changed",
    };
    context
        .printer
        .note(&format!("`{}` {what}", file.display()));
    Ok(())
}

pub(super) fn export(context: &Context, verb: &ExportVerb) -> Result<(), Failure> {
    match verb {
        ExportVerb::Shpc { name, registry } => {
            let (site, record) = context.find(name)?;
            let Some(registry) = registry else {
                return give(context, &shpc::container_yaml(&record));
            };
            let registry = context.environment.absolute(registry);
            let entry = shpc::write_entry(&site, &record, &registry)?;
            if context.is_json() {
                return (context.printer)
                    .json(&json!({"schema_version": 1, "registry": registry, "entry": entry}));
            }
            context.printer.note(&format!(
                "wrote the entry `{entry}` of `{}`",
                registry.display()
            ));
            Ok(())
        }
        ExportVerb::Tar { name, output } => {
            let (site, record) = context.find(name)?;
            let tree = crate::installed_tree(&site, &record)?;
            let path = context.environment.absolute(output);
            let mut file = nd_host::AtomicFile::create(&path)?;
            tree.write_tar(&mut file)?;
            file.commit()?;
            if context.is_json() {
                return context
                    .printer
                    .json(&json!({"schema_version": 1, "image": record.image, "file": path}));
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    //! The marked block.

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_comes_is_replaced_and_goes() {
        let old = "a\nb";
        let one = with_block(old, Some("x\n"));
        assert_eq!(one, format!("a\nb\n{BEGIN}\nx\n{END}\n"));
        let two = with_block(&one, Some("y\n"));
        assert_eq!(two, format!("a\nb\n{BEGIN}\ny\n{END}\n"));
        assert_eq!(with_block(&two, None), "a\nb\n");
        assert_eq!(with_block("a\n", None), "a\n");
        assert_eq!(with_block(&with_block("", Some("x\n")), None), "");
    }

    proptest! {
        #[test]
        fn what_was_there_comes_back(old in "([a-z #\n]{0,40}\n)?", block in "[a-z]{0,9}\n") {
            let with = with_block(&old, Some(&block));
            prop_assert_eq!(with_block(&with, Some(&block)), with.clone());
            prop_assert_eq!(with_block(&with, None), old);
        }
    }
}
