//! Reading a specification.

use indexmap::IndexMap;
use nd_instructions::{PackageManager, install_script};
use serde_json::{Map, Value};

use super::{
    Provenance, Refusal, RefusalKind, Registry, Spec, Step, json::python_text, refusal::nearest,
};
use crate::normalise_run;

/// Names of the instructions that are no template.
const FIXED: &[&str] = &[
    "from_",
    "arg",
    "copy",
    "add",
    "env",
    "entrypoint",
    "install",
    "label",
    "run",
    "run_bash",
    "user",
    "workdir",
];

/// A specification that was read, and what had to be repaired for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecRead {
    /// The specification.
    pub spec: Spec,
    /// What was repaired, each a line.
    pub repairs: Vec<String>,
}

/// Reads the text of a specification.
///
/// In `compat` exactly what upstream accepts is accepted. Otherwise files that upstream's recipes
/// damaged are repaired, and what upstream records twice is taken once.
pub fn read_spec(text: &[u8], registry: &Registry, compat: bool) -> Result<SpecRead, Refusal> {
    let mut repairs = Vec::new();
    let value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(problem) => {
            let repaired = (!compat).then(|| repaired(text)).flatten();
            let Some(value) = repaired else {
                let message = format!("the specification is no JSON: {problem}");
                return Err(Refusal::new(RefusalKind::Specification, message));
            };
            repairs.push("repaired the quoting of a damaged `/.reproenv.json`".to_owned());
            value
        }
    };
    let reader = Reader { registry, compat };
    let mut spec = reader.spec(&value)?;
    let ours = value.get("schema_version").is_some();
    if !compat && !ours {
        once(&mut spec, &mut repairs);
    }
    Ok(SpecRead { spec, repairs })
}

/// Undoes what upstream's `printf` does to a specification on its way into an image.
fn repaired(text: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.strip_suffix(" \\").unwrap_or(line))
        .collect();
    let text = lines.join("\n").replace("\\(", "(").replace("\\)", ")");
    serde_json::from_str(&text).ok()
}

/// Takes away what upstream records twice: the `run` behind an `install`, and the destination
/// among the sources of a `copy`.
fn once(spec: &mut Spec, repairs: &mut Vec<String>) {
    let before = spec.steps.len();
    let mut kept: Vec<Step> = Vec::new();
    for step in std::mem::take(&mut spec.steps) {
        if let (Step::Run(command), Some(Step::Install { packages, options })) =
            (&step, kept.last())
        {
            let options = options.as_ref().and_then(Option::as_deref);
            let script = install_script(spec.manager, packages, options);
            if *command == script || *command == normalise_run(&script) {
                continue;
            }
        }
        kept.push(step);
    }
    if kept.len() < before {
        repairs.push("left out installations that are recorded twice".to_owned());
    }
    let mut copies = false;
    for step in &mut kept {
        if let Step::Copy {
            sources,
            destination,
            ..
        } = step
        {
            while sources.len() > 1 && sources.last() == Some(destination) {
                sources.pop();
                copies = true;
            }
        }
    }
    if copies {
        repairs.push("left out destinations that are recorded as sources of a copy".to_owned());
    }
    spec.steps = kept;
}

struct Reader<'r> {
    registry: &'r Registry,
    compat: bool,
}

