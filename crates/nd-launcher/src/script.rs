//! A wrapper as a shell script, for sites that want to read what their commands do.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use crate::{
    Command, LaunchFile, SITE_POLICY,
    plan::{GPU_LIBRARIES, GPU_VARIABLES},
    policy::GPU_WORDS,
    quote::quote,
};

/// Reads the policy.
const POLICY: &str = include_str!("script/policy.sh");
/// Finds the runtime, and begins its arguments.
const START: &str = include_str!("script/start.sh");
/// The rest of the arguments, and the variables.
const FINISH: &str = include_str!("script/finish.sh");

/// The wrapper of `command` as a POSIX shell script, from the same data as the launcher. `folder` is
/// where it is installed; moved elsewhere, it finds the image beside itself.
///
/// It reads the policies of the site and of the prefix when it runs, and decides as the launcher does,
/// through a runtime always. A policy with escapes it refuses, and what has to be compared before it starts; sources of binds in variables that do not
/// exist are the runtime's to complain about; and what options bind does not count when it asks whether the
/// working directory is there. It calls no program but the runtime.
pub fn script(launch: &LaunchFile<'_>, folder: &Path, command: &Command<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let quoted = |word: &OsStr| {
        let mut bytes = Vec::new();
        quote(word, &mut bytes);
        bytes
    };
    let mut line = |parts: &[&[u8]]| {
        for part in parts {
            out.extend_from_slice(part);
        }
        out.push(b'\n');
    };
    let list = |names: &[&str]| quoted(OsStr::new(&names.join("\n")));
    line(&[b"#!/bin/sh"]);
    line(&[
        b"# ",
        &comment(&launch.name),
        b": ",
        &comment(&command.name),
    ]);
    line(&[b"here=", &quoted(folder.as_os_str())]);
    line(&[b"image=", &quoted(&launch.image)]);
    line(&[b"program=", &quoted(command.program())]);
    let gpu = GPU_WORDS.iter().find(|(_, gpu)| Some(*gpu) == launch.gpu);
    line(&[
        b"gpu_of_image=",
        gpu.map_or("''", |(word, _)| word).as_bytes(),
    ]);
    line(&[b"drivers=", &list(GPU_LIBRARIES)]);
    line(&[b"gpu_variables=", &list(GPU_VARIABLES)]);
    let mut pass = Vec::new();
    for name in launch
        .pass
        .iter()
        .filter(|name| is_pattern(name.as_bytes()))
    {
        pass.extend_from_slice(name.as_bytes());
        pass.push(b'\n');
    }
    line(&[b"pass=", &quoted(OsStr::from_bytes(&pass))]);
    line(&[
        b"case $image in /*) ;; *)\n  [ -e \"$here/$image\" ] || case $0 in */*) here=${0%/*} ;; *) here=. ;; esac\n  image=$here/$image ;;\nesac",
    ]);
    line(&[POLICY.as_bytes()]);
    line(&[b"read_policy ", SITE_POLICY.as_bytes()]);
    if let Some(own) = &launch.policy {
        let beside: &[u8] = if own.as_bytes().starts_with(b"/") {
            b""
        } else {
            b"\"$here\"/"
        };
        line(&[b"read_policy ", beside, &quoted(own)]);
    }
    line(&[START.as_bytes()]);
    for word in launch.options.iter().rev() {
        line(&[b"set -- ", &quoted(word), b" \"$@\""]);
    }
    line(&[BINDS.as_bytes()]);
    for bind in launch.binds.iter().rev() {
        let bind = quoted(bind);
        line(&[b"bind_it ", &bind, b" && set -- --bind ", &bind, b" \"$@\""]);
    }
    line(&[FINISH.as_bytes()]);
    out
}

/// Whether a bind can be made, and where it leads to.
const BINDS: &str = "\
target_of() {
  case $1 in *:*) target=${1#*:} ;; *) target=$1 ;; esac
  covered=$covered${target%%:*}$nl
}
bind_it() {
  [ -e \"${1%%:*}\" ] && target_of \"$1\"
}";

/// Text for a comment line.
fn comment(text: &OsStr) -> Vec<u8> {
    text.as_bytes()
        .iter()
        .map(|byte| if byte.is_ascii_control() { b'?' } else { *byte })
        .collect()
}

/// Whether it is a name of variables, or the beginning of some before a `*`.
fn is_pattern(name: &[u8]) -> bool {
    let name = name.strip_suffix(b"*").unwrap_or(name);
    name.first()
        .is_none_or(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}
