//! The policy: what a site, or the owner of a prefix, decides for all containers.

use std::{
    ffi::{OsStr, OsString},
    fmt,
};

use crate::{
    format::{FormatError, LIMIT, Problem, lines},
    launch::Text,
};

/// The site's policy; a launch file may name another one, which is read after it.
pub const SITE_POLICY: &str = "/etc/neurodesk/launcher.conf";

/// When a GPU of the host is offered to commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpu {
    /// Never, unless the user's own options say so.
    Off,
    /// When there is one, of whatever kind.
    Auto,
    /// When there is one of NVIDIA.
    Nvidia,
    /// When there is one of AMD.
    Rocm,
}

/// The words for [`Gpu`].
pub(crate) const GPU_WORDS: &[(&str, Gpu)] = &[
    ("auto", Gpu::Auto),
    ("off", Gpu::Off),
    ("nvidia", Gpu::Nvidia),
    ("rocm", Gpu::Rocm),
];

/// What runs commands in images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeChoice<'a> {
    /// Apptainer when it is found, else Singularity.
    Auto,
    /// None: the launcher itself enters the image where it can do all that is asked for; else as
    /// [`Auto`](Self::Auto).
    Native,
    /// Apptainer, found on `PATH`.
    Apptainer,
    /// Singularity, found on `PATH`.
    Singularity,
    /// This program; it counts as Singularity when its name says so.
    Program(Text<'a>),
}

impl<'a> RuntimeChoice<'a> {
    /// Reads the value of `runtime` in a policy.
    pub fn parse(word: Text<'a>) -> Option<Self> {
        match word.as_encoded_bytes() {
            b"auto" => Some(Self::Auto),
            b"native" => Some(Self::Native),
            b"apptainer" => Some(Self::Apptainer),
            b"singularity" => Some(Self::Singularity),
            [b'/', ..] => Some(Self::Program(word)),
            _ => None,
        }
    }

    /// The value of `runtime` that [`RuntimeChoice::parse`] reads back.
    pub fn word(&self) -> &OsStr {
        match self {
            Self::Auto => OsStr::new("auto"),
            Self::Native => OsStr::new("native"),
            Self::Apptainer => OsStr::new("apptainer"),
            Self::Singularity => OsStr::new("singularity"),
            Self::Program(program) => program,
        }
    }
}

/// Which images start nothing unless they are what was recorded at their installation.
///
/// What one policy demands, another one that is read after it does not take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// None of them.
    Nothing,
    /// Image files: their bytes are compared. Folders start as they are.
    Files,
    /// All of them: image files are compared, and folders, which nothing compares, start nothing.
    All,
}

/// The policy demands another runtime than the one that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeFixed {
    /// What it demands.
    pub demanded: OsString,
}

impl fmt::Display for RuntimeFixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the policy demands the runtime `{}`",
            self.demanded.display()
        )
    }
}

impl std::error::Error for RuntimeFixed {}

/// What `/tmp` is for commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Temporary<'a> {
    /// The folder that `TMP`, `TMPDIR`, `TEMP` or `TEMPDIR` names, the last of them that is set,
    /// when it exists and is not `/tmp` itself.
    Auto,
    /// The host's.
    Off,
    /// This folder, when it exists.
    Folder(Text<'a>),
}

/// What is done about a working directory that nothing binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkingDirectory {
    /// It is bound.
    Bind,
    /// It is left to the runtime, with a warning.
    Warn,
    /// It is left to the runtime.
    Leave,
}

/// What a site, or the owner of a prefix, decides for all containers.
///
/// ```
/// use nd_launcher::{Gpu, Policy};
///
/// let mut policy = Policy::default();
/// policy.read_more(b"gpu off\nbind /scratch\npass SLURM_*\n").unwrap();
/// assert_eq!(policy.gpu, Some(Gpu::Off));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy<'a> {
    /// `runtime auto|native|apptainer|singularity|/PROGRAM`.
    pub runtime: RuntimeChoice<'a>,
    /// `keep SECONDS`: how long the mount of a SIF file waits for the next command, with the native
    /// runtime; `0` for a mount of its own for each.
    pub keep: u32,
    /// `demand-digest off|files|on`; the strictest line counts.
    pub demand_digest: Demand,
    /// `search FOLDER`: where the runtime is looked for after `PATH`.
    pub search: Vec<Text<'a>>,
    /// `gpu auto|off|nvidia|rocm`; what the launch file says when there is no such line, and
    /// [`Gpu::Auto`] when that says nothing.
    pub gpu: Option<Gpu>,
    /// `device-root FOLDER`: where `dev`, `proc` and the driver's libraries are looked for, `/` when
    /// there is no such line. For tests.
    pub device_root: Option<Text<'a>>,
    /// `tmp auto|off|/FOLDER`.
    pub temporary: Temporary<'a>,
    /// `cwd bind|warn|leave`.
    pub cwd: WorkingDirectory,
    /// `x11 on|off`: whether `DISPLAY` and `XAUTHORITY` reach commands.
    pub x11: bool,
    /// `wayland on|off`: whether the Wayland socket reaches commands.
    pub wayland: bool,
    /// `clean-environment on|off`: whether variables of the host stay outside.
    pub clean: bool,
    /// `covered FOLDER`: what the runtime's own configuration binds, besides the home, `/tmp` and
    /// `/var/tmp`.
    pub covered: Vec<Text<'a>>,
    /// `bind SOURCE[:TARGET[:OPTIONS]]`, left out when the source does not exist.
    pub binds: Vec<Text<'a>>,
    /// `option WORD`: options of `exec`, one word each.
    pub options: Vec<Text<'a>>,
    /// `pass NAME` or `pass PREFIX*`: variables that reach commands despite a clean environment.
    pub pass: Vec<Text<'a>>,
    /// `env NAME=VALUE`: variables that all commands get.
    pub environment: Vec<(Text<'a>, Text<'a>)>,
    /// Numbers of lines whose key is not known, for `doctor`: a policy may be newer than the
    /// launchers that read it.
    pub unknown: Vec<usize>,
}

