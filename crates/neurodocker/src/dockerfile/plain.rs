//! The Dockerfile that means what the definition means.

use std::fmt::Write as _;

use nd_instructions::{
    Base, CopySource, Definition, EnvPair, Network, Op, Script, Stage, install_script, user_script,
};

use super::{RenderError, mount_flag};

pub(super) fn render(definition: &Definition) -> Result<String, RenderError> {
    let mut out = String::from("# Written by neurodocker; change the recipe, not this file.\n");
    for stage in &definition.stages {
        out.push('\n');
        render_stage(definition, stage, &mut out)?;
    }
    Ok(out)
}

fn render_stage(
    definition: &Definition,
    stage: &Stage,
    out: &mut String,
) -> Result<(), RenderError> {
    let image = match &stage.base {
        Base::Image(image) if image.trim().is_empty() => return Err(RenderError::EmptyBase),
        Base::Image(image) | Base::Stage(image) => one_line(image),
        Base::Scratch => "scratch".into(),
    };
    match &stage.name {
        Some(name) => line(out, &format!("FROM {image} AS {}", one_line(name))),
        None => line(out, &format!("FROM {image}")),
    }
    let mut accounts: Vec<String> = Vec::new();
    for instruction in &stage.body {
        match &instruction.op {
            Op::Run {
                script,
                mounts,
                network,
            } => {
                let mut flags: Vec<String> = mounts.iter().map(mount_flag).collect();
                if *network == Network::None {
                    flags.push("--network=none".into());
                }
                if let Some(text) = run(script, &flags) {
                    line(out, &text);
                }
            }
            Op::Install { packages, options } => {
                let mut packages = packages.clone();
                packages.sort_unstable();
                packages.dedup();
                let text =
                    install_script(definition.package_manager, &packages, options.as_deref());
                if !packages.is_empty()
                    && let Some(text) = run(&Script::Lines(text), &[])
                {
                    line(out, &text);
                }
            }
            Op::Env { pairs } if pairs.is_empty() => {}
            Op::Env { pairs } => line(out, &assignments("ENV", pairs)),
            Op::Label { pairs } if pairs.is_empty() => {}
            Op::Label { pairs } => line(out, &assignments("LABEL", pairs)),
            Op::Copy {
                from,
                sources,
                dest,
                owner,
            } => {
                let mut text = String::from("COPY ");
                match from {
                    CopySource::Context => {}
                    CopySource::Stage(name) | CopySource::Image(name) => {
                        _ = write!(text, "--from={} ", one_line(name));
                    }
                }
                if let Some(owner) = owner {
                    _ = write!(text, "--chown={} ", one_line(owner));
                }
                let items: Vec<&str> = sources.iter().chain([dest]).map(String::as_str).collect();
                text.push_str(&array(&items));
                line(out, &text);
            }
            Op::Arg { name, default } => match default {
                Some(default) => line(out, &format!("ARG {name}={}", quoted(default))),
                None => line(out, &format!("ARG {name}")),
            },
            Op::Workdir { path } => line(out, &format!("WORKDIR {}", one_line(path))),
            Op::User { user } => {
                let new = !accounts.contains(user);
                if new
                    && let Some(text) = user_script(user)
                    && let Some(text) = run(&Script::Lines(text), &[])
                {
                    line(out, &text);
                }
                accounts.push(user.clone());
                line(out, &format!("USER {}", one_line(user)));
            }
            Op::Entrypoint { argv } => {
                let items: Vec<&str> = argv.iter().map(String::as_str).collect();
                line(out, &format!("ENTRYPOINT {}", array(&items)));
            }
            _ => return Err(RenderError::UnknownInstruction),
        }
    }
    Ok(())
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Text of which a Dockerfile takes one line: every run of white space with a newline in it
/// becomes one space.
pub(crate) fn one_line(text: &str) -> String {
    if !text.contains(['\n', '\r']) {
        return text.trim_end_matches('\\').to_owned();
    }
    let words: Vec<&str> = text.split(['\n', '\r']).map(str::trim).collect();
    let kept: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    kept.join(" ").trim_end_matches('\\').to_owned()
}

/// A value in double quotes. References and the escapes that Docker knows stay as they are.
pub(crate) fn quoted(value: &str) -> String {
    let value = if value.contains(['\n', '\r']) {
        let parts: Vec<&str> = value.split(['\n', '\r']).map(str::trim).collect();
        let kept: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        kept.join(" ")
    } else {
        value.to_owned()
    };
    let mut out = String::from("\"");
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => match chars.clone().next() {
                Some(next @ ('"' | '\\' | '$')) => {
                    out.push('\\');
                    out.push(next);
                    chars.next();
                }
                Some(_) => out.push('\\'),
                None => out.push_str("\\\\"),
            },
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn assignments(word: &str, pairs: &[EnvPair]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|pair| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
            let name = if pair.name.bytes().all(plain) {
                pair.name.clone()
            } else {
                quoted(&pair.name)
            };
            format!("{name}={}", quoted(&pair.value))
        })
        .collect();
    format!("{word} {}", pairs.join(" \\\n    "))
}

