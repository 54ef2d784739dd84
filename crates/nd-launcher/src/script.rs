//! A wrapper as a shell script, for sites that want to read what their commands do.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use crate::{Command, Gpu, LaunchFile, Policy, quote::quote};

/// The wrapper of `command` as a POSIX shell script, from the same data as the launcher. `folder` is
/// where it is installed; moved elsewhere, it finds the image beside itself.
///
/// It decides the same when it runs, except what a shell cannot say or would need programs for: the
/// policy is the one of now, variables that end with `*` in an allow-list and the Wayland socket are the
/// launcher's alone, and lists of binds are left to the runtime.
pub fn script(
    launch: &LaunchFile<'_>,
    folder: &Path,
    policy: &Policy<'_>,
    command: &Command<'_>,
) -> Vec<u8> {
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
    line(&[b"#!/bin/sh"]);
    line(&[
        b"# ",
        &comment(&launch.name),
        b": ",
        &comment(&command.name),
    ]);
    line(&[b"here=", &quoted(folder.as_os_str())]);
    line(&[b"image=", &quoted(&launch.image)]);
    line(&[
        b"case $image in /*) ;; *)\n  [ -e \"$here/$image\" ] || here=${0%/*}\n  image=$here/$image ;;\nesac",
    ]);
    line(&[
        b"for runtime in apptainer singularity ''; do\n  command -v \"${runtime:-:}\" >/dev/null 2>&1 && break\ndone",
    ]);
    line(&[b"[ -n \"$runtime\" ] || { echo \"neurodesk: found no \\`apptainer\\` or \\`singularity\\` on \\`PATH\\`\" >&2; exit 127; }"]);
    line(&[b"# what follows goes before the command, last thing first"]);
    line(&[
        b"set -- \"$image\" ",
        &quoted(command.program()),
        b" \"$@\"",
    ]);
    line(&[b"cwd=$(pwd -P) && set -- --pwd \"$cwd\" \"$@\""]);
    line(&[b"# words divided on purpose, as upstream does\n# shellcheck disable=SC2086\nset -- ${neurodesk_singularity_opts-} \"$@\""]);
    for word in policy
        .options
        .iter()
        .rev()
        .chain(launch.options.iter().rev())
    {
        line(&[b"set -- ", &quoted(word), b" \"$@\""]);
    }
    for bind in policy.binds.iter().rev().chain(launch.binds.iter().rev()) {
        let source = bind
            .as_bytes()
            .split(|byte| *byte == b':')
            .next()
            .unwrap_or_default();
        line(&[
            b"[ -e ",
            &quoted(OsStr::from_bytes(source)),
            b" ] && set -- --bind ",
            &quoted(bind),
            b" \"$@\"",
        ]);
    }
    if policy.x11 {
        line(&[
            b"[ -f \"${XAUTHORITY-}\" ] && set -- --bind \"$XAUTHORITY:$XAUTHORITY:ro\" \"$@\"",
        ]);
    }
    line(&[
        b"tmp=${TEMPDIR:-${TEMP:-${TMPDIR:-${TMP-}}}}\nif [ -d \"$tmp\" ] && [ \"$(cd -P \"$tmp\" && pwd)\" != /tmp ]; then\n  [ -n \"${DISPLAY-}\" ] && [ -d /tmp/.X11-unix ] && set -- --bind /tmp/.X11-unix \"$@\"\n  set -- --bind \"$tmp:/tmp\" \"$@\"\nfi",
    ]);
    if policy.gpu != Some(Gpu::Off) && launch.gpu != Some(Gpu::Off) {
        line(&[
            b"case \" ${neurodesk_singularity_opts-} \" in *' --nv '* | *' --rocm '*) ;; *)\n  if [ -e /dev/nvidiactl ]; then set -- --nv \"$@\"\n  elif [ -e /dev/kfd ] && [ -e /dev/dri ]; then set -- --rocm \"$@\"; fi ;;\nesac",
        ]);
    }
    for name in ["DISPLAY", "XAUTHORITY"]
        .iter()
        .map(OsStr::new)
        .filter(|_| policy.x11)
        .chain(launch.pass.iter().chain(&policy.pass).map(|name| &**name))
        .filter(|name| is_name(name.as_bytes()))
    {
        let name = name.as_bytes();
        line(&[
            b"[ -n \"${",
            name,
            b"+x}\" ] && [ -z \"${APPTAINERENV_",
            name,
            b"+x}${SINGULARITYENV_",
            name,
            b"+x}\" ] &&\n  export APPTAINERENV_",
            name,
            b"=\"$",
            name,
            b"\" SINGULARITYENV_",
            name,
            b"=\"$",
            name,
            b"\"",
        ]);
    }
    let clean: &[u8] = if policy.clean { b" --cleanenv" } else { b"" };
    line(&[b"exec \"$runtime\" --silent exec", clean, b" \"$@\""]);
    out
}

/// Text for a comment line.
fn comment(text: &OsStr) -> Vec<u8> {
    text.as_bytes()
        .iter()
        .map(|byte| if byte.is_ascii_control() { b'?' } else { *byte })
        .collect()
}

fn is_name(name: &[u8]) -> bool {
    name.first()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}
