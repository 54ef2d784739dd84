//! Base images from registries.

use std::time::Duration;

use nd_fetch::registry::{
    Places, Pulled, Reference, RegistriesConf, RegistryError, RegistryOptions,
};
use nd_names::{Architecture, Sha256};
use nd_report::Event;
use serde::{Deserialize, Serialize};

use super::{Base, BaseError, BaseKind, import::described};
use crate::{downloads::with_registries, pipeline::Workshop};

pub use nd_fetch::registry::Places as RegistryPlaces;

/// Kind of the records that remember where an image came from.
const ORIGINS: &str = "base-origin";
/// The registry of a name that nobody configured may not be reachable from here at all.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// A base image as registries have it.
#[derive(Debug, Clone, Copy)]
pub struct FromRegistry<'a> {
    /// Store, network and who is told.
    pub workshop: &'a Workshop<'a>,
    /// The name as the recipe has it.
    pub reference: &'a str,
    /// For which architecture.
    pub architecture: Architecture,
    /// Whether the registry is asked even if the image is in the cache.
    pub refresh: bool,
    /// Digest of the manifest that it has to be, `sha256:…`.
    pub pinned: Option<&'a str>,
}

/// Where an image came from, once it is in the cache.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CameFrom {
    reference: String,
    index: String,
    why: String,
}

