//! The gateway over real HTTP, on a backend in memory.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod memory;

use std::sync::Arc;
use std::time::Duration;

use coalition_gateway::{Options, SharedToken, router};
use coalition_protocol::messages::{ErrorReply, JoinReply, Permit, ViewReply};
use coalition_protocol::{Attempt, Seq};
use memory::{Memory, join_request, site_run, trainer_report};
use serde_json::json;

struct Client {
    url: String,
    http: reqwest::Client,
}

impl Client {
    async fn start(backend: Arc<Memory>, workers: u32, wait: Duration) -> Self {
        let mut options = Options::new(workers, SharedToken::new("right"));
        options.join_wait = wait;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let app = router(backend, options, "life-1");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, http: reqwest::Client::new() }
    }
    async fn post(&self, path: &str, body: &impl serde::Serialize) -> (u16, serde_json::Value) {
        let body = serde_json::to_vec(body).expect("it serialises");
        let r =
            self.http.post(format!("{}{path}", self.url)).bearer_auth("right").body(body).send().await.expect("sent");
        (r.status().as_u16(), r.json().await.expect("every answer is JSON"))
    }
    async fn get(&self, path: &str) -> (u16, serde_json::Value) {
        let r = self.http.get(format!("{}{path}", self.url)).bearer_auth("right").send().await.expect("sent");
        (r.status().as_u16(), r.json().await.expect("every answer is JSON"))
    }
}

fn reason(v: &serde_json::Value) -> String {
    serde_json::from_value::<ErrorReply>(v.clone()).expect("an error reply").reason
}

/// How long a request may be held: longer than any test lasts, so that only an answer ends it.
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn two_workers_meet_and_a_newer_process_moves_the_attempt() {
    let backend = Memory::assigned();
    let c = Client::start(backend.clone(), 2, LONG).await;
    let (one, two) = (join_request(0, "a", None), join_request(1, "b", None));
    let (a, b) = tokio::join!(c.post("/v1/join", &one), c.post("/v1/join", &two));
    let a: JoinReply = serde_json::from_value(a.1).expect("joined");
    let b: JoinReply = serde_json::from_value(b.1).expect("joined");
    assert_eq!(a, b);
    assert_eq!(a.attempt, Attempt(1));

    let (_, v) = c.get("/v1/view").await;
    let v: ViewReply = serde_json::from_value(v).expect("a view");
    assert_eq!(v.attempt, Attempt(1));
    // A view that waits is woken by the opening of a new formation.
    let path = format!("/v1/view?version={}&gateway={}&waitMillis=20000", v.version, v.gateway);
    let three = join_request(1, "c", None);
    let again = join_request(0, "a", Some(1));
    let survivor = async {
        let (_, seen) = c.get(&path).await;
        let seen: ViewReply = serde_json::from_value(seen).expect("a view");
        assert_eq!(seen.attempt, Attempt(2));
        c.post("/v1/join", &again).await
    };
    let (new, old) = tokio::join!(c.post("/v1/join", &three), survivor);
    assert_eq!(new, old);
    assert_eq!(new.1["attempt"], 2);
}

#[tokio::test]
async fn a_join_that_finds_nobody_is_answered_unavailable_and_names_who_is_missing() {
    let c = Client::start(Memory::assigned(), 2, Duration::from_millis(20)).await;
    let (status, body) = c.post("/v1/join", &join_request(0, "a", None)).await;
    assert_eq!((status, reason(&body).as_str()), (503, "Unavailable"));
    assert_eq!(body["message"], "attempt 1 waits for worker 1: ask again");
}

#[tokio::test]
async fn reports_are_fenced_and_answered_once_durable() {
    let backend = Memory::assigned();
    let c = Client::start(backend.clone(), 1, LONG).await;
    c.post("/v1/join", &join_request(0, "a", None)).await;
    assert_eq!(c.post("/v1/report", &trainer_report(1, 1, 1)).await.0, 200);
    assert_eq!(backend.reports(), 1);
    for (report, part) in [
        (trainer_report(2, 1, 1), "epoch 2"),
        (trainer_report(1, 2, 1), "incarnation 2"),
        (trainer_report(1, 1, 2), "attempt 2"),
    ] {
        let (status, body) = c.post("/v1/report", &report).await;
        assert_eq!((status, reason(&body).as_str()), (409, "StaleFence"));
        assert!(body["message"].as_str().is_some_and(|m| m.contains(part)), "{body}");
    }
    backend.break_report("the disk under hub/reports is full");
    let (status, body) = c.post("/v1/report", &trainer_report(1, 1, 1)).await;
    assert_eq!((status, body["message"].as_str()), (503, Some("the disk under hub/reports is full")));
    assert_eq!(backend.reports(), 1);
}