impl Default for Policy<'_> {
    fn default() -> Self {
        Self {
            runtime: RuntimeChoice::Auto,
            keep: 60,
            demand_digest: Demand::Nothing,
            search: Vec::new(),
            gpu: None,
            device_root: None,
            temporary: Temporary::Auto,
            cwd: WorkingDirectory::Bind,
            x11: true,
            wayland: true,
            clean: true,
            covered: Vec::new(),
            binds: Vec::new(),
            options: Vec::new(),
            pass: Vec::new(),
            environment: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

/// Seconds that a mount is kept at most: a day.
const KEEP_AT_MOST: u32 = 86_400;

const SWITCH: &[(&str, bool)] = &[("on", true), ("off", false)];
const DEMANDS: &[(&str, Demand)] = &[
    ("off", Demand::Nothing),
    ("files", Demand::Files),
    ("on", Demand::All),
];

impl<'a> Policy<'a> {
    /// Takes the runtime that the user asks for.
    ///
    /// # Errors
    ///
    /// When this names Apptainer, Singularity or a program, and the user another.
    pub fn choose(&mut self, wanted: RuntimeChoice<'a>) -> Result<(), RuntimeFixed> {
        match &self.runtime {
            RuntimeChoice::Auto | RuntimeChoice::Native => self.runtime = wanted,
            fixed if *fixed == wanted => {}
            fixed => {
                let demanded = fixed.word().to_owned();
                return Err(RuntimeFixed { demanded });
            }
        }
        Ok(())
    }

    /// Reads another file over what is there: single values replace, lists grow. Keys that are not known
    /// are remembered and passed over; values that a key cannot have are errors.
    pub fn read_more(&mut self, bytes: &'a [u8]) -> Result<(), FormatError> {
        if bytes.len() > LIMIT {
            return Err(FormatError {
                line: 0,
                problem: Problem::TooLarge,
            });
        }
        for line in lines(bytes) {
            let absolute = || {
                let value = line.value()?;
                if value.as_encoded_bytes().starts_with(b"/") {
                    Ok(value)
                } else {
                    Err(line.error(Problem::Value))
                }
            };
            match line.key {
                b"version" => line.one_of(&[("1", ())])?,
                b"runtime" => {
                    self.runtime = RuntimeChoice::parse(line.value()?)
                        .ok_or_else(|| line.error(Problem::Value))?;
                }
                b"keep" => {
                    let value = line.value()?;
                    let seconds = value.to_str().and_then(|text| text.parse().ok());
                    self.keep = seconds
                        .filter(|seconds| *seconds <= KEEP_AT_MOST)
                        .ok_or_else(|| line.error(Problem::Value))?;
                }
                b"demand-digest" => {
                    self.demand_digest = self.demand_digest.max(line.one_of(DEMANDS)?);
                }
                b"search" => self.search.push(absolute()?),
                b"gpu" => self.gpu = Some(line.one_of(GPU_WORDS)?),
                b"device-root" => self.device_root = Some(absolute()?),
                b"tmp" => {
                    let value = line.value()?;
                    self.temporary = match value.as_encoded_bytes() {
                        b"auto" => Temporary::Auto,
                        b"off" => Temporary::Off,
                        _ => Temporary::Folder(absolute()?),
                    };
                }
                b"cwd" => {
                    self.cwd = line.one_of(&[
                        ("bind", WorkingDirectory::Bind),
                        ("warn", WorkingDirectory::Warn),
                        ("leave", WorkingDirectory::Leave),
                    ])?;
                }
                b"x11" => self.x11 = line.one_of(SWITCH)?,
                b"wayland" => self.wayland = line.one_of(SWITCH)?,
                b"clean-environment" => self.clean = line.one_of(SWITCH)?,
                b"covered" => self.covered.push(absolute()?),
                b"bind" => self.binds.push(line.value()?),
                b"option" => self.options.push(line.value()?),
                b"pass" => self.pass.push(line.value()?),
                b"env" => self.environment.push(line.assignment()?),
                _ => self.unknown.push(line.number),
            }
        }
        Ok(())
    }
}
