//! Small objects of one server.

use std::io::Read as _;

use nd_fetch::ObjectClient;

use crate::{
    server::{Server, empty, whole},
    support::{body, options, url},
};

#[test]
fn objects_come_by_path_and_freshly_when_that_is_wanted() {
    let server = Server::start(|asked, out| match asked.target.as_str() {
        "/base/data/a%20b" => whole(out, &body(10), &[]),
        _ => empty(out, "404 Not Found", &[]),
    });
    let client = || ObjectClient::new(options(), url(&server.url("/base/"))).unwrap();
    let mut bytes = Vec::new();
    let mut object = client().get("data/a b").unwrap().unwrap();
    object.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, body(10));
    assert!(client().get("data/none").unwrap().is_none());
    assert!(client().fresh().get("data/a b").unwrap().is_some());
    let log = server.log();
    let control = |at: usize| log[at].header("cache-control");
    assert_eq!((control(0), control(2)), (None, Some("max-age=0")));
}
