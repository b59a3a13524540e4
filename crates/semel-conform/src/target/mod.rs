//! What is tested: how to send the operation, as whom, how to count its effects from outside, and
//! what may be broken.
//!
//! A [`Target`] is read from one TOML file (`file`) and holds templates (`template`) that each
//! case fills with values of its own.

mod file;
mod template;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use file::duration;
pub use file::{TargetError, parse, read};
pub use template::{NAMES, Template, TemplateError, Values};

use crate::behaviour::Behaviour;
use crate::wire::{Address, Secret, Transport, TransportError};

/// A description of an API.
#[derive(Clone, Debug)]
pub struct Target {
    /// What reports call it.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// How it is spoken to: what the address goes by.
    pub transport: Transport,
    /// The request header that bears the key.
    pub key_header: String,
    /// How the operation is sent.
    pub operation: Shape,
    /// The operation that goes another way.
    pub behaviours: BTreeMap<Behaviour, Shape>,
    /// Another operation of the API, for keys that cross routes.
    pub other_operation: Option<Shape>,
    /// How the first caller authenticates.
    pub tenant_a: Vec<(String, String)>,
    /// How another one does.
    pub tenant_b: Option<Vec<(String, String)>>,
    /// The first caller's second credential, after a rotation.
    pub rotated: Option<Vec<(String, String)>>,
    /// Another host that the API answers to, as a site of its own: one is not an alias of the other.
    pub other_host: Option<String>,
    /// How effects are counted.
    pub effects: Effects,
    /// A read that needs no key: `GET` of it changes nothing.
    pub read: Option<Template>,
    /// Where the API tells what it promises: a path, or an `http(s)` URL of its documentation.
    pub published: Option<String>,
    /// How the API speaks of time.
    pub timing: Timing,
    /// How to break the service.
    pub control: Control,
    /// A resource that is written whole, with versions if it has any.
    pub resource: Option<Resource>,
    /// What an operation sends on.
    pub side_effects: Vec<SideEffect>,
}

/// How a request is made.
#[derive(Clone, Debug)]
pub struct Shape {
    /// `POST`, …
    pub method: String,
    /// Path and query.
    pub path: Template,
    /// Headers, apart from key and credentials.
    pub headers: Vec<(String, Template)>,
    /// The body.
    pub body: Template,
}

/// How effects are counted from outside.
#[derive(Clone, Debug)]
pub enum Effects {
    /// By a request of tenant A: the number at a JSON pointer, or the length of the array there.
    Probe {
        /// Path and query of a `GET`.
        path: Template,
        /// RFC 6901; empty for the whole document.
        pointer: String,
    },
    /// By a command that prints a number.
    Command(Template),
    /// At the tester's own upstream, before which the thing under test stands.
    Origin(SocketAddr),
}

impl Effects {
    /// Whether one operation's effects can be told from another's.
    #[must_use]
    pub fn by_operation(&self) -> bool {
        match self {
            Self::Probe { path, .. } => path.mentions("unique"),
            Self::Command(command) => command.mentions("unique"),
            Self::Origin(_) => true,
        }
    }
}

/// How the API speaks of time. What is not said is not tested.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    /// How long a claim, lock or "in progress" mark holds.
    pub lease: Option<Duration>,
    /// How long a reply can be replayed.
    pub retention: Option<Duration>,
    /// How long a key is known to be used.
    pub memory: Option<Duration>,
    /// How long after a crash a key may stay undecided. Default: three leases.
    pub settles_within: Option<Duration>,
    /// How long the API waits for what stands behind it. Only of a gateway.
    pub upstream_timeout: Option<Duration>,
}

/// Shell commands that break the service and mend it.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Ends it at once, as a power cut does.
    pub kill: Option<String>,
    /// Ends it in order.
    pub stop: Option<String>,
    /// Starts it again on the same store.
    pub start: Option<String>,
    /// Makes its store unreachable.
    pub store_down: Option<String>,
    /// Makes its store take `{slow_ms}` for each write.
    pub store_slow: Option<String>,
    /// Makes its store refuse writes and serve reads.
    pub store_read_only: Option<String>,
    /// Replaces its store by an empty one, the service being stopped.
    pub store_empty: Option<String>,
    /// Makes its store apply the next write and lose the answer.
    pub store_answer_lost: Option<String>,
    /// Mends the store.
    pub store_up: Option<String>,
}

/// A resource that is written whole.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Where it is read and written: `{unique}` names it.
    pub path: Template,
    /// Its content on `PUT`: `{amount}` changes it.
    pub body: Template,
    /// Its headers on `PUT`.
    pub headers: Vec<(String, Template)>,
    /// Whether writes demand `If-Match` (428 without).
    pub requires_match: bool,
    /// Whether reads carry an `ETag` and writes heed `If-Match`.
    pub versioned: bool,
}

/// Something that an operation sends on.
#[derive(Clone, Debug)]
pub struct SideEffect {
    /// `webhook`, `email` or `message`.
    pub kind: SideEffectKind,
    /// How to list what was sent.
    pub sent: Sent,
}

/// What is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideEffectKind {
    /// An HTTP request to a receiver.
    Webhook,
    /// An email.
    Email,
    /// A message to a queue or topic.
    Message,
}

impl SideEffectKind {
    /// Its name in a target file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
            Self::Message => "message",
        }
    }
}

/// How to list the ids of what was sent for an operation.
#[derive(Clone, Debug)]
pub enum Sent {
    /// The tester listens here for webhooks; `webhook-id` is the id.
    Receiver(SocketAddr),
    /// A `GET` whose JSON holds an array of ids at the pointer.
    Probe {
        /// Path and query.
        path: Template,
        /// RFC 6901.
        pointer: String,
    },
    /// A command that prints one id a line.
    Command(Template),
}

impl Target {
    /// The same, spoken to in this way.
    ///
    /// # Errors
    /// When it cannot be spoken to so.
    pub fn over(mut self, transport: Transport) -> Result<Self, TransportError> {
        self.address = self.address.over(&transport)?;
        self.transport = transport;
        Ok(self)
    }

    /// The headers that say who sends: no report shows their values.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let names = |name: &str| {
            ["authorization", "proxy-authorization", "cookie", "x-api-key"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        };
        let shared = self.operation.headers.iter().filter(|(name, _)| names(name));
        let shared = shared.map(|(name, value)| (name.clone(), value.fill(&Values::new())));
        let none = Vec::new();
        let tenants = [
            ("TENANT_A", &self.tenant_a),
            ("TENANT_B", self.tenant_b.as_ref().unwrap_or(&none)),
            ("ROTATED", self.rotated.as_ref().unwrap_or(&none)),
            ("OPERATION", &shared.collect()),
        ];
        let of = |(who, headers): (&str, &Vec<(String, String)>)| -> Vec<Secret> {
            headers.iter().map(|(name, value)| Secret::of(who, name, value)).collect()
        };
        tenants.into_iter().flat_map(of).collect()
    }

    /// Whether the operation's body is JSON.
    #[must_use]
    pub fn sends_json(&self) -> bool {
        let named = |(name, _): &&(String, Template)| name.eq_ignore_ascii_case("content-type");
        let media = self.operation.headers.iter().find(named);
        media.is_some_and(|(_, value)| value.fill(&Values::new()).contains("json"))
    }
}
