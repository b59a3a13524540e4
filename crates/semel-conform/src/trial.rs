//! What the closure of a case works with: operations of its own, ways to send them, and the count of
//! their effects.
//!
//! Everything that is sent is written down, so that a report can show how to send it again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::behaviour::{self, Behaviour};
use crate::case::{Halt, Harm, Outcome, expect};
use crate::control::{self, Act, Broken};
use crate::effects;
use crate::mischief::{Mischief, Passage};
use crate::receiver::Receiver;
use crate::sample::App;
use crate::target::{Shape, Target, Values};
use crate::wire::{Connection, Reply, Request, WireError};

/// Requests that a report shows of one case.
const SHOWN_MAX: usize = 6;
/// Requests that one run of a case may send, probes among them. None comes near it; one that runs
/// wild ends there.
pub const REQUESTS_MAX: u64 = 2_000;
/// What the target file declares may be waited for up to here; longer times belong to production, and
/// a test target has shorter ones.
pub(crate) const DECLARED_MAX: Duration = Duration::from_secs(120);

/// What all cases of a run share.
#[derive(Debug)]
pub struct Rig {
    /// What is tested.
    pub target: Target,
    /// The unit of time: all waits are multiples of it.
    pub unit: Duration,
    /// How long a reply may take at most.
    pub patience: Duration,
    /// Governs the order and all choices.
    pub seed: u64,
    /// Makes keys and unique values differ from any other run's.
    pub salt: [u8; 16],
    /// The tester's own upstream, if it plays one.
    pub origin: Option<App>,
    /// Receivers of webhooks, in the order of the target's side effects.
    pub receivers: Vec<Option<Receiver>>,
    /// How long after a reply its effect was first seen; nothing where it was seen at once.
    pub lag: OnceLock<Duration>,
    /// What stands broken.
    pub broken: Broken,
    /// Requests sent so far, probes among them.
    pub requests: AtomicU64,
}

/// One run of one case.
#[derive(Debug)]
pub struct Trial {
    rig: Arc<Rig>,
    case: &'static str,
    turn: u32,
    made: AtomicU64,
    requests: AtomicU64,
    baseline: u64,
    aside: AtomicU64,
    sent: Mutex<Vec<(String, u32)>>,
    notes: Mutex<Vec<String>>,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// The first caller.
    A,
    /// Another one.
    B,
    /// The first one, with its new credential.
    Rotated,
    /// Somebody who shows no credential.
    Nobody,
}

/// One logical operation: what a caller wants to happen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// A value that no other operation has: its effects are counted by it.
    pub unique: String,
    /// The key as it is written, or none.
    pub key: Option<String>,
    /// What is asked for.
    pub amount: String,
    /// How it goes; `None` for the plain way.
    pub behaviour: Option<Behaviour>,
    /// How long a slow one takes.
    pub slow: Duration,
    /// Who sends it.
    pub tenant: Tenant,
    /// Whether it is the target's other operation.
    pub other: bool,
}

impl Operation {
    /// Going another way.
    #[must_use]
    pub fn behaving(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = Some(behaviour);
        self
    }

    /// Sent by somebody else.
    #[must_use]
    pub fn by(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// Asking for another amount.
    #[must_use]
    pub fn amount(mut self, amount: &str) -> Self {
        amount.clone_into(&mut self.amount);
        self
    }

    /// Under another key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Without a key.
    #[must_use]
    pub fn keyless(mut self) -> Self {
        self.key = None;
        self
    }

    /// Taking so long.
    #[must_use]
    pub fn slow(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    /// As the target's other operation.
    #[must_use]
    pub fn other(mut self) -> Self {
        self.other = true;
        self
    }
}

impl Trial {
    /// For one run of the case.
    ///
    /// # Errors
    /// When effects cannot be counted.
    pub(crate) async fn begin(
        rig: Arc<Rig>,
        case: &'static str,
        turn: u32,
    ) -> Result<Self, (Self, Halt)> {
        let mut trial = Self {
            rig,
            case,
            turn,
            made: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            baseline: 0,
            aside: AtomicU64::new(0),
            sent: Mutex::default(),
            notes: Mutex::default(),
        };
        if !trial.target().effects.by_operation() {
            // What the case before left on its way is no effect of this one.
            trial.pause(trial.lag()).await;
            match effects::count(&trial, &trial.operation()).await {
                Ok(baseline) => trial.baseline = baseline,
                Err(halt) => return Err((trial, halt)),
            }
        }
        Ok(trial)
    }

    /// What is tested.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.rig.target
    }

    pub(crate) fn origin(&self) -> Option<&App> {
        self.rig.origin.as_ref()
    }

    /// Receivers of webhooks, in the order of the target's side effects.
    #[must_use]
    pub fn receivers(&self) -> &[Option<Receiver>] {
        &self.rig.receivers
    }

    /// So many units of time.
    #[must_use]
    pub fn units(&self, units: u32) -> Duration {
        self.rig.unit * units
    }

    /// How long a reply may take at most.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.rig.patience
    }

