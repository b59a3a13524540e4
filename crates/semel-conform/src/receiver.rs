//! A receiver of webhooks: the tester listens, and remembers each id with what it came with.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};

use crate::sample::{Broken, Serving, serve};

/// One webhook that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `webhook-id` (Standard Webhooks), if it had one.
    pub id: Option<String>,
    /// Its body.
    pub body: Bytes,
}

/// A listener for webhooks.
#[derive(Debug)]
pub struct Receiver {
    came: Arc<Mutex<Vec<Webhook>>>,
    /// Held for its listener.
    _serving: Serving,
}

impl Receiver {
    /// Listens there.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn listen(addr: SocketAddr) -> io::Result<Self> {
        let came: Arc<Mutex<Vec<Webhook>>> = Arc::default();
        let books = Arc::clone(&came);
        let serving = serve(addr, move |request: Request<Bytes>| {
            let books = Arc::clone(&books);
            async move {
                let id = request.headers().get("webhook-id");
                let id = id.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                let webhook = Webhook { id, body: request.into_body() };
                books.lock().unwrap_or_else(PoisonError::into_inner).push(webhook);
                let body = Empty::new().map_err(|never| match never {}).boxed();
                Ok::<_, Broken>(Response::new(body))
            }
        })
        .await?;
        Ok(Self { came, _serving: serving })
    }

    /// Those whose body holds the text.
    #[must_use]
    pub fn about(&self, text: &str) -> Vec<Webhook> {
        let came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        let about = came.iter().filter(|w| String::from_utf8_lossy(&w.body).contains(text));
        about.cloned().collect()
    }
}
