//! Messages as objects: nothing is lost on the way through an API server's JSON, and what is too much for one object is left
//! out or refused by name.
#![allow(clippy::unwrap_used, clippy::panic)]
mod support;

use coalition_crds::site_run::LeftOut;
use coalition_crds::{SiteReport, SiteReportSpec, SiteRun, SiteRunSpec, budget, validate};
use coalition_protocol::record::{Body, Record, Void};
use coalition_protocol::schema::EXACT;
use coalition_protocol::sign::{HubKey, SignedRecord};
use coalition_protocol::{Digest, Epoch, Real, Round, Seq, canonical};
use rstest::rstest;
use serde_json::{Value, json};
use support::messages::{self, bytes, object, run, site_report, site_run};
use support::{put, server};

fn told(kind: &str, object: &Value) -> Vec<String> {
    validate::check(kind, object, None).iter().map(ToString::to_string).collect()
}

#[test]
fn a_site_run_comes_back_as_it_was_written() {
    let mut spec = site_run(3);
    spec.message.spec =
        canonical::value(&json!({"lr": 1.0, "eps": 1e-8, "clip": 0.5, "tokens": EXACT, "big": 1e300})).unwrap();
    let written = object(spec.clone());
    let read = server::stored(&written);
    assert_eq!(read, written, "what is compared with the next wish must not differ from this one");
    let back: SiteRun = serde_json::from_value(read).unwrap();
    assert_eq!(back.spec, spec);
    // Without the canonical form a whole number with a fraction comes back as another value, and is asked anew for ever.
    let careless = json!({"lr": 1.0});
    assert_ne!(server::stored(&careless), careless);
}

#[test]
fn a_site_report_comes_back_as_it_was_written_and_its_records_prove_themselves() {
    let key = HubKey::from_seed(&[7; 32]);
    let body = Body::Void(Void { round: Round(3), plans: vec![Seq(EXACT)], reason: "no \"quorum\"\n".to_owned() });
    let record = Record { version: 1, run: run(), epoch: Epoch(1), seq: Seq(9), parent: Digest::of(b"p"), body };
    let mut message = site_report(3);
    message.records = vec![key.sign(record).unwrap()];
    message.progress.loss = Some(Real::new(f64::from_bits(1)).unwrap());
    message.progress.tokens_per_second = Some(Real::new(-0.0).unwrap());
    let spec = SiteReportSpec::fit(message).unwrap();
    let written = serde_json::to_value(SiteReport::new("case", spec.clone())).unwrap();
    assert_eq!(told("SiteReport", &written), Vec::<String>::new());
    let read = server::stored(&written);
    assert_eq!(read, written);
    let back: SiteReport = serde_json::from_value(read).unwrap();
    assert_eq!(back.spec, spec);
    let back = back.spec.run.unwrap();
    key.public().verify(&back.records[0]).unwrap();
    assert_eq!(back.progress.loss.unwrap().get().to_bits(), 1);
    assert!(back.progress.tokens_per_second.unwrap().get().is_sign_negative());
}

/// Every counter of a message travels as a JSON integer: exact up to 2^53, and refused by name beyond it.
#[rstest]
#[case("SiteRun", "spec.epoch")]
#[case("SiteRun", "spec.head.seq")]
#[case("SiteRun", "spec.keep[0]")]
#[case("SiteRun", "spec.offers[0].offer.bytes")]
#[case("SiteRun", "spec.offers[0].offer.used[0].used[0][1]")]
fn a_number_that_would_be_rounded_is_refused(#[case] kind: &str, #[case] field: &str) {
    let mut spec = site_run(2);
    spec.message.disagreement.clear();
    let mut written = object(spec);
    put(&mut written, field, json!(EXACT));
    assert_eq!(told(kind, &written), Vec::<String>::new());
    assert_eq!(server::stored(&written), written);
    put(&mut written, field, json!(EXACT + 1));
    let found = told(kind, &written);
    assert!(found.iter().any(|p| p.starts_with(&format!("{field}: 9007199254740993: must be at "))), "{found:#?}");
}

#[test]
fn every_integer_of_a_message_has_an_exact_bound() {
    fn walk(path: &str, s: &Value, seen: &mut usize) {
        if s["type"] == "integer" {
            *seen += 1;
            assert!(s["maximum"].as_u64().is_some_and(|m| m <= EXACT), "{path}: {s}");
        }
        for (name, inner) in s["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), inner, seen);
        }
        if s["items"].is_object() {
            walk(&format!("{path}[]"), &s["items"], seen);
        }
    }
    let mut seen = 0;
    for (name, crd) in coalition_crds::generate::all().unwrap() {
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        match name.as_str() {
            "siteruns" => walk(&name, spec, &mut seen),
            "sitereports" => walk(&name, &spec["properties"]["run"], &mut seen),
            _ => {}
        }
    }
    assert!(seen > 40, "only {seen} integers were seen");
}

#[test]
fn the_largest_site_run_is_within_its_budget() {
    for members in [1, 2, 8, 64] {
        let asked = site_run(members);
        let (fitted, left_out) = asked.clone().fit().unwrap();
        let written = object(fitted.clone());
        assert_eq!(told("SiteRun", &written), Vec::<String>::new(), "{members} members");
        assert!(bytes(&written) <= budget::SITE_RUN, "{members} members: {} bytes", bytes(&written));
        assert!(fitted.weight() >= weighed(&fitted), "a weight is an upper bound of bytes");
        assert_eq!(fitted.message.peers, asked.message.peers, "all peers, all the time");
        assert_eq!(fitted.message.keep, asked.message.keep, "what is to be kept is never left out");
        assert_eq!(fitted.message.disagreement.len(), 2, "a disagreement is told, if need be without chunks");
        if members == 64 {
            assert_eq!(left_out, LeftOut { offers: 63 - fitted.message.offers.len(), chunks: 2 });
            assert!(fitted.message.offers.len() >= 6, "{} offers on a page", fitted.message.offers.len());
        }
    }
}

