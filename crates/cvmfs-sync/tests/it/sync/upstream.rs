//! A repository's tree as upstream's job leaves it for a catalogue, by the rules of its description.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Where users see it.
pub(super) const MOUNT: &str = "/cvmfs/test.example.org";

/// A line of `log.txt`: the stem, tool, version and categories.
pub(super) fn parts(line: &str) -> (String, String, String, Vec<String>) {
    let (stem, rest) = line.split_once(' ').unwrap();
    let mut words = stem.rsplitn(3, '_');
    let (_, version, tool) = (words.next(), words.next().unwrap(), words.next().unwrap());
    let categories = rest.strip_prefix("categories:").unwrap().split(',');
    let categories = categories
        .map(|category| category.trim().replace(' ', "_"))
        .filter(|category| !category.is_empty());
    (
        stem.to_owned(),
        tool.to_owned(),
        version.to_owned(),
        categories.collect(),
    )
}

/// Makes `root` what the job publishes for `log`.
pub(super) fn publish(root: &Path, log: &str) {
    let put = |path: PathBuf, text: &str, mode: u32| {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut newest: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut shelves: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for line in log.lines() {
        let (stem, tool, version, categories) = parts(line);
        let folder = root.join("containers").join(&stem);
        for (name, text) in [
            ("mk", "#!/usr/bin/env bash\nexit 0\n"),
            ("show", "#!/usr/bin/env bash\nexit 0\n"),
            ("run_transparent_singularity.sh", "#!/usr/bin/env bash\n"),
        ] {
            put(folder.join(name), text, 0o755);
        }
        put(folder.join("env.txt"), "", 0o644);
        put(folder.join("README.md"), "about\n", 0o644);
        put(folder.join("commands.txt"), "mk\nshow\n", 0o644);
        put(folder.join(".cvmfscatalog"), "", 0o644);
        let image = folder.join(format!("{stem}.simg"));
        for dir in ["", "usr", "usr/lib", "usr/share"] {
            put(image.join(dir).join(".cvmfscatalog"), "", 0o644);
        }
        let pair = (tool, version);
        let known = shelves.entry(pair.clone()).or_default();
        for category in categories {
            if !known.contains(&category) {
                known.push(category);
            }
        }
        let latest = newest.entry(pair).or_default();
        if stem.rsplit('_').next() > latest.rsplit('_').next() {
            *latest = stem;
        }
    }
    for (pair, stem) in newest {
        let (tool, version) = &pair;
        let text = module(&stem, version);
        let file = format!("{tool}/{version}.lua");
        put(root.join("containers/modules").join(&file), &text, 0o644);
        for category in &shelves[&pair] {
            let path = root.join("neurodesk-modules").join(category).join(&file);
            put(path, &text, 0o644);
        }
    }
    put(root.join("neurocommand/README.md"), "a checkout\n", 0o644);
}

/// The module of a build.
fn module(stem: &str, version: &str) -> String {
    format!(
        "-- -*- lua -*-\nhelp([===[\nabout\n]===])\nwhatis(\"{stem}.simg\")\n\
         -- neurodesk-exposed-commands\nif type(extensions) == \"function\" then\n    \
         extensions(\"mk/{version}, show/{version}\")\nend\n\
         prepend_path(\"PATH\", \"{MOUNT}/containers/{stem}\")\n\
         setenv(\"HOMEOF\", \"{MOUNT}/containers/{stem}/{stem}.simg/opt\")\n"
    )
}
