//! Shell completions and man pages from a command line's definition.

use clap::Command;
use clap_complete::Shell;

use crate::Failure;

/// The completion script of `command` for `shell`, to be sourced by that shell.
pub fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The man pages of `command` and its subcommands: file name (`name-sub.1`) and text.
pub fn man_pages(command: &Command) -> Result<Vec<(String, String)>, Failure> {
    let mut built = command.clone();
    built.build();
    let mut pages = Vec::new();
    page(&built, built.get_name(), &mut pages)?;
    Ok(pages)
}

fn page(command: &Command, name: &str, pages: &mut Vec<(String, String)>) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    pages.push((
        format!("{name}.1"),
        String::from_utf8_lossy(&text).into_owned(),
    ));
    for sub in command.get_subcommands() {
        if !sub.is_hide_set() && sub.get_name() != "help" {
            page(sub, &format!("{name}-{}", sub.get_name()), pages)?;
        }
    }
    Ok(())
}
