//! Who sees passwords and tokens: the server they are for, and no person.

use nd_fetch::{Credential, Request};

use crate::{
    server::{Server, empty, whole},
    support::{Bench, body, request, url},
};

#[test]
fn a_credential_is_shown_to_its_origin_alone_and_never_again_after_leaving_it() {
    let other = Server::start(|_, out| empty(out, "302 Found", &["Location: /stay"]));
    let elsewhere = other.url("/x");
    let server = Server::start(move |asked, out| match &asked.target[..] {
        "/f" => empty(out, "302 Found", &["Location: /here"]),
        "/here" => empty(out, "302 Found", &[&format!("Location: {elsewhere}")]),
        _ => whole(out, &body(10), &[]),
    });
    let home = server.url("/back");
    let other_target =
        Server::start(move |_, out| empty(out, "302 Found", &[&format!("Location: {home}")]));
    let bench = Bench::new();
    let secret = Request {
        credential: Some(Credential::Bearer("TOKEN".into())),
        ..request(&server.url("/f"))
    };
    // The other server sends in a circle; what counts is what it saw.
    bench.fetch(&secret).unwrap_err();
    let seen: Vec<_> = server
        .log()
        .iter()
        .map(|asked| asked.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(
        seen,
        [Some("Bearer TOKEN".into()), Some("Bearer TOKEN".into())]
    );
    assert!(other.log().len() > 1);
    assert!(
        other
            .log()
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );

    // Away and back: the address was chosen by the other server.
    let away = Request {
        credential: Some(Credential::Bearer("TOKEN".into())),
        ..request(&other_target.url("/f"))
    };
    bench.fetch(&away).unwrap();
    assert_eq!(
        other_target.log()[0].header("authorization"),
        Some("Bearer TOKEN")
    );
    assert_eq!(server.log()[2].header("authorization"), None);
}

#[test]
fn user_and_password_of_a_url_are_sent_and_never_shown() {
    let server = Server::start(|_, out| empty(out, "404 Not Found", &[]));
    let bench = Bench::new();
    let text = server
        .url("/f?sig=SIGNATURE")
        .replace("http://", "http://melissa:pa%20ss@");
    let error = bench.fetch(&request(&text)).unwrap_err();
    let asked = &server.log()[0];
    assert_eq!(
        asked.header("authorization"),
        Some("Basic bWVsaXNzYTpwYSBzcw==")
    );
    assert_eq!(asked.target, "/f?sig=SIGNATURE");
    let credential = Credential::Basic {
        user: "melissa".into(),
        password: "pa ss".into(),
    };
    let secret = Request {
        credential: Some(credential),
        ..request(&text)
    };
    let shown = format!(
        "{error} {error:?} {} {secret:?} {:?}",
        bench.said(),
        bench.fetcher()
    );
    for word in ["SIGNATURE", "melissa", "pa%20ss", "pa ss", "bWVsa"] {
        assert!(!shown.contains(word), "{shown}");
    }
    // Nor does it reach the disk.
    for item in bench.store.list().unwrap() {
        let bytes = fs_err::read(item.path).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("SIGNATURE"));
    }
}

#[test]
fn broken_connections_show_nothing_either() {
    let bench = Bench::new();
    let error = bench
        .fetch(&request("http://me:PASS@127.0.0.1:1/f?sig=SIGNATURE"))
        .unwrap_err();
    let shown = format!("{error} {error:?} {}", bench.said());
    assert!(
        !shown.contains("SIGNATURE") && !shown.contains("PASS"),
        "{shown}"
    );
}

#[test]
fn proxies_are_used_with_their_password_and_exceptions_are_not_sent_there() {
    let proxy = Server::start(|_, out| whole(out, b"by the proxy", &[]));
    let direct = Server::start(|_, out| whole(out, b"direct", &[]));
    let mut bench = Bench::new();
    let through = proxy.url("").replace("http://", "http://user:PASS@");
    let environment = nd_host::Environment::new(
        [("http_proxy", &through[..]), ("NO_PROXY", "127.0.0.1")],
        "/",
    );
    bench.options.proxies = nd_fetch::FetchOptions::from_environment(&environment)
        .unwrap()
        .proxies;
    let fetched = bench
        .fetch(&request("http://example.invalid/f?x=1"))
        .unwrap();
    assert_eq!(fs_err::read(fetched.path).unwrap(), b"by the proxy");
    let asked = &proxy.log()[0];
    assert_eq!(asked.target, "http://example.invalid/f?x=1");
    assert_eq!(
        asked.header("proxy-authorization"),
        Some("Basic dXNlcjpQQVNT")
    );
    bench.fetch(&request(&direct.url("/f"))).unwrap();
    assert_eq!((proxy.log().len(), direct.log().len()), (1, 1));
    assert!(!format!("{:?}", bench.options).contains("PASS"));
    assert_eq!(
        url(&through).to_string(),
        format!("http://{}/", proxy.authority())
    );
}
