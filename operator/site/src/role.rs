//! The role as a whole: listeners, watches and the Lease of one replica, and what starts and ends with leading. Must not know what
//! a leader does.
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use coalition_kit::lease::{self, Lock, Timing, Until};
use coalition_store::{Location, Store};
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::context::Context;
use crate::events::Events;
use crate::exchange::{self, Exchange};
use crate::gateway::keys::Keys;
use crate::gateway::{Forward, Host, Hosted, identity};
use crate::hub::{self, Access};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::sources::Sources;
use crate::{SiteError, facts, leader, names, random_hex};

/// Name of the role's Lease.
const LEASE: &str = "coalition-site";

/// How one replica runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The settings of the site's owner.
    pub settings: PathBuf,
    /// How the hub is reached.
    pub hub: Access,
    /// This cluster's API server.
    pub cluster: Config,
    /// The operator's own namespace.
    pub namespace: String,
    /// This pod's name.
    pub pod: String,
    /// This pod's address.
    pub ip: IpAddr,
    /// Where the gateway listens; its port is the same in every replica.
    pub gateway: SocketAddr,
    /// Where the exchange listens, if the settings have one.
    pub exchange: SocketAddr,
    /// Version of the operator.
    pub version: String,
}

/// What the role waits for, for readiness.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<OnceLock<Arc<Sources>>>);

impl Health {
    /// What was not seen yet; none if the role can do its work, leading or not.
    pub fn waiting(&self) -> Option<&'static str> {
        match self.0.get() {
            Some(sources) => sources.waiting(),
            None => Some("settings, store and hub's credential"),
        }
    }
}

/// Runs the role until `stop` becomes true; the Lease is given back then. Numbers go to `registry`, readiness to `health`.
pub async fn run(
    options: Options,
    health: Health,
    registry: &mut Registry,
    stop: watch::Receiver<bool>,
) -> Result<(), SiteError> {
    let settings = Settings::read(&options.settings)?;
    let metrics = Metrics::new(registry);
    let local = Client::try_from(options.cluster.clone()).map_err(|e| SiteError::Client(Box::new(e)))?;
    let store = open(&settings)?;
    // Dropped at the end, and all that runs in it with it.
    let mut tasks = JoinSet::new();
    let hub = hub::client(&options.hub, &options.cluster, &local, &settings.name, &mut tasks).await?;
    let sources = Arc::new(Sources::start(&local, &hub, &settings, &mut tasks));
    let _ = health.0.set(sources.clone());

    let leads = Arc::new(watch::Sender::new(None));
    let me = identity(&options.pod, options.ip);
    let forward = Forward::new(local.clone(), &options.namespace, LEASE, &me, options.gateway.port())?;
    let hosted = Arc::new(Hosted::default());
    let host = Host { hosted: hosted.clone(), leads: leads.subscribe(), forward, sources: sources.clone() };
    serve(&mut tasks, "the gateway", options.gateway, crate::gateway::service(Arc::new(host))).await?;
    let token = exchange_token(&settings)?;
    if let Some(token) = token.clone().filter(|_| settings.exchange.endpoint.is_some()) {
        let served = Exchange { store: store.clone(), sources: sources.clone(), token };
        serve(&mut tasks, "the exchange", options.exchange, exchange::service(Arc::new(served))).await?;
    }

    let port = options.gateway.port();
    let service = format!("http://{}.{}.svc:{port}", names::GATEWAY_SERVICE, options.namespace);
    let ctx = Arc::new(Context {
        gateway_url: settings.gateway.url.clone().unwrap_or(service),
        exchange: settings.exchange.endpoint.clone(),
        exchange_token: token.map_or_else(random_hex, Ok)?,
        events: Events::new(local.clone(), &options.pod),
        keys: Arc::new(Keys::new(local.clone())),
        leads: leads.subscribe(),
        me: me.clone(),
        version: options.version,
        settings,
        local: local.clone(),
        hub,
        sources,
        store,
        hosted,
        metrics,
    });
    let lock = Lock { namespace: options.namespace, name: LEASE.to_owned(), me, timing: Timing::default() };
    let following = follow(ctx, leads.subscribe());
    tokio::select! {
        () = lease::keep(local, lock, leads, stop) => Ok(()),
        () = following => Ok(()),
    }
}

/// Starts what a leader does whenever this replica leads, and ends it at the instant at which it no longer does.
async fn follow(ctx: Arc<Context>, mut leads: watch::Receiver<Until>) {
    loop {
        let Ok(until) = leads.wait_for(|u| u.is_some_and(|at| Instant::now() < at)).await.map(|u| *u) else { return };
        tracing::info!(?until, "this replica leads the site role");
        {
            let work = leading(ctx.clone());
            let mut work = std::pin::pin!(work);
            loop {
                let until = *leads.borrow_and_update();
                let Some(until) = until.filter(|at| Instant::now() < *at) else { break };
                tokio::select! {
                    () = &mut work => break,
                    () = sleep_until(until) => {}
                    changed = leads.changed() => if changed.is_err() { return },
                }
            }
        }
        ctx.hosted.clear();
        tracing::warn!("this replica no longer leads the site role");
    }
}

async fn leading(ctx: Arc<Context>) {
    tokio::join!(
        leader::lead(ctx.clone()),
        facts::tell(ctx.clone()),
        hub::sign_of_life(ctx.hub.clone(), ctx.settings.name.clone(), ctx.me.clone()),
    );
}

fn open(settings: &Settings) -> Result<Store, SiteError> {
    Ok(Store::open(&location(&settings.store.url, settings)?)?)
}

/// A place in the store of the settings, with its endpoint and region; credentials come from the environment.
pub(crate) fn location(url: &str, settings: &Settings) -> Result<Location, coalition_store::StoreError> {
    let mut place: Location = url.parse()?;
    if let Location::S3(s3) = &mut place {
        s3.endpoint.clone_from(&settings.store.endpoint);
        s3.region.clone_from(&settings.store.region);
        s3.plain_http = settings.store.plain_http;
    }
    Ok(place)
}

fn exchange_token(settings: &Settings) -> Result<Option<String>, SiteError> {
    let Some(path) = &settings.exchange.token_file else { return Ok(None) };
    let unread = |error| SiteError::ExchangeToken { path: path.display().to_string(), error };
    let token = std::fs::read_to_string(path).map_err(unread)?.trim().to_owned();
    if token.is_empty() {
        return Err(unread(std::io::Error::other("is empty")));
    }
    Ok(Some(token))
}

async fn serve(tasks: &mut JoinSet<()>, what: &'static str, at: SocketAddr, service: Router) -> Result<(), SiteError> {
    let unable = |error| SiteError::Listen { what, address: at.to_string(), error };
    let listener = TcpListener::bind(at).await.map_err(unable)?;
    tasks.spawn(async move {
        let _ = axum::serve(listener, service).await;
    });
    Ok(())
}
