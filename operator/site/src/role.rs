//! The role as a whole: listeners and watches of one replica, and what it does while it leads. Must not know how the Lease is kept.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use coalition_kit::metrics::Metrics as Figures;
use coalition_kit::role::Process;
use coalition_store::{Location, Store, StoreError};
use kube::Config;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::events::Events;
use crate::exchange::{self, Exchange};
use crate::gateway::keys::Keys;
use crate::gateway::{Forward, Host, Hosted};
use crate::hub::{self, Access};
use crate::leading::Leading;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::sources::Sources;
use crate::{SiteError, facts, leader, names, random_hex};

/// Name of the role, and so of its Lease: `coalition-site`.
pub const ROLE: &str = "site";
/// Environment variable with the token that couriers of the coalition share.
const EXCHANGE_TOKEN: &str = "COALITION_EXCHANGE_TOKEN";

/// How one replica runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The settings of the site's owner.
    pub settings: PathBuf,
    /// How the hub is reached.
    pub hub: Access,
    /// This cluster's API server: where hub and site are one, the address that the site's own credential is shown to.
    pub cluster: Config,
    /// Where the gateway listens; its port is the same in every replica.
    pub gateway: SocketAddr,
    /// Where the exchange listens, if the settings have one.
    pub exchange: SocketAddr,
    /// Version of the operator.
    pub version: String,
}

/// The site role of one replica. Dropping it ends its watches and listeners.
pub struct Site {
    ctx: Arc<Context>,
    _tasks: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("name", &self.ctx.settings.name).finish_non_exhaustive()
    }
}

impl Site {
    /// Reads the settings and starts what every replica runs. Nothing is written before [`Site::lead`].
    pub async fn start(options: Options, process: &Process) -> Result<Self, SiteError> {
        let settings = Settings::read(&options.settings)?;
        let store = Store::open(&location(&settings.store.url, &settings)?)?;
        Self::start_on(store, settings, options, process).await
    }

    /// The same on a store that is open already.
    pub async fn start_on(
        store: Store,
        settings: Settings,
        options: Options,
        process: &Process,
    ) -> Result<Self, SiteError> {
        let local = process.client.clone();
        let figures: &Figures = &process.metrics;
        let mut tasks = JoinSet::new();
        let hub = hub::client(&options.hub, &options.cluster, &local, &settings.name, &mut tasks).await?;
        let hub = coalition_kit::client::counted(&hub, "the hub's API server", figures);
        let sources = Arc::new(Sources::start(&local, &hub, &settings, figures, &mut tasks));

        let (leads, hosted) = (Leading::default(), Arc::new(Hosted::default()));
        let lease = format!("coalition-{ROLE}");
        let port = options.gateway.port();
        let forward = Forward::new(local.clone(), &process.namespace, &lease, &process.identity, port)?;
        let host = Host { hosted: hosted.clone(), leads: leads.clone(), forward, sources: sources.clone() };
        serve(&mut tasks, "the gateway", options.gateway, crate::gateway::service(Arc::new(host))).await?;
        let token = exchange_token(&settings)?;
        if let Some(token) = token.clone().filter(|_| settings.exchange.endpoint.is_some()) {
            let served = Exchange { store: store.clone(), sources: sources.clone(), token };
            serve(&mut tasks, "the exchange", options.exchange, exchange::service(Arc::new(served))).await?;
        }
        let service = format!("http://{}.{}.svc:{port}", names::GATEWAY_SERVICE, process.namespace);
        let ctx = Arc::new(Context {
            gateway_url: settings.gateway.url.clone().unwrap_or(service),
            exchange: settings.exchange.endpoint.clone(),
            exchange_token: token.map_or_else(random_hex, Ok)?,
            events: Events::new(local.clone(), &process.identity),
            keys: Arc::new(Keys::new(local.clone())),
            metrics: Metrics::new(process.metrics.clone()),
            me: process.identity.clone(),
            version: options.version,
            settings,
            local,
            hub,
            sources,
            store,
            hosted,
            leads,
        });
        Ok(Self { ctx, _tasks: Mutex::new(tasks) })
    }

    /// True once every object of this cluster was seen, leading or not. The hub is no part of it: a site goes on without one.
    pub fn is_ready(&self) -> bool {
        self.ctx.sources.waiting().is_none()
    }

    /// Does what the leading replica does, until it is dropped.
    pub async fn lead(&self) {
        let ctx = &self.ctx;
        // Both are dropped with this future: from then on requests go to whoever leads.
        let _term = ctx.leads.begin();
        let _hosting = Hosting(ctx.hosted.clone());
        // On the heap, for their sum is long: whoever holds this future moves it about.
        tokio::join!(
            Box::pin(leader::lead(ctx.clone())),
            Box::pin(facts::tell(ctx.clone())),
            Box::pin(hub::sign_of_life(ctx.hub.clone(), ctx.settings.name.clone(), ctx.me.clone())),
        );
    }
}

/// Lets no gateway answer any more when it is dropped.
struct Hosting(Arc<Hosted>);

impl Drop for Hosting {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// A place in the store of the settings, with its endpoint and region; credentials come from the environment.
pub(crate) fn location(url: &str, settings: &Settings) -> Result<Location, StoreError> {
    let mut place: Location = url.parse()?;
    if let Location::S3(s3) = &mut place {
        s3.endpoint.clone_from(&settings.store.endpoint);
        s3.region.clone_from(&settings.store.region);
        s3.plain_http = settings.store.plain_http;
    }
    Ok(place)
}

fn exchange_token(settings: &Settings) -> Result<Option<String>, SiteError> {
    if settings.exchange.token_secret_name.is_none() {
        return Ok(None);
    }
    let token = std::env::var(EXCHANGE_TOKEN).ok().filter(|t| !t.is_empty());
    token.map(Some).ok_or(SiteError::ExchangeToken { variable: EXCHANGE_TOKEN })
}

async fn serve(tasks: &mut JoinSet<()>, what: &'static str, at: SocketAddr, service: Router) -> Result<(), SiteError> {
    let unable = |error| SiteError::Listen { what, address: at.to_string(), error };
    let listener = TcpListener::bind(at).await.map_err(unable)?;
    tasks.spawn(async move {
        let _ = axum::serve(listener, service).await;
    });
    Ok(())
}
