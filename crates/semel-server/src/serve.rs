//! `semel serve`: puts the parts together, runs them, and takes them down in order.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use semel::core::{Span, Timestamp};
use semel::engine::{Engine, EngineConfig};
use semel::layer::{Body, Protection, SemelLayer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::Layer;

use crate::admin::{self, Access, Audit};
use crate::cli::output::{Failure, note};
use crate::cli::serve::ServeArgs;
use crate::config::Settings;
use crate::gateway::{Front, Gateway, Patience, Pool, Rules, Target};
use crate::known_store::Keeper;
use crate::listen::{self, Bounds, Door};
use crate::open::{self, StoreBounds};
use crate::peer::Peer;
use crate::reload::{Reload, Reloads};
use crate::stop::Stop;
use crate::tls::{Certificates, TlsFiles};
use crate::{banner, descriptors, telemetry};

/// Serves until told to stop.
///
/// # Errors
/// When a part cannot start; nothing listens then.
pub(crate) async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let (stop, reload) = (Stop::new()?, Reload::new()?);
    descriptors::raise();
    // Listeners first: of two that are started by mistake, the second must not touch the store.
    let (callers, _) = listen::bind("--listen", settings.args.listen).await?;
    let (operators, _) = listen::bind("--admin", settings.args.admin).await?;
    let server = Server::start(settings, callers, operators).await?;
    for line in server.banner() {
        note(&line);
    }
    server.until(stop, reload).await;
    Ok(ExitCode::SUCCESS)
}

/// All parts, started but not yet taking connections.
pub(crate) struct Server {
    settings: Settings,
    engine: Engine,
    protection: Protection,
    keeper: Option<Arc<Keeper>>,
    made: Vec<String>,
    listener: TcpListener,
    admin_listener: TcpListener,
    admin: admin::Service,
    metrics: PrometheusHandle,
    certificates: Option<Certificates>,
    pool: Pool<Body>,
    addr: SocketAddr,
    admin_addr: SocketAddr,
}

impl Server {
    /// Opens the store and starts the engine.
    ///
    /// # Errors
    /// The first part that cannot start.
    pub(crate) async fn start(
        settings: Settings,
        listener: TcpListener,
        admin_listener: TcpListener,
    ) -> Result<Self, Failure> {
        let (args, upstream) = (&settings.args, settings.upstream()?);
        let metrics = telemetry::record()?;
        let certificates = tls_files(args).map(Certificates::load).transpose()?;
        let access = Access::new(admin_listener.local_addr()?, args.admin_token_file.as_deref())?;
        let deadline = Span::from(args.keys.store_deadline);
        let (addr, admin_addr) = (listener.local_addr()?, admin_listener.local_addr()?);
        let bounds = StoreBounds { reply_max: settings.reply_max(), remember: settings.remember() };
        let opened = open::open(&args.store, args.secret_file.clone(), &bounds).await?;
        let audit = match &args.audit_file {
            Some(path) => Audit::to(path, &opened.secret)?,
            None => Audit::default(),
        };
        let known = opened.known.as_ref();
        let birth = known.map_or(Timestamp::ZERO, |known| known.birth);
        let protection = settings.protection(birth, known.and_then(|known| known.memories.earlier));
        let config = EngineConfig {
            deadline,
            incarnation: known.map(|known| known.incarnation),
            in_flight_max: usize::try_from(args.keys.in_flight_max).unwrap_or(usize::MAX),
            ..EngineConfig::default()
        };
        let patience = Patience {
            connect: args.traffic.connect_timeout,
            reply: args.traffic.reply_timeout,
            idle: args.traffic.idle_timeout,
        };
        let pool = Pool::new(patience, &upstream)?;
        let engine = Engine::start(opened.store, opened.secret, config).await?;
        let admin = admin::Service::new(
            engine.clone(),
            protection.clone(),
            opened.log,
            metrics.clone(),
            access,
            audit,
        );
        let (made, keeper) = (opened.made, opened.keeper);
        Ok(Self {
            settings,
            engine,
            protection,
            keeper,
            made,
            listener,
            admin_listener,
            admin,
            metrics,
            certificates,
            pool,
            addr,
            admin_addr,
        })
    }

    /// What is told at the start.
    pub(crate) fn banner(&self) -> Vec<String> {
        let store = self.engine.store().capabilities();
        let published = self.protection.published(&store);
        banner::lines(&self.settings, &published, &self.made, self.addr, self.admin_addr)
    }

