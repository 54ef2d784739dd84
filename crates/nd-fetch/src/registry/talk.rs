//! One question to a registry: who asks, patience, small answers.

use std::time::Duration;

use reqwest::{
    Method,
    header::{HeaderMap, WWW_AUTHENTICATE},
};
use serde::Deserialize;

use super::{
    Registries, RegistryError,
    challenge::{Challenge, parse},
};
use crate::{Cause, Credential, SafeUrl, error::TransportError, http, retry};

/// Documents above this size are refused, as registries do.
pub(crate) const DOCUMENT: u64 = 4 << 20;

/// A repository of a registry.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// As people write it.
    pub(crate) registry: String,
    pub(crate) name: String,
    /// `https://HOST/v2/NAME`.
    base: String,
    /// Whether it is written to, for which one token is asked for from the start.
    pushing: bool,
}

impl Repository {
    pub(crate) fn url(&self, rest: &str) -> Result<SafeUrl, RegistryError> {
        let text = format!("{}/{rest}", self.base);
        text.parse().map_err(|_| RegistryError::Address {
            registry: self.registry.clone(),
        })
    }

    /// The same to be written to.
    pub(crate) fn for_writing(self) -> Self {
        Self {
            pushing: true,
            ..self
        }
    }

    fn key(&self) -> (String, String) {
        (self.registry.clone(), self.name.clone())
    }

