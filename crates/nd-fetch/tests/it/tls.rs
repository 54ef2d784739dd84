//! Encrypted connections, with an authority made for the test.

use std::{path::Path, sync::Arc};

use nd_fetch::{Cause, FetchError, Trust};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use rustls::pki_types::PrivateKeyDer;

use crate::{
    server::{Server, whole},
    support::{Bench, body, causes, request},
};

/// An authority that vouches for 127.0.0.1.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate for a server and its key.
    fn issue(&self) -> (Certificate, KeyPair) {
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// What a server needs, as text.
    pub(crate) fn pem(&self) -> (String, String) {
        let (certificate, key) = self.issue();
        (certificate.pem(), key.serialize_pem())
    }

    /// What a server of ours needs.
    pub(crate) fn server(&self) -> Arc<rustls::ServerConfig> {
        let (certificate, key) = self.issue();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }

    /// What a client needs, written below `dir`.
    pub(crate) fn trust(&self, dir: &Path) -> Trust {
        let path = dir.join("ca.pem");
        let text = format!("a comment, as bundles have them\n{}", self.0.pem());
        fs_err::write(&path, text).unwrap();
        Trust::Bundle(path)
    }
}

#[test]
fn the_named_authority_is_trusted_and_no_other() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let server = Server::with_tls(Some(ours.server()), |_, out| whole(out, &body(50_000), &[]));
    let mut bench = Bench::new();
    bench.options.trust = ours.trust(bench.dir.path());
    assert_eq!(
        bench.fetch(&request(&server.url("/f"))).unwrap().bytes,
        50_000
    );

    for trust in [other.trust(bench.dir.path()), Trust::System] {
        bench.options.trust = trust;
        let tried = causes(bench.fetch(&request(&server.url("/g"))));
        let [(1, Cause::Transport { source, .. })] = &tried[..] else {
            panic!("{tried:?}");
        };
        assert!(source.is_certificate());
        assert!(source.to_string().contains("UnknownIssuer"), "{source}");
    }
    assert_eq!(server.log().len(), 1);
}

#[test]
fn a_folder_of_certificates_will_do_and_a_place_without_any_will_not() {
    let authority = Authority::new("ours");
    let server = Server::with_tls(Some(authority.server()), |_, out| whole(out, b"x", &[]));
    let mut bench = Bench::new();
    let folder = bench.dir.path().join("certs");
    fs_err::create_dir_all(&folder).unwrap();
    bench.options.trust = Trust::Folder(folder.clone());
    let error = bench.fetch(&request(&server.url("/f"))).unwrap_err();
    assert!(matches!(error, FetchError::NoCertificate(_)), "{error}");
    authority.trust(&folder);
    bench.fetch(&request(&server.url("/f"))).unwrap();
    bench.options.trust = Trust::Bundle(folder.join("absent.pem"));
    let error = bench.fetch(&request(&server.url("/g"))).unwrap_err();
    assert!(matches!(error, FetchError::Io { .. }), "{error}");
}
