//! Keys: the master key that signs whitelists, the release key that signs manifests, its
//! certificate.

use std::{
    path::{Path, PathBuf},
    str::FromStr as _,
};

use getrandom::SysRng;
use jiff::Timestamp;
use rsa::{
    Pkcs1v15Sign, PrivateKey, PublicKey,
    pkcs1::DecodeRsaPrivateKey as _,
    pkcs1v15::SigningKey,
    pkcs8::{
        DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
        LineEnding,
    },
    sha2::Sha256,
};
use x509_cert::{
    Certificate as X509, TbsCertificate,
    builder::{Builder as _, CertificateBuilder, profile::BuilderProfile},
    der::{Decode as _, DecodePem as _, Encode as _, EncodePem as _},
    ext::Extension,
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef},
    time::Validity,
};

use crate::{
    hash::Algorithm,
    letter::{self, Letter},
    manifest::Manifest,
    name::RepositoryName,
    whitelist::{self, Whitelist},
};

/// Bits of new keys, as CVMFS makes them.
const BITS: usize = 2048;

/// What goes wrong with keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("failed to use the key file `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no key of the kind that its name says.
    #[error("`{}` holds no {what}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// There are keys already.
    #[error("`{}` exists; keys are never replaced", .0.display())]
    Exists(PathBuf),
    /// A key that is needed is not there.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// The certificate is not that of the release key.
    #[error("the certificate does not belong to the release key")]
    NoPair,
    /// The public master key is not that of the private one.
    #[error("the public master key does not belong to the private one")]
    NoMasterPair,
    /// Making a key failed.
    #[error("failed to make a key")]
    Make(#[source] rsa::Error),
    /// Signing failed.
    #[error("failed to sign")]
    Sign(#[source] rsa::Error),
    /// Making a certificate failed.
    #[error("failed to make a certificate: {0}")]
    Certify(String),
}

/// A certificate whose key signs manifests.
#[derive(Debug, Clone)]
pub struct Certificate {
    pem: Vec<u8>,
    der: Vec<u8>,
    key: PublicKey,
}

impl Certificate {
    /// Reads a certificate in PEM form; `None` when it is none with an RSA key. Dates, subject and
    /// issuer mean nothing here.
    pub fn parse(pem: &[u8]) -> Option<Self> {
        let certificate = X509::from_pem(pem).ok()?;
        let der = certificate.to_der().ok()?;
        let spki = certificate
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()
            .ok()?;
        let key = PublicKey::from_public_key_der(&spki).ok()?;
        let pem = pem.to_vec();
        Some(Self { pem, der, key })
    }

    /// The text in PEM form, as it was read.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// The fingerprint as whitelists have it.
    pub fn fingerprint(&self, algorithm: Algorithm) -> String {
        whitelist::fingerprint(&self.der, algorithm)
    }

    /// Whether the certificate's key made the signature of a manifest.
    pub(crate) fn signed(&self, letter: &Letter<'_>) -> bool {
        let digest = sha1_of(letter.hash_text);
        let scheme = Pkcs1v15Sign::new::<sha1::Sha1>();
        self.key.verify(scheme, &digest, letter.signature).is_ok()
    }

    /// Whether the fingerprint is on a whitelist, whatever its algorithm.
    pub(crate) fn is_on(&self, list: &Whitelist) -> bool {
        let all = [Algorithm::Sha1, Algorithm::Rmd160, Algorithm::Shake128];
        all.iter()
            .any(|&algorithm| list.fingerprints.contains(&self.fingerprint(algorithm)))
    }
}

fn sha1_of(bytes: &[u8]) -> [u8; 20] {
    Algorithm::Sha1.hash(bytes).digest
}

/// The public half of a master key, which users configure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterPublicKey(PublicKey);

impl MasterPublicKey {
    /// Reads a key in PEM form (`SubjectPublicKeyInfo`).
    pub fn parse(pem: &str) -> Option<Self> {
        PublicKey::from_public_key_pem(pem.trim()).ok().map(Self)
    }

    /// Reads a file of one key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = read(path)?;
        let text = std::str::from_utf8(&text).unwrap_or_default();
        Self::parse(text).ok_or_else(|| KeyError::Malformed {
            path: path.to_owned(),
            what: "public key",
        })
    }

    /// Whether this key made the signature of a whitelist.
    pub(crate) fn signed(&self, letter: &Letter<'_>) -> bool {
        let scheme = Pkcs1v15Sign::new_unprefixed();
        self.0
            .verify(scheme, letter.hash_text, letter.signature)
            .is_ok()
    }
}

