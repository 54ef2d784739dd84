//! The command line of `neurodocker`: recipes, specifications, templates, and what is refused.

mod any_input;
mod apptainer;
mod bad_input;
mod docs;
mod program;
mod recipes;
mod specification;
mod templates;

use std::{collections::BTreeMap, io};

use nd_report::Diagnostic;
use neurodocker::generate::{Host, Outcome, Refused, Settings, run};

/// Files and answers of a test.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) input: String,
    pub(crate) told: Vec<String>,
}

impl Host for Memory {
    fn read(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let found = self.files.get(path).map(|text| text.clone().into_bytes());
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&mut self, folder: &str) -> io::Result<Vec<String>> {
        let folder = format!("{folder}/");
        let names: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&folder))
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(names)
    }

    fn input(&mut self) -> io::Result<Vec<u8>> {
        Ok(std::mem::take(&mut self.input).into_bytes())
    }

    fn ask(&mut self, question: &str) -> Option<String> {
        self.told.push(question.to_owned());
        (!self.input.is_empty()).then(|| std::mem::take(&mut self.input))
    }

    fn alert(&mut self, text: &str) {
        self.told.push(text.to_owned());
    }

    fn note(&mut self, text: &str) {
        self.told.push(text.to_owned());
    }

    fn template_problems(&mut self, path: &str, _: &[u8], problems: &[Diagnostic]) {
        for problem in problems {
            self.told.push(format!("{path}: {}", problem.message));
        }
    }
}

pub(crate) fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

/// Runs a command line.
pub(crate) fn call(host: &mut Memory, arguments: &[String]) -> Result<Outcome, Refused> {
    run(arguments, &Settings::default(), host)
}

/// Standard output of a command line that succeeds without any files.
pub(crate) fn output(arguments: &[&str]) -> String {
    let outcome = call(&mut Memory::default(), &words(arguments)).unwrap();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    outcome.stdout
}
