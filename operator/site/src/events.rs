//! Events for people, on the Gang. One that cannot be told is lost: nothing depends on it.
use coalition_crds::budget::shorten;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Characters of a note: Kubernetes takes 1 KiB.
const NOTE: usize = 1000;
/// The controller's name in events.
const CONTROLLER: &str = "coalition-site";

/// Tells events.
#[derive(Clone)]
pub struct Events(Recorder);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// Events told by this process.
    pub fn new(client: Client, me: &str) -> Self {
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(me.to_owned()) };
        Self(Recorder::new(client, reporter))
    }

    /// Something people should look at.
    pub async fn warn(&self, about: &ObjectReference, reason: &str, note: &str) {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(shorten(note, NOTE)),
            action: reason.to_owned(),
            secondary: None,
        };
        if let Err(e) = self.0.publish(&event, about).await {
            tracing::debug!(reason, error = %e, "an event was not told");
        }
    }
}