/// The private half of a master key.
pub struct MasterKey(PrivateKey);

/// The key that signs manifests, and its certificate.
pub struct ReleaseKey {
    key: PrivateKey,
    certificate: Certificate,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReleaseKey")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl MasterKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, KeyError> {
        let key = PrivateKey::new(&mut SysRng, BITS).map_err(KeyError::Make)?;
        Ok(Self(key))
    }

    /// The public half.
    pub fn public(&self) -> MasterPublicKey {
        MasterPublicKey(self.0.to_public_key())
    }

    /// Signs the text of a hash: what a whitelist needs, made where the master key is kept.
    pub fn sign_hash(&self, hash_text: &str) -> Result<Vec<u8>, KeyError> {
        let scheme = Pkcs1v15Sign::new_unprefixed();
        (self.0.sign(scheme, hash_text.as_bytes())).map_err(KeyError::Sign)
    }
}

impl ReleaseKey {
    /// Makes a key and a certificate signed by itself, good for ten years by its dates.
    pub fn generate(name: &RepositoryName, now: Timestamp) -> Result<Self, KeyError> {
        let key = PrivateKey::new(&mut SysRng, BITS).map_err(KeyError::Make)?;
        let pem = certify(&key, name, now)?;
        let wrong = || KeyError::Certify("what was made cannot be read".into());
        let certificate = Certificate::parse(pem.as_bytes()).ok_or_else(wrong)?;
        Ok(Self { key, certificate })
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A manifest with its signature.
    pub fn seal(&self, manifest: &Manifest) -> Result<Vec<u8>, KeyError> {
        let payload = manifest.to_lines();
        let text = letter::hash_text(&payload, manifest.root_catalog.algorithm);
        let scheme = Pkcs1v15Sign::new::<sha1::Sha1>();
        let signature =
            (self.key.sign(scheme, &sha1_of(text.as_bytes()))).map_err(KeyError::Sign)?;
        Ok(letter::seal(&payload, &text, &signature))
    }
}

/// The subject is the issuer; nothing in it is ever evaluated.
struct SelfSigned(Name);

impl BuilderProfile for SelfSigned {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(Vec::new())
    }
}

fn certify(key: &PrivateKey, name: &RepositoryName, now: Timestamp) -> Result<String, KeyError> {
    let wrong = |error: &dyn std::fmt::Display| KeyError::Certify(error.to_string());
    let subject = Name::from_str(&format!("CN={name} CernVM-FS Release Managers"));
    let subject = subject.map_err(|error| wrong(&error))?;
    let spki = key
        .to_public_key()
        .to_public_key_der()
        .map_err(|error| wrong(&error))?;
    let spki = SubjectPublicKeyInfo::from_der(spki.as_bytes()).map_err(|error| wrong(&error))?;
    let time = |seconds: i64| {
        let since = std::time::Duration::from_secs(seconds.max(0) as u64);
        x509_cert::der::asn1::UtcTime::from_unix_duration(since)
            .map(x509_cert::time::Time::UtcTime)
            .or_else(|_| {
                x509_cert::der::asn1::GeneralizedTime::from_unix_duration(since)
                    .map(x509_cert::time::Time::GeneralTime)
            })
    };
    let (from, to) = (now.as_second(), now.as_second() + 3650 * 86_400);
    let validity = Validity::new(
        time(from).map_err(|error| wrong(&error))?,
        time(to).map_err(|error| wrong(&error))?,
    );
    let serial = SerialNumber::new(&from.max(1).to_be_bytes()).map_err(|error| wrong(&error))?;
    let builder = CertificateBuilder::new(SelfSigned(subject), serial, validity, spki)
        .map_err(|error| wrong(&error))?;
    let signer = SigningKey::<Sha256>::new(key.clone());
    let certificate = builder
        .build::<_, rsa::pkcs1v15::Signature>(&signer)
        .map_err(|error| wrong(&error))?;
    certificate
        .to_pem(LineEnding::LF)
        .map_err(|error| wrong(&error))
}

