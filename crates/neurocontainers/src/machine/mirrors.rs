//! Which archive of the machine stands for which public one.

use super::apt_sources::AptSource;

/// Public archives and the ones that this machine is told to use in their place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    pairs: Vec<Pair>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    public: AptSource,
    mirror: AptSource,
}

impl Mirrors {
    /// Finds for each of the `public` sources the machine's archive of the same name (`debian`,
    /// `debian-security`), preferably one that is used for the same suite.
    pub fn find(public: &[AptSource], machine: &[AptSource]) -> Self {
        let pairs = public.iter().filter_map(|public| {
            let candidates = || {
                machine
                    .iter()
                    .filter(|own| own.uri.starts_with("http") && own.archive() == public.archive())
            };
            let mirror = candidates()
                .find(|own| own.suite == public.suite)
                .or_else(|| candidates().next())?;
            Some(Pair {
                public: public.clone(),
                mirror: AptSource {
                    uri: mirror.uri.clone(),
                    ..public.clone()
                },
            })
        });
        Self {
            pairs: pairs.collect(),
        }
    }

    /// Folders of this machine in place of archives, by their address.
    pub fn local(pairs: &[(AptSource, String)]) -> Self {
        let pair = |(public, uri): &(AptSource, String)| Pair {
            public: public.clone(),
            mirror: AptSource {
                uri: uri.clone(),
                ..public.clone()
            },
        };
        Self {
            pairs: pairs.iter().map(pair).collect(),
        }
    }

    /// Where the machine gets what stands at a public address.
    pub fn nearest(&self, address: &str) -> String {
        let found = self.pairs.iter().find_map(|pair| {
            let rest = address.strip_prefix(&pair.public.uri)?;
            rest.starts_with('/')
                .then(|| format!("{}{rest}", pair.mirror.uri))
        });
        found.unwrap_or_else(|| address.to_owned())
    }

    /// The sources to install from: the machine's where it has any of these archives, else the
    /// public ones.
    pub fn sources(&self, public: &[AptSource]) -> Vec<AptSource> {
        if self.pairs.is_empty() {
            public.to_vec()
        } else {
            self.pairs.iter().map(|pair| pair.mirror.clone()).collect()
        }
    }

    /// `text` of a sources file with public addresses replaced by the machine's. Addresses of other
    /// hosts are left alone, whatever their path.
    pub fn rewrite(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            if line.trim_start().starts_with('#') {
                out.push_str(line);
                continue;
            }
            for word in line.split_inclusive(char::is_whitespace) {
                let address = word.trim_end();
                let rest = &word[address.len()..];
                out.push_str(self.mirror_of(address).unwrap_or(address));
                out.push_str(rest);
            }
        }
        out
    }

    /// The machine's address in place of a public one.
    fn mirror_of(&self, address: &str) -> Option<&str> {
        let plain = address.trim_end_matches('/');
        let host = super::apt_sources::authority(plain);
        let archive = plain.rsplit('/').next()?;
        let known = self
            .pairs
            .iter()
            .any(|pair| pair.public.authority() == host);
        self.pairs
            .iter()
            .find(|pair| known && pair.public.archive() == archive)
            .map(|pair| pair.mirror.uri.as_str())
    }

    /// Addresses of the machine's archives with the public address of each, where the host is none
    /// of the public ones. The longest comes first.
    pub fn private(&self) -> Vec<(&str, &str)> {
        let public = |host: &str| {
            self.pairs
                .iter()
                .any(|pair| pair.public.authority() == host)
        };
        let mut out: Vec<(&str, &str)> = self
            .pairs
            .iter()
            .filter(|pair| !public(pair.mirror.authority()))
            .map(|pair| (pair.mirror.uri.as_str(), pair.public.uri.as_str()))
            .collect();
        out.sort_by_key(|(mirror, _)| std::cmp::Reverse(mirror.len()));
        out.dedup_by_key(|(mirror, _)| *mirror);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::apt_sources::parse_list;
    use super::*;

    #[test]
    fn only_the_distributions_own_hosts_are_replaced() {
        let public = parse_list(
            "deb http://deb.example/debian bullseye main\n\
             deb http://security.example/debian-security bullseye-security main\n",
        );
        let machine = parse_list(
            "deb http://mirror.example:8080/debian bookworm main\n\
             deb http://mirror.example:8080/pub/debian-security bookworm-security main\n\
             deb https://vendor.example/apt stable main\n",
        );
        let mirrors = Mirrors::find(&public, &machine);
        let text = "# http://deb.example/debian\n\
                    deb [arch=amd64] http://deb.example/debian/ bullseye main\n\
                    URIs: http://deb.example/debian-security\n\
                    deb https://download.other.example/linux/debian bullseye stable\n";
        assert_eq!(
            mirrors.rewrite(text),
            "# http://deb.example/debian\n\
             deb [arch=amd64] http://mirror.example:8080/debian bullseye main\n\
             URIs: http://mirror.example:8080/pub/debian-security\n\
             deb https://download.other.example/linux/debian bullseye stable\n"
        );
        assert_eq!(
            mirrors.sources(&public)[1].line(),
            "deb http://mirror.example:8080/pub/debian-security bullseye-security main"
        );
        assert_eq!(
            mirrors.nearest("http://deb.example/debian/pool/x.deb"),
            "http://mirror.example:8080/debian/pool/x.deb"
        );
        let elsewhere = "http://deb.example/debian-ports/x.deb";
        assert_eq!(mirrors.nearest(elsewhere), elsewhere);
        assert_eq!(
            mirrors.private(),
            [
                (
                    "http://mirror.example:8080/pub/debian-security",
                    "http://security.example/debian-security"
                ),
                (
                    "http://mirror.example:8080/debian",
                    "http://deb.example/debian"
                ),
            ]
        );
    }

    #[test]
    fn a_machine_without_a_mirror_uses_the_public_archive() {
        let public = parse_list("deb http://deb.example/debian bullseye main\n");
        let vendor = parse_list("deb http://vendor.example/apt x main\n");
        let mirrors = Mirrors::find(&public, &vendor);
        assert_eq!(mirrors.sources(&public), public);
        assert!(mirrors.private().is_empty());
        // The public archive under its own name is no secret.
        let mirrors = Mirrors::find(&public, &public);
        assert!(mirrors.private().is_empty());
    }
}
