//! A lock from what was built, and what was built against a lock.

use nd_builder::{Built, ImageLayer, StepResult};
use nd_names::Sha256;
use neurocontainers_recipe::lock::{
    Change, LockedArchive, LockedBase, LockedContainer, LockedPackage, LockedStep, LockedUrl,
    changes,
};
use neurocontainers_recipe::resolved::FileSource;

use super::{
    LockProblem,
    archives::{Archives, Which},
    installed::{Debs, Installed, installed},
};
use crate::{
    base::BaseKind,
    downloads::{Downloads, README},
    pipeline::{PipelineError, Planned, Prepared, Workshop},
};

/// A lock that was made.
#[derive(Debug)]
pub struct Locking {
    /// The lock.
    pub locked: LockedContainer,
    /// Packages that the archives have in other versions only: what was built is older than they
    /// are now. One line each.
    pub stale: Vec<String>,
}

/// Asks the archives for their present state and writes down what was built.
pub fn make(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    planned: &Planned,
    built: &Built,
) -> Result<Locking, PipelineError> {
    let architecture = prepared.compiled.identity.architecture;
    // Without a database there is no use for an archive.
    let uses_apt = has_debs(workshop, planned, built)?;
    let archives = if uses_apt {
        Archives::ask(workshop, &planned.archives.public, architecture)?
    } else {
        Archives::default()
    };
    let locked = describe(workshop, prepared, planned, built, &archives)?;
    let mut stale: Vec<String> = locked
        .debs()
        .filter(|package| archives.is_stale(package))
        .map(ToString::to_string)
        .collect();
    if let (BaseKind::Bootstrap { archive_state, .. }, Some(state)) =
        (&planned.base.origin.how, archives.state)
        && *archive_state != state.oci()
    {
        stale.push(format!("the base {}", planned.base.origin.describe()));
    }
    Ok(Locking { locked, stale })
}

/// What differs between a lock and what was built from it.
pub fn compare(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    planned: &Planned,
    built: &Built,
    lock: &LockedContainer,
) -> Result<Vec<Change>, PipelineError> {
    let archives = Archives::locked(&lock.archives, lock.debs());
    let found = describe(workshop, prepared, planned, built, &archives)?;
    Ok(changes(lock, &found))
}

/// What differs between a lock and what a recipe asks for, before anything is done.
pub fn check_plan(prepared: &Prepared, lock: &LockedContainer) -> Vec<Change> {
    let mut out = Vec::new();
    let compiled = &prepared.compiled;
    let mut asked: Vec<(&str, String, Option<Sha256>)> = Vec::new();
    for file in &compiled.staging.files {
        if let FileSource::Url(url) = file.source() {
            let line = format!("{}:{}", file.origin.file, file.origin.line);
            asked.push((url, line, file.sha256));
        }
    }
    if let Some(url) = &compiled.readme_url {
        asked.push((url, prepared.folder.shown.clone(), None));
    }
    for (url, line, sha256) in &asked {
        let known = lock.urls.iter().find(|one| one.url == *url);
        let what = format!("{line}: url {url}");
        match (known, sha256) {
            (None, _) => out.push(Change {
                what,
                before: None,
                after: Some("asked for".into()),
            }),
            (Some(known), Some(wanted)) if known.sha256 != *wanted => out.push(Change {
                what,
                before: Some(format!("sha256 {}", known.sha256)),
                after: Some(format!("sha256 {wanted}")),
            }),
            _ => {}
        }
    }
    for one in &lock.urls {
        if !asked.iter().any(|(url, ..)| *url == one.url) {
            out.push(Change {
                what: format!("{}: url {}", one.line, one.url),
                before: Some(format!("sha256 {}", one.sha256)),
                after: None,
            });
        }
    }
    let base = &compiled.base_image;
    if !lock.bases.iter().any(|one| one.reference == *base) {
        out.push(Change {
            what: "base image".into(),
            before: lock.bases.first().map(|one| one.reference.clone()),
            after: Some(base.clone()),
        });
    }
    out
}

