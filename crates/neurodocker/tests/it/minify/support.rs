//! A small image of busybox, and the program that makes it smaller.

use std::{
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use nd_oci::{Compression, ImageSpec, LayerOptions, Layout, read_directory};
use nd_rootfs::LayerEntry;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A user that has no range of ids.
const NOBODY: u32 = 65_534;

/// Folders of one test.
pub(super) struct Bench {
    folder: TempDir,
    pub(super) user: Option<u32>,
}

impl Bench {
    /// For whoever runs the tests.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, user: None }
    }

    /// For an ordinary user, whom only root can become.
    pub(super) fn of_an_ordinary_user() -> Self {
        let bench = Self::new();
        let own = fs_err::metadata(bench.path("")).unwrap();
        if std::os::unix::fs::MetadataExt::uid(&own) != 0 {
            return bench;
        }
        // Where that user can reach it.
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(bench.path(""), mode(0o777)).unwrap();
        nd_testkit::copy_program(env!("CARGO_BIN_EXE_neurodocker"), bench.path("neurodocker"));
        Self {
            user: Some(NOBODY),
            ..bench
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with these arguments.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.user {
            Some(id) => {
                let mut command = Command::new(self.path("neurodocker"));
                command.uid(id).gid(id);
                command
            }
            None => Command::new(env!("CARGO_BIN_EXE_neurodocker")),
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("ND_CACHE_DIR", cache(self))
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .arg("minify")
            .args(arguments);
        command
    }

    /// Runs it, which must succeed, and gives what it says of it.
    pub(super) fn minify(&self, arguments: &[&str]) -> Value {
        let mut command = self.command(arguments);
        let output = command.args(["--json", "--yes"]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// Runs it, which must end with this code, and gives what it says.
    pub(super) fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        told(&output)
    }

    /// An image of one layer for each folder, with the programs that `tools` names.
    pub(super) fn image(&self, name: &str) -> PathBuf {
        let tree = self.path("tree");
        for dir in [
            "bin",
            "etc",
            "tmp",
            "opt/app/lib",
            "opt/app/doc",
            "opt/other/empty",
        ] {
            fs_err::create_dir_all(tree.join(dir)).unwrap();
        }
        let busybox = nd_testkit::peer("busybox").unwrap();
        nd_testkit::copy_program(busybox, tree.join("bin/busybox"));
        for tool in ["sh", "cat", "ls", "sleep", "sort", "wc"] {
            symlink("busybox", tree.join("bin").join(tool)).unwrap();
        }
        let file = |path: &str, text: &str| fs_err::write(tree.join(path), text).unwrap();
        file("etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
        file("opt/app/lib/used.so.1", "used\n");
        file("opt/app/lib/unused.so", &"unused ".repeat(1000));
        file("opt/app/lib/lazy.so", "lazy\n");
        file("opt/app/doc/manual", "read me\n");
        file("opt/app/LICENSE.txt", "do what you like\n");
        file("opt/other/data", "data\n");
        file("etc/unused", "outside of what is pruned\n");
        file(
            "opt/app/run",
            "#!/opt/app/sh\ncat /opt/app/current/used.so\ntest -e /opt/app/flag && echo flag\n",
        );
        file("opt/app/flag", "");
        symlink("../../bin/sh", tree.join("opt/app/sh")).unwrap();
        symlink("used.so.1", tree.join("opt/app/lib/used.so")).unwrap();
        symlink("/opt/app/lib", tree.join("opt/app/current")).unwrap();
        symlink("lib", tree.join("opt/app/old")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(tree.join("opt/app/run"), mode).unwrap();
        let layout = self.path(name);
        pack(&tree, &layout);
        fs_err::remove_dir_all(&tree).unwrap();
        layout
    }
}

fn cache(bench: &Bench) -> PathBuf {
    bench.folder.path().join("cache")
}

pub(super) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// A folder as an OCI layout of one layer.
pub(super) fn pack(tree: &Path, layout: &Path) {
    let (index, _) = read_directory(tree).unwrap();
    let entries: Vec<_> = index
        .into_entries()
        .into_iter()
        .map(|mut entry| {
            // Whoever runs the tests owns the files, which are root's in the image.
            (entry.attr.uid, entry.attr.gid) = (0, 0);
            LayerEntry::Entry(entry)
        })
        .collect();
    let layout = Layout::create(layout).unwrap();
    let options = LayerOptions {
        compression: Compression::Gzip,
        clamp: Some(1_700_000_000),
    };
    let open = &mut |entry: &nd_rootfs::Entry| -> std::io::Result<Box<dyn std::io::Read>> {
        let path = std::str::from_utf8(entry.path.as_bytes()).unwrap();
        Ok(Box::new(fs_err::File::open(tree.join(path))?))
    };
    let layer = layout.write_layer(&entries, open, options).unwrap();
    finish(&layout, &layer);
}

/// Configuration and manifest of an image of one layer.
pub(super) fn finish(layout: &Layout, layer: &nd_oci::WrittenLayer) {
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "author": "somebody",
        "created": "2023-11-14T22:13:20Z",
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "GREETING=hello \"you\"", "PYTHONDONTWRITEBYTECODE=1"],
            "Labels": { "org.example.kept": "yes" },
            "Entrypoint": ["/opt/app/run"],
            "WorkingDir": "/tmp",
        },
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id.oci()] },
        "history": [{ "created_by": "the test" }],
    });
    layout
        .write_image(&ImageSpec {
            config: serde_json::from_value(config).unwrap(),
            layers: vec![layer.descriptor()],
            annotations: std::collections::BTreeMap::new(),
            reference: Some("1.0".into()),
        })
        .unwrap();
}

/// Every path of an image in a layout.
pub(super) fn paths(layout: &Path) -> Vec<String> {
    let layout = Layout::open(layout).unwrap();
    let image = layout.image(None).unwrap();
    let limits = nd_oci::Limits::default();
    let tree = nd_oci::ImageTree::open(&image, std::sync::Arc::new(layout), None, limits).unwrap();
    tree.index
        .iter()
        .map(|entry| entry.path.to_string())
        .collect()
}

/// The configuration of the only image of a layout, and the digest of its manifest.
pub(super) fn config(layout: &Path) -> (Value, String) {
    let image = Layout::open(layout).unwrap().image(None).unwrap();
    (
        serde_json::to_value(&image.config).unwrap(),
        image.digest.to_string(),
    )
}

/// Names and bytes of everything in a folder.
pub(super) fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut pending = vec![folder.to_path_buf()];
    let mut all = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs_err::read_dir(&path).unwrap();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            let bytes = fs_err::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
    all.sort();
    all
}
