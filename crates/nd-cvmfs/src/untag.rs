//! Removing tags.

use crate::{
    name::TagName,
    publish::{AtomicCounts, Begin, Head, PublishError, load_reflog},
};

/// Removes the tags of these names, and gives those that were there. The revision stays the one it is;
/// what only they kept goes with the next collection.
pub fn untag(begin: Begin<'_>, names: &[TagName]) -> Result<Vec<TagName>, PublishError> {
    let head = Head::take(begin)?;
    let repository = head.repository()?;
    let Some(mut history) = repository.history()? else {
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    for name in names {
        if history.remove(name.as_str())? {
            removed.push(name.clone());
        }
    }
    if !removed.is_empty() {
        let log = load_reflog(&repository)?;
        let counts = AtomicCounts::default();
        let manifest = repository.manifest().clone();
        let switch = head.switch(&counts)?;
        switch.run(manifest, Some(&mut history), log)?;
    }
    Ok(removed)
}
