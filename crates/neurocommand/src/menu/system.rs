//! The menu of a desktop with a line that merges ours.

/// Why a menu cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// It is no XML.
    #[error("it is no well-formed XML: {message} at byte {at}")]
    NotXml {
        /// What is wrong.
        message: &'static str,
        /// Where.
        at: usize,
    },
    /// Its root is something else than a menu.
    #[error("its root is `{name}`, not `Menu`")]
    NoMenu {
        /// The root.
        name: String,
    },
}

/// `menu` with the line that merges `file` at the end of its root; as it is when it has the line.
///
/// # Errors
///
/// When `menu` is no well-formed XML, or no menu.
pub fn with_merge_line(menu: &str, file: &str) -> Result<String, MergeError> {
    let end = end_of_root(menu)?;
    let line = format!("<MergeFile>{file}</MergeFile>");
    if menu.contains(&line) {
        return Ok(menu.to_owned());
    }
    let (front, back) = menu.split_at(end);
    let front = front.trim_end_matches([' ', '\t']);
    let newline = if front.ends_with('\n') { "" } else { "\n" };
    Ok(format!("{front}{newline}\t{line}\n{back}"))
}

/// Where the root's closing tag begins.
fn end_of_root(text: &str) -> Result<usize, MergeError> {
    let wrong = |message, at| MergeError::NotXml { message, at };
    let mut open: Vec<&str> = Vec::new();
    let mut end = None;
    let mut at = 0;
    while let Some(found) = text[at..].find('<') {
        let start = at + found;
        if open.is_empty()
            && !text[at..start].trim().is_empty()
            && text[at..start].trim() != "\u{feff}"
        {
            return Err(wrong("text outside of the root", at));
        }
        let rest = &text[start..];
        let past = |close: &'static str, message| {
            rest.find(close)
                .map(|length| start + length + close.len())
                .ok_or(wrong(message, start))
        };
        if rest.starts_with("<!--") {
            at = past("-->", "a comment is not closed")?;
        } else if rest.starts_with("<![CDATA[") {
            at = past("]]>", "a section is not closed")?;
        } else if rest.starts_with("<?") {
            at = past("?>", "an instruction is not closed")?;
        } else if rest.starts_with("<!") {
            at = past(">", "a declaration is not closed")?;
        } else {
            at = past(">", "a tag is not closed")?;
            let tag = &text[start + 1..at - 1];
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop() != Some(name.trim_end()) {
                    return Err(wrong("a closing tag has no opening one", start));
                }
                if open.is_empty() {
                    end = Some(start);
                }
            } else {
                let name = tag
                    .split([' ', '\t', '\n', '\r', '/'])
                    .next()
                    .unwrap_or_default();
                if name.is_empty() || (open.is_empty() && end.is_some()) {
                    return Err(wrong("a tag cannot stand here", start));
                }
                if open.is_empty() && name != "Menu" {
                    return Err(MergeError::NoMenu {
                        name: name.to_owned(),
                    });
                }
                if !tag.ends_with('/') {
                    open.push(name);
                }
            }
        }
    }
    match end {
        Some(end) if open.is_empty() && text[at..].trim().is_empty() => Ok(end),
        _ => Err(wrong("the root is not closed", text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_added_once_at_the_end_of_the_root() {
        let menu = "<?xml version=\"1.0\"?>\n<!DOCTYPE Menu PUBLIC \"a\"\n \"b\">\n<Menu>\n <!-- <Menu> -->\n <Name>A</Name>\n <DefaultMergeDirs/>\n</Menu>\n";
        let once = with_merge_line(menu, "x.menu").unwrap();
        assert!(
            once.ends_with(" <DefaultMergeDirs/>\n\t<MergeFile>x.menu</MergeFile>\n</Menu>\n"),
            "{once}"
        );
        assert_eq!(with_merge_line(&once, "x.menu").unwrap(), once);
        // One menu alone is enough.
        assert!(
            with_merge_line("<Menu></Menu>", "x.menu")
                .unwrap()
                .contains("MergeFile")
        );
    }

    #[test]
    fn what_is_no_menu_is_refused() {
        for bad in [
            "",
            "x",
            "<Menu>",
            "<Menu></Name>",
            "<Menu/>x",
            "<Menu></Menu><Menu></Menu>",
            "<a></a>",
            "<Menu><!-- </Menu>",
            "<Menu",
        ] {
            assert!(with_merge_line(bad, "x.menu").is_err(), "{bad}");
        }
    }
}
