//! Instructions as the JSON specification has them.

use indexmap::IndexMap;
use nd_instructions::PackageManager;
use serde_json::{Map, Value, json};

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A stage begins from an image.
    From {
        /// The image, or the name of a stage.
        image: String,
        /// Name of the new stage.
        name: Option<String>,
    },
    /// A build argument.
    Arg {
        /// Its name.
        name: String,
        /// Its default.
        value: Option<String>,
    },
    /// Files go into the image.
    Copy {
        /// Where they are.
        sources: Vec<String>,
        /// Where they go.
        destination: String,
        /// Stage or image they come from, in place of the build's folder.
        from: Option<String>,
        /// Their new owner.
        owner: Option<String>,
        /// Their new mode.
        mode: Option<String>,
    },
    /// Files or an archive to unpack go into the image.
    Add {
        /// Where they are.
        sources: Vec<String>,
        /// Where they go.
        destination: String,
    },
    /// Variables of the image.
    Env(IndexMap<String, String>),
    /// What the image starts.
    Entrypoint(Vec<String>),
    /// Packages are installed.
    Install {
        /// Their names.
        packages: Vec<String>,
        /// Options in place of the usual ones; the outer option says whether it was mentioned.
        options: Option<Option<String>>,
    },
    /// Labels of the image.
    Label(IndexMap<String, String>),
    /// A shell text runs.
    Run(String),
    /// A text runs in bash.
    RunBash(String),
    /// An account is made where it does not exist, and becomes the user.
    User(String),
    /// The working directory changes.
    Workdir(String),
    /// A template is called.
    Call {
        /// Its name.
        name: String,
        /// Its arguments, `method` among them when given.
        arguments: IndexMap<String, String>,
    },
}

impl Step {
    /// The step as the specification has it. A template call has its arguments.
    pub fn to_json(&self) -> Value {
        let (name, kwds) = match self {
            Self::From { image, name } => {
                let mut kwds = json!({ "base_image": image });
                if let Some(name) = name {
                    kwds["as_"] = name.as_str().into();
                }
                ("from_", kwds)
            }
            Self::Arg { name, value } => {
                let mut kwds = json!({ "key": name });
                if let Some(value) = value {
                    kwds["value"] = value.as_str().into();
                }
                ("arg", kwds)
            }
            Self::Copy {
                sources,
                destination,
                from,
                owner,
                mode,
            } => {
                let mut kwds = json!({ "source": sources, "destination": destination });
                for (key, value) in [("from_", from), ("chown", owner), ("chmod", mode)] {
                    if let Some(value) = value {
                        kwds[key] = value.as_str().into();
                    }
                }
                ("copy", kwds)
            }
            Self::Add {
                sources,
                destination,
            } => {
                let source = match sources.as_slice() {
                    [one] => Value::from(one.as_str()),
                    several => json!(several),
                };
                (
                    "add",
                    json!({ "source": source, "destination": destination }),
                )
            }
            Self::Env(pairs) => ("env", object(pairs)),
            Self::Entrypoint(words) => ("entrypoint", json!({ "args": words })),
            Self::Install { packages, options } => {
                let mut kwds = json!({ "pkgs": packages });
                if let Some(options) = options {
                    kwds["opts"] = json!(options);
                }
                ("install", kwds)
            }
            Self::Label(pairs) => ("label", object(pairs)),
            Self::Run(command) => ("run", json!({ "command": command })),
            Self::RunBash(command) => ("run_bash", json!({ "command": command })),
            Self::User(user) => ("user", json!({ "user": user })),
            Self::Workdir(path) => ("workdir", json!({ "path": path })),
            Self::Call { name, arguments } => (name.as_str(), object(arguments)),
        };
        json!({ "name": name, "kwds": kwds })
    }
}

fn object(pairs: &IndexMap<String, String>) -> Value {
    let pairs = pairs.iter();
    Value::Object(
        pairs
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect::<Map<_, _>>(),
    )
}

/// Which template a stretch of instructions came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Place of its first instruction.
    pub index: usize,
    /// Number of its instructions.
    pub count: usize,
    /// Name of the template.
    pub name: String,
    /// `binaries` or `source`.
    pub method: String,
    /// The arguments of the call.
    pub arguments: IndexMap<String, String>,
    /// Address that the version stands for.
    pub url: Option<String>,
    /// SHA-256 of what is behind the address, where it is known.
    pub sha256: Option<String>,
    /// Licence of the software.
    pub license: Option<String>,
    /// Home page of the software.
    pub homepage: Option<String>,
}

impl Provenance {
    /// As the specification has it.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "index": self.index,
            "count": self.count,
            "name": self.name,
            "method": self.method,
            "args": object(&self.arguments),
        });
        let more = [
            ("url", &self.url),
            ("sha256", &self.sha256),
            ("license", &self.license),
            ("homepage", &self.homepage),
        ];
        for (key, text) in more {
            if let Some(text) = text {
                value[key] = text.as_str().into();
            }
        }
        value
    }
}

/// A whole specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What installs packages.
    pub manager: PackageManager,
    /// Accounts that exist already, if the specification says so.
    pub existing_users: Option<Vec<String>>,
    /// The instructions.
    pub steps: Vec<Step>,
    /// Templates that instructions came from.
    pub templates: Vec<Provenance>,
}

impl Spec {
    /// The specification in JSON, with what upstream does not know at its end.
    pub fn to_json(&self) -> Value {
        let users = match &self.existing_users {
            Some(users) => users.clone(),
            None => vec!["root".to_owned()],
        };
        let steps: Vec<Value> = self.steps.iter().map(Step::to_json).collect();
        let mut value = json!({
            "pkg_manager": self.manager.to_string(),
            "existing_users": users,
            "instructions": steps,
            "schema_version": 2,
        });
        if !self.templates.is_empty() {
            value["templates"] = self.templates.iter().map(Provenance::to_json).collect();
        }
        value
    }
}
