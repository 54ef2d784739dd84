//! Definition files outside of the compatible mode.

use std::fmt::Write as _;

use indexmap::IndexMap;
use nd_instructions::{
    Base, CopySource, Definition, EnvPair, Instruction, Network, Op, Script, Stage,
    expand as expand_variables,
};
use serde_json::Value;

use super::{
    Refusal, RefusalKind, Spec, Step,
    compat::{FIRST_LINE, SAVE, SAVED},
    docker::{accounts, escaped, pairs, single_line},
    save, shell,
};
use crate::{
    apptainer::{ApptainerOptions, Frame, render_framed},
    templates::quote,
};

/// Writes flat instructions as definition file.
pub(super) fn render(spec: &Spec, record: Option<&Value>) -> Result<String, Refusal> {
    let mut lowering = Lowering {
        spec,
        stages: Vec::new(),
        global: IndexMap::new(),
        user: "root".to_owned(),
        users: Vec::new(),
        adds: 0,
        accounts: accounts(spec),
    };
    for step in &spec.steps {
        lowering.step(step)?;
    }
    if lowering.stages.is_empty() {
        let message = "there is no base image, so there can be no definition file";
        return Err(Refusal::new(RefusalKind::Instruction, message));
    }
    let definition = Definition {
        package_manager: spec.manager,
        stages: lowering.stages,
    };
    let mut end_of_post = String::new();
    if let Some(record) = record {
        _ = write!(
            end_of_post,
            "\n{SAVE}\n{}\n{SAVED}\n",
            save::command(record)
        );
    }
    let frame = Frame {
        first_line: FIRST_LINE,
        end_of_post: &end_of_post,
        build_arguments: true,
    };
    let text = render_framed(&definition, &ApptainerOptions::default(), frame)
        .map_err(|problem| Refusal::new(RefusalKind::Instruction, problem.to_string()))?;
    Ok(text.trim_end().to_owned())
}

struct Lowering<'s> {
    spec: &'s Spec,
    stages: Vec<Stage>,
    /// Build arguments from before the first stage, which base images may name.
    global: IndexMap<String, String>,
    user: String,
    /// Users that stages ended with.
    users: Vec<String>,
    adds: usize,
    accounts: Vec<String>,
}

/// A text that ends at its first failure.
fn run(text: String) -> Op {
    Op::Run {
        script: Script::Commands(vec![text]),
        mounts: Vec::new(),
        network: Network::Host,
    }
}

