//! Registries of our own that are pushed to: tokens, storage elsewhere, failures, mounts.

use std::sync::{Arc, Mutex};

use nd_fetch::{
    Cause,
    registry::{Pushed, RegistryError},
};
use nd_names::Sha256;
use nd_oci::Image;
use nd_report::Cancel;

use crate::{
    registry::{Sample, basic, registries},
    server::{Asked, Server, empty, stall, whole},
    support::{Bench, SHORT},
};

/// The sample in the store of the bench.
pub(crate) fn stored(bench: &Bench, sample: &Sample) -> Image {
    let blobs = [&sample.manifest, &sample.config];
    for blob in sample.layers.iter().chain(blobs) {
        bench.store.put_blob(&blob[..], None).unwrap();
    }
    Image::load(&bench.store, sample.digest()).unwrap()
}

pub(crate) fn push(
    bench: &Bench,
    server: &Server,
    image: &Image,
    name: &str,
    from: Option<&str>,
) -> Result<Pushed, RegistryError> {
    let host = server.authority();
    let registries = registries(bench, &host, Some(basic("me", "pass")));
    let reference = format!("{host}/{name}").parse().unwrap();
    registries.push_blocking(&bench.store, image, &reference, from, &Cancel::default())
}

fn targets(server: &Server, method: &str) -> Vec<String> {
    let log = server.log();
    let found = log.iter().filter(|asked| asked.method == method);
    found.map(|asked| asked.target.clone()).collect()
}

#[test]
fn a_blob_goes_where_the_registry_says_without_the_credential_and_again_when_that_fails() {
    let storage = Server::start(|asked, out| match asked.n {
        0 => empty(out, "503 Service Unavailable", &[]),
        _ => empty(out, "201 Created", &[]),
    });
    let to = format!("Location: {}", storage.url("/put?sig=SECRET"));
    // A token for pulling is not one for pushing.
    let server = Server::start(move |asked, out| {
        if asked.target.starts_with("/token") {
            let pushing = asked.target.contains("push");
            let token = format!(
                "{{\"access_token\": \"{}\"}}",
                if pushing { "P" } else { "R" }
            );
            return whole(out, token.as_bytes(), &[]);
        }
        let (scope, good) = match &asked.method[..] {
            "HEAD" => ("pull", ["Bearer P", "Bearer R"]),
            _ => ("pull,push", ["Bearer P", "Bearer P"]),
        };
        if !asked
            .header("authorization")
            .is_some_and(|token| good.contains(&token))
        {
            let host = asked.header("host").unwrap();
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{host}/token\",scope=\"repository:a:{scope}\""
            );
            return empty(out, "401 Unauthorized", &[&challenge]);
        }
        match &asked.method[..] {
            "HEAD" => empty(out, "404 Not Found", &[]),
            "POST" => empty(out, "202 Accepted", &[&to]),
            _ => empty(out, "201 Created", &[]),
        }
    });
    let bench = Bench::new();
    let sample = Sample::new("amd64", &[400_000]);
    let image = stored(&bench, &sample);
    let pushed = push(&bench, &server, &image, "a:tag", None).unwrap();
    let expected = Pushed {
        sent: 2,
        ..Pushed::default()
    };
    assert_eq!(pushed, expected);
    let puts = storage.log();
    let bodies: Vec<_> = puts.iter().map(|asked| &asked.body).collect();
    assert_eq!(bodies, [&sample.config, &sample.config, &sample.layers[0]]);
    for Asked { target, body, .. } in &puts {
        let digest = Sha256::of(body).oci().replace(':', "%3A");
        assert_eq!(target, &format!("/put?sig=SECRET&digest={digest}"));
    }
    assert!(
        puts.iter()
            .all(|asked| asked.header("authorization").is_none())
    );
    assert!(bench.said().contains("HTTP 503") && !bench.said().contains("SECRET"));
    let manifests = targets(&server, "PUT");
    assert_eq!(manifests, ["/v2/a/manifests/tag"]);
    assert_eq!(server.log().last().unwrap().body, sample.manifest);
    assert_eq!(targets(&server, "GET").len(), 1, "one token for all of it");
}

#[test]
fn what_is_there_is_not_sent_and_what_is_elsewhere_is_mounted() {
    let sample = Sample::new("amd64", &[1000, 2000]);
    let there = format!("/v2/a/blobs/{}", Sha256::of(&sample.layers[0]).oci());
    let elsewhere = Sha256::of(&sample.layers[1]).hex();
    let server = Server::start(move |asked, out| match &asked.method[..] {
        "HEAD" if asked.target == there => empty(out, "200 OK", &[]),
        "HEAD" => empty(out, "404 Not Found", &[]),
        "POST" if asked.target.contains(&elsewhere) => empty(out, "201 Created", &[]),
        "POST" => empty(out, "202 Accepted", &["Location: /up/x"]),
        _ => empty(out, "201 Created", &[]),
    });
    let bench = Bench::new();
    let image = stored(&bench, &sample);
    let pushed = push(&bench, &server, &image, "a", Some("other/b")).unwrap();
    let expected = Pushed {
        sent: 1,
        mounted: 1,
        there: 1,
    };
    assert_eq!(pushed, expected);
    let posts = targets(&server, "POST");
    assert!(
        posts.iter().all(|post| post.ends_with("&from=other%2Fb")),
        "{posts:?}"
    );
    assert_eq!(targets(&server, "PUT").len(), 2);
    let name = format!("a@{}", Sha256::of(b"another").oci());
    let error = push(&bench, &server, &image, &name, None).unwrap_err();
    assert!(matches!(error, RegistryError::OtherImage { .. }), "{error}");
}

#[test]
fn a_registry_that_takes_nothing_or_refuses_is_given_up_and_no_tag_is_set() {
    let silent = Arc::new(Mutex::new(true));
    let says = silent.clone();
    let server = Server::start(move |asked, out| match &asked.method[..] {
        "HEAD" => empty(out, "404 Not Found", &[]),
        "POST" => empty(out, "202 Accepted", &["Location: /up/x"]),
        _ if *says.lock().unwrap() => {
            stall(out);
            Ok(())
        }
        _ => empty(out, "400 Bad Request", &[]),
    });
    let mut bench = Bench::new();
    bench.options.retries.attempts = 1;
    let usual = std::mem::replace(&mut bench.options.timeouts, SHORT);
    let image = stored(&bench, &Sample::new("amd64", &[1000]));
    let error = push(&bench, &server, &image, "a", None).unwrap_err();
    let RegistryError::Answer { cause, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(**cause, Cause::Timeout { .. }), "{error}");
    *silent.lock().unwrap() = false;
    bench.options.timeouts = usual;
    let error = push(&bench, &server, &image, "a", None).unwrap_err();
    assert!(error.to_string().contains("HTTP 400"), "{error}");
    let puts = targets(&server, "PUT");
    assert!(
        puts.iter().all(|put| put.starts_with("/up/x?digest=")),
        "{puts:?}"
    );
}
