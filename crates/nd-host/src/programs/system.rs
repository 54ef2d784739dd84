//! Programs of this machine.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use nd_report::Cancel;

use super::{
    Finished, Input, Invocation, Outcome, ProgramError, Programs, Stream,
    pump::{Ended, pump},
};
use crate::Environment;

/// How many lines of standard error an error carries.
const KEPT_LINES: usize = 20;
/// How long a kept line may be, in bytes.
const KEPT_LINE: usize = 1000;

/// Runs the programs that are installed.
#[derive(Debug, Clone)]
pub struct SystemPrograms {
    folders: Vec<PathBuf>,
}

impl SystemPrograms {
    /// Programs on the search path of `environment` and in the folders of system programs, which an
    /// ordinary user's search path often lacks.
    pub fn new(environment: &Environment) -> Self {
        let mut folders = environment.search_path();
        for folder in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
            let folder = PathBuf::from(folder);
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Self { folders }
    }

    fn locate(&self, program: &OsStr) -> Option<PathBuf> {
        let path = Path::new(program);
        if path.components().count() > 1 || path.is_absolute() {
            return executable(path).then(|| path.to_path_buf());
        }
        self.folders
            .iter()
            .map(|folder| folder.join(program))
            .find(|path| executable(path))
    }
}

fn executable(path: &Path) -> bool {
    fs_err::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

impl Programs for SystemPrograms {
    fn find(&self, name: &str) -> Option<PathBuf> {
        self.locate(OsStr::new(name))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where programs of others are started"
    )]
    fn run(
        &self,
        invocation: &Invocation,
        on_line: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, ProgramError> {
        let shown = invocation.shown();
        let missing = || ProgramError::Missing {
            program: invocation.program().to_string_lossy().into_owned(),
        };
        let path = self.locate(invocation.program()).ok_or_else(missing)?;
        let mut command = Command::new(path);
        command
            .arg0(invocation.program())
            .args(invocation.arguments())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(match invocation.reads() {
                Input::Nothing => Stdio::null(),
                Input::Bytes(_) => Stdio::piped(),
                Input::Inherited => Stdio::inherit(),
            })
            // A group of its own: it can be killed with its children, and Ctrl-C reaches us alone.
            .process_group(0);
        if invocation.starts_empty() {
            command.env_clear();
        }
        for (name, value) in invocation.variables() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = invocation.working_directory() {
            command.current_dir(directory);
        }
        let started = Instant::now();
        let mut child = command.spawn().map_err(|source| ProgramError::Start {
            shown: shown.clone(),
            source,
        })?;
        let input = match invocation.reads() {
            Input::Bytes(bytes) => bytes.as_slice(),
            Input::Nothing | Input::Inherited => &[],
        };
        let mut stdout = Vec::new();
        let mut last_lines = VecDeque::with_capacity(KEPT_LINES);
        let pumped = pump(
            &mut child,
            input,
            invocation.time_limit().map(|limit| started + limit),
            cancel,
            &mut |stream, line| {
                if stream == Stream::Stderr {
                    if last_lines.len() == KEPT_LINES {
                        last_lines.pop_front();
                    }
                    let line = &line[..line.len().min(KEPT_LINE)];
                    last_lines.push_back(String::from_utf8_lossy(line).into_owned());
                }
                on_line(stream, line);
            },
            &mut |stream, bytes| {
                if stream == Stream::Stdout {
                    stdout.extend_from_slice(bytes);
                }
            },
        );
        let last_lines = Vec::from(last_lines);
        match pumped {
            Ok(Ended::Itself(status)) => Ok(Finished {
                shown,
                outcome: match (status.code(), status.signal()) {
                    (Some(code), _) => Outcome::Code(code),
                    (None, signal) => Outcome::Signal(signal.unwrap_or_default()),
                },
                stdout,
                last_lines,
            }),
            Ok(Ended::TimeLimit) => Err(ProgramError::TimedOut {
                shown,
                limit: invocation.time_limit().unwrap_or_default(),
                last_lines,
            }),
            Ok(Ended::Cancelled) => Err(ProgramError::Cancelled { shown }),
            Err(source) => {
                abandon(&mut child);
                Err(ProgramError::Lost { shown, source })
            }
        }
    }
}

/// Kills and reaps a program that we can no longer follow; errors do not matter any more.
fn abandon(child: &mut std::process::Child) {
    let _: io::Result<()> = child.kill();
    let _ = child.wait();
}
