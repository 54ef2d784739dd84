//! What a release of a container is: `releases/CONTAINER/VERSION.json`.

use std::io;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

/// A release record, the form that the catalogue reads.
///
/// Keys are written in the order of the fields, indented by two spaces, text outside ASCII
/// escaped, without a final newline; readers accept one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// The container as `NAME VERSION` first, then its desktop entries as `GUI-NAME VERSION`.
    pub apps: IndexMap<String, ReleaseApp>,
    /// Topics the container is listed under.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Selector of a named variant (`arm64`, `gpu_arm64`); absent for the default container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Whether desktops show the container in their menu; absent when the recipe is silent. A
    /// boolean, but for records that repeat what a recipe says without asking for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show_in_menu: Option<serde_json::Value>,
    /// Whether lists of applications show the container; as `show_in_menu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show_in_applist: Option<serde_json::Value>,
    /// Architecture of a named variant, or of a record of the older form for `arm64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

/// One application of a release.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseApp {
    /// The build date, `YYYYMMDD`. Numbers are accepted when read.
    #[serde(deserialize_with = "date_text")]
    pub version: String,
    /// What the desktop entry runs; empty for the container itself.
    #[serde(default)]
    pub exec: String,
    /// Arguments that whoever runs the container has to add; absent in older records. Text, but
    /// for records that repeat what a recipe says without asking for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apptainer_args: Option<Vec<serde_json::Value>>,
    /// Architecture, in the older form for `arm64` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Name or place of the image, in the older form only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl ReleaseRecord {
    /// The record as it is stored: two-space JSON in ASCII, no final newline.
    ///
    /// # Errors
    ///
    /// Never for records that this program made; kept because serialising may fail in principle.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        // `architecture` follows `variant` in records of named variants and comes last in the
        // older form, where there is no variant.
        let mut map = match serde_json::to_value(self)? {
            serde_json::Value::Object(map) => map,
            other => return ascii_json(&other),
        };
        if map.contains_key("variant")
            && let Some(architecture) = map.shift_remove("architecture")
        {
            let at = map
                .keys()
                .position(|key| key == "variant")
                .map_or(0, |at| at + 1);
            map.shift_insert(at, "architecture".to_owned(), architecture);
        }
        ascii_json(&serde_json::Value::Object(map))
    }
}

/// Serialises with two-space indentation and everything outside ASCII escaped, as Python does.
///
/// # Errors
///
/// When `value` cannot be serialised.
pub fn ascii_json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    let formatter = Ascii(serde_json::ser::PrettyFormatter::with_indent(b"  "));
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value.serialize(&mut serializer)?;
    String::from_utf8(out)
        .map_err(|error| serde_json::Error::io(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Pretty JSON in ASCII.
struct Ascii<'a>(serde_json::ser::PrettyFormatter<'a>);

impl serde_json::ser::Formatter for Ascii<'_> {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // A fragment has nothing that needs an escape of its own; the quotes are written by others.
        let mut text = String::with_capacity(fragment.len() + 2);
        nd_report::write_ascii_json(fragment, &mut text);
        writer.write_all(&text.as_bytes()[1..text.len() - 1])
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// A date as text; older records may hold it as a number.
fn date_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Visitor;

    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a build date as text or number")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<String, E> {
            if number.fract() == 0.0 {
                Ok(format!("{number:.0}"))
            } else {
                Err(E::custom("a build date has no fraction"))
            }
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Err(serde::de::Error::custom("a build date is no mapping"))
        }
    }

    deserializer.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_bytes_of_both_forms() {
        let named = "{\n  \"apps\": {\n    \"demo_gpu 1.4.0\": {\n      \"version\": \"20260102\",\n      \"exec\": \"\",\n      \"apptainer_args\": []\n    },\n    \"d\\u00e9moGUI-demo_gpu 1.4.0\": {\n      \"version\": \"20260102\",\n      \"exec\": \"demo-gui\",\n      \"apptainer_args\": [\n        \"--nv\"\n      ]\n    }\n  },\n  \"categories\": [\n    \"structural imaging\"\n  ],\n  \"variant\": \"gpu\",\n  \"architecture\": \"x86_64\",\n  \"show_in_menu\": false\n}";
        let record: ReleaseRecord = serde_json::from_str(named).unwrap();
        assert_eq!(record.to_json().unwrap(), named);
        let old = "{\n  \"apps\": {\n    \"demo 1 arm64\": {\n      \"version\": \"20240102\",\n      \"exec\": \"\",\n      \"architecture\": \"aarch64\",\n      \"image\": \"demo_1_arm64\"\n    }\n  },\n  \"categories\": [],\n  \"show_in_menu\": true,\n  \"architecture\": \"aarch64\"\n}";
        let record: ReleaseRecord = serde_json::from_str(old).unwrap();
        assert_eq!(record.to_json().unwrap(), old);
    }

    #[test]
    fn reads_dates_written_as_numbers() {
        let app: ReleaseApp = serde_json::from_str("{\"version\": 20240102.0}").unwrap();
        assert_eq!(app.version, "20240102");
        assert!(serde_json::from_str::<ReleaseApp>("{\"version\": {\"a\": 1}}").is_err());
    }
}