    /// Serves until told to stop, then lets what is under way finish, and marks what does not as
    /// in doubt.
    pub(crate) async fn until(self, mut stop: Stop, reload: Reload) {
        let Self {
            settings,
            engine,
            protection,
            keeper,
            pool,
            listener,
            admin_listener,
            admin,
            metrics,
            certificates,
            ..
        } = self;
        let args = &settings.args;
        let layer = SemelLayer::new(engine.clone(), protection)
            .expect("the same routes were checked before the store was opened");
        let upstream = settings.upstream().expect("the server was started before one");
        let rules = rules(args, upstream);
        let proxy = Gateway::new(pool, rules, args.traffic.reply_timeout);
        let reconciler = layer.reconciler(&proxy);
        reconciler.start();
        admin.reconcile_by(reconciler);
        let gateway = layer.layer(proxy);
        let (pause_max, bounds) = (args.traffic.body_pause, bounds(args));
        let make = move |peer| Front::new(gateway.clone(), peer, pause_max, bounds.headers_max);
        let (stopping, mut stopped) = watch::channel(false);
        let told = async move {
            // A sender that is gone stops no less.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let reloads = reload.listen();
        let callers = listen::serve(listener, door(args, &certificates), bounds, make, told);
        // Operators are served to the very end: they watch it come.
        let shown = admin.clone();
        let make = move |peer: Peer| shown.of(peer.addr);
        let for_ever = std::future::pending();
        let operators = listen::serve(admin_listener, Door::Plain, admin::BOUNDS, make, for_ever);
        let ending = async {
            stop.asked().await;
            note("stopping: no more connections; ctrl-C again ends at once");
            admin.draining();
            stopping.send_replace(true);
            Instant::now()
        };
        let serving = async {
            let mut callers = pin!(callers);
            let began = tokio::select! {
                biased;
                () = &mut callers => return,
                began = ending => began,
            };
            finish(&engine, args.traffic.drain, began, callers).await;
        };
        tokio::select! {
            biased;
            () = serving => {}
            () = operators => {}
            () = telemetry::upkeep(&metrics) => {}
            () = keep(keeper.as_ref()) => {}
            () = reload.pass_on() => {}
            () = renew(certificates.as_ref(), reloads) => {}
            () = settings.principals.follow() => {}
        }
        if let Some(keeper) = keeper {
            keeper.note();
        }
    }
}

/// Notes how far the store has come; the memory store is not noted.
async fn keep(keeper: Option<&Arc<Keeper>>) {
    match keeper {
        Some(keeper) => keeper.keep().await,
        None => std::future::pending().await,
    }
}

/// Renews the certificate, where there is one.
async fn renew(certificates: Option<&Certificates>, reloads: Reloads) {
    match certificates {
        Some(certificates) => certificates.renew(reloads).await,
        None => std::future::pending().await,
    }
}

/// Lets executions finish for so long, declares the rest in doubt, and lets the last replies out.
/// A connection that never ends (a stream, a tunnel) does not hold the process.
async fn finish(
    engine: &Engine,
    patience: Duration,
    began: Instant,
    mut callers: Pin<&mut impl Future<Output = ()>>,
) {
    let mut drain = pin!(engine.drain(Span::from(patience)));
    let drained = tokio::select! {
        biased;
        () = &mut callers => {
            note(&banner::drained(drain.await));
            return;
        }
        drained = &mut drain => drained,
    };
    note(&banner::drained(drained));
    let left = patience.saturating_sub(began.elapsed()).max(LAST_REPLIES);
    if tokio::time::timeout(left, callers).await.is_err() {
        note("some connections did not end in time and are cut off");
    }
}

/// What those get who were answered at the last moment.
const LAST_REPLIES: Duration = Duration::from_secs(1);

fn bounds(args: &ServeArgs) -> Bounds {
    Bounds {
        connections_max: args.traffic.connections_max,
        head_time: args.traffic.head_timeout,
        headers_max: usize::try_from(args.callers.headers_max).unwrap_or(usize::MAX),
        head_max: usize::try_from(args.callers.head_max).unwrap_or(usize::MAX),
        keep_alive: args.callers.keep_alive,
        reply_pause: args.callers.reply_pause,
        streams_max: args.callers.streams_max,
    }
}

fn tls_files(args: &ServeArgs) -> Option<TlsFiles> {
    let callers = &args.callers;
    Some(TlsFiles {
        certificate: callers.tls_certificate.clone()?,
        key: callers.tls_key.clone()?,
        client_ca: callers.tls_client_ca.clone(),
        client: callers.tls_client,
    })
}

fn door(args: &ServeArgs, certificates: &Option<Certificates>) -> Door {
    match certificates {
        Some(certificates) => Door::Tls(certificates.clone()),
        None if args.callers.h2c => Door::PlainOrHttp2,
        None => Door::Plain,
    }
}

fn rules(args: &ServeArgs, target: Target) -> Rules {
    Rules { target, own_host: args.traffic.own_host, forwarding: args.traffic.forwarded }
}