/// Signs a new whitelist of one certificate.
pub fn seal_whitelist(
    list: &Whitelist,
    algorithm: Algorithm,
    master: &MasterKey,
) -> Result<Vec<u8>, KeyError> {
    let payload = list.to_lines();
    let text = letter::hash_text(&payload, algorithm);
    Ok(letter::seal(&payload, &text, &master.sign_hash(&text)?))
}

/// The text that a master key kept elsewhere has to sign for a whitelist of these lines.
pub fn hash_to_sign(payload: &[u8], algorithm: Algorithm) -> String {
    letter::hash_text(payload, algorithm)
}

/// Puts a whitelist together whose signature was made elsewhere; `None` when it is not that of
/// `master`.
pub fn assemble_whitelist(
    payload: &[u8],
    signature: &[u8],
    algorithm: Algorithm,
    master: &MasterPublicKey,
) -> Option<Vec<u8>> {
    let sealed = letter::seal(payload, &hash_to_sign(payload, algorithm), signature);
    let good = Letter::parse(&sealed).is_ok_and(|letter| master.signed(&letter));
    good.then_some(sealed)
}

/// The folder of one repository's keys, with the names that CVMFS gives them: `NAME.masterkey`,
/// `NAME.pub`, `NAME.key`, `NAME.crt`.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    folder: PathBuf,
    name: RepositoryName,
}

/// Which keys a folder holds.
#[derive(Debug)]
pub struct Keys {
    /// The private master key, unless it is kept elsewhere.
    pub master: Option<MasterKey>,
    /// The public master key.
    pub public: Option<MasterPublicKey>,
    /// The release key and its certificate.
    pub release: Option<ReleaseKey>,
}

/// What the four files are for.
const FILES: [&str; 4] = ["masterkey", "pub", "key", "crt"];

