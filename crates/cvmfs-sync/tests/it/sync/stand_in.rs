//! A program that answers as `tests/data/cvmfs_server.toml` says.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

const DATA: &str = include_str!("../../data/cvmfs_server.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    call: Vec<Call>,
}

/// One entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Call {
    section: String,
    command: Option<String>,
    fault: Option<String>,
    #[serde(rename = "if")]
    present: Vec<String>,
    unless: Vec<String>,
    needs: Vec<String>,
    needs_not: Vec<String>,
    hold: Option<String>,
    sleep: Option<u32>,
    empty: Vec<String>,
    copy: BTreeMap<String, String>,
    make: Vec<String>,
    publish: bool,
    remove: Vec<String>,
    stdout: Option<String>,
    stderr: Option<String>,
    kill: Option<u32>,
    exit: u8,
}

/// A host with the stand-in and one repository.
pub(super) struct StandIn {
    pub(super) program: PathBuf,
    pub(super) repositories: PathBuf,
    pub(super) spool: PathBuf,
    pub(super) union: PathBuf,
    /// What the files of the repository hold.
    pub(super) published: PathBuf,
    fault: PathBuf,
}

impl StandIn {
    /// Makes it below `root`.
    pub(super) fn new(root: &Path, name: &str) -> Self {
        let at = |name: &str| root.join(name);
        let host = Self {
            program: at("stand-in"),
            repositories: at("repositories.d"),
            spool: at("spool"),
            union: at("spool/union"),
            published: at("storage/published"),
            fault: at("fault"),
        };
        let storage = at("storage");
        for folder in [&host.spool, &host.union, &host.published, &storage] {
            fs_err::create_dir_all(folder).unwrap();
        }
        let config = host.repositories.join(name);
        fs_err::create_dir_all(&config).unwrap();
        let (union, spool, files) = (
            host.union.display(),
            host.spool.display(),
            storage.display(),
        );
        let text = format!(
            "CVMFS_REPOSITORY_NAME={name}\nCVMFS_REPOSITORY_TYPE=stratum0\nCVMFS_UNION_DIR={union}\n\
             CVMFS_SPOOL_DIR={spool}\nCVMFS_UPSTREAM_STORAGE=local,{files}/data/txn,{files}\n"
        );
        fs_err::write(config.join("server.conf"), text).unwrap();
        nd_testkit::program(&host.program, host.script(&storage, name));
        let made = assert_cmd::Command::new(&host.program)
            .arg("--manifest")
            .ok();
        made.unwrap();
        host
    }

    /// Breaks something, or nothing.
    pub(super) fn fault(&self, name: &str) {
        fs_err::write(&self.fault, name).unwrap();
    }

    pub(super) fn is_open(&self) -> bool {
        self.spool.join("in_transaction.lock").exists()
    }

    fn script(&self, storage: &Path, name: &str) -> String {
        let place = |text: &str| {
            let text = text
                .replace("{spool}", self.spool.to_str().unwrap())
                .replace("{union}", self.union.to_str().unwrap())
                .replace("{published}", self.published.to_str().unwrap())
                .replace("{storage}", storage.to_str().unwrap());
            format!("'{text}'")
        };
        let manifest = place("{storage}/.cvmfspublished");
        let mut out = format!(
            "#!/bin/sh\nset -eu\n\
             publish() {{\n  revision=$(sed -n 's/^S//p' {manifest} 2>/dev/null || true)\n  \
             revision=$((${{revision:-0}} + 1))\n  \
             root=$(printf '%s' \"$revision\" | sha1sum | cut -c1-40)\n  \
             printf 'C%s\\nB0\\nRd41d8cd98f00b204e9800998ecf8427e\\nD240\\nS%s\\nN{name}\\n' \"$root\" \"$revision\" > {manifest}.new\n  \
             hash=$(sha1sum < {manifest}.new | cut -c1-40)\n  \
             printf -- '--\\n%s\\n' \"$hash\" >> {manifest}.new\n  mv {manifest}.new {manifest}\n}}\n\
             broken() {{ for word in $fault; do [ \"$word\" != \"$1\" ] || return 0; done; return 1; }}\n\
             has() {{ for word in $arguments; do [ \"$word\" != \"$1\" ] || return 0; done; return 1; }}\n\
             if [ \"$1\" = --manifest ]; then publish; exit 0; fi\n\
             for last; do :; done\n[ \"$last\" = '{name}' ] || exit 1\n\
             arguments=\"$*\"\nfault=$(cat {} 2>/dev/null || true)\n",
            place(self.fault.to_str().unwrap())
        );
        let data: Data = toml::from_str(DATA).unwrap();
        for call in &data.call {
            assert!(!call.section.is_empty());
            entry(call, &place, &mut out);
        }
        out
    }
}

/// One entry as lines of a shell.
fn entry(call: &Call, place: &dyn Fn(&str) -> String, out: &mut String) {
    let mut tests = vec!["true".to_owned()];
    tests.extend(
        call.command
            .iter()
            .map(|word| format!("[ \"$1\" = '{word}' ]")),
    );
    tests.extend(call.fault.iter().map(|word| format!("broken '{word}'")));
    tests.extend(
        call.present
            .iter()
            .map(|path| format!("[ -e {} ]", place(path))),
    );
    tests.extend(
        call.unless
            .iter()
            .map(|path| format!("[ ! -e {} ]", place(path))),
    );
    tests.extend(call.needs.iter().map(|word| format!("has '{word}'")));
    tests.extend(call.needs_not.iter().map(|word| format!("! has '{word}'")));
    let _ = writeln!(out, "if {}; then", tests.join(" && "));
    let mut line = |text: String| {
        let _ = writeln!(out, "  {text}");
    };
    if let Some(lock) = &call.hold {
        line(format!("exec 9>{}; flock -n 9 || exit 1", place(lock)));
    }
    if let Some(seconds) = call.sleep {
        line(format!("sleep {seconds}"));
    }
    for folder in &call.empty {
        line(format!("find {} -mindepth 1 -delete", place(folder)));
    }
    if let (Some(from), Some(to)) = (call.copy.get("from"), call.copy.get("to")) {
        let (from, to) = (place(from), place(to));
        line(format!("rm -rf {to}.old {to}.new; cp -a {from} {to}.new"));
        line(format!(
            "mv {to} {to}.old; mv {to}.new {to}; rm -rf {to}.old"
        ));
    }
    if call.publish {
        line("publish".into());
    }
    for path in &call.make {
        line(format!(": > {}", place(path)));
    }
    for path in &call.remove {
        line(format!("rm -f {}", place(path)));
    }
    for (text, to) in [(&call.stdout, ""), (&call.stderr, " >&2")] {
        if let Some(text) = text {
            line(format!("echo '{text}'{to}"));
        }
    }
    if let Some(signal) = call.kill {
        line(format!("kill -{signal} $$"));
    }
    line(format!("exit {}", call.exit));
    out.push_str("fi\n");
}
