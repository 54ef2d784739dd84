//! The list of published images.

use std::{str::FromStr, sync::Arc};

use nd_fetch::{FetchError, Fetcher, Freshness, Request, SafeUrl};
use nd_names::{ImageName, ImageNameError};
use nd_report::Cancel;

/// Longer lists are none.
const LONGEST: u64 = 16 << 20;

/// One published image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// Its name.
    pub name: ImageName,
    /// Words to search for, as the list has them.
    pub words: String,
}

impl FromStr for ListedImage {
    type Err = ImageNameError;

    /// Reads a line of the list: an image name, and after a blank words to search for.
    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let line = line.trim();
        let (name, words) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        Ok(Self {
            name: name.parse()?,
            words: words.trim().to_owned(),
        })
    }
}

impl ListedImage {
    /// The topics that the words say it is listed under, `categories:A,B,`; none when there are no words,
    /// `None` when they say something else.
    pub fn categories(&self) -> Option<Vec<&str>> {
        let list = match self.words.as_str() {
            "" => "",
            words => words.strip_prefix("categories:")?,
        };
        let categories = list.split(',').map(str::trim);
        Some(categories.filter(|category| !category.is_empty()).collect())
    }
}

/// The list of published images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Images, in the order of the list.
    pub images: Vec<ListedImage>,
}

impl Published {
    /// Reads a list. Lines that begin with no image name say nothing here.
    pub fn parse(text: &str) -> Self {
        Self {
            images: text.lines().filter_map(|line| line.parse().ok()).collect(),
        }
    }

    /// The list at `url`, asked for when it may have changed and there is a network; what was read last
    /// is good enough otherwise.
    pub fn fetch(fetcher: &Fetcher, url: &SafeUrl, cancel: &Cancel) -> Result<Self, FetchError> {
        Self::get(fetcher, url, Freshness::Revalidate, cancel)
    }

    /// The list as it was read last; the network is asked only when it never was.
    pub fn known(fetcher: &Fetcher, url: &SafeUrl, cancel: &Cancel) -> Result<Self, FetchError> {
        Self::get(fetcher, url, Freshness::Any, cancel)
    }

    fn get(
        fetcher: &Fetcher,
        url: &SafeUrl,
        freshness: Freshness,
        cancel: &Cancel,
    ) -> Result<Self, FetchError> {
        let mut request = Request::new(url.clone());
        request.name = Some("the list of published images".into());
        request.max_bytes = Some(LONGEST);
        request.freshness = freshness;
        let one = std::num::NonZeroUsize::MIN;
        let mut results = fetcher.fetch_all_blocking(&[request], one, cancel)?;
        let fetched = results.pop().unwrap_or_else(|| {
            Err(FetchError::NoUrl {
                name: "the list of published images".into(),
            })
        })?;
        let bytes = fs_err::read(&fetched.path).map_err(|source| FetchError::Io {
            path: fetched.path.clone(),
            source,
        })?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// The names alone.
    pub fn names(&self) -> Vec<ImageName> {
        self.images.iter().map(|image| image.name.clone()).collect()
    }

    /// Images whose name or words hold all of `words`, whatever their case.
    pub fn search(&self, words: &[String]) -> Vec<&ListedImage> {
        let words: Arc<[String]> = words.iter().map(|word| word.to_lowercase()).collect();
        let holds = |image: &&ListedImage| {
            let text = format!("{} {}", image.name, image.words).to_lowercase();
            words.iter().all(|word| text.contains(word.as_str()))
        };
        self.images.iter().filter(holds).collect()
    }
}

#[cfg(test)]
mod tests {
    //! Reading and searching.

    use super::*;

    #[test]
    fn lines_that_are_no_images_say_nothing() {
        let list = Published::parse(
            "abc_1.0_20240131 categories:visualization,data organisation,\n\nbroken\nx_1_20240101\n",
        );
        assert_eq!(list.images.len(), 2);
        let found = list.search(&["Visual".into(), "abc".into()]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].words,
            "categories:visualization,data organisation,"
        );
        assert_eq!(
            found[0].categories().unwrap(),
            ["visualization", "data organisation"]
        );
        assert_eq!(list.images[1].categories().unwrap(), [""; 0]);
        let other: ListedImage = "x_1_20240101 some words".parse().unwrap();
        assert_eq!(other.categories(), None);
        assert_eq!(list.search(&[]).len(), 2);
    }
}
