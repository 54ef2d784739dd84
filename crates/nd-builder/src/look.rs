//! Finding a step of a plan, the plan up to it, and what it works with.

use crate::plan::{Action, BuildPlan, PlannedStage, Step};

/// Why a text names no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepSearchError {
    /// There are no steps at all.
    #[error("the container has no steps")]
    NoSteps,
    /// None fits.
    #[error(
        "no step is `{text}`: expected a number up to {count}, `FILE:LINE`, `:LINE` or the start of a title"
    )]
    NotFound {
        /// What was asked for.
        text: String,
        /// How many steps there are.
        count: usize,
    },
    /// Several fit.
    #[error("`{text}` is the start of {} titles: {}", titles.len(), titles.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Number and title of each.
        titles: Vec<String>,
    },
}

/// What a program at some place in a build works with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// Its working directory, absolute.
    pub cwd: String,
    /// `user[:group]`; root when absent.
    pub user: Option<String>,
}

impl BuildPlan {
    /// The steps that make the image, in order.
    pub fn steps(&self) -> &[Step] {
        self.stages.last().map_or(&[], |stage| &stage.steps)
    }

    /// The place of a step in [`Self::steps`] by what a person calls it: its number from 1, the line
    /// of the recipe (`FILE:LINE`, where the file's last parts are enough, or `:LINE` in the file
    /// that most steps are from), or the start of its title. A line inside an instruction means that
    /// instruction, and one that makes several steps means the last of them.
    pub fn find_step(&self, text: &str) -> Result<usize, StepSearchError> {
        let steps = self.steps();
        if steps.is_empty() {
            return Err(StepSearchError::NoSteps);
        }
        let not_found = || StepSearchError::NotFound {
            text: text.to_owned(),
            count: steps.len(),
        };
        if let Ok(number) = text.parse::<usize>() {
            return number
                .checked_sub(1)
                .filter(|place| *place < steps.len())
                .ok_or_else(not_found);
        }
        if let Some((file, line)) = text.rsplit_once(':')
            && let Ok(line) = line.parse::<u32>()
        {
            return of_line(steps, file, line).ok_or_else(not_found);
        }
        let fits = |step: &&(usize, &Step)| step.1.title.starts_with(text);
        let all: Vec<_> = steps.iter().enumerate().collect();
        let found: Vec<_> = all.iter().filter(fits).collect();
        match found[..] {
            [] => Err(not_found()),
            [(place, _)] => Ok(*place),
            _ => Err(StepSearchError::Ambiguous {
                text: text.to_owned(),
                titles: found
                    .iter()
                    .map(|(place, step)| format!("{} `{}`", place + 1, step.title))
                    .collect(),
            }),
        }
    }

    /// The plan that ends with the step at `place`. Its configuration is not that of the whole image
    /// and of no use but to look in.
    #[must_use]
    pub fn until(&self, place: usize) -> Self {
        let mut plan = self.clone();
        if let Some(PlannedStage { steps, .. }) = plan.stages.last_mut() {
            steps.truncate(place + 1);
        }
        plan
    }

    /// What the step at `place` works with: that of the last script up to it, or of the next one when
    /// there is none before.
    pub fn surroundings(&self, place: usize) -> Option<Surroundings> {
        let steps = self.steps();
        let (before, after) = steps.split_at((place + 1).min(steps.len()));
        let mut runs = before.iter().rev().chain(after);
        runs.find_map(|step| match &step.action {
            Action::Run(run) => Some(Surroundings {
                env: run.env.clone(),
                cwd: run.cwd.clone(),
                user: run.user.clone(),
            }),
            _ => None,
        })
    }
}

fn of_line(steps: &[Step], file: &str, line: u32) -> Option<usize> {
    let origins: Vec<_> = steps.iter().map(|step| step.origin.as_ref()).collect();
    let main = || {
        let files = origins.iter().flatten().map(|origin| origin.file.as_str());
        let count = |file: &str| {
            let same = origins.iter().flatten().filter(|o| o.file == file);
            same.count()
        };
        // The first of those with most steps.
        files.rev().max_by_key(|file| count(file))
    };
    let is = |name: &str| match file {
        "" => Some(name) == main(),
        file => name == file || name.strip_suffix(file).is_some_and(|p| p.ends_with('/')),
    };
    let before = origins.iter().enumerate().filter_map(|(place, origin)| {
        let origin = (*origin)?;
        (is(&origin.file) && origin.line <= line).then_some((origin.line, place))
    });
    before.max().map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use nd_instructions::Origin;
    use nd_names::Architecture;

    use super::*;
    use crate::plan::{ImageState, PlannedBase, StepKey};

    fn plan() -> BuildPlan {
        let step = |(title, file, line): (&str, &str, u32)| Step {
            key: StepKey::of_base(&[], Architecture::X86_64, "range", 0),
            action: Action::Directory { path: title.into() },
            title: title.into(),
            origin: (line > 0).then(|| Origin {
                file: file.into(),
                line,
                span: None,
            }),
        };
        let steps = [
            ("install base", "", 0),
            ("run a", "recipes/x/build.yaml", 10),
            ("run b", "recipes/x/build.yaml", 10),
            ("run macro", "recipes/macros/m.yaml", 3),
            ("copy to /c", "recipes/x/build.yaml", 20),
        ];
        BuildPlan {
            schema: 1,
            platform: Architecture::X86_64,
            ids: "range".into(),
            epoch: 0,
            stages: vec![PlannedStage {
                name: None,
                base: PlannedBase::Scratch,
                steps: steps.into_iter().map(step).collect(),
                result: ImageState::default(),
            }],
        }
    }

    #[test]
    fn steps_are_found_by_what_people_call_them() {
        let plan = plan();
        for (text, wanted) in [
            ("1", 0),
            ("5", 4),
            ("build.yaml:10", 2),
            ("x/build.yaml:15", 2),
            (":20", 4),
            (":19", 2),
            (":999", 4),
            ("m.yaml:3", 3),
            ("copy", 4),
            ("run m", 3),
        ] {
            assert_eq!(plan.find_step(text), Ok(wanted), "{text}");
        }
        for text in ["0", "6", ":9", "uild.yaml:10", "other.yaml:10", "walk"] {
            let error = plan.find_step(text).unwrap_err();
            assert!(
                matches!(error, StepSearchError::NotFound { .. }),
                "{text}: {error}"
            );
        }
        let error = plan.find_step("run").unwrap_err().to_string();
        assert!(
            error.contains("2 `run a`") && error.contains("4 `run macro`"),
            "{error}"
        );
        assert_eq!(plan.until(1).steps().len(), 2);
    }
}
