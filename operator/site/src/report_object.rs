//! A run's SiteReport at the hub: read once, then written by PUT with the version that was read or written last. Must not know
//! what a report says beyond its counter.
use std::sync::Arc;
use std::time::Duration;

use coalition_crds::budget::TooLarge;
use coalition_crds::names::RUN_LABEL;
use coalition_crds::site_report::{SiteReport, SiteReportSpec};
use coalition_protocol::messages::SiteReport as Message;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::timeout;

/// A hub that does not answer for so long is away; the caller asks again.
pub const HUB_ANSWERS: Duration = Duration::from_secs(10);

/// Why a report is not durable.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// The hub does not answer, or not now.
    #[error("the hub takes no report now: {0}; it is tried again")]
    Away(String),
    /// The hub never takes this one.
    #[error("the hub refuses the report: {0}")]
    Refused(String),
    /// It stays too large whatever is left out.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// It is durable, and this cluster could not note so.
    #[error("the site's own cluster: {0}; it is tried again")]
    Local(String),
}

/// What is known of the object.
#[derive(Debug)]
enum Known {
    /// It was not read yet, or somebody else may have written it.
    Unread,
    /// There was none.
    Absent,
    /// As read or written last, and what it says in full.
    Present(Box<SiteReport>, Arc<Message>),
}

/// The object.
#[derive(Debug)]
pub struct ReportObject {
    api: Api<SiteReport>,
    name: String,
    object: Known,
}

impl ReportObject {
    /// The report of `run`, not read yet.
    pub fn new(api: Api<SiteReport>, run: &str) -> Self {
        Self { api, name: run.to_owned(), object: Known::Unread }
    }

    /// What stands at the hub, as far as this life knows.
    pub fn known(&self) -> Option<Arc<Message>> {
        if let Known::Present(_, message) = &self.object { Some(message.clone()) } else { None }
    }

    /// Reads it if it was not read yet.
    pub async fn read(&mut self) -> Result<(), Unwritten> {
        if matches!(self.object, Known::Unread) {
            let found = answered(self.api.get_opt(&self.name)).await?;
            self.object = match found.and_then(|o| o.spec.run.clone().map(|m| (o, m))) {
                Some((object, message)) => Known::Present(Box::new(object), Arc::new(message)),
                None => Known::Absent,
            };
        }
        Ok(())
    }

    /// Makes `report` durable. It must have been read before.
    pub async fn write(&mut self, report: Message) -> Result<(), Unwritten> {
        // What is left out for lack of room is left out of the object alone: the next report is compared with the whole.
        let spec = SiteReportSpec::fit(report.clone())?;
        let metadata = match &self.object {
            Known::Present(object, _) => object.metadata.clone(),
            Known::Absent | Known::Unread => ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some([(RUN_LABEL.to_owned(), report.run.to_string())].into()),
                ..ObjectMeta::default()
            },
        };
        let exists = metadata.resource_version.is_some();
        let object = SiteReport { metadata, spec };
        let written = if exists {
            answered(self.api.replace(&self.name, &PostParams::default(), &object)).await
        } else {
            answered(self.api.create(&PostParams::default(), &object)).await
        };
        match written {
            Ok(o) => {
                self.object = Known::Present(Box::new(o), Arc::new(report));
                Ok(())
            }
            Err(e) => {
                // Somebody else wrote, or the answer was lost: what stands there is read again before the next write.
                self.object = Known::Unread;
                Err(e)
            }
        }
    }
}

async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Unwritten> {
    match timeout(HUB_ANSWERS, request).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(kube::Error::Api(s))) if s.code == 422 || s.code == 400 => Err(Unwritten::Refused(s.message.clone())),
        Ok(Err(e)) => Err(Unwritten::Away(e.to_string())),
        Err(_) => Err(Unwritten::Away(format!("no answer for {} s", HUB_ANSWERS.as_secs()))),
    }
}
