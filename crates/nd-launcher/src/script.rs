//! A wrapper as a shell script, for sites that want to read what their commands do.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use crate::{Command, Gpu, LaunchFile, Policy, RuntimeChoice, Temporary, quote::quote};

/// The wrapper of `command` as a POSIX shell script, from the same data as the launcher. `folder` is
/// where it is installed; moved elsewhere, it finds the image beside itself.
///
/// It decides the same when it runs, except what a shell cannot say or would need programs for: the
/// policy is the one of now; allow-lists with `*`, the Wayland socket, and binding a working directory that
/// nothing covers are the launcher's alone; variables with binds are left to the runtime, which ends
/// when one does not exist. It calls no program but the runtime.
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
        b"case $image in /*) ;; *)\n  [ -e \"$here/$image\" ] || case $0 in */*) here=${0%/*} ;; *) here=. ;; esac\n  image=$here/$image ;;\nesac",
    ]);
    for folder in &policy.search {
        line(&[b"PATH=$PATH:", &quoted(folder)]);
    }
    let names = match &policy.runtime {
        RuntimeChoice::Auto | RuntimeChoice::Native => b"apptainer singularity".to_vec(),
        RuntimeChoice::Apptainer => b"apptainer".to_vec(),
        RuntimeChoice::Singularity => b"singularity".to_vec(),
        RuntimeChoice::Program(program) => quoted(program),
    };
    line(&[
        b"for runtime in ",
        &names,
        b" ''; do\n  command -v \"${runtime:-:}\" >/dev/null 2>&1 && break\ndone",
    ]);
    line(&[b"[ -n \"$runtime\" ] || { echo 'neurodesk: error: found no runtime on `PATH`' >&2; exit 127; }"]);
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
    let tmp = match &policy.temporary {
        Temporary::Off => None,
        Temporary::Auto => Some(b"${TEMPDIR:-${TEMP:-${TMPDIR:-${TMP-}}}}".to_vec()),
        Temporary::Folder(folder) => Some(quoted(folder)),
    };
    if let Some(tmp) = tmp {
        line(&[
            b"tmp=",
            &tmp,
            b"\nif [ -d \"$tmp\" ] && [ \"$(cd -P \"$tmp\" && pwd)\" != /tmp ]; then",
        ]);
        if policy.x11 {
            line(&[b"  [ -n \"${DISPLAY-}\" ] && [ -d /tmp/.X11-unix ] && set -- --bind /tmp/.X11-unix \"$@\""]);
        }
        line(&[b"  set -- --bind \"$tmp:/tmp\" \"$@\"\nfi"]);
    }
    let gpu = match (policy.gpu, launch.gpu) {
        (Some(Gpu::Off), _) | (_, Some(Gpu::Off)) => Gpu::Off,
        (Some(gpu), _) | (None, Some(gpu)) => gpu,
        (None, None) => Gpu::Auto,
    };
    let offers: [(&[Gpu], &[u8]); 2] = [
        (
            &[Gpu::Auto, Gpu::Nvidia],
            b"for lib in /usr/lib/*/libcuda.so.1 /usr/lib64/libcuda.so.1 /usr/lib/libcuda.so.1; do\n    [ -e \"$lib\" ] && [ -e /dev/nvidiactl ] && set -- --nv \"$@\" && break\n  done",
        ),
        (
            &[Gpu::Auto, Gpu::Rocm],
            b"[ \"$1\" != --nv ] && [ -e /dev/kfd ] && [ -e /dev/dri ] && set -- --rocm \"$@\"",
        ),
    ];
    if gpu != Gpu::Off {
        line(&[b"case \" ${neurodesk_singularity_opts-} \" in *' --nv '* | *' --rocm '*) ;; *)"]);
        for (kinds, text) in offers {
            if kinds.contains(&gpu) {
                line(&[b"  ", text]);
            }
        }
        line(&[b"  ;;\nesac"]);
    }
    for (name, value) in &policy.environment {
        if is_name(name.as_bytes()) {
            let (name, value) = (name.as_bytes(), quoted(value));
            line(&[
                b"export APPTAINERENV_",
                name,
                b"=",
                &value,
                b" SINGULARITYENV_",
                name,
                b"=",
                &value,
            ]);
        }
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
