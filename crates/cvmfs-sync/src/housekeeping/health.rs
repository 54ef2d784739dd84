//! How a repository and its reconciler are, for people and for Prometheus.

use std::fmt::Write as _;

use jiff::Timestamp;
use nd_cvmfs::{ReadError, Repository, Source};
use serde::Serialize;

use crate::{
    publisher::{Publisher, PublisherError, Transaction},
    sync::{Memory, StoppedRun},
};

/// How a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The revision that users see.
    pub revision: u64,
    /// When it was published, in seconds since 1970, where that is known.
    pub published: Option<i64>,
    /// Hours for which the whitelist is still good, where there is one.
    pub whitelist_hours: Option<i64>,
    /// What changes it right now.
    pub transaction: Option<String>,
    /// Containers that fail, with the reason.
    pub failed: Vec<(String, String)>,
    /// When everything was last as the catalogue has it, in seconds since 1970.
    pub complete: Option<i64>,
    /// When a run last ended, in seconds since 1970.
    pub ended: Option<i64>,
    /// What ended the last run early, if anything did.
    pub stopped: Option<StoppedRun>,
}

/// From when on something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// The whitelist is good for fewer hours.
    pub whitelist_hours: i64,
    /// So many hours have passed since everything was as the catalogue has it.
    pub complete_hours: i64,
    /// More containers fail.
    pub failed: usize,
}

impl Default for Thresholds {
    /// Two days, one day, none.
    fn default() -> Self {
        Self {
            whitelist_hours: 48,
            complete_hours: 24,
            failed: 0,
        }
    }
}

impl Health {
    /// Looks at a repository through its publisher, and at what its reconciler remembers.
    pub fn look(
        publisher: &mut dyn Publisher,
        memory: &Memory,
        now: Timestamp,
    ) -> Result<Self, PublisherError> {
        let state = publisher.state()?;
        let (published, whitelist_hours) = match publisher.source() {
            None => (None, None),
            Some(source) => signatures(source, now).map_err(PublisherError::Manifest)?,
        };
        Ok(Self {
            revision: state.revision,
            published,
            whitelist_hours,
            transaction: match state.transaction {
                Transaction::None => None,
                Transaction::Ours => Some("an interrupted run of this program".to_owned()),
                Transaction::Foreign(what) => Some(what),
            },
            failed: memory
                .failed
                .iter()
                .map(|(image, failed)| (image.clone(), failed.reason.clone()))
                .collect(),
            complete: memory.complete,
            ended: memory.ended,
            stopped: memory.stopped.clone(),
        })
    }

    /// What is wrong.
    pub fn problems(&self, now: Timestamp, limits: &Thresholds) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(hours) = self.whitelist_hours
            && hours < limits.whitelist_hours
        {
            problems.push(format!("the whitelist is good for {hours} hours more"));
        }
        if self.failed.len() > limits.failed {
            problems.push(format!("{} containers fail", self.failed.len()));
        }
        if let Some(stopped) = &self.stopped {
            problems.push(format!("the last run ended early: {}", stopped.reason));
        }
        match self.complete.map(|then| (now.as_second() - then) / 3600) {
            None => problems.push("no run was complete yet".to_owned()),
            Some(hours) if hours >= limits.complete_hours => {
                problems.push(format!("the last complete run was {hours} hours ago"));
            }
            Some(_) => {}
        }
        problems
    }

    /// The same as metrics, in the text format of Prometheus.
    pub fn prometheus(&self, repository: &str) -> String {
        let mut out = String::new();
        let label = format!("{{repository=\"{repository}\"}}");
        let mut gauge = |name: &str, help: &str, value: Option<i64>| {
            if let Some(value) = value {
                let name = format!("cvmfs_sync_{name}");
                let _ = writeln!(
                    out,
                    "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{label} {value}"
                );
            }
        };
        let count = |number: usize| Some(i64::try_from(number).unwrap_or(i64::MAX));
        let revision = i64::try_from(self.revision).ok();
        gauge("revision", "Revision that users see.", revision);
        gauge(
            "published_timestamp_seconds",
            "When it was published.",
            self.published,
        );
        gauge(
            "whitelist_seconds",
            "How long the whitelist is still good.",
            self.whitelist_hours.map(|hours| hours * 3600),
        );
        gauge(
            "transaction_open",
            "Whether a change is under way.",
            Some(i64::from(self.transaction.is_some())),
        );
        gauge(
            "failed_containers",
            "Containers that cannot be published.",
            count(self.failed.len()),
        );
        gauge(
            "complete_timestamp_seconds",
            "When everything was last as the catalogue has it.",
            self.complete,
        );
        gauge(
            "run_timestamp_seconds",
            "When a run last ended.",
            self.ended,
        );
        gauge(
            "run_stopped",
            "Whether the last run ended early.",
            Some(i64::from(self.stopped.is_some())),
        );
        out
    }
}

/// When a repository was published, and for how many hours its whitelist is good.
fn signatures(
    source: &dyn Source,
    now: Timestamp,
) -> Result<(Option<i64>, Option<i64>), ReadError> {
    let repository = Repository::open(source)?;
    // Only the date counts here; `verify` proves the rest.
    let (list, _) = repository.check_trust(&[], None, now)?;
    let hours = list.map(|list| list.hours_left(now));
    Ok((repository.manifest().timestamp, hours))
}

#[cfg(test)]
mod tests {
    //! Thresholds and metrics.

    use super::*;

    #[test]
    fn thresholds_and_metrics_say_the_same() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let mut health = Health {
            revision: 7,
            published: None,
            whitelist_hours: Some(47),
            transaction: None,
            failed: vec![("a_1_20240101".into(), "no source".into())],
            complete: Some(1_700_000_000 - 25 * 3600),
            ended: None,
            stopped: Some(StoppedRun {
                reason: "no space is left".into(),
                at: 1_700_000_000,
            }),
        };
        assert_eq!(health.problems(now, &Thresholds::default()).len(), 4);
        let text = health.prometheus("x.org");
        assert!(
            text.contains("\ncvmfs_sync_revision{repository=\"x.org\"} 7\n"),
            "{text}"
        );
        assert!(text.contains("cvmfs_sync_whitelist_seconds{repository=\"x.org\"} 169200\n"));
        assert!(!text.contains("published_timestamp"));
        health.whitelist_hours = Some(48);
        assert!(text.contains("cvmfs_sync_run_stopped{repository=\"x.org\"} 1\n"));
        health.failed.clear();
        health.stopped = None;
        health.complete = Some(1_700_000_000);
        assert_eq!(health.problems(now, &Thresholds::default()), [""; 0]);
    }
}
