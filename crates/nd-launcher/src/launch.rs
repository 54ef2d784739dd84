//! The launch file: what the launcher must know of one container.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
};

use crate::{
    format::{FormatError, LIMIT, Line, Problem, lines, put},
    policy::{GPU_WORDS, Gpu},
};

/// Bytes that a file lends, or that somebody owns.
pub type Text<'a> = Cow<'a, OsStr>;

/// What an image is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A SIF file.
    Sif,
    /// A root file system as a folder (unpacked, or on CVMFS).
    Folder,
}

/// One wrapped command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command<'a> {
    /// The name of the wrapper.
    pub name: Text<'a>,
    /// What is started in the image, a name that its `PATH` finds or an absolute path; the wrapper's
    /// name when there is none. It is `argv[0]` of the program.
    pub target: Option<Text<'a>>,
}

impl Command<'_> {
    /// A command that has the same name in the image.
    pub fn new(name: impl Into<OsString>) -> Self {
        Self {
            name: Cow::Owned(name.into()),
            target: None,
        }
    }

    /// What is started in the image.
    pub fn program(&self) -> &OsStr {
        self.target.as_deref().unwrap_or(&self.name)
    }
}

/// What the launcher must know of one container, in the file [`crate::LAUNCH_FILE`] beside its
/// wrappers.
///
/// ```
/// use nd_launcher::{Command, Form, LaunchFile};
///
/// let mut file = LaunchFile::new("itksnap_3.6.0_20210322", "itksnap_3.6.0_20210322.simg", Form::Sif);
/// file.commands.push(Command::new("itksnap"));
/// let bytes = file.to_bytes();
/// assert_eq!(LaunchFile::parse(&bytes), Ok(file));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFile<'a> {
    /// The container's full name, `STEM`.
    pub name: Text<'a>,
    /// The image: relative to the folder of the launch file, so that the folder can be moved, or
    /// absolute.
    pub image: Text<'a>,
    /// What the image is.
    pub form: Form,
    /// Digest of its root file system, `sha256:…`, when it is known.
    pub tree: Option<Text<'a>>,
    /// SHA-256 of the image, where that is a file: 64 hexadecimal digits.
    pub sha256: Option<Text<'a>>,
    /// A policy that is read after the site's: relative to the folder, or absolute. It need not
    /// exist.
    pub policy: Option<Text<'a>>,
    /// Whether the image wants a GPU that is there; the policy has the last word.
    pub gpu: Option<Gpu>,
    /// Options of `exec` recorded at installation, one word each.
    pub options: Vec<Text<'a>>,
    /// `SOURCE[:TARGET[:OPTIONS]]`, left out when the source does not exist.
    pub binds: Vec<Text<'a>>,
    /// Variables that reach the command despite a clean environment: names, or prefixes followed by `*`.
    pub pass: Vec<Text<'a>>,
    /// Variables with values that the image gives its commands, for runtimes that do not run its
    /// scripts.
    pub environment: Vec<(Text<'a>, Text<'a>)>,
    /// The commands that have wrappers.
    pub commands: Vec<Command<'a>>,
}

const VERSION_LINE: (&[u8], &str) = (b"neurodesk-launch", "1");

