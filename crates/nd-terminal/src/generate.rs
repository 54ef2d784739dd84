//! Shell completions, man pages and a reference from a command line's definition.

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

/// Prints the man pages of `command`, or writes them to `folder`, which is made.
pub fn give_man_pages(
    command: &Command,
    folder: Option<&std::path::Path>,
    printer: &crate::Printer,
) -> Result<(), Failure> {
    let pages = man_pages(command)?;
    let Some(folder) = folder else {
        let texts: Vec<String> = pages.into_iter().map(|(_, text)| text).collect();
        return printer.data(&texts.concat());
    };
    fs_err::create_dir_all(folder)?;
    for (name, text) in pages {
        fs_err::write(folder.join(name), text)?;
    }
    Ok(())
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

/// The help of `command` and of all its subcommands that are not hidden, as Markdown.
pub fn reference(mut command: Command) -> String {
    command.build();
    let mut text = format!("# `{}`\n", shown_name(&command));
    describe(&mut command, &mut text);
    text
}

fn describe(command: &mut Command, text: &mut String) {
    let help = command
        .clone()
        .term_width(96)
        .render_long_help()
        .to_string();
    text.push_str("\n```text\n");
    for line in help.trim_end().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str("```\n");
    for sub in command.get_subcommands_mut() {
        if !sub.is_hide_set() && sub.get_name() != "help" {
            text.push_str("\n## `");
            text.push_str(&shown_name(sub));
            text.push_str("`\n");
            describe(sub, text);
        }
    }
}

fn shown_name(command: &Command) -> String {
    command
        .get_bin_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}