#[tokio::test]
async fn a_swap_that_loses_is_tried_again_on_what_won() {
    let backend = Memory::assigned();
    backend.lose_swaps(3);
    let c = Client::start(backend.clone(), 1, LONG).await;
    let (status, body) = c.post("/v1/join", &join_request(0, "a", None)).await;
    assert_eq!(status, 200);
    assert_eq!(body["attempt"], 4, "three rivals formed attempts of their own: {body}");
}

#[tokio::test]
async fn exits_get_orders_and_the_end_of_the_run_ends_everything() {
    let backend = Memory::assigned();
    let c = Client::start(backend.clone(), 1, LONG).await;
    c.post("/v1/join", &join_request(0, "a", None)).await;
    let exit = |p: &str, code| json!({"worker": 0, "process": p, "exitCode": code, "log": ""});
    let (_, p) = c.post("/v1/exit", &exit("a", 137)).await;
    assert_eq!(p, json!({"orders": "restart"}));
    assert_eq!(c.post("/v1/permit", &json!({"worker": 0, "process": "b"})).await.1, json!({"orders": "restart"}));
    assert_eq!(backend.still(0), Some(("b".to_owned(), Duration::ZERO)));
    c.post("/v1/permit", &json!({"worker": 0, "process": "b", "stillMillis": 61_000})).await;
    assert_eq!(
        backend.still(0),
        Some(("b".to_owned(), Duration::from_secs(61))),
        "what the supervisor saw is passed on"
    );
    backend.end_run();
    let (_, p) = c.post("/v1/exit", &exit("b", 0)).await;
    let p: Permit = serde_json::from_value(p).expect("a permit");
    assert_eq!(p.orders, coalition_protocol::messages::Orders::Leave);
    let (status, body) = c.post("/v1/join", &join_request(0, "c", None)).await;
    assert_eq!((status, reason(&body).as_str()), (410, "RunOver"));
}

#[tokio::test]
async fn views_page_records_and_say_what_is_held() {
    let backend = Memory::assigned();
    backend.records_up_to(5);
    let c = Client::start(backend.clone(), 1, LONG).await;
    let (_, v) = c.get("/v1/view?after=3").await;
    let v: ViewReply = serde_json::from_value(v).expect("a view");
    assert_eq!(v.records.iter().map(|r| r.record.seq).collect::<Vec<_>>(), [Seq(4), Seq(5)]);
    assert_eq!(v.site_run, site_run());
    assert!(!v.store_lost);
    // Another life's version is not compared.
    let (status, _) = c.get("/v1/view?version=999&gateway=other&waitMillis=20000").await;
    assert_eq!(status, 200);
    // Nothing newer: the wait ends with what there is.
    let (status, same) = c.get(&format!("/v1/view?after=5&version={}&gateway=life-1&waitMillis=30", v.version)).await;
    assert_eq!((status, same["version"].as_u64()), (200, Some(v.version)));
}

#[tokio::test]
async fn every_refusal_is_json_with_a_reason() {
    let c = Client::start(Memory::unassigned(), 1, LONG).await;
    for (path, status, name) in [
        ("/v1/nothing", 404, "NotFound"),
        ("/v1/join", 400, "BadRequest"),
        ("/v1/view?after=x", 400, "BadRequest"),
        ("/v1/view", 503, "Unavailable"),
    ] {
        let (s, body) = c.get(path).await;
        assert_eq!((s, reason(&body).as_str()), (status, name), "{path}");
    }
    let (s, body) = c.post("/v1/join", &json!({"worker": "zero"})).await;
    assert_eq!((s, reason(&body).as_str()), (400, "BadRequest"));
    let (s, body) = c.post("/v1/report", &"x".repeat(1 << 20)).await;
    assert_eq!((s, reason(&body).as_str()), (413, "TooLarge"));
    for auth in [None, Some("Bearer wrong"), Some("right")] {
        let mut r = c.http.get(format!("{}/v1/view", c.url));
        if let Some(a) = auth {
            r = r.header("authorization", a);
        }
        let r = r.send().await.expect("sent");
        assert_eq!(r.status().as_u16(), 401);
        assert_eq!(reason(&r.json().await.expect("JSON")), "Unauthorized");
    }
    let health = c.http.get(format!("{}/healthz", c.url)).send().await.expect("sent");
    assert_eq!(health.status().as_u16(), 200, "health needs no token");
}