/// Bytes of the lists that a weight stands for.
fn weighed(spec: &SiteRunSpec) -> usize {
    let m = &spec.message;
    [budget::bytes(&m.peers), budget::bytes(&m.offers), budget::bytes(&m.disagreement), budget::bytes(&m.keep)]
        .iter()
        .sum::<usize>()
        - 8
}

/// The rule that a server runs and the weight that the hub fits by are one and the same: at the border, to the byte.
#[test]
fn the_server_refuses_what_the_hub_would_not_write() {
    let (mut spec, _) = site_run(64).fit().unwrap();
    let (mut low, mut high) = (0_usize, 253 * 63);
    let lengthen = |spec: &mut SiteRunSpec, mut by: usize| {
        for peer in &mut spec.message.peers {
            let more = by.min(253 - peer.endpoint.len());
            peer.endpoint.push_str(&"e".repeat(more));
            by -= more;
        }
    };
    let accepted = |spec: &SiteRunSpec| told("SiteRun", &object(spec.clone())).is_empty();
    assert!(accepted(&spec));
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        let mut longer = spec.clone();
        lengthen(&mut longer, middle);
        if accepted(&longer) { low = middle } else { high = middle }
    }
    lengthen(&mut spec, low);
    let at_border = spec.weight();
    assert_eq!(spec.clone().fit().unwrap().1, LeftOut::default(), "what the server takes needs no fitting");
    lengthen(&mut spec, 1);
    assert_eq!(spec.weight(), at_border + 1);
    let found = told("SiteRun", &object(spec.clone()));
    assert!(found[0].contains("are more than one SiteRun holds. Show a page of the offers"), "{found:#?}");
    assert_ne!(spec.fit().unwrap().1, LeftOut::default(), "what the server refuses is fitted first");
}

#[test]
fn a_resolved_run_that_fills_the_budget_alone_is_told() {
    let mut spec = site_run(2);
    spec.message.spec = json!({"text": "x".repeat(budget::SITE_RUN)});
    let e = spec.fit().unwrap_err();
    assert!(e.to_string().contains("must take at most") && e.to_string().contains("Lower sites.max"), "{e}");
}

#[test]
fn the_largest_site_report_is_within_its_budget() {
    for members in [1, 8, 64] {
        let spec = SiteReportSpec::fit(site_report(members)).unwrap();
        let written = serde_json::to_value(SiteReport::new("case", spec.clone())).unwrap();
        assert_eq!(told("SiteReport", &written), Vec::<String>::new(), "{members} members");
        assert!(bytes(&written) <= budget::SITE_REPORT, "{members} members: {} bytes", bytes(&written));
        let run = spec.run.unwrap();
        assert_eq!(run.holds.len(), 2 * members, "what commits count on is never left out");
        assert_eq!(run.gang.failures.len(), 32, "each failure is charged once, so each is told");
        let most = if members == 64 { 4096 } else { 8192 };
        assert_eq!(run.gang.last_failure.unwrap().log.len(), most, "the newest log goes last");
    }
}

#[test]
fn a_page_of_records_is_cut_at_the_budget() {
    let key = HubKey::from_seed(&[7; 32]);
    let record = |seq: u64| -> SignedRecord {
        let body = Body::Void(Void { round: Round(3), plans: vec![], reason: "x".repeat(20_000) });
        key.sign(Record { version: 1, run: run(), epoch: Epoch(1), seq: Seq(seq), parent: Digest::ZERO, body }).unwrap()
    };
    let mut message = site_report(2);
    message.state = None;
    message.gang.failures.clear();
    message.gang.last_failure = None;
    message.records = (0..9).map(record).collect();
    let fitted = SiteReportSpec::fit(message.clone()).unwrap().run.unwrap();
    assert_eq!(fitted.records, message.records[..2], "the first of them, in order");
    message.records = vec![{
        let body = Body::Void(Void { round: Round(3), plans: vec![], reason: "x".repeat(70_000) });
        key.sign(Record { version: 1, run: run(), epoch: Epoch(1), seq: Seq(1), parent: Digest::ZERO, body }).unwrap()
    }];
    assert!(SiteReportSpec::fit(message).unwrap_err().to_string().contains("a single record must leave room"));
}

#[test]
fn a_report_that_a_server_would_not_take_is_fitted() {
    let mut message = site_report(64);
    message.gang.failures.iter_mut().for_each(|f| f.log = "x".repeat(8192));
    let raw = SiteReportSpec { run: Some(message.clone()), site: None };
    let found = told("SiteReport", &serde_json::to_value(SiteReport::new("case", raw)).unwrap());
    assert!(!found.is_empty());
    let spec = SiteReportSpec::fit(message).unwrap();
    assert_eq!(told("SiteReport", &serde_json::to_value(SiteReport::new("case", spec)).unwrap()), Vec::<String>::new());
}

#[test]
fn what_a_message_does_not_know_is_refused_when_it_is_read() {
    let mut written = object(messages::site_run(2));
    put(&mut written, "spec.drain", json!(true));
    let e = serde_json::from_value::<SiteRun>(written).unwrap_err();
    assert!(e.to_string().contains("unknown field `drain`"), "{e}");
}
