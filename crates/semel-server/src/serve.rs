//! `semel serve`: puts the parts together, runs them, and takes them down in order.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use semel::core::{Policy, Span, Timestamp};
use semel::engine::{Engine, EngineConfig};
use semel::http::route::{Forward, PrincipalSource};
use semel::http::{Route, Routes};
use semel::layer::{Body, Protection, SemelLayer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::Layer;

use crate::admin::{self, Access, Audit};
use crate::cli::output::{Failure, note};
use crate::cli::serve::ServeArgs;
use crate::cli::values::Scope;
use crate::gateway::{Front, Gateway, Hold, Patience, Pool, Rules};
use crate::listen::{self, Bounds};
use crate::open::{self, StoreBounds};
use crate::stop::Stop;
use crate::{banner, telemetry};

/// Serves until told to stop.
///
/// # Errors
/// When a part cannot start; nothing listens then.
pub(crate) async fn run(args: ServeArgs) -> Result<ExitCode, Failure> {
    let stop = Stop::new()?;
    // Listeners first: of two that are started by mistake, the second must not touch the store.
    let (callers, _) = listen::bind("--listen", args.listen).await?;
    let (operators, _) = listen::bind("--admin", args.admin).await?;
    let server = Server::start(args, callers, operators).await?;
    for line in server.banner() {
        note(&line);
    }
    server.until(stop).await;
    Ok(ExitCode::SUCCESS)
}

/// All parts, started but not yet taking connections.
pub(crate) struct Server {
    args: ServeArgs,
    engine: Engine,
    protection: Protection,
    made: Vec<String>,
    listener: TcpListener,
    admin_listener: TcpListener,
    admin: admin::Service,
    metrics: PrometheusHandle,
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
        args: ServeArgs,
        listener: TcpListener,
        admin_listener: TcpListener,
    ) -> Result<Self, Failure> {
        let metrics = telemetry::record()?;
        let access = Access::new(admin_listener.local_addr()?, args.admin_token_file.as_deref())?;
        let deadline = Span::from(args.keys.store_deadline);
        protection(&args, Timestamp::ZERO).routes.check(deadline)?;
        let (addr, admin_addr) = (listener.local_addr()?, admin_listener.local_addr()?);
        let bounds = StoreBounds { reply_max: args.keys.reply_max };
        let audit = audit(&args)?;
        let opened = open::open(&args.store, args.secret_file.clone(), &bounds).await?;
        let birth = opened.known.map_or(Timestamp::ZERO, |known| known.birth);
        let protection = protection(&args, birth);
        let config = EngineConfig {
            deadline,
            incarnation: opened.known.map(|known| known.incarnation),
            in_flight_max: usize::try_from(args.keys.in_flight_max).unwrap_or(usize::MAX),
            ..EngineConfig::default()
        };
        let patience = Patience {
            connect: args.traffic.connect_timeout,
            reply: args.traffic.reply_timeout,
            idle: args.traffic.idle_timeout,
        };
        let pool = Pool::new(patience, &args.upstream)?;
        let engine = Engine::start(opened.store, opened.secret, config).await?;
        let admin = admin::Service::new(
            engine.clone(),
            protection.clone(),
            opened.log,
            metrics.clone(),
            access,
            audit,
        );
        let made = opened.made;
        Ok(Self {
            args,
            engine,
            protection,
            made,
            listener,
            admin_listener,
            admin,
            metrics,
            pool,
            addr,
            admin_addr,
        })
    }

    /// What is told at the start.
    pub(crate) fn banner(&self) -> Vec<String> {
        let store = self.engine.store().capabilities();
        let published = self.protection.published(&store);
        banner::lines(&self.args, &published, &self.made, self.addr, self.admin_addr)
    }

    /// Serves until told to stop, then lets what is under way finish, and marks what does not as
    /// in doubt.
    pub(crate) async fn until(self, mut stop: Stop) {
        let Self {
            args, engine, protection, pool, listener, admin_listener, admin, metrics, ..
        } = self;
        let layer = SemelLayer::new(engine.clone(), protection)
            .expect("the same routes were checked before the store was opened");
        let hold = Hold { time: args.traffic.reply_timeout, bytes_max: args.keys.reply_max };
        let gateway = layer.layer(Gateway::new(pool, rules(&args), hold));
        let pause_max = args.traffic.body_pause;
        let make = move |peer| Front::new(gateway.clone(), peer, pause_max);
        let (stopping, mut stopped) = watch::channel(false);
        let told = async move {
            // A sender that is gone stops no less.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let callers = listen::serve(listener, bounds(&args), make, told);
        // Operators are served to the very end: they watch it come.
        let make = |_peer| admin.clone();
        let operators = listen::serve(admin_listener, admin::BOUNDS, make, std::future::pending());
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
        }
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
        headers_max: 128,
        head_max: 64 * 1024,
    }
}

fn rules(args: &ServeArgs) -> Rules {
    Rules {
        target: args.upstream.clone(),
        own_host: args.traffic.own_host,
        forwarding: args.traffic.forwarded,
        forward: Forward::Derived,
    }
}

fn audit(args: &ServeArgs) -> Result<Audit, Failure> {
    let Some(path) = &args.audit_file else { return Ok(Audit::default()) };
    Audit::to(path).map_err(|error| {
        Failure::unknown(format!("the audit file {} could not be opened: {error}", path.display()))
    })
}

/// `birth`: when the store was accepted in place of another, if it was.
fn protection(args: &ServeArgs, birth: Timestamp) -> Protection {
    let keys = &args.keys;
    let route = Route {
        principal: match &args.scope {
            Scope::Authorization => PrincipalSource::Authorization,
            Scope::Header(name) => PrincipalSource::Header(name.clone()),
            Scope::None => PrincipalSource::None,
        },
        wait_max: Span::from(keys.wait),
        body_max: keys.body_max,
        body_memory_max: Route::gateway().body_memory_max.min(keys.body_max),
        reply_max: keys.reply_max,
        policy: Policy {
            lease: Span::from(keys.lease),
            ceiling: Span::from(keys.ceiling),
            retention: keys.retention,
            memory: keys.memory,
            max_upstream: Span::from(keys.max_upstream),
            // The last look at the lease comes before the connection is made.
            pause: Span::from(keys.pause.saturating_add(args.traffic.connect_timeout)),
            birth,
            ..Policy::default()
        },
        ..Route::gateway()
    };
    Protection::new(args.service.clone(), Routes::new(route))
}
