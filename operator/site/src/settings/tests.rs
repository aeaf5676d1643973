//! What settings are taken and refused. Must not look into other modules.
use rstest::rstest;

use super::*;
use crate::samples::SETTINGS as GOOD;

#[test]
fn what_an_owner_writes_is_read() {
    let s = Settings::parse(GOOD).unwrap();
    assert_eq!(s.name.as_str(), "north");
    assert_eq!(s.pair("research").map(|p| p.site.as_str()), Some("training"));
    assert_eq!(s.pair("other"), None);
    assert_eq!(s.worker.termination_grace_period_seconds, 30);
    for (image, allowed) in [
        ("registry.example/trainer:1", true),
        ("registry.example/trainer:2", true),
        ("registry.example/trainer", false),
        ("other.example/a/b/t@sha256:00", true),
        ("evil.example/registry.example/trainer:1", false),
    ] {
        assert_eq!(s.allows_image(image), allowed, "{image}");
    }
}

#[rstest]
#[case("name: north", "name: Not_a_name", "name")]
#[case("hub: research", "hub: ''", "namespaces[0].hub")]
#[case("s3://north/coalition", "/a/folder", "store.url")]
#[case("10.0.0.1:7070", "10.0.0.1:7070/", "store.endpoint")]
#[case("secretName: store", "secret: store", "secret")]
#[case(
    "image: registry",
    "worker: {terminationGracePeriodSeconds: 5}\nimage: registry",
    "terminationGracePeriodSeconds"
)]
#[case("datasets: [", "datasets: [{name: words, url: s3://a/b}, ", "listed twice")]
#[case("image: registry", "exchange: {endpoint: 'http://x:1'}\nimage: registry", "exchange.tokenSecretName")]
fn what_is_wrong_is_named(#[case] from: &str, #[case] to: &str, #[case] says: &str) {
    assert!(GOOD.contains(from));
    let refused = Settings::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
    assert!(refused.contains(says), "{refused}");
}