fn refuse<T>(at: &str, message: impl std::fmt::Display) -> Result<T, Refusal> {
    let message = format!("specification: {at}: {message}");
    Err(Refusal::new(RefusalKind::Specification, message))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Reader<'_> {
    fn spec(&self, value: &Value) -> Result<Spec, Refusal> {
        let Value::Object(map) = value else {
            return refuse(
                "top level",
                format!("expected an object, found {}", kind(value)),
            );
        };
        let manager = match map.get("pkg_manager") {
            Some(Value::String(name)) if name == "apt" => PackageManager::Apt,
            Some(Value::String(name)) if name == "yum" => PackageManager::Yum,
            Some(other) => {
                return refuse("pkg_manager", format!("{other} is neither `apt` nor `yum`"));
            }
            None => return refuse("top level", "`pkg_manager` is missing"),
        };
        let existing_users = match map.get("existing_users") {
            None => None,
            Some(value) => Some(texts(value, "existing_users", 1)?),
        };
        let Some(instructions) = map.get("instructions") else {
            return refuse("top level", "`instructions` is missing");
        };
        let Value::Array(items) = instructions else {
            let found = kind(instructions);
            return refuse("instructions", format!("expected a list, found {found}"));
        };
        if items.is_empty() {
            return refuse("instructions", "there must be one at least");
        }
        let mut steps = Vec::new();
        for (index, item) in items.iter().enumerate() {
            steps.push(self.step(item, &format!("instruction {}", index + 1))?);
        }
        let templates = match map.get("templates") {
            Some(Value::Array(items)) if !self.compat => {
                items.iter().filter_map(provenance).collect()
            }
            _ => Vec::new(),
        };
        Ok(Spec {
            manager,
            existing_users,
            steps,
            templates,
        })
    }

    fn step(&self, item: &Value, at: &str) -> Result<Step, Refusal> {
        let Value::Object(map) = item else {
            return refuse(at, format!("expected an object, found {}", kind(item)));
        };
        if let Some(key) = map.keys().find(|key| *key != "name" && *key != "kwds") {
            return refuse(at, format!("has no key `{key}`, only `name` and `kwds`"));
        }
        let Some(Value::String(name)) = map.get("name") else {
            return refuse(at, "`name` is missing or no text");
        };
        let Some(Value::Object(kwds)) = map.get("kwds") else {
            return refuse(at, "`kwds` is missing or no object");
        };
        let at = format!("{at} (`{name}`)");
        if let Some(step) = self.fixed(name, kwds, &at)? {
            return Ok(step);
        }
        let known = match self.registry.find(name) {
            // Upstream compares with the name as written in the template.
            Some(template) if self.compat => template.name == *name,
            found => found.is_some(),
        };
        if !known {
            let message =
                format!("specification: {at}: there is no instruction or template of this name");
            let refusal = Refusal::new(RefusalKind::Specification, message);
            let names = self.registry.names();
            let all = names
                .iter()
                .map(String::as_str)
                .chain(FIXED.iter().copied());
            return Err(match nearest(name, all, 2) {
                Some(near) => refusal.hint(format!("near to it: {near}")),
                None => refusal.hint(format!("instructions: {}", FIXED.join(", "))),
            });
        }
        Ok(Step::Call {
            name: name.clone(),
            arguments: kwds
                .iter()
                .map(|(key, value)| (key.clone(), python_text(value)))
                .collect(),
        })
    }

    fn fixed(
        &self,
        name: &str,
        kwds: &Map<String, Value>,
        at: &str,
    ) -> Result<Option<Step>, Refusal> {
        let keys = |known: &[&str]| match kwds.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => refuse(
                at,
                format!("has no keyword `{key}`, only {}", known.join(", ")),
            ),
            None => Ok(()),
        };
        let text = |key: &str| match kwds.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => refuse(at, format!("`{key}` must be a text, found {}", kind(other))),
            None => refuse(at, format!("`{key}` is missing")),
        };
        let maybe = |key: &str| match kwds.get(key) {
            None => Ok(None),
            Some(Value::Null) if !self.compat => Ok(None),
            Some(_) => text(key).map(Some),
        };
        let pairs = || -> Result<IndexMap<String, String>, Refusal> {
            if kwds.is_empty() {
                return refuse(at, "`kwds` must not be empty");
            }
            kwds.keys()
                .map(|key| Ok((key.clone(), text(key)?)))
                .collect()
        };
        let sources = |key: &str| match kwds.get(key) {
            Some(Value::String(one)) if !self.compat => Ok(vec![one.clone()]),
            Some(value) => texts(value, &format!("{at}: {key}"), 1),
            None => refuse(at, format!("`{key}` is missing")),
        };
        Ok(Some(match name {
            "from_" => {
                keys(&["base_image", "as_"])?;
                Step::From {
                    image: text("base_image")?,
                    name: maybe("as_")?,
                }
            }
            "arg" => {
                keys(&["key", "value"])?;
                Step::Arg {
                    name: text("key")?,
                    value: maybe("value")?,
                }
            }
            "copy" => {
                if self.compat {
                    keys(&["source", "destination"])?;
                } else {
                    keys(&["source", "destination", "from_", "chown", "chmod"])?;
                }
                Step::Copy {
                    sources: sources("source")?,
                    destination: text("destination")?,
                    from: maybe("from_")?,
                    owner: maybe("chown")?,
                    mode: maybe("chmod")?,
                }
            }
            "add" => {
                keys(&["source", "destination"])?;
                Step::Add {
                    sources: if self.compat {
                        vec![text("source")?]
                    } else {
                        sources("source")?
                    },
                    destination: text("destination")?,
                }
            }
            "env" => Step::Env(pairs()?),
            "label" => Step::Label(pairs()?),
            "labels" if !self.compat => Step::Label(pairs()?),
            "entrypoint" => {
                keys(&["args"])?;
                Step::Entrypoint(sources("args")?)
            }
            "install" => {
                keys(&["pkgs", "opts"])?;
                Step::Install {
                    packages: sources("pkgs")?,
                    options: match kwds.get("opts") {
                        None => None,
                        Some(Value::Null) => Some(None),
                        Some(_) => Some(Some(text("opts")?)),
                    },
                }
            }
            "run" => {
                keys(&["command"])?;
                Step::Run(text("command")?)
            }
            "run_bash" => {
                keys(&["command"])?;
                Step::RunBash(text("command")?)
            }
            "user" => {
                keys(&["user"])?;
                Step::User(text("user")?)
            }
            "workdir" => {
                keys(&["path"])?;
                Step::Workdir(text("path")?)
            }
            _ => return Ok(None),
        }))
    }
}

fn texts(value: &Value, at: &str, least: usize) -> Result<Vec<String>, Refusal> {
    let Value::Array(items) = value else {
        return refuse(at, format!("expected a list, found {}", kind(value)));
    };
    if items.len() < least {
        return refuse(at, "must not be empty");
    }
    items
        .iter()
        .map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            other => refuse(at, format!("items must be texts, found {}", kind(other))),
        })
        .collect()
}

/// Where instructions came from; an entry of another form is left out, it only informs.
fn provenance(value: &Value) -> Option<Provenance> {
    let number = |key: &str| usize::try_from(value.get(key)?.as_u64()?).ok();
    let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
    Some(Provenance {
        index: number("index")?,
        count: number("count")?,
        name: text("name")?,
        method: text("method")?,
        arguments: value
            .get("args")?
            .as_object()?
            .iter()
            .map(|(key, value)| (key.clone(), python_text(value)))
            .collect(),
        url: text("url"),
        sha256: text("sha256"),
        license: text("license"),
        homepage: text("homepage"),
    })
}
