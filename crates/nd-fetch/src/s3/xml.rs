//! The documents of a store: a root with texts, and with items that have texts.

use std::collections::BTreeMap;

use quick_xml::{Reader, escape::resolve_predefined_entity, events::Event};

/// Elements deeper than this are no part of any answer.
const DEPTH: usize = 16;

/// Why a text is no document.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// It is not well-formed.
    #[error("it is no XML")]
    Xml(#[from] quick_xml::Error),
    /// Elements in elements in elements.
    #[error("it is more than {DEPTH} elements deep")]
    Deep,
    /// It ends before its root does.
    #[error("it ends early")]
    Cut,
}

/// A document that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    /// The name of the root.
    pub(super) root: String,
    texts: BTreeMap<String, String>,
    items: Vec<(String, BTreeMap<String, String>)>,
}

impl Document {
    /// Reads a document; prefixes of names mean nothing.
    pub(super) fn parse(text: &str) -> Result<Self, XmlError> {
        let mut reader = Reader::from_str(text);
        let mut document = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut value = String::new();
        loop {
            match reader.read_event()? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    document.open(&name, path.len());
                    path.push(name);
                    value.clear();
                    if path.len() > DEPTH {
                        return Err(XmlError::Deep);
                    }
                }
                Event::Empty(empty) => {
                    let name = empty.local_name().as_ref().to_owned();
                    document.open(&name, path.len());
                    document.close(&name, path.len(), String::new());
                }
                Event::Text(text) => value += &text,
                Event::CData(text) => value += &text,
                Event::GeneralRef(reference) => match reference.resolve_char_ref()? {
                    Some(c) => value.push(c),
                    None => value += resolve_predefined_entity(&reference).unwrap_or_default(),
                },
                Event::End(_) => {
                    let name = path.pop().unwrap_or_default();
                    document.close(&name, path.len(), std::mem::take(&mut value));
                }
                Event::Eof => {
                    let is_whole = path.is_empty() && !document.root.is_empty();
                    return if is_whole {
                        Ok(document)
                    } else {
                        Err(XmlError::Cut)
                    };
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, name: &str, depth: usize) {
        match depth {
            0 => name.clone_into(&mut self.root),
            1 => self.items.push((name.to_owned(), BTreeMap::new())),
            _ => {}
        }
    }

    fn close(&mut self, name: &str, depth: usize, value: String) {
        match depth {
            1 => {
                self.texts.insert(name.to_owned(), value);
            }
            2 => {
                if let Some((_, item)) = self.items.last_mut() {
                    item.insert(name.to_owned(), value);
                }
            }
            _ => {}
        }
    }

    /// The text of an element of the root.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| text.trim())
    }

    /// The texts of every element `name` of the root.
    pub(super) fn items(&self, name: &str) -> impl Iterator<Item = &BTreeMap<String, String>> {
        let wanted = move |(found, _): &&(String, _)| *found == name;
        self.items.iter().filter(wanted).map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_texts_and_items() {
        let text = "<?xml version=\"1.0\"?>\n<List xmlns=\"http://x/\"><IsTruncated>true</IsTruncated>\
            <Contents><Key>a&amp;b&#43;.simg</Key><Size>5</Size><Owner><ID>x</ID></Owner></Contents>\n\
            <Contents><Key>c</Key><Size/></Contents></List>";
        let document = Document::parse(text).unwrap();
        assert_eq!(
            (document.root.as_str(), document.text("IsTruncated")),
            ("List", Some("true"))
        );
        let keys: Vec<&str> = document
            .items("Contents")
            .map(|item| item["Key"].as_str())
            .collect();
        assert_eq!(keys, ["a&b+.simg", "c"]);
        assert_eq!(document.items("Contents").last().unwrap()["Size"], "");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in ["", "text", "<a><b></a>", "<a><b>", "<a", &"<a>".repeat(99)] {
            assert!(Document::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_document_or_an_error(text in "[<>/a&;#x0-9\"=! -]{0,60}") {
            let _ = Document::parse(&text);
        }
    }
}
