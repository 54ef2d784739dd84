//! From what was asked for to instructions without templates, which mean the same when they are
//! read again.

use indexmap::IndexMap;

use super::{Provenance, Refusal, RefusalKind, Registry, Spec, Step, call, refusal::nearest};
use crate::templates::quote;

/// Replaces template calls by what they expand to, and `bash` texts by commands; becomes root for
/// installations and returns.
pub(super) fn flatten(spec: &Spec, registry: &Registry) -> Result<Spec, Refusal> {
    let mut flat = Flat {
        spec,
        registry,
        steps: Vec::new(),
        templates: spec.templates.clone(),
        user: "root".to_owned(),
        stages: IndexMap::new(),
        stage: None,
    };
    for step in &spec.steps {
        flat.step(step)?;
    }
    Ok(Spec {
        manager: spec.manager,
        existing_users: spec.existing_users.clone(),
        steps: flat.steps,
        templates: flat.templates,
    })
}

struct Flat<'s> {
    spec: &'s Spec,
    registry: &'s Registry,
    steps: Vec<Step>,
    templates: Vec<Provenance>,
    user: String,
    /// Users that named stages ended with.
    stages: IndexMap<String, String>,
    stage: Option<String>,
}

impl Flat<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Refusal> {
        match step {
            Step::From { image, name } => {
                if let Some(stage) = self.stage.take() {
                    self.stages.insert(stage, self.user.clone());
                }
                let inherited = self.stages.get(image).cloned();
                self.user = inherited.unwrap_or_else(|| "root".to_owned());
                self.stage.clone_from(name);
                self.steps.push(step.clone());
            }
            Step::User(user) => {
                self.user.clone_from(user);
                self.steps.push(step.clone());
            }
            Step::Install { .. } => self.as_root(vec![step.clone()]),
            Step::RunBash(text) => self
                .steps
                .push(Step::Run(format!("bash -c {}", quote(text)))),
            Step::Call { name, arguments } => self.call(name, arguments)?,
            other => self.steps.push(other.clone()),
        }
        Ok(())
    }

    /// Runs steps as root, whoever is the user.
    fn as_root(&mut self, steps: Vec<Step>) {
        let root = ["root", "0"].contains(&self.user.split(':').next().unwrap_or_default());
        if root {
            self.steps.extend(steps);
            return;
        }
        self.steps.push(Step::User("root".to_owned()));
        self.steps.extend(steps);
        self.steps.push(Step::User(self.user.clone()));
    }

    fn call(&mut self, name: &str, arguments: &IndexMap<String, String>) -> Result<(), Refusal> {
        let template = self.registry.find(name).ok_or_else(|| {
            let message = format!("there is no template `{name}`");
            let refusal = Refusal::new(RefusalKind::UnknownTemplate, message);
            let names = self.registry.names();
            match nearest(name, names.iter().map(String::as_str), 2) {
                Some(near) => refusal.hint(format!("near to it: {near}")),
                None => refusal,
            }
        })?;
        let expanded = call::expand(&template, arguments, self.spec.manager, false)?;
        let index = self.steps.len();
        if !expanded.env.is_empty() {
            self.steps
                .push(Step::Env(expanded.env.into_iter().collect()));
        }
        if let Some(run) = expanded.run {
            self.as_root(vec![Step::Run(run.trim_end().to_owned())]);
        }
        let mut arguments = arguments.clone();
        arguments.shift_remove("method");
        self.templates.push(Provenance {
            index,
            count: self.steps.len() - index,
            name: template.key(),
            method: expanded.method,
            arguments,
            url: expanded.url,
            license: template.license.clone(),
            sha256: expanded.sha256,
            homepage: Some(template.url.clone()),
        });
        Ok(())
    }
}