impl FromRegistry<'_> {
    /// The image in the cache, or in a registry that the user's configuration names. `None` where
    /// there is no such registry.
    pub fn named(&self) -> Result<Option<Base>, BaseError> {
        if let Some(base) = self.cached()? {
            return Ok(Some(base));
        }
        let configured = self.conf()?.configured(self.reference);
        if self.workshop.offline || configured.map_err(|error| self.failed(error))?.is_empty() {
            return Ok(None);
        }
        self.from(Places::Configured).map(Some)
    }

    /// The image in the cache, in a registry that the user's configuration names, or in that of the
    /// name.
    pub fn any(&self, offline: bool) -> Result<Base, BaseError> {
        match self.named() {
            Ok(Some(base)) => Ok(base),
            Err(error @ BaseError::Cancelled(_)) => Err(error),
            Err(error) if offline => Err(error),
            Err(error) => self.from(Places::Own).map_err(|_| error),
            Ok(None) => self.from(Places::Own),
        }
    }

    /// The image from some of its places; every place is told of that has none.
    pub fn from(&self, places: Places) -> Result<Base, BaseError> {
        let why = match places {
            Places::Own => "the registry of its name has it",
            _ => "a registry of `registries.conf` has it",
        };
        let first_answer = match places {
            Places::Own => Some(FIRST_ANSWER),
            _ => None,
        };
        let names = match places {
            Places::Own => self.own(),
            _ => self.conf()?.configured(self.reference),
        };
        let names = names.map_err(|error| self.failed(error))?;
        let before = self.known_image(&names);
        let options = |workshop: &Workshop<'_>| {
            Ok(RegistryOptions {
                places,
                first_answer,
                ..RegistryOptions::from_environment(workshop.environment)?
            })
        };
        let (pulled, reference) = self.pull(&names, self.workshop.offline, &options)?;
        let cached = before == Some(pulled.image.digest);
        let came = CameFrom {
            reference,
            index: pulled.digest.oci(),
            why: why.to_owned(),
        };
        let key = self.key(&pulled.image.digest);
        let bytes = serde_json::to_vec(&came)?;
        self.workshop.store.put_record(ORIGINS, &key, &bytes)?;
        if let Some(quota) = pulled.quota {
            self.say(&format!(
                "`{}` allows {} more of {} pulls",
                pulled.from, quota.remaining, quota.limit
            ));
        }
        let from = format!("pulled from `{}`, since {why}", pulled.from);
        self.taken(pulled, came, &from, cached)
    }

    /// The image as it was pulled before.
    fn cached(&self) -> Result<Option<Base>, BaseError> {
        if self.refresh {
            return Ok(None);
        }
        let conf = self.conf()?;
        let names = conf.resolve(self.reference);
        let names = names.map_err(|error| self.failed(error))?;
        let options = |workshop: &Workshop<'_>| {
            // No connection is made, so there is nobody to introduce us to.
            let conf = RegistriesConf::from_environment(workshop.environment)?;
            Ok(RegistryOptions {
                conf,
                ..RegistryOptions::default()
            })
        };
        let Ok((pulled, reference)) = self.pull(&names, true, &options) else {
            return Ok(None);
        };
        let key = self.key(&pulled.image.digest);
        let known = self.workshop.store.record(ORIGINS, &key)?;
        let known = known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let came: CameFrom = known.unwrap_or_else(|| CameFrom {
            reference,
            index: pulled.digest.oci(),
            why: "it was in the cache".to_owned(),
        });
        let from = "from the cache, as it was pulled before";
        self.taken(pulled, came, from, true).map(Some)
    }

    fn taken(
        &self,
        pulled: Pulled,
        came: CameFrom,
        from: &str,
        cached: bool,
    ) -> Result<Base, BaseError> {
        let found = pulled.image.config.architecture().to_string();
        if found != self.architecture.oci() {
            return Err(BaseError::OtherArchitecture {
                reference: self.reference.into(),
                found,
                wanted: self.architecture.oci(),
            });
        }
        self.say(&format!(
            "base image `{}` is {}, {from}",
            self.reference,
            pulled.image.digest.oci()
        ));
        let kind = BaseKind::Registry {
            reference: came.reference,
            index: came.index,
            why: came.why,
        };
        Ok(described(pulled.image, self.reference, kind, cached))
    }

    /// The first of these names that is an image, each asked for at its places.
    fn pull(
        &self,
        names: &[Reference],
        offline: bool,
        options: &(dyn Fn(&Workshop<'_>) -> Result<RegistryOptions, RegistryError> + Sync),
    ) -> Result<(Pulled, String), BaseError> {
        let workshop = self.workshop;
        let options = options(workshop).map_err(|error| self.failed(error))?;
        let mut last = None;
        for plain in names {
            let name = match self.pinned {
                Some(digest) => Reference::with_digest(
                    plain.registry().to_owned(),
                    plain.repository().to_owned(),
                    digest.to_owned(),
                ),
                None => plain.clone(),
            };
            let cancel = workshop.cancel;
            let result = with_registries(workshop, offline, options.clone(), |registries| {
                registries.pull_blocking(&name, self.architecture, cancel)
            })?;
            match result {
                Ok(pulled) => return Ok((pulled, plain.whole())),
                Err(RegistryError::Cancelled(stopped)) => return Err(stopped.into()),
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| RegistryError::NotFound {
            reference: self.reference.into(),
        });
        Err(self.failed(error))
    }

    /// What the name stands for where nobody configured anything.
    fn own(&self) -> Result<Vec<Reference>, RegistryError> {
        RegistriesConf::default().resolve(self.reference)
    }

    /// The image that these names stood for when they were last pulled.
    fn known_image(&self, names: &[Reference]) -> Option<Sha256> {
        let options = |_: &Workshop<'_>| Ok(RegistryOptions::default());
        let (pulled, _) = self.pull(names, true, &options).ok()?;
        Some(pulled.image.digest)
    }

    fn conf(&self) -> Result<RegistriesConf, BaseError> {
        RegistriesConf::from_environment(self.workshop.environment)
            .map_err(|error| self.failed(error))
    }

    fn key(&self, image: &Sha256) -> Sha256 {
        let text = format!("{}\0{}", self.reference, image.hex());
        Sha256::of(text)
    }

    fn failed(&self, source: RegistryError) -> BaseError {
        BaseError::Registry {
            reference: self.reference.into(),
            source: Box::new(source),
        }
    }

    fn say(&self, text: &str) {
        self.workshop.reporter.event(Event::Note { text });
    }
}
