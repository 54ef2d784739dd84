//! The recipe file of `cvmfs_ducc`, which converts images of registries into thin ones.

use std::fmt::Write as _;

use nd_names::ImageName;

use crate::sync::Desired;

/// How images are called in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// `ORGANISATION/TOOL_VERSION:DATE`
    #[default]
    Legacy,
    /// `ORGANISATION/TOOL:VERSION_DATE`
    Current,
}

/// What the file says besides the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishlist {
    /// Who pushes thin images.
    pub user: String,
    /// The repository that they are for.
    pub repository: String,
    /// What thin images are called.
    pub output_format: String,
    /// The address of the registry, with its scheme.
    pub registry: String,
    /// Whose images they are.
    pub organisation: String,
    /// How images are called.
    pub naming: Naming,
}

/// A text that cannot be in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be {what} of a wish list")]
pub struct WishlistError {
    /// The text.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
}

impl Wishlist {
    /// The usual one for a repository.
    pub fn new(repository: impl Into<String>) -> Self {
        Self {
            user: "vnmd".to_owned(),
            repository: repository.into(),
            output_format: "$(scheme)://$(registry)/vnmd/thin_$(image)".to_owned(),
            registry: "https://registry.hub.docker.com".to_owned(),
            organisation: "vnmd".to_owned(),
            naming: Naming::Legacy,
        }
    }

    /// The text of the file: one input for each image, in the order of the catalogue.
    pub fn render(&self, desired: &Desired) -> Result<String, WishlistError> {
        let check = |text: &str, what: &'static str, more: &str| {
            let good =
                |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c) || more.contains(c);
            if !text.is_empty() && text.chars().all(good) {
                return Ok(());
            }
            Err(WishlistError {
                text: text.to_owned(),
                what,
            })
        };
        check(&self.user, "the user", "")?;
        check(&self.repository, "the repository", "")?;
        check(&self.output_format, "the output format", "$()@")?;
        check(&self.registry, "the registry", "")?;
        check(&self.organisation, "the organisation", "")?;
        let has_scheme = ["https://", "http://"]
            .iter()
            .any(|scheme| self.registry.starts_with(scheme));
        if !has_scheme {
            return Err(WishlistError {
                text: self.registry.clone(),
                what: "the registry",
            });
        }
        let mut out = format!(
            "version: 1\nuser: {}\ncvmfs_repo: {}\noutput_format: '{}'\ninput:\n",
            self.user, self.repository, self.output_format
        );
        let registry = self.registry.trim_end_matches('/');
        for image in &desired.images {
            let _ = writeln!(
                out,
                "- '{registry}/{}/{}'",
                self.organisation,
                self.reference(&image.name)
            );
        }
        Ok(out)
    }

    fn reference(&self, image: &ImageName) -> String {
        let ImageName { app, version, date } = image;
        match self.naming {
            Naming::Legacy => format!("{app}_{version}:{date}"),
            Naming::Current => format!("{app}:{version}_{date}"),
        }
    }
}

#[cfg(test)]
mod tests {
    //! The file of the specification.

    use nd_report::{FileId, Sink};

    use super::*;

    #[test]
    fn names_are_split_from_the_right() {
        let log = "abc_1.0_20240131 categories:x,\nto_ol_arm64_2.0_20240101 categories:a b,\n";
        let desired = Desired::read(log, FileId(0), &mut Sink::new()).unwrap();
        let mut list = Wishlist::new("neurodesk.ardc.edu.au");
        assert_eq!(
            list.render(&desired).unwrap(),
            "version: 1\nuser: vnmd\ncvmfs_repo: neurodesk.ardc.edu.au\n\
             output_format: '$(scheme)://$(registry)/vnmd/thin_$(image)'\ninput:\n\
             - 'https://registry.hub.docker.com/vnmd/abc_1.0:20240131'\n\
             - 'https://registry.hub.docker.com/vnmd/to_ol_arm64_2.0:20240101'\n"
        );
        list.naming = Naming::Current;
        list.registry = "https://quay.io/".to_owned();
        list.organisation = "neurodesk".to_owned();
        let text = list.render(&desired).unwrap();
        assert!(
            text.contains("- 'https://quay.io/neurodesk/abc:1.0_20240131'\n"),
            "{text}"
        );
        for bad in ["quay.io", "https://x'y", ""] {
            list.registry = bad.to_owned();
            assert!(list.render(&desired).is_err(), "{bad}");
        }
    }
}
