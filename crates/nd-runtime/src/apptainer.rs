//! Apptainer, or another program with its command line.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_host::{Finished, Invocation, Outcome, ProgramError, Programs, Stream};
use nd_sandbox::Access;

use crate::{RunOutput, RunSpec, Runtime, RuntimeError};

/// How Apptainer is told to run commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApptainerOptions {
    /// Options of `exec`, before the image.
    pub exec: Vec<OsString>,
}

impl Default for ApptainerOptions {
    /// Nothing of the caller's environment reaches the command.
    fn default() -> Self {
        Self {
            exec: vec!["--cleanenv".into()],
        }
    }
}

impl ApptainerOptions {
    /// The default, with `--no-privs` where Apptainer would otherwise fail: a root that lacks a
    /// capability, as in many containers and virtual machines, cannot give all of them away.
    pub fn for_this_process() -> Self {
        let mut options = Self::default();
        let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
        let last = fs_err::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
        if lacks_capabilities(&status, &last) {
            options.exec.push("--no-privs".into());
        }
        options
    }
}

fn lacks_capabilities(status: &str, last: &str) -> bool {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let root = field("Uid:").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0");
    let have = field("CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let all = last
        .trim()
        .parse::<u32>()
        .ok()
        .and_then(|last| u64::MAX.checked_shr(63_u32.saturating_sub(last)));
    match (root, have, all) {
        (true, Some(have), Some(all)) => have & all != all,
        _ => false,
    }
}

/// Runs commands in an image through Apptainer.
pub struct ApptainerRuntime {
    programs: Arc<dyn Programs>,
    program: PathBuf,
    image: PathBuf,
    options: ApptainerOptions,
}

impl std::fmt::Debug for ApptainerRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApptainerRuntime")
            .field("program", &self.program)
            .field("image", &self.image)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl ApptainerRuntime {
    /// `program` is Apptainer, by name or path; `image` a SIF file or a directory.
    pub fn new(
        programs: Arc<dyn Programs>,
        program: impl Into<PathBuf>,
        image: impl Into<PathBuf>,
        options: ApptainerOptions,
    ) -> Self {
        Self {
            programs,
            program: program.into(),
            image: image.into(),
            options,
        }
    }

    /// What it says of its version.
    pub fn version(&self) -> Result<String, RuntimeError> {
        let asked = Invocation::new(&self.program).arg("--version");
        Ok(self.programs.check(&asked)?.text())
    }

    fn invocation(&self, spec: &RunSpec) -> Result<Invocation, RuntimeError> {
        let mut invocation = Invocation::new(&self.program)
            .arg("exec")
            .args(self.options.exec.iter().cloned())
            .input(spec.input.clone());
        for bind in &spec.binds {
            invocation =
                invocation
                    .arg("--bind")
                    .arg(bind_text(&bind.host, &bind.inside, bind.access)?);
        }
        if let Some(cwd) = &spec.cwd {
            invocation = invocation.arg("--pwd").arg(cwd);
        }
        for (name, value) in &spec.env {
            // `--env` splits at commas; a variable with this prefix is taken as it is.
            let mut prefixed = OsString::from("APPTAINERENV_");
            prefixed.push(name);
            invocation = invocation.env(prefixed, value);
        }
        if let Some(limit) = spec.timeout {
            invocation = invocation.limit(limit);
        }
        Ok(invocation.arg(&self.image).args(spec.argv.iter().cloned()))
    }
}

impl Runtime for ApptainerRuntime {
    fn name(&self) -> String {
        self.version().unwrap_or_else(|_| "apptainer".into())
    }

    fn run(
        &self,
        spec: &RunSpec,
        on_line: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<RunOutput, RuntimeError> {
        let mut output = RunOutput::default();
        let mut take = |stream, line: &[u8]| {
            // Standard output comes as a whole at the end.
            if stream == Stream::Stderr {
                output.keep(stream, line);
                output.keep(stream, b"\n");
            }
            on_line(stream, line);
        };
        match self
            .programs
            .run(&self.invocation(spec)?, &mut take, &spec.cancel)
        {
            Ok(Finished {
                outcome, stdout, ..
            }) => {
                output.keep(Stream::Stdout, &stdout);
                output.status = match outcome {
                    Outcome::Code(code) => code,
                    Outcome::Signal(signal) => 128 + signal,
                };
                Ok(output)
            }
            Err(ProgramError::TimedOut { .. }) => {
                output.timed_out = true;
                output.status = 137;
                Ok(output)
            }
            Err(ProgramError::Cancelled { .. }) => Err(RuntimeError::Cancelled),
            Err(error) => Err(error.into()),
        }
    }
}

/// `HOST:INSIDE[:ro]`. The syntax has no way to write a colon or a comma.
fn bind_text(host: &Path, inside: &Path, access: Access) -> Result<OsString, RuntimeError> {
    for path in [host, inside] {
        let bytes = path.as_os_str().as_bytes();
        if bytes.iter().any(|byte| b":,\"\\".contains(byte)) {
            return Err(RuntimeError::Inexpressible {
                program: "apptainer",
                path: path.to_path_buf(),
            });
        }
    }
    let mut text = host.as_os_str().to_owned();
    text.push(OsStr::new(":"));
    text.push(inside);
    if access == Access::ReadOnly {
        text.push(":ro");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    //! The command line, and when privileges must be given up.

    use std::{path::Path, sync::Mutex};

    use nd_host::{Finished, Invocation, Outcome, ProgramError, Programs, Stream};
    use nd_report::Cancel;
    use nd_sandbox::Access;

    use super::{ApptainerOptions, ApptainerRuntime, bind_text, lacks_capabilities};
    use crate::{Bind, RunSpec, Runtime as _};

    /// Remembers what it was asked to run.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<Invocation>>);

    impl Programs for Recorder {
        fn find(&self, _: &str) -> Option<std::path::PathBuf> {
            None
        }

        fn run(
            &self,
            invocation: &Invocation,
            on_line: &mut dyn FnMut(Stream, &[u8]),
            _: &Cancel,
        ) -> Result<Finished, ProgramError> {
            self.0.lock().unwrap().push(invocation.clone());
            on_line(Stream::Stdout, b"out");
            on_line(Stream::Stderr, b"err");
            Ok(Finished {
                shown: invocation.shown(),
                outcome: Outcome::Signal(9),
                stdout: b"out\n".to_vec(),
                last_lines: Vec::new(),
            })
        }
    }

    #[test]
    fn a_command_becomes_a_command_line() {
        let recorder = std::sync::Arc::new(Recorder::default());
        let runtime = ApptainerRuntime::new(
            recorder.clone(),
            "/opt/apptainer",
            "/images/x.sif",
            ApptainerOptions::default(),
        );
        let mut spec = RunSpec::new(["sh", "-c", "echo $A"]);
        spec.env = vec![("A".into(), "b,c=d".into())];
        spec.cwd = Some("/work".into());
        spec.binds = vec![Bind {
            host: "/data".into(),
            inside: "/mnt/data".into(),
            access: Access::ReadOnly,
        }];
        let output = runtime.run(&spec, &mut |_, _| {}).unwrap();
        assert_eq!(output.status, 137);
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        let asked = recorder.0.lock().unwrap().pop().unwrap();
        assert_eq!(
            asked.shown(),
            "/opt/apptainer exec --cleanenv --bind /data:/mnt/data:ro --pwd /work /images/x.sif sh -c 'echo $A'"
        );
        let variables: Vec<_> = asked.variables().collect();
        assert_eq!(
            variables,
            [("APPTAINERENV_A".as_ref(), Some("b,c=d".as_ref()))]
        );
        assert!(bind_text(Path::new("/a:b"), Path::new("/c"), Access::ReadWrite).is_err());
    }

    #[test]
    fn only_an_incomplete_root_gives_privileges_up() {
        let status = |uid, mask| format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t{mask}\n");
        assert!(!lacks_capabilities(&status(0, "000001ffffffffff"), "40\n"));
        assert!(lacks_capabilities(&status(0, "000001fffeffffff"), "40\n"));
        assert!(!lacks_capabilities(
            &status(1000, "0000000000000000"),
            "40\n"
        ));
        assert!(!lacks_capabilities("", ""));
    }
}