    /// What a token has to be good for. A registry that is only asked whether it has something wants
    /// one for reading, which would not do for what comes next.
    fn scope(&self, wanted: Option<String>) -> String {
        let reading = format!("repository:{}:pull", self.name);
        let wanted = wanted.unwrap_or_else(|| reading.clone());
        if !self.pushing {
            return wanted;
        }
        let parts = wanted.split(' ').map(|part| match part {
            part if part == reading => format!("{reading},push"),
            part => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(" ")
    }
}

/// A small answer.
pub(crate) struct Document {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registries {
    pub(crate) fn repository(&self, registry: &str, name: &str, plain: bool) -> Repository {
        let plain = plain || self.options.plain_http.iter().any(|host| host == registry);
        let scheme = if plain { "http" } else { "https" };
        let host = match registry {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        Repository {
            registry: registry.to_owned(),
            name: name.to_owned(),
            base: format!("{scheme}://{host}/v2/{name}"),
            pushing: false,
        }
    }

    /// The repository that a name says, whatever mirrors it has: for what is written there, and for
    /// what mirrors do not have. It may be spoken to without encryption if the configuration says so.
    pub(crate) fn target(
        &self,
        reference: &oci_spec::distribution::Reference,
    ) -> Result<Repository, RegistryError> {
        let conf = &self.options.conf;
        let own = conf.chosen_places(reference, super::Places::Own)?;
        let plain = own.first().is_some_and(|place| place.plain);
        Ok(self.repository(reference.registry(), reference.repository(), plain))
    }

    /// What was accepted for a repository before.
    pub(crate) fn accepted(&self, repository: &Repository) -> Option<Credential> {
        self.locked().get(&repository.key()).cloned()
    }

    /// Forgets it, since it is accepted no more.
    pub(crate) fn forget(&self, repository: &Repository) {
        self.locked().remove(&repository.key());
    }

    fn locked(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<(String, String), Credential>> {
        // Every change is one insertion or removal, whole even if its thread panicked.
        self.accepted
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks whether a registry is there at all, once: any answer will do.
    pub(crate) async fn first_answer(
        &self,
        repository: &Repository,
        limit: Duration,
    ) -> Result<(), RegistryError> {
        let url = repository.url("tags/list?n=1")?;
        let fail = |cause| RegistryError::Answer {
            url: url.clone(),
            cause: Box::new(cause),
        };
        let request = self.fetcher.client()?.head(url.bare()).send();
        match tokio::time::timeout(limit, request).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let source = TransportError::new(error);
                Err(fail(Cause::Transport { source, at: None }))
            }
            Err(_) => {
                let what = "there was no answer";
                Err(fail(Cause::Timeout { what, limit }))
            }
        }
    }

    /// Asks for a document, saying who we are when the registry wants to know; `None` for 404.
    pub(crate) async fn document(
        &self,
        repository: &Repository,
        url: &SafeUrl,
        headers: &HeaderMap,
    ) -> Result<Option<Document>, RegistryError> {
        let mut failures = 0;
        loop {
            let answer = self.asked(repository, &Method::GET, url, headers).await?;
            match answer.response.status().as_u16() {
                200 => {}
                404 => return Ok(None),
                _ => return Err(unexpected(url, &answer)),
            }
            match self.read(url, answer).await {
                Err(RegistryError::Answer { url, cause }) => {
                    failures += 1;
                    let may = retry::may_pass(&cause);
                    if !self.again(failures, &cause, may, &url).await {
                        return Err(RegistryError::Answer { url, cause });
                    }
                }
                other => return other.map(Some),
            }
        }
    }

    /// Asks something about a repository, saying who we are when the registry wants to know. The
    /// answer has any status but 401 and 403.
    pub(crate) async fn asked(
        &self,
        repository: &Repository,
        method: &Method,
        url: &SafeUrl,
        headers: &HeaderMap,
    ) -> Result<http::Answer, RegistryError> {
        let mut introduced = false;
        loop {
            let credential = self.accepted(repository);
            let answer = self.ask(method, url, headers, credential.as_ref()).await?;
            match answer.response.status().as_u16() {
                401 if !introduced => {
                    introduced = true;
                    let headers = answer.response.headers();
                    self.introduce(repository, url, headers).await?;
                }
                401 | 403 => return Err(self.denied(repository)),
                _ => return Ok(answer),
            }
        }
    }

    pub(crate) fn denied(&self, repository: &Repository) -> RegistryError {
        let of = &self.options.credentials;
        RegistryError::Denied {
            registry: repository.registry.clone(),
            repository: repository.name.clone(),
            shown: of.of(&repository.registry, &repository.name).is_some(),
        }
    }

    /// Asks for something that was refused, to learn how to ask.
    pub(crate) async fn introduce_for(
        &self,
        repository: &Repository,
        url: &SafeUrl,
    ) -> Result<(), RegistryError> {
        let answer = self.ask(&Method::GET, url, &HeaderMap::new(), None).await?;
        if answer.response.status().as_u16() == 401 {
            self.introduce(repository, url, answer.response.headers())
                .await?;
        }
        Ok(())
    }

    /// Finds out how the registry wants to be told who asks, and keeps what to show it.
    pub(crate) async fn introduce(
        &self,
        repository: &Repository,
        url: &SafeUrl,
        headers: &HeaderMap,
    ) -> Result<(), RegistryError> {
        let ours = &self.options.credentials;
        let ours = ours.of(&repository.registry, &repository.name);
        let values = headers.get_all(WWW_AUTHENTICATE);
        let challenges = values.iter().filter_map(|value| value.to_str().ok());
        for challenge in challenges.flat_map(parse) {
            let accepted = match challenge {
                Challenge::Basic => match ours {
                    Some(ours) => ours.clone(),
                    None => continue,
                },
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                } => {
                    let scope = repository.scope(scope);
                    self.token(url, &realm, service.as_deref(), &scope, ours)
                        .await?
                        .ok_or_else(|| self.denied(repository))?
                }
            };
            self.locked().insert(repository.key(), accepted);
            return Ok(());
        }
        Err(self.denied(repository))
    }

    /// A token; `None` if it is refused.
    async fn token(
        &self,
        asked: &SafeUrl,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        ours: Option<&Credential>,
    ) -> Result<Option<Credential>, RegistryError> {
        let invalid = |problem| RegistryError::Invalid {
            url: asked.clone(),
            problem,
        };
        let realm: SafeUrl = realm
            .parse()
            .map_err(|_| invalid("it names no address for tokens"))?;
        let encrypted = |url: &SafeUrl| url.url().scheme() == "https";
        if realm.is_file() || (encrypted(asked) && !encrypted(&realm)) {
            return Err(invalid("its address for tokens is not encrypted"));
        }
        let mut url = realm.bare();
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        for scope in scope.split(' ') {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        let url = SafeUrl::from_url(url).map_err(|_| invalid("it names no address for tokens"))?;
        let answer = self
            .ask(&Method::GET, &url, &HeaderMap::new(), ours)
            .await?;
        match answer.response.status().as_u16() {
            200 => {}
            400 | 401 | 403 | 404 => return Ok(None),
            _ => {
                return Err(RegistryError::Answer {
                    cause: Box::new(answer.status_cause()),
                    url,
                });
            }
        }
        let document = self.read(&url, answer).await?;
        let token: Token =
            serde_json::from_slice(&document.bytes).map_err(|source| RegistryError::Json {
                url: url.clone(),
                source,
            })?;
        let token = token.token.or(token.access_token);
        let token = token.filter(|token| !token.is_empty());
        token
            .map(|token| Some(Credential::Bearer(token)))
            .ok_or(RegistryError::Invalid {
                url,
                problem: "it holds no token",
            })
    }

    /// Asks until there is an answer that will not pass by waiting.
    async fn ask(
        &self,
        method: &Method,
        url: &SafeUrl,
        headers: &HeaderMap,
        credential: Option<&Credential>,
    ) -> Result<http::Answer, RegistryError> {
        let options = self.fetcher.options();
        let mut failures = 0;
        loop {
            let client = self.fetcher.client()?;
            let cause = match http::send(client, options, method, url, headers, credential).await {
                Ok(answer) => {
                    let cause = answer.status_cause();
                    let code = answer.response.status().as_u16();
                    // A registry that forbids means it.
                    if code == 403 || !retry::may_pass(&cause) {
                        return Ok(answer);
                    }
                    cause
                }
                Err(cause) => cause,
            };
            failures += 1;
            let may = retry::may_pass(&cause);
            if !self.again(failures, &cause, may, url).await {
                let url = url.clone();
                let cause = Box::new(cause);
                return Err(RegistryError::Answer { url, cause });
            }
        }
    }

    /// Waits until `url` can be asked again after this many failures in a row; `false` when it is
    /// given up, since the failure `may` not pass or enough was tried.
    pub(crate) async fn again(
        &self,
        failures: u32,
        cause: &Cause,
        may: bool,
        url: &SafeUrl,
    ) -> bool {
        let retries = self.fetcher.options().retries;
        let wait = retry::wait(&retries, failures, cause);
        let Some(wait) = wait.filter(|_| may && failures < retries.attempts) else {
            return false;
        };
        self.fetcher.say(&format!(
            "{}; asking {url} again in {} s",
            nd_report::with_causes(cause),
            wait.as_secs_f32()
        ));
        tokio::time::sleep(wait).await;
        true
    }

    async fn read(&self, url: &SafeUrl, answer: http::Answer) -> Result<Document, RegistryError> {
        let fail = |cause| RegistryError::Answer {
            url: url.clone(),
            cause: Box::new(cause),
        };
        let headers = answer.response.headers().clone();
        let expected = answer.response.content_length();
        let mut response = answer.response;
        let mut bytes = Vec::new();
        let limit = self.fetcher.options().timeouts.idle;
        loop {
            let chunk = tokio::time::timeout(limit, response.chunk()).await;
            let what = "no further bytes";
            match chunk.map_err(|_| fail(Cause::Timeout { what, limit }))? {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(Document { headers, bytes }),
                Err(error) => {
                    let got = bytes.len() as u64;
                    let source = Some(TransportError::new(error));
                    return Err(fail(Cause::Cut {
                        got,
                        expected,
                        source,
                    }));
                }
            }
            if bytes.len() as u64 > DOCUMENT {
                return Err(fail(Cause::TooLarge { limit: DOCUMENT }));
            }
        }
    }
}

/// A status that has no meaning for what was asked.
pub(crate) fn unexpected(url: &SafeUrl, answer: &http::Answer) -> RegistryError {
    RegistryError::Answer {
        url: url.clone(),
        cause: Box::new(answer.status_cause()),
    }
}
