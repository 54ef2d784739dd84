//! Doing a step.

use nd_host::NodeKind;

use super::{Allowed, Machine, OWN, Progress, StepError, io_at, state::stamp};
use crate::server::{
    files::ConfigFile,
    step::{Action, CommandLine, State, Step, command},
};

impl Machine<'_> {
    pub(super) fn step(
        &self,
        step: &Step,
        allowed: &Allowed,
        each: &mut dyn FnMut(&Step, Progress),
    ) -> Result<(), StepError> {
        let missing = match self.state(step)? {
            State::Done => {
                each(step, Progress::Was);
                return Ok(());
            }
            State::Pending(why) => why,
            // Files can be had back; nothing else is ever replaced.
            State::Different(why) if allowed.replace && matches!(step.action, Action::File(_)) => {
                why
            }
            State::Different(why) => return Err(StepError::Refused(why)),
        };
        each(step, Progress::Doing(missing.clone()));
        match &step.action {
            Action::File(file) => self.write(file)?,
            Action::Directory { path, mode } => self.folder(path, *mode)?,
            Action::Link { at, to } => self.link(at, to)?,
            Action::Format { device } => self.format(device, allowed)?,
            Action::Answers { .. } => return Err(StepError::NotSo(missing)),
            Action::Program { run, .. } if run.is_empty() => return Err(StepError::NotSo(missing)),
            Action::Packages { .. } | Action::Program { .. } => self.run_all(&step.commands())?,
            Action::Service { name, reads, .. } => {
                // What it reads when it starts is what is there now, not what is there afterwards.
                let digest = self.digest(reads)?;
                self.run_all(&step.commands())?;
                if !reads.is_empty() {
                    self.put(&stamp(name), &digest, 0o644)?;
                }
            }
        }
        match self.state(step)? {
            State::Done => {
                each(step, Progress::Did);
                Ok(())
            }
            State::Pending(why) | State::Different(why) => Err(StepError::NotSo(why)),
        }
    }

    fn run_all(&self, commands: &[CommandLine]) -> Result<(), StepError> {
        for words in commands {
            self.run(words)?.success()?;
        }
        Ok(())
    }

    fn folder(&self, path: &str, mode: u32) -> Result<(), StepError> {
        let made = self.root.create_dir_all(path.as_bytes(), mode);
        made.map_err(io_at(path))
    }

    fn parent(&self, path: &str) -> Result<(), StepError> {
        match path.rsplit_once('/') {
            Some((folder, _)) if !folder.is_empty() => self.folder(folder, 0o755),
            _ => Ok(()),
        }
    }

    pub(super) fn put(&self, path: &str, text: &str, mode: u32) -> Result<(), StepError> {
        self.parent(path)?;
        let put = self.root.replace(path.as_bytes(), text.as_bytes(), mode);
        put.map_err(io_at(path))
    }

    /// Writes a file in one step; what somebody else wrote there is kept for whoever wants it back.
    fn write(&self, file: &ConfigFile) -> Result<(), StepError> {
        let now = self.text(&file.path)?;
        if let Some(text) = &now
            && !self.is_ours(&file.path, text)?
        {
            // Not beside the file: many folders of configuration read everything that is in them.
            self.put(&format!("{OWN}/replaced{}", file.path), text, 0o600)?;
        }
        let new = file.content.over(now.as_deref());
        self.remember(&file.path, now.as_deref(), &new)?;
        self.put(&file.path, &new, file.mode)
    }

    /// Writes a file in one step, over what it holds now.
    pub fn put_file(&self, file: &ConfigFile) -> Result<(), StepError> {
        let now = self.text(&file.path)?;
        self.put(&file.path, &file.content.over(now.as_deref()), file.mode)
    }

    /// Moves a folder and leaves a symlink. A kill in between leaves the whole of it at one of the
    /// three places, from where the next call goes on: it is copied under another name, the original
    /// steps aside and stays, and the copy gets its name.
    fn link(&self, at: &str, to: &str) -> Result<(), StepError> {
        let (part, aside) = (format!("{to}.part"), format!("{at}.moved"));
        match self.kind(at, false)? {
            Some(NodeKind::Directory) => {
                let names = self.root.names(at.as_bytes()).map_err(io_at(at))?;
                if names.is_empty() {
                    self.root.remove(at.as_bytes()).map_err(io_at(at))?;
                } else {
                    self.parent(to)?;
                    self.run_all(&[
                        command(["rm", "--recursive", "--force", &part]),
                        command(["cp", "--archive", "--no-target-directory", at, &part]),
                    ])?;
                    self.rename(at, &aside)?;
                }
            }
            Some(_) => {}
            None => self.parent(at)?,
        }
        let whole = self.kind(&aside, false)?.is_some() && self.kind(&part, false)?.is_some();
        if whole && self.kind(to, false)?.is_none() {
            self.rename(&part, to)?;
        }
        self.folder(to, 0o755)?;
        if self.kind(at, false)?.is_none() {
            let linked = self.root.symlink(to.as_bytes(), at.as_bytes());
            linked.map_err(io_at(at))?;
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StepError> {
        let renamed = self.root.rename(from.as_bytes(), to.as_bytes());
        renamed.map_err(io_at(from))
    }
}
