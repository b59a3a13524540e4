//! `semel serve`: puts the parts together, runs them, and takes them down in order.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::output::{Failure, note};
use crate::cli::serve::ServeArgs;
use crate::gateway::{Front, Gateway, Patience, Pool, Rules};
use crate::listen::{self, Bounds};
use crate::telemetry;

/// Serves until told to stop.
pub(crate) async fn run(args: ServeArgs) -> Result<ExitCode, Failure> {
    let mut stop = Stop::new()?;
    let _metrics = telemetry::record()?;
    let (listener, addr) = listen::bind("--listen", args.listen).await?;
    let pool = Pool::new(Patience {
        connect: args.traffic.connect_timeout,
        reply: args.traffic.reply_timeout,
        idle: args.traffic.idle_timeout,
    })?;
    let rules = Rules {
        target: args.upstream.clone(),
        own_host: args.traffic.own_host,
        forwarding: args.traffic.forwarded,
    };
    let gateway = Gateway::new(pool, rules);
    note(&format!("listening on http://{addr}"));
    note(&format!("admin on http://{addr}"));
    let pause_max = args.traffic.body_pause;
    let make = move |peer| Front::new(gateway.clone(), peer, pause_max);
    let serving = listen::serve(listener, bounds(&args), make, stop.asked());
    serving.await;
    Ok(ExitCode::SUCCESS)
}

fn bounds(args: &ServeArgs) -> Bounds {
    Bounds {
        connections_max: args.traffic.connections_max,
        head_time: args.traffic.head_timeout,
        headers_max: 128,
        head_max: 64 * 1024,
    }
}

/// The word to stop: SIGTERM or ctrl-C.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