    /// Lets time pass: the thing under test has clocks of its own that nothing else can move.
    pub async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Twice as long as the effect of the first operation took to show after its reply: zero, where
    /// effects are seen at once. Whoever counts waits for it before a count is the last one.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.rig.lag.get().copied().unwrap_or_default() * 2
    }

    /// Lets so many units pass and late effects show: before a count that is the last one.
    pub async fn linger(&self, units: u32) {
        self.pause(self.units(units) + self.lag()).await;
    }

    /// How long a slow operation takes unless a case says otherwise.
    #[must_use]
    pub fn slow(&self) -> Duration {
        behaviour::slow(self.rig.unit)
    }

    /// How long an operation may stay undecided after something went wrong: what the target says of
    /// itself, never less than 20 units, and never longer than a test waits.
    #[must_use]
    pub fn undecided(&self) -> Duration {
        self.units(20).max(self.declared_undecided().min(DECLARED_MAX))
    }

    fn declared_undecided(&self) -> Duration {
        let timing = &self.target().timing;
        let said = timing.settles_within.or(timing.lease.map(|lease| lease * 3));
        said.unwrap_or_default()
    }

    /// A key that no other operation has: a version 4 UUID (RFC 9562) to look at.
    #[must_use]
    pub fn fresh_key(&self) -> String {
        let digest = self.digest("key");
        let mut bytes = [0_u8; 16];
        bytes
            .copy_from_slice(digest.as_bytes().first_chunk::<16>().expect("a digest has 32 bytes"));
        uuid(bytes, 4)
    }

    /// A value that no other operation has.
    #[must_use]
    pub fn fresh_unique(&self) -> String {
        let hex = self.digest("unique").to_hex();
        format!("conform-{}", hex.as_str().get(..24).expect("a digest has 64 hex digits"))
    }

    /// A number below `bound` that the seed decides.
    #[must_use]
    pub fn chance(&self, bound: u64) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("semel conform 2026 choice");
        hasher.update(&self.rig.seed.to_le_bytes()).update(self.case.as_bytes());
        hasher.update(&self.made.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let bytes = hasher.finalize();
        let bytes = bytes.as_bytes().first_chunk::<8>().expect("a digest has 32 bytes");
        u64::from_le_bytes(*bytes) % bound.max(1)
    }

    fn digest(&self, what: &str) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key("semel conform 2026 names");
        hasher.update(&self.rig.salt).update(&self.rig.seed.to_le_bytes());
        hasher.update(&self.turn.to_le_bytes()).update(self.case.as_bytes());
        hasher.update(&self.made.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        hasher.update(what.as_bytes());
        hasher.finalize()
    }

    /// A new operation of tenant A's, with a key of its own.
    #[must_use]
    pub fn operation(&self) -> Operation {
        Operation {
            unique: self.fresh_unique(),
            key: Some(self.fresh_key()),
            amount: "100".to_owned(),
            behaviour: None,
            slow: self.slow(),
            tenant: Tenant::A,
            other: false,
        }
    }

    /// The headers that show who sends.
    #[must_use]
    pub fn credentials(&self, tenant: Tenant) -> &[(String, String)] {
        let target = self.target();
        match tenant {
            Tenant::A => &target.tenant_a,
            Tenant::B => target.tenant_b.as_deref().unwrap_or_default(),
            Tenant::Rotated => target.rotated.as_deref().unwrap_or_default(),
            Tenant::Nobody => &[],
        }
    }

    /// What a template is filled with for an operation.
    #[must_use]
    pub fn values(&self, operation: &Operation) -> Values {
        Values::from([
            ("unique", operation.unique.clone()),
            ("amount", operation.amount.clone()),
            ("pad", "x".repeat(2_000)),
            ("slow_ms", operation.slow.as_millis().to_string()),
            ("behaviour", operation.behaviour.map_or("", Behaviour::name).to_owned()),
            ("key", operation.key.clone().unwrap_or_default()),
        ])
    }

    fn shape(&self, operation: &Operation) -> &Shape {
        let target = self.target();
        if operation.other {
            return target.other_operation.as_ref().unwrap_or(&target.operation);
        }
        let behaving = operation.behaviour.and_then(|b| target.behaviours.get(&b));
        behaving.unwrap_or(&target.operation)
    }

    /// The request that asks for an operation.
    #[must_use]
    pub fn request(&self, operation: &Operation) -> Request {
        let (shape, values) = (self.shape(operation), self.values(operation));
        let mut request = Request::new(&shape.method, &shape.path.fill(&values));
        for (name, value) in &shape.headers {
            request = request.add(name, value.fill(&values));
        }
        for (name, value) in self.credentials(operation.tenant) {
            request = request.set(name, value);
        }
        if let Some(key) = &operation.key {
            request = request.set(&self.target().key_header, key);
        }
        request.body(shape.body.fill(&values))
    }

    /// A connection straight to the target.
    ///
    /// # Errors
    /// When none could be made.
    pub async fn connect(&self) -> Result<Connection, WireError> {
        self.count_request()?;
        self.within(self.target().address.connect()).await
    }

    /// Sends a request on a connection of its own, and reads the reply.
    ///
    /// # Errors
    /// Without a whole reply in time.
    pub async fn try_request(&self, request: &Request) -> Result<Reply, WireError> {
        self.write_down(request);
        self.quietly(request).await
    }

    /// As [`Trial::try_request`], of what no report needs to show.
    pub(crate) async fn quietly(&self, request: &Request) -> Result<Reply, WireError> {
        self.count_request()?;
        let host = self.target().address.authority();
        self.within(async {
            let mut connection = self.target().address.connect().await?;
            connection.exchange(request, &host).await
        })
        .await
    }

    /// Sends an operation, and reads the reply.
    ///
    /// # Errors
    /// Without a whole reply in time.
    pub async fn try_send(&self, operation: &Operation) -> Result<Reply, WireError> {
        self.try_request(&self.request(operation)).await
    }

    /// As [`Trial::try_send`], of an operation of which is known how long it may take.
    ///
    /// # Errors
    /// Without a whole reply in time.
    pub async fn try_send_within(
        &self,
        operation: &Operation,
        patience: Duration,
    ) -> Result<Reply, WireError> {
        let request = self.request(operation);
        self.write_down(&request);
        let (address, host) = (&self.target().address, self.target().address.authority());
        let sent = async { address.connect().await?.exchange(&request, &host).await };
        in_time(patience, sent).await
    }

    /// Sends an operation that must be answered, whatever the answer.
    ///
    /// # Errors
    /// [`Halt::Failed`] without a whole reply; [`Halt::Broken`] without a connection.
    pub async fn send(&self, operation: &Operation) -> Result<Reply, Halt> {
        self.answered(self.try_send(operation).await)
    }

    /// Sends a request that must be answered, whatever the answer.
    ///
    /// # Errors
    /// [`Halt::Failed`] without a whole reply; [`Halt::Broken`] without a connection.
    pub async fn send_request(&self, request: &Request) -> Result<Reply, Halt> {
        self.answered(self.try_request(request).await)
    }

    /// Sends a request on a connection that stands, and reads the reply. It is not written down.
    ///
    /// # Errors
    /// Without a whole reply in time.
    pub async fn exchange(
        &self,
        connection: &mut Connection,
        request: &Request,
    ) -> Result<Reply, WireError> {
        let host = self.target().address.authority();
        self.within(connection.exchange(request, &host)).await
    }

    /// A reply that had to come, whatever it is.
    ///
    /// # Errors
    /// [`Halt::Failed`] without a whole reply; [`Halt::Broken`] without a connection.
    pub fn answered(&self, got: Result<Reply, WireError>) -> Result<Reply, Halt> {
        got.map_err(|error| match error {
            WireError::Connect { .. } => Halt::Broken(error.to_string()),
            WireError::TooMany { .. } => Halt::Inconclusive(error.to_string()),
            other => Halt::Failed { expected: "a whole reply".into(), observed: other.to_string() },
        })
    }

    /// Sends an operation that must succeed.
    ///
    /// # Errors
    /// [`Halt::Failed`] on anything but 2xx or 3xx.
    pub async fn succeed(&self, operation: &Operation) -> Result<Reply, Halt> {
        let reply = self.send(operation).await?;
        expect(reply.success(), "the first request succeeds (2xx or 3xx)", reply.brief())?;
        Ok(reply)
    }

    /// Does an operation that the case does not ask about, to see what a reply looks like. Its effect
    /// does not count where operations cannot be told apart.
    ///
    /// # Errors
    /// As [`Trial::succeed`].
    pub async fn aside(&self) -> Result<Reply, Halt> {
        let operation = self.operation();
        if self.target().effects.by_operation() {
            return self.succeed(&operation).await;
        }
        let before = self.effects(&operation).await?;
        let reply = self.succeed(&operation).await?;
        self.settles_at(&operation, before + 1).await?;
        self.aside.fetch_add(1, Ordering::Relaxed);
        Ok(reply)
    }

    /// Sends an operation through the bad network.
    ///
    /// # Errors
    /// Whatever the network makes of it.
    pub async fn through(
        &self,
        operation: &Operation,
        mischief: Mischief,
    ) -> Result<Reply, WireError> {
        self.count_request()?;
        let request = self.request(operation);
        self.write_down(&request);
        let (address, host) = (&self.target().address, self.target().address.authority());
        self.within(async {
            let (_passage, mut connection) = Passage::open(address, mischief).await?;
            connection.exchange(&request, &host).await
        })
        .await
    }

    /// Sends the operation again until the answer is final: not one that says "later". A target that
    /// waits answers at once; one that does not says "later".
    ///
    /// # Errors
    /// [`Halt::Failed`] when no reply is final within `patience`, [`Halt::Inconclusive`] where the
    /// target declares that it may take longer; as [`Trial::send`].
    pub async fn retry(&self, operation: &Operation, patience: Duration) -> Result<Reply, Halt> {
        let began = Instant::now();
        loop {
            let reply = self.send(operation).await?;
            if !reply.says_later() {
                return Ok(reply);
            }
            let declared = self.declared_undecided();
            if began.elapsed() >= patience && declared > patience {
                return Err(Halt::Inconclusive(format!(
                    "a key may stay undecided for {declared:?} by [timing], longer than the {patience:?} that were waited: give a test target shorter times"
                )));
            }
            let expected = format!("a retry gets a final reply within {patience:?}");
            expect(began.elapsed() < patience, expected, reply.brief())?;
            self.pause(self.rig.unit / 2).await;
        }
    }

    /// How often an operation had its effect so far. Where the target cannot tell operations apart,
    /// how often any had since the case began.
    ///
    /// # Errors
    /// When it cannot be counted.
    pub async fn effects(&self, operation: &Operation) -> Result<u64, Halt> {
        let count = effects::count(self, operation).await?;
        count.checked_sub(self.baseline + self.aside.load(Ordering::Relaxed)).ok_or_else(|| {
            Halt::Inconclusive("fewer effects are counted than when the case began".into())
        })
    }

    /// Expects that the operation had its effect `n` times, waits for late ones, and looks again.
    ///
    /// # Errors
    /// [`Halt::Failed`] with the count.
    pub async fn expect_effects(&self, operation: &Operation, n: u64) -> Outcome {
        self.expect_effects_in(&[(operation, n)]).await
    }

    /// The same of several operations.
    ///
    /// # Errors
    /// [`Halt::Failed`] with the first count that differs.
    pub async fn expect_effects_in(&self, all: &[(&Operation, u64)]) -> Outcome {
        if self.target().effects.by_operation() {
            for (operation, n) in all {
                self.settles_at(operation, *n).await?;
            }
            return Ok(());
        }
        let sum = all.iter().map(|(_, n)| n).sum();
        match all.first() {
            Some((operation, _)) => self.settles_at(operation, sum).await,
            None => Ok(()),
        }
    }

    async fn settles_at(&self, operation: &Operation, n: u64) -> Outcome {
        let began = Instant::now();
        let mut count = self.effects(operation).await?;
        while count < n && began.elapsed() < self.units(20) + self.lag() {
            self.pause(self.rig.unit / 2).await;
            count = self.effects(operation).await?;
        }
        if count == n {
            self.linger(1).await;
            count = self.effects(operation).await?;
        }
        let (expected, observed) = (times(n), times(count));
        match count.cmp(&n) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(Halt::Failed { expected, observed }),
            // One where none was to be is wrong, and nothing happened twice.
            std::cmp::Ordering::Greater if count == 1 => Err(Halt::Failed { expected, observed }),
            std::cmp::Ordering::Greater => {
                Err(Halt::Harmed { harm: Harm::Doubled, expected, observed })
            }
        }
    }

    /// Waits until an operation has had its effect at least once.
    ///
    /// # Errors
    /// [`Halt::Inconclusive`] when it never does.
    pub async fn effect_happens(&self, operation: &Operation) -> Outcome {
        let began = Instant::now();
        while self.effects(operation).await? == 0 {
            if began.elapsed() > self.rig.patience {
                return Err(Halt::Inconclusive("the operation never had its effect".into()));
            }
            self.pause(self.rig.unit / 4).await;
        }
        Ok(())
    }

    /// Breaks or mends the service or its store.
    ///
    /// # Errors
    /// Without such a command, or when it failed.
    pub async fn act(&self, act: Act) -> Outcome {
        control::act(&self.rig, act).await
    }

    /// Says something that a report shows, whatever the verdict.
    pub fn note(&self, note: impl Into<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note.into());
    }

    /// Keeps a request for the report. One that is sent again is shown once, with how often.
    pub fn write_down(&self, request: &Request) {
        let target = self.target();
        let curl = request.curl(&target.address, &target.secrets());
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, times)) = sent.iter_mut().find(|(held, _)| *held == curl) {
            *times += 1;
        } else if sent.len() < SHOWN_MAX {
            sent.push((curl, 1));
        }
    }

    pub(crate) fn told(self) -> (Vec<String>, Vec<String>) {
        let sent = self.sent.into_inner().unwrap_or_else(PoisonError::into_inner);
        let shown = sent.into_iter().map(|(curl, times)| match times {
            1 => curl,
            times => format!("{curl} # sent {times} times"),
        });
        (shown.collect(), self.notes.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn count_request(&self) -> Result<(), WireError> {
        self.rig.requests.fetch_add(1, Ordering::Relaxed);
        if self.requests.fetch_add(1, Ordering::Relaxed) < REQUESTS_MAX {
            return Ok(());
        }
        Err(WireError::TooMany { most: REQUESTS_MAX })
    }

    /// Waits for what the target does, for as long as a reply may take at most.
    ///
    /// # Errors
    /// When it takes longer.
    pub async fn within<T>(
        &self,
        what: impl Future<Output = Result<T, WireError>>,
    ) -> Result<T, WireError> {
        in_time(self.rig.patience, what).await
    }
}

pub(crate) async fn in_time<T>(
    patience: Duration,
    what: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    let timed_out = || WireError::TimedOut { seconds: patience.as_secs_f64() };
    tokio::time::timeout(patience, what).await.unwrap_or_else(|_| Err(timed_out()))
}

fn times(n: u64) -> String {
    match n {
        0 => "no effect".to_owned(),
        1 => "one effect".to_owned(),
        n => format!("{n} effects"),
    }
}

/// A UUID of that version over these bytes.
#[must_use]
pub fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).expect("16 bytes are 32 hex digits");
    let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
    parts.join("-")
}

/// Expects that a retry got the very reply: status and body.
///
/// # Errors
/// [`Halt::Failed`] with what differs.
pub fn same_reply(first: &Reply, again: &Reply) -> Outcome {
    expect(
        first.status == again.status,
        format!("the retry gets the first reply's status, {}", first.status),
        again.brief(),
    )?;
    let expected =
        format!("the retry gets the first reply's body byte for byte: {}", first.brief());
    expect(first.body == again.body, expected, again.brief())
}