impl Lowering<'_> {
    fn push(&mut self, op: Op) -> Result<(), Refusal> {
        let Some(stage) = self.stages.last_mut() else {
            let message = "an instruction stands before the base image";
            return Err(Refusal::new(RefusalKind::Instruction, message)
                .hint("only build arguments may stand there"));
        };
        stage.body.push(Instruction { op, origin: None });
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Refusal> {
        match step {
            Step::From { image, name } => self.from(image, name.as_deref()),
            Step::Arg { name, value } if self.stages.is_empty() => {
                let value = value.clone().unwrap_or_default();
                self.global.insert(name.clone(), value);
                Ok(())
            }
            Step::Arg { name, value } => self.push(Op::Arg {
                name: name.clone(),
                default: Some(escaped(value.as_deref().unwrap_or_default())),
            }),
            Step::Copy {
                sources,
                destination,
                from,
                owner,
                mode,
            } => {
                let stage = from.as_ref().map(|from| {
                    let known = |stage: &Stage| stage.name.as_ref() == Some(from);
                    if self.stages.iter().any(known) {
                        CopySource::Stage(from.clone())
                    } else {
                        CopySource::Image(from.clone())
                    }
                });
                self.push(Op::Copy {
                    from: stage.unwrap_or(CopySource::Context),
                    sources: sources.clone(),
                    dest: destination.clone(),
                    owner: owner.clone(),
                })?;
                match mode {
                    Some(mode) => self.mode(sources, destination, mode),
                    None => Ok(()),
                }
            }
            Step::Add {
                sources,
                destination,
            } => self.add(sources, destination),
            Step::Env(values) => {
                for (name, value) in values {
                    single_line("a variable", name)?;
                    single_line("the value of a variable", value)?;
                }
                self.push(Op::Env {
                    pairs: pairs(values),
                })
            }
            Step::Label(values) => {
                let mut all = Vec::new();
                for (name, value) in values {
                    if name.contains(char::is_whitespace) {
                        let message = format!("the name of a label has no blanks: `{name}`");
                        return Err(Refusal::new(RefusalKind::Instruction, message));
                    }
                    single_line("the value of a label", value)?;
                    all.push(EnvPair {
                        name: name.clone(),
                        value: value.clone(),
                    });
                }
                self.push(Op::Label { pairs: all })
            }
            Step::Entrypoint(words) => self.push(Op::Entrypoint {
                argv: words.clone(),
            }),
            Step::Install { packages, options } => {
                let options = options.as_ref().and_then(Option::as_deref);
                let text = shell::install(self.spec.manager, packages, options);
                self.run(&text)
            }
            Step::Run(text) => self.run(text),
            Step::User(user) => {
                single_line("the name of an account", user)?;
                self.user.clone_from(user);
                if self.accounts.contains(user) {
                    return Ok(());
                }
                self.accounts.push(user.clone());
                self.push(Op::User { user: user.clone() })
            }
            Step::Workdir(path) => {
                single_line("a working directory", path)?;
                self.push(Op::Workdir { path: path.clone() })
            }
            Step::RunBash(_) | Step::Call { .. } => {
                let message = "a template call is left in the instructions";
                Err(Refusal::new(RefusalKind::Instruction, message))
            }
        }
    }

    fn from(&mut self, image: &str, name: Option<&str>) -> Result<(), Refusal> {
        if !self.stages.is_empty() {
            self.users.push(self.user.clone());
        }
        let image = expand_variables(single_line("a base image", image)?, &|name| {
            self.global.get(name).cloned()
        })
        .map_err(|problem| {
            Refusal::new(
                RefusalKind::Instruction,
                format!("base image `{image}`: {problem}"),
            )
        })?;
        let known = |stage: &Stage| stage.name.as_ref() == Some(&image);
        let earlier = self.stages.iter().rposition(known);
        self.accounts = accounts(self.spec);
        self.user = match earlier {
            Some(at) => self.users[at].clone(),
            None => "root".to_owned(),
        };
        self.stages.push(Stage {
            name: name.map(str::to_owned),
            base: match (earlier, image.as_str()) {
                (Some(_), _) => Base::Stage(image),
                (None, "scratch") => Base::Scratch,
                (None, _) => Base::Image(image),
            },
            body: Vec::new(),
        });
        Ok(())
    }

    /// A text in the shell of whoever is the user.
    fn run(&mut self, text: &str) -> Result<(), Refusal> {
        let (flags, text) = shell::flags(text);
        if let Some(flag) = flags.first() {
            let message = format!("`{flag}` has no meaning for Apptainer");
            return Err(Refusal::new(RefusalKind::Instruction, message)
                .hint("copy what the step needs into the image"));
        }
        let text = shell::without_comments(text);
        let user = self.user.split(':').next().unwrap_or_default();
        if ["root", "0"].contains(&user) {
            return self.push(run(text));
        }
        let shell = quote(&format!("set -e\n{text}"));
        self.push(run(if user.bytes().all(|b| b.is_ascii_digit()) {
            let group = self.user.split_once(':').map_or(user, |(_, group)| group);
            let group = quote(group);
            format!("setpriv --reuid={user} --regid={group} --clear-groups /bin/sh -c {shell}")
        } else {
            format!("su -s /bin/sh -c {shell} {}", quote(user))
        }))
    }

    /// Gives copied files their mode.
    fn mode(&mut self, sources: &[String], destination: &str, mode: &str) -> Result<(), Refusal> {
        let folder = sources.len() > 1 || destination.ends_with('/');
        let targets: Vec<String> = sources
            .iter()
            .map(|source| {
                let name = source
                    .trim_end_matches('/')
                    .rsplit('/')
                    .next()
                    .unwrap_or_default();
                if folder {
                    quote(&format!("{}/{name}", destination.trim_end_matches('/')))
                } else {
                    quote(destination)
                }
            })
            .collect();
        let command = format!("chmod -R {} {}", quote(mode), targets.join(" "));
        self.push(run(command))
    }

    /// `ADD`: an archive is unpacked, anything else copied; an address is downloaded.
    fn add(&mut self, sources: &[String], destination: &str) -> Result<(), Refusal> {
        let to = quote(destination);
        for source in sources {
            if source.starts_with("https://") || source.starts_with("http://") {
                let name = source.rsplit('/').next().unwrap_or_default();
                let to = match destination.strip_suffix('/') {
                    Some(folder) => quote(&format!("{folder}/{name}")),
                    None => to.clone(),
                };
                let command = format!(
                    "mkdir -p \"$(dirname {to})\" && curl -fsSL --retry 5 -o {to} {}",
                    quote(source)
                );
                self.push(run(command))?;
                continue;
            }
            let aside = format!("/.nd-add/{}/", self.adds);
            self.adds += 1;
            self.push(Op::Copy {
                from: CopySource::Context,
                sources: vec![source.clone()],
                dest: aside.clone(),
                owner: None,
            })?;
            let place = if destination.ends_with('/') {
                to.clone()
            } else {
                format!("\"$(dirname {to})\"")
            };
            // Not every `tar` sees by itself how an archive is compressed.
            let command = format!(
                r#"for nd_item in {aside}*; do
    nd_done=
    for nd_how in f zf jf Jf; do
        if [ -z "$nd_done" ] && [ -f "$nd_item" ] && tar "-t$nd_how" "$nd_item" > /dev/null 2>&1; then
            mkdir -p {to}
            tar "-x$nd_how" "$nd_item" -C {to}
            nd_done=1
        fi
    done
    if [ -z "$nd_done" ]; then
        mkdir -p {place}
        cp -a "$nd_item" {to}
    fi
done
rm -rf /.nd-add"#
            );
            self.push(run(command))?;
        }
        Ok(())
    }
}