impl KeyFolder {
    /// The keys of `name` in `folder`, which need not exist.
    pub fn new(folder: impl Into<PathBuf>, name: RepositoryName) -> Self {
        let folder = folder.into();
        Self { folder, name }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The file with this ending.
    pub fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// Makes both pairs of keys. Fails when one of the files exists.
    pub fn create(&self, now: Timestamp) -> Result<Keys, KeyError> {
        if let Some(path) = FILES
            .map(|ending| self.file(ending))
            .into_iter()
            .find(|p| p.exists())
        {
            return Err(KeyError::Exists(path));
        }
        let keys = Keys::generate(&self.name, now)?;
        self.save(&keys)?;
        Ok(keys)
    }

    /// Writes what `keys` has; private files are readable by their owner alone. Fails when one of the
    /// files exists.
    pub fn save(&self, keys: &Keys) -> Result<(), KeyError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Io { path, source }
        };
        let encode = |error: &dyn std::fmt::Display| KeyError::Certify(error.to_string());
        if !self.folder.exists() {
            let mut builder = std::fs::DirBuilder::new();
            (builder.recursive(true).mode(0o700).create(&self.folder)).map_err(io(&self.folder))?;
        }
        let private = |key: &PrivateKey| {
            let pem = key
                .to_pkcs8_pem(LineEnding::LF)
                .map_err(|error| encode(&error))?;
            Ok::<_, KeyError>(pem.as_bytes().to_vec())
        };
        let mut files: Vec<(&str, u32, Vec<u8>)> = Vec::new();
        if let Some(master) = &keys.master {
            files.push(("masterkey", 0o600, private(&master.0)?));
        }
        if let Some(MasterPublicKey(key)) = &keys.public {
            let pem = key
                .to_public_key_pem(LineEnding::LF)
                .map_err(|error| encode(&error))?;
            files.push(("pub", 0o644, pem.into_bytes()));
        }
        if let Some(release) = &keys.release {
            files.push(("key", 0o600, private(&release.key)?));
            files.push(("crt", 0o644, release.certificate.pem.clone()));
        }
        for (ending, mode, bytes) in files {
            let path = self.file(ending);
            write_new(&path, mode, &bytes)?;
        }
        Ok(())
    }

    /// Reads the keys that are there. Pairs that do not fit are an error.
    pub fn load(&self) -> Result<Keys, KeyError> {
        let file = |ending: &str| {
            let path = self.file(ending);
            let bytes = path.exists().then(|| read(&path)).transpose()?;
            Ok::<_, KeyError>(bytes.map(|bytes| (path, bytes)))
        };
        let private = |ending: &str| {
            file(ending)?
                .map(|(path, bytes)| {
                    let what = "private RSA key";
                    parse_private(&bytes).ok_or(KeyError::Malformed { path, what })
                })
                .transpose()
        };
        let master = private("masterkey")?.map(MasterKey);
        let public = match file("pub")? {
            Some((path, _)) => Some(MasterPublicKey::load(&path)?),
            None => None,
        };
        if let (Some(master), Some(public)) = (&master, &public)
            && master.public() != *public
        {
            return Err(KeyError::NoMasterPair);
        }
        let public = public.or_else(|| master.as_ref().map(MasterKey::public));
        let release = match (private("key")?, file("crt")?) {
            (Some(key), Some((path, pem))) => {
                let what = "certificate of an RSA key";
                let certificate =
                    Certificate::parse(&pem).ok_or(KeyError::Malformed { path, what })?;
                if certificate.key != key.to_public_key() {
                    return Err(KeyError::NoPair);
                }
                Some(ReleaseKey { key, certificate })
            }
            (Some(_), None) => return Err(KeyError::Missing("certificate of the release key")),
            (None, _) => None,
        };
        Ok(Keys {
            master,
            public,
            release,
        })
    }

    /// Files of private keys that others than their owner may read.
    pub fn exposed(&self) -> Vec<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        ["masterkey", "key"]
            .map(|ending| self.file(ending))
            .into_iter()
            .filter(|path| {
                fs_err::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0)
            })
            .collect()
    }
}

impl Keys {
    /// Both pairs of keys, new and in memory alone.
    pub fn generate(name: &RepositoryName, now: Timestamp) -> Result<Self, KeyError> {
        let master = MasterKey::generate()?;
        Ok(Self {
            public: Some(master.public()),
            master: Some(master),
            release: Some(ReleaseKey::generate(name, now)?),
        })
    }

    /// The release key, or the error that it is missing.
    pub fn release(&self) -> Result<&ReleaseKey, KeyError> {
        self.release
            .as_ref()
            .ok_or(KeyError::Missing("release key"))
    }

    /// The private master key, or the error that it is missing.
    pub fn master(&self) -> Result<&MasterKey, KeyError> {
        self.master
            .as_ref()
            .ok_or(KeyError::Missing("private master key"))
    }
}

fn parse_private(bytes: &[u8]) -> Option<PrivateKey> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let key = PrivateKey::from_pkcs8_pem(text).ok();
    key.or_else(|| PrivateKey::from_pkcs1_pem(text).ok())
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    fs_err::read(path).map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeyError> {
    use std::io::Write as _;

    use fs_err::os::unix::fs::OpenOptionsExt as _;
    let open = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let written = open.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
        _ => KeyError::Io {
            path: path.to_owned(),
            source,
        },
    })
}
