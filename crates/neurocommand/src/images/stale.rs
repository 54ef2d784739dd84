//! Images of a store that nobody publishes any more.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use nd_fetch::s3::Listed;

use crate::{
    catalogue::{Release, shrinks},
    json::Node,
};

/// What ends the key of an image.
const IMAGE: &str = ".simg";
/// What ends the key of the digest of an image.
pub(super) const DIGEST: &str = ".simg.sha256";

/// What may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleOptions {
    /// Now.
    pub now: Timestamp,
    /// How long an image stays after it was written, whether anybody publishes it or not.
    pub retention: Duration,
    /// How many images go in one run.
    pub at_most: usize,
}

/// What would go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StalePlan {
    /// Objects to remove, the oldest first; with an image its digest.
    pub remove: Vec<String>,
    /// How many images that is.
    pub images: usize,
    /// Images that would go as well, if there were no ceiling.
    pub later: usize,
    /// Images that stay because nobody can say how old they are.
    pub undated: Vec<String>,
    /// Images that stay because the repository does not have their containers: they would be lost.
    pub waiting: Vec<String>,
    /// Images in the store.
    pub all: usize,
}

/// So many images would go that the list of what is published is more likely to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// Nothing is published.
    #[error("nothing is published, so that every image would be stale")]
    Everything,
    /// More than a tenth.
    #[error("{stale} of {all} images are stale, which is more than a tenth")]
    Tenth {
        /// How many would go, at last.
        stale: usize,
        /// How many there are.
        all: usize,
    },
}

impl StalePlan {
    /// Compares what a store has with the keys that are `expected`. Keys are whole paths: what is in a
    /// folder is never expected. `kept` are the containers of a repository when there is one: an image
    /// goes only when its container stays there.
    pub fn new(
        objects: &[Listed],
        expected: &BTreeSet<String>,
        kept: Option<&BTreeSet<String>>,
        options: &StaleOptions,
    ) -> Self {
        let mut plan = Self::default();
        let mut old = Vec::new();
        for object in objects.iter().filter(|object| object.key.ends_with(IMAGE)) {
            plan.all += 1;
            if expected.contains(&object.key) {
                continue;
            }
            match object.modified {
                None => plan.undated.push(object.key.clone()),
                Some(time) if !is_older(time, options) => {}
                Some(_) if kept.is_some_and(|kept| !kept.contains(stem_of(&object.key))) => {
                    plan.waiting.push(object.key.clone());
                }
                Some(time) => old.push((time, &object.key)),
            }
        }
        old.sort();
        plan.images = old.len().min(options.at_most);
        plan.later = old.len() - plan.images;
        let keys: BTreeSet<&str> = objects.iter().map(|object| object.key.as_str()).collect();
        for (_, key) in old.into_iter().take(options.at_most) {
            plan.remove.push(key.clone());
            let stem = key.strip_suffix(IMAGE).unwrap_or(key);
            let digest = format!("{stem}{DIGEST}");
            if keys.contains(digest.as_str()) {
                plan.remove.push(digest);
            }
        }
        plan
    }

    /// Refuses a plan that would take away more than a wrong list should be able to.
    ///
    /// # Errors
    ///
    /// [`TooMuch`].
    pub fn check(&self, expected: &BTreeSet<String>) -> Result<(), TooMuch> {
        let stale = self.images + self.later;
        if expected.is_empty() && stale > 0 {
            return Err(TooMuch::Everything);
        }
        if shrinks(self.all, self.all - stale) {
            return Err(TooMuch::Tenth {
                stale,
                all: self.all,
            });
        }
        Ok(())
    }
}

/// The container of an image by its key.
fn stem_of(key: &str) -> &str {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    name.strip_suffix(IMAGE).unwrap_or(name)
}

fn is_older(time: Timestamp, options: &StaleOptions) -> bool {
    let age = options.now.duration_since(time);
    Duration::try_from(age).is_ok_and(|age| age > options.retention)
}

/// The keys of the images of a release record: `IMAGE_DATE.simg` of each application, where IMAGE is its
/// `image`, else `CONTAINER_STEM`. `None` when the record does not say what it publishes.
pub fn expected_of_release(release: &Release) -> Option<Vec<String>> {
    let apps = release.document.get("apps").and_then(Node::members)?;
    let keys = apps.values().map(|member| {
        let date = member.node.get("version")?.as_text()?;
        let date: nd_names::BuildDate = date.parse().ok()?;
        let image = match member.node.get("image") {
            None => format!("{}_{}", release.container, release.stem),
            Some(image) => image.as_text().filter(|image| is_plain(image))?.to_owned(),
        };
        Some(format!("{image}_{date}{IMAGE}"))
    });
    let keys: Vec<String> = keys.collect::<Option<_>>()?;
    Some(keys).filter(|keys| !keys.is_empty())
}

fn is_plain(image: &str) -> bool {
    !image.is_empty()
        && image.trim() == image
        && !image.contains(['/', '\\'])
        && !image.ends_with(IMAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn options(at_most: usize) -> StaleOptions {
        StaleOptions {
            now: "2026-03-01T00:00:00Z".parse().unwrap(),
            retention: 30 * DAY,
            at_most,
        }
    }

    fn object(key: &str, modified: &str) -> Listed {
        Listed {
            key: key.to_owned(),
            bytes: 1,
            modified: modified.parse().ok(),
        }
    }

    fn expected(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn what_nobody_publishes_goes_when_it_is_old_the_oldest_first_and_not_too_much_at_once() {
        let objects = [
            object("a_1_20240101.simg", "2024-01-01T00:00:00Z"),
            object("b_1_20240101.simg", "2024-01-02T00:00:00Z"),
            object("b_1_20240101.simg.sha256", "2024-01-02T00:00:00Z"),
            object("c_1_20240101.simg", "2024-01-01T00:00:00+02:00"),
            object("new_1_20260225.simg", "2026-02-25T00:00:00Z"),
            object("odd_1_20240101.simg", "yesterday"),
            object("temporary/a_1_20240101.simg", "2024-01-03T00:00:00Z"),
            object("README.md", "2020-01-01T00:00:00Z"),
        ];
        let wanted = expected(&["a_1_20240101.simg"]);
        let plan = StalePlan::new(&objects, &wanted, None, &options(2));
        assert_eq!(
            plan.remove,
            [
                "c_1_20240101.simg",
                "b_1_20240101.simg",
                "b_1_20240101.simg.sha256"
            ]
        );
        assert_eq!((plan.images, plan.later, plan.all), (2, 1, 6));
        assert_eq!(plan.undated, ["odd_1_20240101.simg"]);
        assert_eq!(
            plan.check(&wanted),
            Err(TooMuch::Tenth { stale: 3, all: 6 })
        );
        assert_eq!(plan.check(&expected(&[])), Err(TooMuch::Everything));
        assert_eq!(
            StalePlan::new(&objects[..1], &wanted, None, &options(2)).check(&wanted),
            Ok(())
        );
        // What no repository has would be lost.
        let kept = expected(&["b_1_20240101", "a_1_20240101"]);
        let plan = StalePlan::new(&objects, &wanted, Some(&kept), &options(5));
        assert_eq!(
            plan.remove,
            [
                "b_1_20240101.simg",
                "b_1_20240101.simg.sha256",
                "temporary/a_1_20240101.simg"
            ]
        );
        assert_eq!(plan.waiting, ["c_1_20240101.simg"]);
    }
}