impl<'a> LaunchFile<'a> {
    /// A container without commands.
    pub fn new(name: impl Into<OsString>, image: impl Into<OsString>, form: Form) -> Self {
        Self {
            name: Cow::Owned(name.into()),
            image: Cow::Owned(image.into()),
            form,
            tree: None,
            sha256: None,
            policy: None,
            gpu: None,
            options: Vec::new(),
            binds: Vec::new(),
            pass: Vec::new(),
            environment: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// Reads a file; fields without escapes are borrowed from it. Nothing is skipped: a line that
    /// is not understood is an error, since the launcher and its file are written together.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let whole = |problem| FormatError { line: 0, problem };
        if bytes.len() > LIMIT {
            return Err(whole(Problem::TooLarge));
        }
        let mut lines = lines(bytes);
        let first = lines.next().ok_or(whole(Problem::Version))?;
        if first.key != VERSION_LINE.0 || first.value()? != OsStr::new(VERSION_LINE.1) {
            return Err(first.error(Problem::Version));
        }
        let mut file = Self::new("", "", Form::Sif);
        let mut form = None;
        for line in lines {
            match line.key {
                b"name" => once_text(&mut file.name, &line)?,
                b"image" => once_text(&mut file.image, &line)?,
                b"form" => once(
                    &mut form,
                    &line,
                    line.one_of(&[("sif", Form::Sif), ("folder", Form::Folder)])?,
                )?,
                b"tree" => once(&mut file.tree, &line, line.value()?)?,
                b"sha256" => {
                    let value = line.value()?;
                    if value.len() != 64
                        || !value.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit)
                    {
                        return Err(line.error(Problem::Value));
                    }
                    once(&mut file.sha256, &line, value)?;
                }
                b"policy" => once(&mut file.policy, &line, line.value()?)?,
                b"gpu" => once(&mut file.gpu, &line, line.one_of(GPU_WORDS)?)?,
                b"option" => file.options.push(line.value()?),
                b"bind" => file.binds.push(line.value()?),
                b"pass" => file.pass.push(line.value()?),
                b"env" => file.environment.push(line.assignment()?),
                b"command" => {
                    let (name, target) = line.fields()?;
                    file.commands.push(Command { name, target });
                }
                _ => return Err(line.error(Problem::Key)),
            }
        }
        file.form = form.ok_or(whole(Problem::Missing("form")))?;
        for (value, key) in [(&file.name, "name"), (&file.image, "image")] {
            if value.is_empty() {
                return Err(whole(Problem::Missing(key)));
            }
        }
        Ok(file)
    }

    /// The file's bytes, which [`LaunchFile::parse`] reads back.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let word = |text: &'static str| OsStr::new(text);
        out.extend_from_slice(VERSION_LINE.0);
        out.extend_from_slice(b" 1\n");
        put(&mut out, "name", &[&self.name]);
        put(&mut out, "image", &[&self.image]);
        let form = match self.form {
            Form::Sif => "sif",
            Form::Folder => "folder",
        };
        put(&mut out, "form", &[word(form)]);
        if let Some(tree) = &self.tree {
            put(&mut out, "tree", &[tree]);
        }
        if let Some(sha256) = &self.sha256 {
            put(&mut out, "sha256", &[sha256]);
        }
        if let Some(policy) = &self.policy {
            put(&mut out, "policy", &[policy]);
        }
        if let Some(gpu) = self.gpu {
            let found = GPU_WORDS.iter().find(|(_, meaning)| *meaning == gpu);
            put(
                &mut out,
                "gpu",
                &[word(found.map_or("auto", |(word, _)| word))],
            );
        }
        for (key, values) in [
            ("option", &self.options),
            ("bind", &self.binds),
            ("pass", &self.pass),
        ] {
            for value in values.iter().filter(|value| !value.is_empty()) {
                put(&mut out, key, &[value]);
            }
        }
        for (name, value) in &self.environment {
            let mut both = name.clone().into_owned();
            both.push("=");
            both.push(value);
            put(&mut out, "env", &[&both]);
        }
        for command in &self.commands {
            match &command.target {
                Some(target) => put(&mut out, "command", &[&command.name, target]),
                None => put(&mut out, "command", &[&command.name]),
            }
        }
        out
    }

    /// The command of this name.
    pub fn command(&self, name: &OsStr) -> Option<&Command<'a>> {
        self.commands.iter().find(|command| command.name == name)
    }
}

fn once<T>(place: &mut Option<T>, line: &Line<'_>, value: T) -> Result<(), FormatError> {
    if place.is_some() {
        return Err(line.error(Problem::Repeated));
    }
    *place = Some(value);
    Ok(())
}

fn once_text<'a>(place: &mut Text<'a>, line: &Line<'a>) -> Result<(), FormatError> {
    if !place.is_empty() {
        return Err(line.error(Problem::Repeated));
    }
    *place = line.value()?;
    Ok(())
}
