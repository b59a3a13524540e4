//! `semel serve`: its flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use semel_core::Span;

use super::callers::CallerArgs;
use super::output::Failure;
use super::values::{self, Scope, Signing, StoreSpec};
use crate::config::{Explicit, Settings};
use crate::gateway::{Forwarding, Target};
use crate::telemetry::LogFormat;

/// Run the gateway: a reverse proxy that sends each keyed request once.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
#[command(after_help = "\
Examples:
  semel serve --upstream http://127.0.0.1:9000
  semel serve --upstream https://api.internal --listen 0.0.0.0:8080 --store embedded:/var/lib/semel
  semel serve --upstream http://127.0.0.1:9000 --scope header:X-Customer --retention 3d
  semel serve --config semel.toml

Every flag can be given by the environment: SEMEL_ and its name (--wait: SEMEL_WAIT).")]
pub(crate) struct ServeArgs {
    /// A file of settings, with the rules of each route; see semel config
    #[arg(long, env = "SEMEL_CONFIG", value_name = "PATH")]
    pub config: Option<PathBuf>,

    /// The API to protect: http://HOST:PORT, https://HOST or h2c://HOST:PORT, with a base path if need be
    #[arg(long, env = "SEMEL_UPSTREAM", value_name = "URL", value_parser = values::upstream)]
    pub upstream: Option<Target>,

    /// Where callers come in
    #[arg(long, env = "SEMEL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where operators come in: health, metrics and the API of `semel keys`
    #[arg(long, env = "SEMEL_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub admin: SocketAddr,

    /// A file that holds the token which operators must show; needed where --admin is not loopback
    #[arg(long, env = "SEMEL_ADMIN_TOKEN_FILE", value_name = "PATH")]
    pub admin_token_file: Option<PathBuf>,

    /// A file to which each act of an operator is appended (it is logged in any case)
    #[arg(long, env = "SEMEL_AUDIT_FILE", value_name = "PATH")]
    pub audit_file: Option<PathBuf>,

    /// Where records are kept: embedded:PATH (durable), or memory: (until restart)
    #[arg(long, env = "SEMEL_STORE", value_name = "STORE", default_value = "embedded:semel-data",
          value_parser = values::store)]
    pub store: StoreSpec,

    /// The server secret; default: PATH.secret beside the store, made at the first start
    #[arg(long, env = "SEMEL_SECRET_FILE", value_name = "PATH")]
    pub secret_file: Option<PathBuf>,

    /// Whose keys they are: authorization, header:NAME, jwt:CLAIM, client-certificate, or none (one caller only)
    #[arg(long, env = "SEMEL_SCOPE", value_name = "RULE", default_value = "authorization",
          value_parser = values::scope)]
    pub scope: Scope,

    /// The service's name, a part of each operation's identity
    #[arg(long, env = "SEMEL_SERVICE", value_name = "NAME", default_value = "default")]
    pub service: String,

    #[command(flatten)]
    pub keys: KeyArgs,

    #[command(flatten)]
    pub callers: CallerArgs,

    #[command(flatten)]
    pub jwt: JwtArgs,

    #[command(flatten)]
    pub traffic: TrafficArgs,

    #[command(flatten)]
    pub logs: LogArgs,
}

/// What is remembered, and for how long.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyArgs {
    /// How long a reply can be replayed
    #[arg(long, env = "SEMEL_RETENTION", value_name = "TIME", default_value = "24h",
          value_parser = values::span)]
    pub retention: Span,

    /// How long a key is known to be used
    #[arg(long, env = "SEMEL_MEMORY", value_name = "TIME", default_value = "30d",
          value_parser = values::span)]
    pub memory: Span,

    /// How long a claim holds without being renewed
    #[arg(long, env = "SEMEL_LEASE", value_name = "TIME", default_value = "10s",
          value_parser = values::duration)]
    pub lease: Duration,

    /// The longest run of one execution; then it is in doubt
    #[arg(long, env = "SEMEL_CEILING", value_name = "TIME", default_value = "15m",
          value_parser = values::duration)]
    pub ceiling: Duration,

    /// How long one write to the store may take; shorter than the lease
    #[arg(long, env = "SEMEL_STORE_DEADLINE", value_name = "TIME", default_value = "5s",
          value_parser = values::duration)]
    pub store_deadline: Duration,

    /// How long the upstream may still work on a request that was cut off
    #[arg(long, env = "SEMEL_MAX_UPSTREAM", value_name = "TIME", default_value = "60s",
          value_parser = values::duration)]
    pub max_upstream: Duration,

    /// The longest pause of this process to allow for
    #[arg(long, env = "SEMEL_PAUSE", value_name = "TIME", default_value = "10s",
          value_parser = values::duration)]
    pub pause: Duration,

    /// How long a duplicate waits for its original before 409
    #[arg(long, env = "SEMEL_WAIT", value_name = "TIME", default_value = "5s",
          value_parser = values::duration)]
    pub wait: Duration,

    /// Executions under way at once
    #[arg(long, env = "SEMEL_IN_FLIGHT_MAX", value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub in_flight_max: u32,

    /// The largest body of a keyed request
    #[arg(long, env = "SEMEL_BODY_MAX", value_name = "SIZE", default_value = "64MiB",
          value_parser = values::bytes)]
    pub body_max: u64,

    /// The largest body of a reply that is kept for replay
    #[arg(long, env = "SEMEL_REPLY_MAX", value_name = "SIZE", default_value = "1MiB",
          value_parser = values::bytes)]
    pub reply_max: u64,
}

