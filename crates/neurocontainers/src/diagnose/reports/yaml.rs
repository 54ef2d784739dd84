//! Words about the codes of reading YAML.

use nd_report::Explanation;
use nd_yaml::codes;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        code: codes::SYNTAX,
        summary: "the text breaks the syntax of YAML",
        details: "Nothing can be read behind such a place. Usual reasons: a `: ` or ` #` inside text without quotes, \
                  a list item that is indented by another number of blanks than its neighbours, a tab, a quote that \
                  is not closed.",
        wrong: "name: demo\nversion: \"1.0\n",
        right: "name: demo\nversion: \"1.0\"\n",
    },
    Explanation {
        code: codes::LIMIT,
        summary: "the text is too large, too deep or has too many values",
        details: "Recipes are read from people that nobody knows, so what reading may cost is limited: 4 MiB of text, \
                  100 collections inside one another, 200 000 values.",
        wrong: "",
        right: "",
    },
    Explanation {
        code: codes::ENCODING,
        summary: "the text is not UTF-8, or holds characters that YAML does not allow",
        details: "Save the file as UTF-8. Control characters stand in double quotes as escapes such as `\\x1b`.",
        wrong: "",
        right: "",
    },
    Explanation {
        code: codes::DUPLICATE_KEY,
        summary: "a key stands twice in one mapping",
        details: "Other readers take the last one and drop the first without a word. Remove one, or write one list.",
        wrong: "name: demo\nname: other\n",
        right: "name: demo\n",
    },
    Explanation {
        code: codes::UNUSABLE_KEY,
        summary: "a key is a list or a mapping",
        details: "Keys are text. A template at the start of a line needs quotes, because `{` begins a mapping.",
        wrong: "{{ context.name }}: 1\n",
        right: "\"{{ context.name }}\": 1\n",
    },
    Explanation {
        code: codes::TAG,
        summary: "a tag is unknown, or does not fit what it stands at",
        details: "A word that begins with `!` is a tag. Text that begins so needs quotes.",
        wrong: "run: !test -d /opt/tool\n",
        right: "run: \"!test -d /opt/tool\"\n",
    },
    Explanation {
        code: codes::VALUE,
        summary: "a scalar looks like a date or a number but is none",
        details: "YAML takes text of this form for a date or a number and cannot make one of it. Put it into quotes.",
        wrong: "version: 2024-13-40\n",
        right: "version: '2024-13-40'\n",
    },
    Explanation {
        code: codes::MERGE,
        summary: "a merge key stands before something that is no mapping",
        details: "`<<` takes the entries of another mapping, or of a list of mappings.",
        wrong: "<<: text\n",
        right: "<<: {name: demo}\n",
    },
    Explanation {
        code: codes::ALIAS,
        summary: "an alias names nothing, itself, or too much",
        details: "`*name` repeats what `&name` marked before it. What aliases repeat is limited, so that a small file \
                  cannot become a large one. Text that begins with `*` needs quotes.",
        wrong: "names: &all [*all]\n",
        right: "names: [all]\n",
    },
    Explanation {
        code: codes::DOCUMENTS,
        summary: "there is more than one document",
        details: "A line `---` begins another document, and only one is read.",
        wrong: "name: demo\n---\nversion: 1\n",
        right: "name: demo\nversion: 1\n",
    },
];

#[cfg(test)]
mod tests {
    use nd_report::{FileId, Sink};

    use super::*;

    #[test]
    fn every_code_has_words_and_every_example_is_one() {
        let of = |text: &str| {
            let mut sink = Sink::new();
            nd_yaml::parse(
                text.as_bytes(),
                FileId(0),
                &nd_yaml::Limits::default(),
                &mut sink,
            );
            sink.diagnostics()
                .iter()
                .map(|found| found.code)
                .collect::<Vec<_>>()
        };
        for code in codes::ALL {
            let words = EXPLANATIONS.iter().find(|words| words.code == *code);
            let words = words.unwrap_or_else(|| panic!("{code} has no words"));
            if !words.wrong.is_empty() {
                let found = of(words.wrong);
                assert!(
                    !found.is_empty() && found.iter().all(|found| found == code),
                    "{code}: {found:?}"
                );
                assert_eq!(of(words.right), [], "{}", words.right);
            }
        }
    }
}
