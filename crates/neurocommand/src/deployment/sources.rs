//! Where images come from by a deployment.

use transparent_singularity::{SourceKind, SourceSetting};

use super::Deployment;

impl Deployment {
    /// The sources of images in the order in which they are tried: the repository, SIF files beside
    /// images of registries, stores, and images of registries, which are converted.
    pub fn sources(&self) -> Vec<SourceSetting> {
        let named = |kind: &str, number: usize, kind_of| SourceSetting {
            name: format!("{kind}-{}", number + 1),
            kind: kind_of,
        };
        let registries = || {
            self.registries
                .iter()
                .map(|text| registry(text))
                .enumerate()
        };
        let cvmfs = self.containers().map(|path| {
            let path = path.into_std_path_buf();
            named("cvmfs", 0, SourceKind::Cvmfs { path })
        });
        let referrers = registries().map(|(number, (registry, plain_http))| {
            let kind = SourceKind::Referrer {
                registry,
                plain_http,
            };
            named("registry", number, kind)
        });
        let stores = self.stores.iter().enumerate().map(|(number, url)| {
            let kind = SourceKind::Objects {
                url: url.clone(),
                also: Vec::new(),
                checksum: None,
            };
            named("store", number, kind)
        });
        let converted = registries().map(|(number, (registry, plain_http))| {
            let kind = SourceKind::Registry {
                registry,
                plain_http,
            };
            named("docker", number, kind)
        });
        cvmfs
            .into_iter()
            .chain(referrers)
            .chain(stores)
            .chain(converted)
            .collect()
    }
}

/// A registry as a deployment names it, `HOST/NAMESPACE`, and whether it is spoken to without
/// encryption: `http://` before it says so.
pub fn registry(text: &str) -> (String, bool) {
    match text.strip_prefix("http://") {
        Some(rest) => (rest.to_owned(), true),
        None => (
            text.strip_prefix("https://").unwrap_or(text).to_owned(),
            false,
        ),
    }
}

#[cfg(test)]
mod tests {
    use nd_report::{FileId, Sink};
    use transparent_singularity::{Settings, candidates};

    use crate::deployment::{Deployment, Layer, resolve};

    #[test]
    fn registries_are_asked_for_sif_files_first_and_for_images_last() {
        let text = "brand = \"X\"\nrepository = \"x.example.org\"\nregistries = [\"http://localhost:5000/x\"]\n\
            stores = [\"https://x.example.org/images/\"]\n";
        let layer = Layer {
            name: "x.toml",
            file: FileId(0),
            text,
        };
        let mut settings = Settings::built_in();
        settings.sources = Deployment::of(&resolve(&[layer], &mut Sink::new())).sources();
        let all = candidates(&"a_1_20240101".parse().unwrap(), &settings, "auto", true).unwrap();
        let all: Vec<String> = all
            .iter()
            .map(|one| format!("{}: {}", one.name, one.source))
            .collect();
        assert_eq!(
            all,
            [
                "cvmfs-1: /cvmfs/x.example.org/containers/a_1_20240101/a_1_20240101.simg",
                "registry-1: oras://localhost:5000/x/a:1_20240101",
                "store-1: https://x.example.org/images/a_1_20240101.simg",
                "docker-1: docker://localhost:5000/x/a:1_20240101",
            ]
        );
    }
}