pub(crate) fn array(items: &[&str]) -> String {
    let items: Vec<String> = items.iter().map(|item| json(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A JSON string; ASCII controls escaped, so that it is always one line.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A `RUN`: readable where that says the same, else in the form that takes any script. `None`
/// for a script that does nothing.
fn run(script: &Script, flags: &[String]) -> Option<String> {
    let shell = script.shell();
    if shell.trim().is_empty() {
        return None;
    }
    let readable = match script {
        Script::Commands(commands) => chain(commands),
        Script::Lines(text) => joined(text),
    };
    let mut out = String::from("RUN ");
    for flag in flags {
        out.push_str(flag);
        out.push(' ');
    }
    match readable {
        Some(text) => out.push_str(&text),
        None => out.push_str(&array(&["/bin/sh", "-c", &shell])),
    }
    Some(out)
}

/// Whether a character means something to [`shape`].
const fn is_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'\'' | b'"' | b'\\' | b'\n' | b'\r' | b'`' | b'#' | b'<' | b';' | b'!' | b'|' | b'&'
    )
}

/// What the characters of a command mean for those who join it with others.
#[derive(Debug, Default, Clone, Copy)]
struct Shape {
    /// Anything that cannot be judged here, or that Docker would read in another way.
    opaque: bool,
    /// `;`, `||` or `&` outside of quotes: the command must be kept together.
    several: bool,
}

fn shape(text: &str) -> Shape {
    let mut shape = Shape::default();
    let (mut single, mut double) = (false, false);
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut escaped = 0;
    while let Some(skip) = bytes[at..].iter().position(|byte| is_mark(*byte)) {
        at += skip;
        let c = char::from(bytes[at]);
        let next = bytes.get(at + 1).copied().map(char::from);
        // An escaped character counts as the backslash before it.
        let before = match text[..at].chars().next_back() {
            Some(_) if at == escaped => '\\',
            Some(before) => before,
            None => '\n',
        };
        let here = at;
        at += 1;
        match c {
            _ if single => {
                single = c != '\'';
                shape.opaque |= c == '\n';
            }
            '\\' => {
                at += text[at..].chars().next().map_or(0, char::len_utf8);
                escaped = at;
                let rest = text[here + 1..].trim_start_matches([' ', '\t']);
                match next {
                    // A continued line; Docker takes one that is empty or begins with `#` away.
                    Some('\n') => {
                        let rest = text[here + 2..].trim_start_matches([' ', '\t']);
                        shape.opaque |= double || rest.is_empty() || rest.starts_with(['#', '\n']);
                    }
                    Some(' ' | '\t') => {
                        shape.opaque |= rest.is_empty() || rest.starts_with('\n');
                    }
                    Some(_) => {}
                    None => shape.opaque = true,
                }
            }
            '\'' if !double => single = true,
            '"' => double = !double,
            '\n' | '\r' => shape.opaque = true,
            '`' => shape.opaque |= !double,
            _ if double => {}
            '#' => shape.opaque |= before.is_whitespace() || ";&|()".contains(before),
            '<' => shape.opaque |= next == Some('<'),
            ';' | '!' => shape.several = true,
            '|' if next == Some('|') => {
                shape.several = true;
                at += 1;
            }
            '&' if next == Some('&') => at += 1,
            '&' if before != '>' && before != '<' && next != Some('>') => {
                shape.several = true;
            }
            _ => {}
        }
    }
    shape.opaque |= single || double;
    shape
}

/// Commands as one `&&` chain over several lines, if that means the same.
fn chain(commands: &[String]) -> Option<String> {
    let mut out = Vec::new();
    for command in commands {
        let text = command.trim();
        if text.is_empty() {
            continue;
        }
        let shape = shape(text);
        let ends_open = text.ends_with(['\\', '&', ';', '|']);
        // What `set -e` says does not hold before `&&`.
        let settings = text.contains("set -") || text.contains("set +");
        if shape.opaque || ends_open || settings || text.starts_with(['#', '[', '-', '&', '|', ';'])
        {
            return None;
        }
        out.push(if shape.several {
            format!("{{ {text}; }}")
        } else {
            text.to_owned()
        });
    }
    (!out.is_empty()).then(|| out.join(" \\\n    && "))
}

/// Lines joined as the builder joins them, if a Dockerfile can hold them so.
fn joined(text: &str) -> Option<String> {
    let shell = Script::Lines(text.to_owned()).shell();
    if shell.contains("<<") || shell.starts_with(['[', '-']) {
        return None;
    }
    let mut out = String::new();
    let mut lines = shell.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            return None;
        }
        out.push_str(line);
        let Some(next) = lines.peek() else {
            break;
        };
        if !line.ends_with('\\') {
            // The builder ends a line before `fi`; here it must go on.
            let ends_block = next.trim() == "fi" || next.starts_with("fi ");
            if !ends_block || shape(&out.replace("\\\n", " ")).opaque {
                return None;
            }
            out.push_str(if line.ends_with(';') { " \\" } else { "; \\" });
        } else if line.ends_with("\\\\") {
            return None;
        }
        out.push_str("\n    ");
    }
    (!shape(&out.replace("\\\n", " ")).opaque).then_some(out)
}
