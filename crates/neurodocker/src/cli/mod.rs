//! The program: arguments, files, questions, exit status.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use nd_host::Environment;
use nd_report::Diagnostic;
use nd_terminal::{DiagnosticStyle, Failure, FailureKind, Sources, finish, render_diagnostics};
use owo_colors::OwoColorize as _;

use crate::generate::{Host, Settings, run};

/// The whole program.
pub fn main() -> ExitCode {
    #[cfg(feature = "minify")]
    if let Some(code) = crate::minify::cli::when_asked() {
        return code;
    }
    finish(program())
}

fn program() -> Result<(), Failure> {
    let mut arguments = Vec::new();
    for word in std::env::args_os().skip(1) {
        arguments.push(word.into_string().map_err(|word| {
            let message = format!("argument `{}` is no UTF-8", word.display());
            Failure::new(FailureKind::Usage, message)
        })?);
    }
    let environment = Environment::of_process()?;
    let settings = Settings {
        template_path: environment
            .text("REPROENV_TEMPLATE_PATH")
            .map(str::to_owned),
        ..Settings::default()
    };
    let outcome = run(&arguments, &settings, &mut Machine).map_err(|refused| {
        let kind = if refused.status == 2 {
            FailureKind::Usage
        } else {
            FailureKind::Failed
        };
        let mut failure = Failure::new(kind, refused.refusal.message);
        failure.hints = refused.refusal.hints;
        failure
    })?;
    for (path, text) in &outcome.files {
        if let Some(folder) = Path::new(path).parent() {
            fs_err::create_dir_all(folder)?;
        }
        nd_host::write_atomic(path.as_ref(), text.as_bytes())?;
    }
    io::stderr().write_all(outcome.stderr.as_bytes())?;
    let mut out = io::stdout().lock();
    out.write_all(outcome.stdout.as_bytes())?;
    out.flush()?;
    match outcome.status {
        0 => Ok(()),
        2 => Err(Failure::told(FailureKind::Usage)),
        _ => Err(Failure::told(FailureKind::Failed)),
    }
}

/// This machine's files, and whoever sits before it.
struct Machine;

/// Writes to standard error; when that is gone there is nobody left to tell.
fn say(text: &str) {
    let _ = write!(anstream::stderr(), "{text}");
}

impl Host for Machine {
    fn read(&mut self, path: &str) -> io::Result<Vec<u8>> {
        fs_err::read(path)
    }

    fn list(&mut self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            // A link that leads nowhere is told when it is read.
            if fs_err::metadata(entry.path()).map_or(true, |file| file.is_file())
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn input(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if io::stdin().is_terminal() {
            say("reading the specification from standard input\n");
        }
        io::stdin().lock().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn ask(&mut self, question: &str) -> Option<String> {
        say(question);
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        if !line.ends_with('\n') {
            say("\n");
        }
        matches!(read, Ok(1..)).then_some(line)
    }

    fn alert(&mut self, text: &str) {
        say(&format!("{}\n", text.yellow()));
    }

    fn note(&mut self, text: &str) {
        say(&format!("{} {text}\n", "note:".cyan()));
    }

    fn template_problems(&mut self, path: &str, bytes: &[u8], problems: &[Diagnostic]) {
        if problems.is_empty() {
            return;
        }
        let mut sources = Sources::new();
        let file = problems.iter().find_map(|problem| problem.labels.first());
        if let Some(label) = file {
            let text = String::from_utf8_lossy(bytes).into_owned();
            sources.insert(label.span.file, path, text);
        } else {
            self.note(&format!("template `{path}`:"));
        }
        let style = DiagnosticStyle::of_stdout();
        say(&render_diagnostics(problems, &sources, style));
    }
}
