//! `semel demo`: the sample payment service, the gateway before it and a page to play with, all in
//! one process and without any set-up. What it shows is the real thing: the same gateway as `semel
//! serve`, on the durable store, in a directory that goes away at the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use semel_demo::{Ledger, Stopped, Troubles};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli::demo::DemoArgs;
use crate::cli::output::{Failure, note};
use crate::cli::serve::ServeArgs;
use crate::config::Settings;
use crate::listen::{self, ListenError};
use crate::reload::Reload;
use crate::serve::Server;
use crate::stop::Stop;
use crate::telemetry;

/// The usual ports: gateway, admin listener, payment service.
const PORTS: [u16; 3] = [8080, 8081, 8082];

/// Runs until told to stop.
///
/// # Errors
/// When a part cannot start.
pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    telemetry::log(&args.log, telemetry::LogFormat::Text)?;
    let (stop, reload) = (Stop::new()?, Reload::new()?);
    let home = tempfile::Builder::new().prefix("semel-demo-").tempdir()?;
    let [gateway, admin, payments] = PORTS;
    let (callers, url) = usual_or_free(gateway).await?;
    let (operators, _) = usual_or_free(admin).await?;
    let (service, upstream) = usual_or_free(payments).await?;
    let settings = Settings::of_flags(serve_args(upstream, home.path())?)?;
    let server = Server::start(settings, callers, operators).await?;
    for line in server.banner() {
        note(&line);
    }
    for line in invitation(url) {
        note(&line);
    }
    let (stopping, stopped) = watch::channel(());
    let paying = tokio::spawn(pay(service, upstream, stopped));
    server.until(stop, reload).await;
    drop(stopping);
    paying.await?;
    home.close()?;
    Ok(ExitCode::SUCCESS)
}

/// The port that the documentation names, or any other when that one is taken.
async fn usual_or_free(port: u16) -> Result<(TcpListener, SocketAddr), ListenError> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match listen::bind("the demo", usual).await {
        Ok(bound) => Ok(bound),
        Err(_taken) => listen::bind("the demo", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await,
    }
}

/// The payment service, until the end. It can be told to die; then it is started again with the
/// same books, as a supervisor would.
async fn pay(mut listener: TcpListener, addr: SocketAddr, stopped: watch::Receiver<()>) {
    let (ledger, troubles) = (Ledger::new(), Troubles::new());
    loop {
        let mut stopped = stopped.clone();
        let asked = async move {
            // The sender says nothing: it is dropped.
            let _ = stopped.changed().await;
        };
        match semel_demo::serve(listener, ledger.clone(), troubles.clone(), asked).await {
            Stopped::Asked => return,
            Stopped::Died => match listen::bind("the demo", addr).await {
                Ok((again, _)) => listener = again,
                Err(error) => {
                    note(&format!("the payment service died and does not come back: {error}"));
                    return;
                }
            },
        }
    }
}

/// What `semel serve` would be told.
fn serve_args(upstream: SocketAddr, home: &Path) -> Result<ServeArgs, Failure> {
    #[derive(Parser)]
    #[command(no_binary_name = true)]
    struct Flags {
        #[command(flatten)]
        serve: ServeArgs,
    }
    let store = format!("embedded:{}", home.join("data").display());
    let upstream = format!("http://{upstream}");
    let flags = ["--upstream", &upstream, "--store", &store, "--service", "demo"];
    Ok(Flags::try_parse_from(flags)?.serve)
}

fn invitation(gateway: SocketAddr) -> Vec<String> {
    let pay = format!(
        "curl -i http://{gateway}/v1/charges -u sk_test_me: -H 'Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324' \\\n    -d currency=eur -d source=tok_visa"
    );
    vec![
        String::new(),
        "  Pay, lose the reply, pay again, and count:".to_owned(),
        String::new(),
        format!("  http://{gateway}"),
        String::new(),
        "  Or by hand. This charges:".to_owned(),
        format!("  {pay} -d amount=1200"),
        "  The same again gets the same reply, and charges nothing:".to_owned(),
        format!("  {pay} -d amount=1200"),
        "  The same key for another amount is refused:".to_owned(),
        format!("  {pay} -d amount=9900"),
        String::new(),
        "  ctrl-C ends it, and nothing is left behind.".to_owned(),
    ]
}
