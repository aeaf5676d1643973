//! A client whose writes are counted by resource and verb: what a role costs an API server is measured, not guessed. That its
//! server is away is seen here as well, and said once ([`crate::outage`]). Must not know what is written, or why.
use kube::Client;
use kube::client::Body;
use tower::service_fn;

use crate::metrics::{Metrics, Write};
use crate::outage::Outage;

/// The same client, with every write counted. `server` is what people call who answers it.
pub fn counted(client: &Client, server: &'static str, metrics: &Metrics) -> Client {
    let (inner, writes, outage) = (client.clone(), metrics.writes.clone(), Outage::of(server));
    let service = service_fn(move |request: axum::http::Request<Body>| {
        let (client, writes, outage) = (inner.clone(), writes.clone(), outage.clone());
        async move {
            let verb = verb(request.method().as_str());
            if let Some(verb) = verb {
                let resource = resource(request.uri().path()).to_owned();
                writes.get_or_create(&Write { resource, verb: verb.to_owned() }).inc();
            }
            let asked = outage.asks();
            let answer = client.send(request).await;
            match &answer {
                Ok(a) if a.status().is_server_error() => asked.failed(&a.status()),
                Ok(_) => asked.answered(),
                Err(e) => asked.failed(e),
            }
            answer
        }
    });
    Client::new(service, client.default_namespace())
}

/// The verb of a write as roles name it; none for what only reads.
pub fn verb(method: &str) -> Option<&'static str> {
    match method {
        "POST" => Some("create"),
        "PUT" => Some("update"),
        "PATCH" => Some("patch"),
        "DELETE" => Some("delete"),
        _ => None,
    }
}

/// The resource that a path of the API names, such as `siteruns`, whichever of its parts is meant.
pub fn resource(path: &str) -> &str {
    let mut rest = path.trim_matches('/');
    // /api/VERSION/… or /apis/GROUP/VERSION/…
    let skip = if rest.starts_with("apis/") { 3 } else { 2 };
    for _ in 0..skip {
        rest = rest.split_once('/').map_or("", |(_, r)| r);
    }
    if let Some(inside) = rest.strip_prefix("namespaces/")
        && let Some((_, below)) = inside.split_once('/')
    {
        rest = below;
    }
    // PLURAL, PLURAL/NAME or PLURAL/NAME/SUBRESOURCE
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU16, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Node;
    use kube::Api;
    use tokio::time::{sleep, timeout};

    /// What is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn taken(&self) -> Vec<String> {
            let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    /// A server that answers with this status, or with 0 never.
    fn server(status: Arc<AtomicU16>) -> Client {
        let service = service_fn(move |_: axum::http::Request<Body>| {
            let status = status.load(Ordering::SeqCst);
            async move {
                if status == 0 {
                    std::future::pending::<()>().await;
                }
                axum::http::Response::builder().status(status).body(Body::from(b"{}".to_vec()))
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_said_once_and_so_is_its_end() {
        let lines = Lines::default();
        let to = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        let _log = tracing::subscriber::set_default(log);
        let status = Arc::new(AtomicU16::new(200));
        let client = counted(&server(status.clone()), "the hub's API server", &Metrics::new("0"));
        let nodes: Api<Node> = Api::all(client);
        let ask = async || drop(timeout(Duration::from_secs(3), nodes.get_opt("a")).await);
        ask().await;
        assert_eq!(lines.taken(), [] as [&str; 0]);
        // It is away for a moment: nobody needs to know.
        status.store(503, Ordering::SeqCst);
        ask().await;
        status.store(200, Ordering::SeqCst);
        sleep(Duration::from_mins(1)).await;
        ask().await;
        assert_eq!(lines.taken(), [] as [&str; 0]);
        for away in [503, 0] {
            status.store(away, Ordering::SeqCst);
            for _ in 0..500 {
                ask().await;
                sleep(Duration::from_millis(50)).await;
            }
            let said = lines.taken();
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains("WARN") && said[0].contains("the hub's API server"), "{said:?}");
            assert!(said[0].contains("since=2"), "since when, as a date: {said:?}");
            // That it refuses something is an answer.
            status.store(403, Ordering::SeqCst);
            ask().await;
            let said = lines.taken();
            assert!(said.len() == 1 && said[0].contains("it answers again"), "{said:?}");
        }
    }

    #[test]
    fn a_path_names_its_resource() {
        for (path, name) in [
            ("/apis/coalition.training/v1alpha1/namespaces/research/trainingruns/a/status", "trainingruns"),
            ("/apis/coalition.training/v1alpha1/sites/north", "sites"),
            ("/api/v1/namespaces/site-north/serviceaccounts/site/token", "serviceaccounts"),
            ("/api/v1/namespaces/x", "namespaces"),
            ("/version", ""),
        ] {
            assert_eq!(resource(path), name, "{path}");
        }
        assert_eq!((verb("PATCH"), verb("GET")), (Some("patch"), None));
    }
}