/// Which tokens hold, where the scope is a claim of one.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tokens (--scope jwt:CLAIM)")]
pub(crate) struct JwtArgs {
    /// A file with the issuer's public keys (a JWK set); read again when it changes
    #[arg(long, env = "SEMEL_JWKS_FILE", value_name = "PATH")]
    pub jwks_file: Option<PathBuf>,

    /// Who makes the tokens: their iss
    #[arg(long, env = "SEMEL_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,

    /// Whom they must be meant for: one of these must be in their aud
    #[arg(long, env = "SEMEL_JWT_AUDIENCE", value_name = "AUDIENCE", value_delimiter = ',')]
    pub jwt_audience: Vec<String>,

    /// How they may be signed; HS256 and the like only where they are named here
    #[arg(long, env = "SEMEL_JWT_ALGORITHMS", value_name = "ALGORITHMS", value_delimiter = ',',
          default_value = "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA",
          value_parser = values::signing)]
    pub jwt_algorithms: Vec<Signing>,

    /// How far the clocks of their makers may be off
    #[arg(long, env = "SEMEL_JWT_LEEWAY", value_name = "TIME", default_value = "60s",
          value_parser = values::duration)]
    pub jwt_leeway: Duration,
}

/// Connections of callers and to the upstream.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Traffic")]
pub(crate) struct TrafficArgs {
    /// How long a connection to the upstream may take to be made
    #[arg(long, env = "SEMEL_CONNECT_TIMEOUT", value_name = "TIME", default_value = "5s",
          value_parser = values::duration)]
    pub connect_timeout: Duration,

    /// How long the upstream may take to answer: whole for a keyed request, else its head
    #[arg(long, env = "SEMEL_REPLY_TIMEOUT", value_name = "TIME", default_value = "60s",
          value_parser = values::duration)]
    pub reply_timeout: Duration,

    /// How long an idle connection to the upstream is kept; below the upstream's own limit
    #[arg(long, env = "SEMEL_IDLE_TIMEOUT", value_name = "TIME", default_value = "4s",
          value_parser = values::duration)]
    pub idle_timeout: Duration,

    /// How long the head of a request may take to come in; a TLS handshake, too
    #[arg(long, env = "SEMEL_HEAD_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    pub head_timeout: Duration,

    /// How long the body of a request may pause
    #[arg(long, env = "SEMEL_BODY_PAUSE", value_name = "TIME", default_value = "60s",
          value_parser = values::duration)]
    pub body_pause: Duration,

    /// Connections of callers open at once; more wait
    #[arg(long, env = "SEMEL_CONNECTIONS_MAX", value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_max: u32,

    /// How long what is under way may take to finish when told to stop
    #[arg(long, env = "SEMEL_DRAIN", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    pub drain: Duration,

    /// Send the upstream's own name as Host, in place of the caller's
    #[arg(long, env = "SEMEL_OWN_HOST")]
    pub own_host: bool,

    /// What becomes of X-Forwarded-* and Forwarded
    #[arg(long, env = "SEMEL_FORWARDED", value_name = "RULE", value_enum, default_value_t)]
    pub forwarded: Forwarding,
}

/// What is logged.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogArgs {
    /// What is logged: info, debug, or by module as in warn,semel=debug
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How it is written
    #[arg(long, env = "SEMEL_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

impl ServeArgs {
    /// Serves until told to stop.
    pub(crate) async fn run(self, explicit: &Explicit) -> Result<ExitCode, Failure> {
        let settings = Settings::load(self, explicit)?;
        crate::telemetry::log(&settings.args.logs.log, settings.args.logs.log_format)?;
        crate::serve::run(settings).await
    }
}
