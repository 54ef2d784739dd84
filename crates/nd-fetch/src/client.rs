//! The connections' machinery: certificates, proxies, time limits.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{FetchError, FetchOptions, Trust, error::TransportError};

/// A client that follows nothing and retries nothing by itself: both are our business.
pub(crate) fn client(options: &FetchOptions) -> Result<reqwest::Client, FetchError> {
    let setup = |error| FetchError::Setup(TransportError::new(error));
    let mut builder = reqwest::Client::builder()
        .user_agent(&options.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(options.timeouts.connect)
        .pool_idle_timeout(Duration::from_secs(20))
        .no_proxy()
        .tls_backend_preconfigured(tls(&options.trust)?);
    let except = options.proxies.except.as_deref();
    let except = || except.and_then(reqwest::NoProxy::from_string);
    if let Some(url) = &options.proxies.http {
        let proxy = reqwest::Proxy::http(url.expose()).map_err(setup)?;
        builder = builder.proxy(proxy.no_proxy(except()));
    }
    if let Some(url) = &options.proxies.https {
        let proxy = reqwest::Proxy::https(url.expose()).map_err(setup)?;
        builder = builder.proxy(proxy.no_proxy(except()));
    }
    builder.build().map_err(setup)
}

fn tls(trust: &Trust) -> Result<ClientConfig, FetchError> {
    let mut roots = RootCertStore::empty();
    let files = trust.files()?;
    for path in &files {
        let bytes = fs_err::read(path).map_err(FetchError::io(path))?;
        // As everywhere, a certificate that cannot be understood does not spoil the others.
        let certificates = CertificateDer::pem_slice_iter(&bytes).flatten();
        roots.add_parsable_certificates(certificates);
    }
    if let (Trust::Bundle(path) | Trust::Folder(path), true) = (trust, roots.is_empty()) {
        return Err(FetchError::NoCertificate(path.clone()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(FetchError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
