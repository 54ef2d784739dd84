//! The build date, and the commit a recipe is at.

use std::path::Path;

use nd_host::{Clock, Environment, Invocation, Programs};
use nd_names::{BuildDate, NameError};

/// What is known of a recipe's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeState {
    /// The build date.
    pub date: BuildDate,
    /// The newest commit that touches the recipe, if what is on disk is what was committed.
    pub commit: Option<String>,
}

/// The date is `BUILDDATE`, else that of the newest commit that touches `folder` or what it
/// includes, else today's.
pub fn recipe_state(
    folder: &Path,
    includes: &[&Path],
    environment: &Environment,
    programs: &dyn Programs,
    clock: &dyn Clock,
) -> Result<RecipeState, NameError> {
    let newest = git(
        programs,
        folder,
        &["log", "-1", "--format=%H %ad", "--date=format:%Y%m%d", "--"],
        includes,
    );
    let (commit, committed) = match newest.as_deref().and_then(|text| text.split_once(' ')) {
        Some((commit, date)) => (Some(commit.to_owned()), date.parse::<BuildDate>().ok()),
        None => (None, None),
    };
    let clean = || {
        git(programs, folder, &["status", "--porcelain", "--"], includes)
            .is_some_and(|changes| changes.is_empty())
    };
    let date = match committed {
        Some(date) if environment.text("BUILDDATE").is_none() => date,
        _ => without_history(environment, clock)?.date,
    };
    Ok(RecipeState {
        date,
        commit: commit.filter(|_| clean()),
    })
}

/// As [`recipe_state`] where no commit is known: `BUILDDATE`, else today. Starts no program.
pub fn without_history(
    environment: &Environment,
    clock: &dyn Clock,
) -> Result<RecipeState, NameError> {
    let date = match environment.text("BUILDDATE") {
        Some(date) => date.parse()?,
        None => clock.today().strftime("%Y%m%d").to_string().parse()?,
    };
    Ok(RecipeState { date, commit: None })
}

/// What git says of these paths; `None` where there is no git or no repository.
fn git(
    programs: &dyn Programs,
    folder: &Path,
    words: &[&str],
    includes: &[&Path],
) -> Option<String> {
    let program = programs.find("git")?;
    let mut invocation = Invocation::new(program)
        .args(["-c", "core.fsmonitor=false", "--no-optional-locks"])
        .args(words)
        .arg(".")
        .directory(folder);
    for path in includes {
        invocation = invocation.arg(*path);
    }
    let finished = programs.check(&invocation).ok()?;
    Some(finished.text())
}

#[cfg(test)]
mod tests {
    use nd_host::{FixedClock, SystemPrograms};

    use super::*;

    #[test]
    fn the_variable_comes_before_the_commit_and_the_commit_before_today() {
        let folder = tempfile::tempdir().unwrap();
        let clock = FixedClock("2031-02-03T23:00:00Z".parse().unwrap());
        let programs = SystemPrograms::new(&Environment::of_process().unwrap());
        let state = |variables: &[(&str, &str)]| {
            let environment = Environment::new(variables.iter().copied(), "/");
            recipe_state(folder.path(), &[], &environment, &programs, &clock)
        };
        assert_eq!(state(&[("A", "b")]).unwrap().date.as_str(), "20310203");
        assert_eq!(
            state(&[("BUILDDATE", "20200101")]).unwrap().date.as_str(),
            "20200101"
        );
        assert!(state(&[("BUILDDATE", "tomorrow")]).is_err());
        let git = |words: &[&str]| {
            let mut command = Invocation::new("git").args(words).directory(folder.path());
            for (name, value) in [
                ("GIT_AUTHOR_DATE", "2029-05-06T01:00:00+1000"),
                ("GIT_AUTHOR_NAME", "A"),
                ("GIT_AUTHOR_EMAIL", "a@example.org"),
                ("GIT_COMMITTER_NAME", "A"),
                ("GIT_COMMITTER_EMAIL", "a@example.org"),
            ] {
                command = command.env(name, value);
            }
            programs.check(&command).is_ok()
        };
        if programs.find("git").is_none() {
            return;
        }
        fs_err::write(folder.path().join("build.yaml"), "name: x\n").unwrap();
        assert!(git(&["init", "-q"]) && git(&["add", "."]) && git(&["commit", "-qm", "x"]));
        let committed = state(&[("A", "b")]).unwrap();
        assert_eq!(committed.date.as_str(), "20290506");
        assert_eq!(committed.commit.unwrap().len(), 40);
        fs_err::write(folder.path().join("build.yaml"), "name: y\n").unwrap();
        assert_eq!(state(&[("A", "b")]).unwrap().commit, None);
    }
}
