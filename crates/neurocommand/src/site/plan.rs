//! What has to change so that a site is as a lock says.

use super::{Pinned, SiteLock};

/// Changes that make a site equal to a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncPlan {
    /// Containers to install, also those that are there in another form.
    pub install: Vec<Pinned>,
    /// Containers to remove: those that the lock does not name. A build that another one of its
    /// version replaces is among [`Self::replaced`] instead.
    pub remove: Vec<Pinned>,
    /// Containers that installing replaces.
    pub replaced: Vec<Pinned>,
}

impl SyncPlan {
    /// The changes from `there` to `wanted`.
    pub fn new(wanted: &SiteLock, there: &SiteLock) -> Self {
        let same_module = |a: &Pinned, b: &Pinned| (&a.name, &a.version) == (&b.name, &b.version);
        let mut plan = Self::default();
        for pinned in wanted.containers() {
            if !there.containers().iter().any(|one| pinned.is_met_by(one)) {
                plan.install.push(pinned.clone());
            }
        }
        for one in there.containers() {
            if plan.install.iter().any(|new| same_module(new, one)) {
                plan.replaced.push(one.clone());
            } else if !wanted
                .containers()
                .iter()
                .any(|pinned| pinned.is_met_by(one))
            {
                plan.remove.push(one.clone());
            }
        }
        plan
    }

    /// Whether nothing has to change.
    pub fn is_empty(&self) -> bool {
        self.install.is_empty() && self.remove.is_empty()
    }

    /// Containers whose images would be gone afterwards.
    pub fn leaving(&self) -> impl Iterator<Item = &Pinned> {
        self.remove.iter().chain(&self.replaced)
    }

    /// The plan as lines, `+` for what comes and `-` for what goes.
    pub fn lines(&self) -> String {
        let comes = self.install.iter().map(|one| ('+', one.image()));
        let goes = self.leaving().map(|one| ('-', one.image()));
        let lines: Vec<String> = goes
            .chain(comes)
            .map(|(sign, image)| format!("{sign} {image}"))
            .collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lock(containers: &[(&str, &str)]) -> SiteLock {
        let entry = |(name, date): &(&str, &str)| {
            format!("[[container]]\nname = \"{name}\"\nversion = \"1\"\ndate = \"{date}\"\n")
        };
        let entries: Vec<String> = containers.iter().map(entry).collect();
        SiteLock::parse(&format!("version = 1\n{}", entries.concat())).unwrap()
    }

    #[test]
    fn a_new_build_replaces_and_what_is_not_named_goes() {
        let wanted = lock(&[("a", "20240102"), ("b", "20240101")]);
        let there = lock(&[("a", "20240101"), ("b", "20240101"), ("c", "20240101")]);
        let plan = SyncPlan::new(&wanted, &there);
        assert_eq!(
            plan.lines(),
            "- c_1_20240101\n- a_1_20240101\n+ a_1_20240102"
        );
        assert!(!plan.is_empty());
    }

    fn any_lock() -> impl Strategy<Value = SiteLock> {
        let one = (
            prop::sample::select(vec!["a", "b", "c", "d"]),
            prop::sample::select(vec!["20240101", "20240102"]),
        );
        prop::collection::btree_map(one.0, one.1, 0..4).prop_map(|entries| {
            let entries: Vec<_> = entries.into_iter().collect();
            lock(&entries)
        })
    }

    proptest! {
        #[test]
        fn what_a_plan_leads_to_needs_no_plan(wanted in any_lock(), there in any_lock()) {
            let plan = SyncPlan::new(&wanted, &there);
            let gone: Vec<_> = plan.leaving().map(Pinned::image).collect();
            let mut after: Vec<_> = there.containers().iter().map(Pinned::image).filter(|one| !gone.contains(one)).collect();
            after.extend(plan.install.iter().map(Pinned::image));
            after.sort();
            let names: Vec<_> = wanted.containers().iter().map(Pinned::image).collect();
            prop_assert_eq!(after, names);
            prop_assert!(SyncPlan::new(&wanted, &wanted).is_empty());
        }
    }
}
