//! `semel serve`: the flags of the callers' side, TLS and what is borne from the slow and the many.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values;
use crate::tls::ClientRule;

/// How callers come in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Callers")]
pub(crate) struct CallerArgs {
    /// The certificate shown to callers, with its chain (PEM); --listen then speaks HTTPS only
    #[arg(long, env = "SEMEL_TLS_CERTIFICATE", value_name = "PATH")]
    pub tls_certificate: Option<PathBuf>,

    /// The private key of the certificate (PEM)
    #[arg(long, env = "SEMEL_TLS_KEY", value_name = "PATH")]
    pub tls_key: Option<PathBuf>,

    /// The authorities that sign callers' certificates (PEM): callers show one then
    #[arg(long, env = "SEMEL_TLS_CLIENT_CA", value_name = "PATH")]
    pub tls_client_ca: Option<PathBuf>,

    /// Whether callers must show a certificate, where --tls-client-ca is given
    #[arg(long, env = "SEMEL_TLS_CLIENT", value_name = "RULE", value_enum, default_value_t)]
    pub tls_client: ClientRule,

    /// Speak HTTP/2 without TLS, too, to callers that begin with it (prior knowledge)
    #[arg(long, env = "SEMEL_H2C")]
    pub h2c: bool,

    /// How long a connection stays open on which nothing is asked
    #[arg(long, env = "SEMEL_KEEP_ALIVE", value_name = "TIME", default_value = "75s",
          value_parser = values::duration)]
    pub keep_alive: Duration,

    /// How long a caller may take nothing of a reply
    #[arg(long, env = "SEMEL_REPLY_PAUSE", value_name = "TIME", default_value = "60s",
          value_parser = values::duration)]
    pub reply_pause: Duration,

    /// Headers of one request; more are refused with 431
    #[arg(long, env = "SEMEL_HEADERS_MAX", value_name = "N", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub headers_max: u32,

    /// The largest head of a request; a larger one is refused with 431
    #[arg(long, env = "SEMEL_HEAD_MAX", value_name = "SIZE", default_value = "64KiB",
          value_parser = values::head_size)]
    pub head_max: u64,

    /// Requests at once on one HTTP/2 connection
    #[arg(long, env = "SEMEL_STREAMS_MAX", value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub streams_max: u32,
}
