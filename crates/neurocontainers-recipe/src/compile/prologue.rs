//! What every image begins with.

use nd_instructions::{EnvPair, Op, Script};

/// Directories that clusters mount into containers.
const MOUNT_POINTS: &str = "mkdir -p /afm01 /afm02 /cvmfs /90days /30days /QRISdata /RDS /data \
     /short /proc_temp /TMPDIR /nvme /neurodesktop-storage /local /gpfs1 /working /winmounts /state \
     /tmp /autofs /cluster /local_mount /scratch /clusterdata /nvmescratch";

/// Where the default entry point lies.
pub(super) const STARTUP: &str = "/neurodocker/startup.sh";

const APT_HEADER: &str = r"apt-get update -qq
apt-get install -y -q --no-install-recommends \
    apt-utils \
    bzip2 \
    ca-certificates \
    curl \
    locales \
    unzip
rm -rf /var/lib/apt/lists/*
sed -i -e 's/# en_US.UTF-8 UTF-8/en_US.UTF-8 UTF-8/' /etc/locale.gen
dpkg-reconfigure --frontend=noninteractive locales
update-locale LANG=%en_US.UTF-8%
chmod 777 /opt && chmod a+s /opt
";

const YUM_HEADER: &str = r"if ls /etc/yum.repos.d/CentOS-* >/dev/null 2>&1; then
    sed -i 's/mirrorlist/#mirrorlist/g' /etc/yum.repos.d/CentOS-*
    sed -i 's|#baseurl=http://mirror.centos.org|baseurl=http://vault.centos.org|g' /etc/yum.repos.d/CentOS-*;
fi
yum install -y -q \
    bzip2 \
    ca-certificates \
    glibc-langpack-en \
    glibc-locale-source \
    unzip
yum clean all
rm -rf /var/cache/yum/*
localedef -i en_US -f UTF-8 en_US.UTF-8
chmod 777 /opt && chmod a+s /opt
";

/// The last lines of the header: the start script, written once.
const START_BLOCK: &str = r#"mkdir -p /neurodocker
if [ ! -f "$ND_ENTRYPOINT" ]; then
  echo '#!/usr/bin/env bash' >> "$ND_ENTRYPOINT"
  echo 'set -e' >> "$ND_ENTRYPOINT"
  echo 'export USER="${USER:=`whoami`}"' >> "$ND_ENTRYPOINT"
  echo 'if [ -n "$1" ]; then "$@"; else /usr/bin/env bash; fi' >> "$ND_ENTRYPOINT";
fi
chmod -R 777 /neurodocker && chmod a+s /neurodocker"#;

/// What the prologue depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prologue<'a> {
    /// The package manager as the recipe names it.
    pub(super) package_manager: &'a str,
    /// Whether locale and entry point are wanted.
    pub(super) default_template: bool,
    /// Whether time zone data is wanted.
    pub(super) tzdata: bool,
    /// Whether the header leaves out `localedef`.
    pub(super) without_localedef: bool,
}

/// A variable and its value.
pub(super) fn pair(name: &str, value: &str) -> EnvPair {
    EnvPair {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// A `Run` of fixed lines.
pub(super) fn lines(text: impl Into<String>) -> Op {
    Op::Run {
        script: Script::Lines(text.into()),
        mounts: Vec::new(),
        network: nd_instructions::Network::default(),
    }
}

impl Prologue<'_> {
    /// The instructions between the base image and the recipe's directives.
    pub(super) fn ops(self) -> Vec<Op> {
        let mut ops = vec![Op::User {
            user: "root".to_owned(),
        }];
        if self.default_template {
            ops.push(Op::Env {
                pairs: vec![
                    pair("LANG", "en_US.UTF-8"),
                    pair("LC_ALL", "en_US.UTF-8"),
                    pair("ND_ENTRYPOINT", STARTUP),
                ],
            });
            ops.push(lines(self.header()));
        }
        ops.push(lines(r"printf '#!/bin/bash\nls -la' > /usr/bin/ll"));
        ops.push(lines("chmod +x /usr/bin/ll"));
        ops.push(lines(MOUNT_POINTS));
        if self.tzdata && self.package_manager == "apt" {
            ops.push(Op::Env {
                pairs: vec![pair("DEBIAN_FRONTEND", "noninteractive")],
            });
            ops.push(Op::Env {
                pairs: vec![pair("TZ", "UTC")],
            });
            ops.push(Op::Install {
                packages: vec!["tzdata".to_owned()],
                options: None,
            });
            ops.push(lines(
                "ln -snf /usr/share/zoneinfo/UTC /etc/localtime && echo UTC > /etc/timezone",
            ));
        }
        ops
    }

    fn header(self) -> String {
        let middle = match self.package_manager {
            "apt" => APT_HEADER.replace('%', "\""),
            "yum" | "rpm" => {
                let kept = YUM_HEADER
                    .split_inclusive('\n')
                    .filter(|line| !(self.without_localedef && line.starts_with("localedef")));
                kept.collect()
            }
            _ => String::new(),
        };
        format!("export ND_ENTRYPOINT=\"{STARTUP}\"\n{middle}{START_BLOCK}")
    }
}
