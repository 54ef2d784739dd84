//! A catalogue, images made for it, and one publisher.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use nd_testkit::TestEnv;
use serde_json::Value;

use super::stand_in::StandIn;

pub(super) const NAME: &str = "test.example.org";

/// Where revisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Native,
    Directory,
    CvmfsServer,
}

pub(super) const KINDS: [Kind; 3] = [Kind::Native, Kind::Directory, Kind::CvmfsServer];

pub(super) struct Case {
    pub(super) env: TestEnv,
    pub(super) kind: Kind,
    pub(super) host: StandIn,
}

impl Case {
    pub(super) fn new(kind: Kind) -> Self {
        let env = TestEnv::new().unwrap();
        let host = StandIn::new(&env.root().join("host"), NAME);
        let case = Self { env, kind, host };
        if kind == Kind::Native {
            let mut command = case.program();
            command.args(["mkfs", "--repository", NAME, "--storage", "storage"]);
            command.assert().success();
        }
        case
    }

    pub(super) fn program(&self) -> Command {
        self.env.command(env!("CARGO_BIN_EXE_cvmfs-sync"))
    }

    /// An image of that name whose command says `says`, as a squashfs file.
    pub(super) fn image(&self, stem: &str, says: &str) {
        self.image_with(stem, says, &[]);
    }

    /// The same with a file of these bytes in it.
    pub(super) fn image_with(&self, stem: &str, says: &str, more: &[u8]) {
        let root = self.env.root().join("root");
        let put = |path: &str, text: &str, mode: u32| {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(&path, text).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        put(
            "opt/tool/bin/show",
            &format!("#!/bin/sh\necho {says}\n"),
            0o755,
        );
        put("opt/tool/data", &says.repeat(5000), 0o644);
        put("usr/share/words", "words\n", 0o644);
        fs_err::write(root.join("usr/share/more"), more).unwrap();
        put("README.md", &format!("{stem} shows.\n"), 0o644);
        put(
            ".singularity.d/env/10-docker2singularity.sh",
            "#!/bin/sh\nexport PATH=\"/opt/tool/bin:/bin\"\n\
             export DEPLOY_PATH=\"/opt/tool/bin\"\nexport DEPLOY_ENV_HOMEOF=\"BASEPATH/opt/tool\"\n",
            0o755,
        );
        let images = self.env.work().join("images");
        fs_err::create_dir_all(&images).unwrap();
        let (index, mut contents) = nd_oci::read_directory(&root).unwrap();
        let file = fs_err::File::create(images.join(format!("{stem}.simg"))).unwrap();
        let mut file = std::io::BufWriter::new(file);
        let options = nd_squashfs::WriteOptions::default();
        nd_squashfs::write(&index, &mut contents, &mut file, &options).unwrap();
        fs_err::remove_dir_all(&root).unwrap();
    }

    /// The words of `apply` for this publisher, but for the catalogue.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = [
            "apply",
            "--json",
            "--repository",
            NAME,
            "--images",
            "images",
            "--trial",
            "never",
            "--wrapper-style",
            "script",
            "--state",
            "state",
        ]
        .map(str::to_owned)
        .into();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        words.extend(match self.kind {
            Kind::Native => ["--publisher", "native", "--storage", "storage"]
                .map(str::to_owned)
                .into(),
            Kind::Directory => ["--publisher", "directory", "--storage", "site"]
                .map(str::to_owned)
                .into(),
            Kind::CvmfsServer => vec![
                "--repositories".to_owned(),
                path(&self.host.repositories),
                "--cvmfs-server".to_owned(),
                path(&self.host.program),
            ],
        });
        words
    }

    pub(super) fn output(&self, log: &str, more: &[&str]) -> (Option<i32>, Value, String) {
        fs_err::write(self.env.work().join("log.txt"), log).unwrap();
        let mut command = self.program();
        command
            .args(self.words())
            .args(["--catalogue", "log.txt"])
            .args(more);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), report, said)
    }

    /// Applies, and gives what was done.
    pub(super) fn apply(&self, log: &str, more: &[&str]) -> Vec<String> {
        let (code, report, said) = self.output(log, more);
        assert_eq!(code, Some(0), "{:?}: {said}\n{report}", self.kind);
        let done = report["done"].as_array().unwrap().iter();
        done.map(|step| {
            let text = |key: &str| step[key].as_str().unwrap();
            format!("{} {}", text("action"), text("image"))
        })
        .collect()
    }

    /// The folder that users see, or for [`Kind::Native`] the one of the repository's files.
    pub(super) fn place(&self) -> PathBuf {
        match self.kind {
            Kind::Native => self.env.work().join("storage"),
            Kind::Directory => self.env.work().join("site/current"),
            Kind::CvmfsServer => self.host.published.clone(),
        }
    }

    /// Whether `plan` finds nothing to do; everything that is published is proved as well.
    pub(super) fn holds(&self, log: &str) {
        fs_err::write(self.env.work().join("log.txt"), log).unwrap();
        let mut command = self.program();
        command.arg("plan").arg(self.place());
        command.args(["--repository", NAME, "--catalogue", "log.txt", "--check"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{:?}: {said}", self.kind);
        if self.kind == Kind::Native {
            let mut command = self.program();
            command
                .args(["verify", "--full", "storage"])
                .assert()
                .success();
        }
    }

    /// The bytes of a published file.
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        if self.kind != Kind::Native {
            return fs_err::read(self.place().join(path)).ok();
        }
        let output = self
            .program()
            .args(["cat", "storage", path])
            .output()
            .unwrap();
        output.status.success().then_some(output.stdout)
    }
}
