//! A lock file as text: TOML with one line for each thing that can change.

use std::fmt::{self, Display, Write as _};

use nd_names::Sha256;

use super::{LOCK_VERSION, LockFile, LockedContainer, LockedPackage};

impl Display for LockFile {
    /// The text; equal values give equal text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("# Written by `neurocontainers lock`; `neurocontainers lock NAME --update` shows and writes changes.\n")?;
        writeln!(f, "version = {LOCK_VERSION}")?;
        self.containers.iter().try_for_each(|one| container(f, one))
    }
}

fn container(f: &mut fmt::Formatter<'_>, locked: &LockedContainer) -> fmt::Result {
    f.write_str("\n[[container]]\n")?;
    pair(f, "name", &locked.name)?;
    pair(f, "architecture", &locked.architecture)?;
    for base in &locked.bases {
        f.write_str("\n[[container.base]]\n")?;
        pair(f, "reference", &base.reference)?;
        pair(f, "image", &base.image)?;
        let layers: Vec<String> = base.layers.iter().map(Sha256::hex).collect();
        strings(f, "layers", &layers)?;
        for (key, value) in [
            ("ids", &base.ids),
            ("bootstrap", &base.bootstrap),
            ("archive-state", &base.archive_state),
            ("archive-date", &base.archive_date),
        ] {
            if let Some(value) = value {
                pair(f, key, value)?;
            }
        }
        packages(f, "packages", &base.packages)?;
    }
    for archive in &locked.archives {
        f.write_str("\n[[container.archive]]\n")?;
        pair(f, "uri", &archive.uri)?;
        pair(f, "suite", &archive.suite)?;
        strings(f, "components", &archive.components)?;
        pair(f, "date", &archive.date)?;
        let files = archive.files.iter().map(|file| {
            let mut line = Line::default();
            line.text("path", &file.path);
            line.text("sha256", &file.sha256.hex());
            line.number("size", file.size);
            line
        });
        lines(f, "files", files)?;
    }
    for url in &locked.urls {
        f.write_str("\n[[container.url]]\n")?;
        pair(f, "url", &url.url)?;
        pair(f, "name", &url.name)?;
        pair(f, "sha256", &url.sha256.hex())?;
        writeln!(f, "size = {}", url.size)?;
        pair(f, "line", &url.line)?;
    }
    for step in &locked.steps {
        f.write_str("\n[[container.step]]\n")?;
        pair(f, "title", &step.title)?;
        pair(f, "line", &step.line)?;
        packages(f, "apt", &step.apt)?;
        packages(f, "pip", &step.pip)?;
        packages(f, "npm", &step.npm)?;
        packages(f, "conda", &step.conda)?;
        if !step.unread.is_empty() {
            strings(f, "unread", &step.unread)?;
        }
    }
    Ok(())
}

fn packages(f: &mut fmt::Formatter<'_>, key: &str, packages: &[LockedPackage]) -> fmt::Result {
    if packages.is_empty() {
        return Ok(());
    }
    let line = |package: &LockedPackage| {
        let mut line = Line::default();
        line.text("name", &package.name);
        line.text("version", &package.version);
        if let Some(architecture) = &package.architecture {
            line.text("architecture", architecture);
        }
        if let Some(sha256) = &package.sha256 {
            line.text("sha256", &sha256.hex());
        }
        if let Some(size) = package.size {
            line.number("size", size);
        }
        if let Some(url) = &package.url {
            line.text("url", url);
        }
        line
    };
    lines(f, key, packages.iter().map(line))
}

/// An inline table.
#[derive(Default)]
struct Line(String);

impl Line {
    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.push_str(&quoted(value));
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    fn key(&mut self, key: &str) {
        let comma = if self.0.is_empty() { "" } else { ", " };
        self.0.push_str(comma);
        self.0.push_str(key);
        self.0.push_str(" = ");
    }
}

fn lines(f: &mut fmt::Formatter<'_>, key: &str, lines: impl Iterator<Item = Line>) -> fmt::Result {
    writeln!(f, "{key} = [")?;
    for line in lines {
        writeln!(f, "    {{ {} }},", line.0)?;
    }
    f.write_str("]\n")
}

fn pair(f: &mut fmt::Formatter<'_>, key: &str, value: &str) -> fmt::Result {
    writeln!(f, "{key} = {}", quoted(value))
}

fn strings(f: &mut fmt::Formatter<'_>, key: &str, values: &[String]) -> fmt::Result {
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    writeln!(f, "{key} = [{}]", values.join(", "))
}

/// A basic string (TOML 1.0): names come from images and may hold anything.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
