//! Talks to a running server through its admin listener.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::output::Failure;
use crate::admin;
use crate::gateway::upstream::Upstream;
use crate::gateway::{Patience, Pool, Target};

/// Where the running server is.
#[derive(Args, Clone, Debug)]
pub(crate) struct RemoteArgs {
    /// The admin listener of a running server: ADDR, http://HOST:PORT or https://HOST
    #[arg(long, env = "SEMEL_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:8081",
          value_parser = address)]
    pub admin: Target,

    /// A file that holds the admin token, where the server asks for one
    #[arg(long, env = "SEMEL_ADMIN_TOKEN_FILE", value_name = "PATH")]
    pub admin_token_file: Option<PathBuf>,

    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

fn address(given: &str) -> Result<Target, String> {
    let url = match given.parse::<SocketAddr>() {
        Ok(addr) => format!("http://{addr}"),
        Err(_) => given.to_owned(),
    };
    Target::parse(&url).map_err(|error| error.to_string())
}

/// A running server, as its operator sees it.
#[derive(Debug)]
pub(crate) struct Remote {
    pool: Pool<Full<Bytes>>,
    target: Target,
    token: Option<HeaderValue>,
}

impl Remote {
    /// For the server that the flags name; nothing is sent yet.
    ///
    /// # Errors
    /// When the token cannot be read.
    pub(crate) fn new(args: &RemoteArgs) -> Result<Self, Failure> {
        let token = match &args.admin_token_file {
            None => None,
            Some(path) => {
                let bearer = [b"Bearer ".as_slice(), &admin::token(path)?].concat();
                let value = HeaderValue::from_bytes(&bearer).map_err(|_| {
                    Failure::unknown("the admin token holds characters that cannot be sent")
                })?;
                Some(value)
            }
        };
        let patience = Patience {
            connect: Duration::from_secs(5),
            reply: Duration::from_secs(30),
            idle: Duration::from_secs(5),
        };
        let pool = Pool::new(patience, &args.admin)?;
        Ok(Self { pool, target: args.admin.clone(), token })
    }

    /// Asks.
    ///
    /// # Errors
    /// When the server refuses (the answer is no) or gives no answer (it could not be told).
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// Tells.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let uri = self.target.path(&path.parse::<Uri>()?)?;
        let mut request =
            Request::builder().method(method).uri(uri).header(HOST, self.target.host()?);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let target = &self.target;
        let reply = self.pool.send(request.body(Full::new(body))?).await.map_err(|error| {
            Failure::unknown(format!(
                "no Semel answered at {target}: {error}. Is `semel serve` running there? Name another with --admin"
            ))
        })?;
        let status = reply.response.status();
        let whole = reply.response.into_body().collect().await.map_err(|error| {
            Failure::unknown(format!("the answer of {target} broke off: {error}"))
        })?;
        let told: Value = serde_json::from_slice(&whole.to_bytes()).map_err(|_| {
            Failure::unknown(format!(
                "{target} answered {status}, but not as Semel does: is it the admin listener?"
            ))
        })?;
        judge(status, told)
    }
}

fn judge(status: StatusCode, told: Value) -> Result<Value, Failure> {
    let why = || told["detail"].as_str().unwrap_or("the server says no more").to_owned();
    match status {
        status if status.is_success() => Ok(told),
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => Err(Failure::no(why())),
        status => Err(Failure::unknown(format!("{status}: {}", why()))),
    }
}
