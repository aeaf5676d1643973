//! A client whose writes are counted by resource and verb: what a role costs an API server is measured, not guessed. Must not
//! know what is written, or why.
use kube::Client;
use kube::client::Body;
use tower::service_fn;

use crate::metrics::{Metrics, Write};

/// The same client, with every write counted.
pub fn counted(client: &Client, metrics: &Metrics) -> Client {
    let (inner, writes) = (client.clone(), metrics.writes.clone());
    let service = service_fn(move |request: axum::http::Request<Body>| {
        let (client, writes) = (inner.clone(), writes.clone());
        async move {
            let verb = verb(request.method().as_str());
            if let Some(verb) = verb {
                let resource = resource(request.uri().path()).to_owned();
                writes.get_or_create(&Write { resource, verb: verb.to_owned() }).inc();
            }
            client.send(request).await
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
mod tests {
    use super::*;

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