fn describe(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    planned: &Planned,
    built: &Built,
    archives: &Archives,
) -> Result<LockedContainer, PipelineError> {
    let identity = &prepared.compiled.identity;
    let count = planned.base_layers();
    let (base_layers, _) = built.layers.split_at(count.min(built.layers.len()));
    let mut debs = Debs::new();
    for layer in base_layers {
        debs = installed(workshop.store, layer)?.debs.unwrap_or(debs);
    }
    let bases = bases(planned, base_layers, &debs, archives);
    let mut steps = Vec::new();
    for step in &built.steps {
        let Some(layer) = step.layer else { continue };
        let found = installed(workshop.store, &layer)?;
        steps.extend(step_of(step, found, &mut debs, archives));
    }
    Ok(LockedContainer {
        name: identity.name.clone(),
        architecture: identity.architecture.to_string(),
        bases,
        archives: locked_archives(archives),
        urls: urls(prepared, &planned.downloads),
        steps,
    })
}

fn locked_archives(archives: &Archives) -> Vec<LockedArchive> {
    archives.locked.clone()
}

fn bases(
    planned: &Planned,
    layers: &[ImageLayer],
    debs: &Debs,
    archives: &Archives,
) -> Vec<LockedBase> {
    let origin = &planned.base.origin;
    let mut base = LockedBase {
        reference: origin.name.clone(),
        image: origin.digest.clone(),
        layers: layers.iter().map(|layer| layer.diff_id).collect(),
        ..LockedBase::default()
    };
    if let BaseKind::Bootstrap {
        bootstrap,
        archive_state,
        archive_date,
    } = &origin.how
    {
        base.ids = Some(planned.ids.name().to_owned());
        base.bootstrap = Some(bootstrap.clone());
        base.archive_state = Some(archive_state.clone());
        base.archive_date = Some(archive_date.clone());
        base.packages = debs
            .iter()
            .map(|((name, architecture), version)| {
                archives.place((name.clone(), version.clone(), architecture.clone()))
            })
            .collect();
    }
    vec![base]
}

/// What a step installed, if it did; `debs` are those of the layers below, and then its own.
fn step_of(
    step: &StepResult,
    found: Installed,
    debs: &mut Debs,
    archives: &Archives,
) -> Option<LockedStep> {
    let mut apt: Vec<LockedPackage> = Vec::new();
    if let Some(now) = found.debs {
        for ((name, architecture), version) in &now {
            if debs.get(&(name.clone(), architecture.clone())) != Some(version) {
                let which: Which = (name.clone(), version.clone(), architecture.clone());
                apt.push(archives.place(which));
            }
        }
        *debs = now;
    }
    let origin = step.name.origin.as_ref();
    let locked = LockedStep {
        title: step.name.title.clone(),
        line: origin.map_or_else(String::new, |at| format!("{}:{}", at.file, at.line)),
        apt,
        pip: found.pip,
        npm: found.npm,
        conda: found.conda,
        unread: found.unread,
    };
    let anything = !(locked.apt.is_empty()
        && locked.pip.is_empty()
        && locked.npm.is_empty()
        && locked.conda.is_empty()
        && locked.unread.is_empty());
    anything.then_some(locked)
}

fn urls(prepared: &Prepared, downloads: &Downloads) -> Vec<LockedUrl> {
    let mut out: Vec<LockedUrl> = Vec::new();
    if let (Some(url), Some(readme)) = (&prepared.compiled.readme_url, downloads.get(README)) {
        out.push(LockedUrl {
            url: url.clone(),
            name: "README".to_owned(),
            sha256: readme.sha256,
            size: readme.bytes,
            line: prepared.folder.shown.clone(),
        });
    }
    for file in &prepared.compiled.staging.files {
        if let (FileSource::Url(url), Some(download)) = (file.source(), downloads.get(&file.name))
            && !out.iter().any(|known| known.url == url)
        {
            out.push(LockedUrl {
                url: url.to_owned(),
                name: file.name.clone(),
                sha256: download.sha256,
                size: download.bytes,
                line: format!("{}:{}", file.origin.file, file.origin.line),
            });
        }
    }
    out
}

fn has_debs(
    workshop: &Workshop<'_>,
    planned: &Planned,
    built: &Built,
) -> Result<bool, PipelineError> {
    if planned.archives.public.is_empty() {
        return Ok(false);
    }
    for layer in &built.layers {
        let index = super::files::index_of(workshop.store, layer)?;
        let status = index
            .entries
            .iter()
            .filter_map(nd_rootfs::LayerEntry::path)
            .any(|path| path.as_bytes() == b"var/lib/dpkg/status");
        if status {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Locking {
    /// The lock, unless the archives changed while they were read.
    pub fn settled(self) -> Result<LockedContainer, PipelineError> {
        if self.stale.is_empty() {
            Ok(self.locked)
        } else {
            Err(LockProblem::Moving(self.stale).into())
        }
    }
}
