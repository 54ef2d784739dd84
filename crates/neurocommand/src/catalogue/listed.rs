//! Lists of images as others read them: `log.txt`, `applist.json`, or the catalogue itself.

use nd_names::ImageName;
use nd_report::{Diagnostic, FileId, Severity, Sink, Span};

use super::lists::log;
use crate::{
    codes,
    json::{Limits, Node, parse, shown},
};

/// Largest list, in bytes: the one of 384 images has 25 kB.
const LONGEST: usize = 16 << 20;

/// An image that a list names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// Its name.
    pub name: ImageName,
    /// Topics it is listed under, as written.
    pub categories: Vec<String>,
}

/// The images that `text` lists, in its order: the lines of `log.txt`, the document `applist.json` or
/// the catalogue `apps.json`, told apart by how they begin.
///
/// `None` when something is wrong anywhere, since whoever acts on a list must not act on half of one;
/// `sink` says what. A last line without its end counts as wrong: the list was cut off.
pub fn listed_images(text: &str, file: FileId, sink: &mut Sink) -> Option<Vec<ListedImage>> {
    if text.len() > LONGEST {
        let message = format!("a list has at most {LONGEST} bytes");
        sink.push(Diagnostic::new(codes::LIMIT, Severity::Error, message));
        return None;
    }
    if !text.trim_start().starts_with('{') {
        return lines(text, Some(file), sink);
    }
    let document = parse(text, file, &Limits::default(), sink)?;
    if sink.has_errors() {
        return None;
    }
    match document.get("list").and_then(Node::items) {
        Some(items) => applist(items, sink),
        None => lines(&log(&document, sink)?, None, sink),
    }
}

/// Reads `NAME_VERSION_DATE categories:A,B,` on each line; `file` is where spans lead, for text that
/// somebody wrote.
fn lines(text: &str, file: Option<FileId>, sink: &mut Sink) -> Option<Vec<ListedImage>> {
    let mut images = Vec::new();
    let mut good = true;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let place = at..at + line.len();
        at = place.end;
        let content = line.trim();
        let wrong = if content.is_empty() {
            continue;
        } else if !line.ends_with('\n') {
            Err("the last line has no end, so the list was cut off".to_owned())
        } else {
            image(content)
        };
        match wrong {
            Ok(image) => images.push(image),
            Err(message) => {
                good = false;
                let mut found = Diagnostic::new(codes::LIST_LINE, Severity::Error, message);
                if let Some(file) = file {
                    found = found.at(Span::new(file, place), "");
                }
                sink.push(found);
            }
        }
    }
    good.then_some(images)
}

fn image(line: &str) -> Result<ListedImage, String> {
    let read: transparent_singularity::ListedImage =
        line.parse().map_err(|error| format!("{error}"))?;
    let Some(categories) = read.categories() else {
        return Err(format!(
            "`{}` does not begin with `categories:`",
            shown(&read.words)
        ));
    };
    Ok(ListedImage {
        categories: categories.into_iter().map(str::to_owned).collect(),
        name: read.name,
    })
}

fn applist(items: &[Node], sink: &mut Sink) -> Option<Vec<ListedImage>> {
    let mut images = Vec::with_capacity(items.len());
    let mut good = true;
    for item in items {
        let name = item.get("application").and_then(Node::as_text);
        let name = name.map(str::parse::<ImageName>);
        let categories = item.get("categories").and_then(Node::items);
        let message = match (name, categories) {
            (Some(Ok(name)), Some(categories)) => {
                let categories = categories.iter().filter_map(Node::as_text);
                images.push(ListedImage {
                    name,
                    categories: categories
                        .filter(|category| !category.is_empty())
                        .map(str::to_owned)
                        .collect(),
                });
                continue;
            }
            (Some(Err(error)), _) => error.to_string(),
            _ => "an entry has the text `application` and the list `categories`".to_owned(),
        };
        good = false;
        let found = Diagnostic::new(codes::LIST_LINE, Severity::Error, message);
        sink.push(found.at(item.span, ""));
    }
    good.then_some(images)
}

#[cfg(test)]
mod tests {
    //! Three forms of one list, and lists that are none.

    use super::*;

    fn read(text: &str) -> Option<Vec<ListedImage>> {
        listed_images(text, FileId(0), &mut Sink::new())
    }

    #[test]
    fn three_forms_say_the_same() {
        let lines = "a_b_1.0_20240131 categories:visualization,data organisation,\nc_2_20240101 categories:\n";
        let catalogue = r#"{"a_b": {"apps": {"a_b 1.0": {"version": "20240131"}},
            "categories": ["visualization", "data organisation"]}, "c": {"apps": {"c 2": {"version": "20240101"}}}}"#;
        let list = super::super::applist(lines, None, super::super::ListForm::Upstream);
        let images = read(lines).unwrap();
        assert_eq!(images[0].name.app.as_str(), "a_b");
        assert_eq!(images[0].categories, ["visualization", "data organisation"]);
        assert!(images[1].categories.is_empty());
        assert_eq!(read(catalogue), Some(images.clone()));
        assert_eq!(read(&list), Some(images));
    }

    #[test]
    fn half_a_list_is_none() {
        for bad in [
            "a_1.0_20240131 categories:x,\nb_1_2024",
            "a_1.0_20240131 categories:x,\nb_1_20240101 categories:y",
            "../../etc_1_20240101 categories:x,\n",
            "a_1.0 categories:\n",
            "a_1.0_20240131 rm -rf\n",
            r#"{"list": [{"application": "a_1_20240101"}]}"#,
            r#"{"a": {"apps": {"a 1": {"version": "2024"#,
            r#"{"a": {"apps": {"a 1": {}}}}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
