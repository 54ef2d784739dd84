//! How a repository and its reconciler are, for people and for Prometheus.

use std::fmt::Write as _;

use jiff::Timestamp;
use nd_cvmfs::Repository;
use serde::Serialize;

use super::{ServerLag, lag_of};
use crate::{
    Place,
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
    /// How far copies are behind.
    pub servers: Vec<ServerLag>,
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
    /// A copy is more revisions behind.
    pub behind: u64,
}

impl Default for Thresholds {
    /// Two days, one day, none, none.
    fn default() -> Self {
        Self {
            whitelist_hours: 48,
            complete_hours: 24,
            failed: 0,
            behind: 0,
        }
    }
}

impl Health {
    /// Looks at a repository through its publisher, at what its reconciler remembers, and at `copies`,
    /// which are compared where the publisher writes a repository and not proven.
    pub fn look(
        publisher: &mut dyn Publisher,
        memory: &Memory,
        copies: &[Place],
        now: Timestamp,
    ) -> Result<Self, PublisherError> {
        let state = publisher.state()?;
        let (mut published, mut whitelist_hours, mut servers) = (None, None, Vec::new());
        if let Some(source) = publisher.source() {
            let repository = Repository::open(source).map_err(PublisherError::Manifest)?;
            // Only the date counts here; `verify` proves the rest.
            let trust = repository.check_trust(&[], None, now);
            let (list, _) = trust.map_err(|error| PublisherError::Manifest(error.into()))?;
            whitelist_hours = list.map(|list| list.hours_left(now));
            let manifest = repository.manifest();
            published = manifest.timestamp;
            let lag = |copy: &Place| lag_of(manifest, copy.source(), &[], now);
            servers = copies.iter().map(lag).collect();
        }
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
            servers,
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
        for lag in &self.servers {
            let server = &lag.server;
            if let Some(problem) = &lag.problem {
                problems.push(format!("{server}: {problem}"));
            } else if lag.behind > limits.behind {
                problems.push(format!("{server} is {} revisions behind", lag.behind));
            }
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
        let mut of_servers = |name: &str, help: &str, value: &dyn Fn(&ServerLag) -> Option<u64>| {
            for (at, lag) in self.servers.iter().enumerate() {
                let name = format!("cvmfs_sync_{name}");
                if at == 0 {
                    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
                }
                if let Some(value) = value(lag) {
                    let server = lag.server.replace('\\', "\\\\").replace('"', "\\\"");
                    let _ = writeln!(
                        out,
                        "{name}{{repository=\"{repository}\",server=\"{server}\"}} {value}"
                    );
                }
            }
        };
        of_servers(
            "server_good",
            "Whether a copy can be read and has this repository.",
            &|lag| Some(u64::from(lag.problem.is_none())),
        );
        of_servers(
            "server_behind",
            "Revisions that a copy is behind.",
            &|lag| lag.revision.map(|_| lag.behind),
        );
        out
    }
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
            servers: [(Some(5), 2, None), (None, 0, Some("gone".to_owned()))]
                .map(|(revision, behind, problem)| ServerLag {
                    server: "http://\"one\"".into(),
                    revision,
                    behind,
                    seconds: 0,
                    problem,
                })
                .into(),
        };
        assert_eq!(health.problems(now, &Thresholds::default()).len(), 6);
        let patient = Thresholds {
            behind: 2,
            ..Thresholds::default()
        };
        assert_eq!(health.problems(now, &patient).len(), 5);
        let text = health.prometheus("x.org");
        assert!(
            text.contains("\ncvmfs_sync_revision{repository=\"x.org\"} 7\n"),
            "{text}"
        );
        assert!(text.contains("cvmfs_sync_whitelist_seconds{repository=\"x.org\"} 169200\n"));
        assert!(!text.contains("published_timestamp"));
        health.whitelist_hours = Some(48);
        assert!(text.contains("cvmfs_sync_run_stopped{repository=\"x.org\"} 1\n"));
        let behind = "server_behind{repository=\"x.org\",server=\"http://\\\"one\\\"\"} 2\n";
        assert!(text.contains(behind), "{text}");
        assert_eq!(text.matches("cvmfs_sync_server_behind{").count(), 1);
        assert_eq!(text.matches("cvmfs_sync_server_good{").count(), 2);
        health.servers.clear();
        health.failed.clear();
        health.stopped = None;
        health.complete = Some(1_700_000_000);
        assert_eq!(health.problems(now, &Thresholds::default()), [""; 0]);
    }
}
