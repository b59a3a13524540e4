//! What a request can do next: claim, give up, send, renew, settle.

use semel_core::machine::{Answer, Claim, Event, Outcome, Write};
use semel_core::{Fence, State};

use super::properties::{
    Broken, Property, effect, from_record, granted, outcome_name, settle_answer, tell,
};
use super::state::{
    At, CLIENTS, Client, IN_DOUBT, Model, NONE, Packed, RELEASED, Told, Travelling, at,
    fingerprint, owner, settled,
};
use super::world::World;

/// One thing that can happen next.
pub(super) struct Next {
    pub(super) model: Model,
    pub(super) broken: Broken,
    pub(super) label: Option<String>,
}

/// Collects what can happen next. Labels are only made when a trace is told.
pub(super) struct Moves<'a> {
    pub(super) w: &'a World,
    pub(super) s: Model,
    pub(super) next: &'a mut Vec<Next>,
    pub(super) labels: bool,
}

const NAMES: [&str; CLIENTS] = ["A", "B", "C"];

impl Moves<'_> {
    pub(super) fn push(&mut self, model: Model, broken: Broken, label: impl FnOnce() -> String) {
        let label = self.labels.then(label);
        self.next.push(Next { model, broken, label });
    }

    /// The same write, but it stays in the network and its answer does not come.
    pub(super) fn push_late(
        &mut self,
        node: u8,
        write: &Write,
        who: u8,
        change: impl FnOnce(&mut Model),
        label: impl FnOnce() -> String,
    ) {
        let (w, mut x) = (self.w, self.s);
        if x.used.lost >= w.budget.lost || x.travelling.is_some() {
            return;
        }
        let Some(write) = packed(w, &x, node, write) else { return };
        x.used.lost += 1;
        let expected = x.record.version();
        x.travelling = Some(Travelling { expected, write, sent: x.now, who });
        change(&mut x);
        self.push(x, Broken::default(), label);
    }

    /// Everything that the request of client `i` can do next.
    pub(super) fn of_client(&mut self, i: usize) {
        let pc = self.s.clients[i].pc;
        match pc {
            At::Idle | At::Claiming => self.claims(i),
            At::GivingUp => self.withdraws(i),
            At::Granted | At::Checked => self.sends(i),
            At::Settling => self.settles(i),
            At::Answered | At::Dead => {}
        }
        if matches!(pc, At::Granted | At::Settling) && self.w.renew {
            self.renews(i);
        }
    }

    /// This node does not know the store any more: nothing is asked of it.
    fn refused_store(&self) -> bool {
        self.s.life != self.s.believed && !self.w.without.incarnation
    }

    fn claims(&mut self, i: usize) {
        let (w, s) = (self.w, self.s);
        let (node, me, name) = (w.nodes[i], s.clients[i], NAMES[i]);
        if self.refused_store() {
            let (mut x, mut broken) = (s, Broken::default());
            tell(w, &mut x, i, Told::Unavailable, 0, &mut broken);
            self.push(x, broken, || format!("{name}: another store answers; 503"));
            return;
        }
        let event = Event::Claim(Claim {
            owner: owner(i as u8),
            fingerprint: fingerprint(w.fingerprints[i]),
            key_time: w.key_time.map(at),
        });
        let step = w.decide(&s, node, &event);
        let (mut x, mut broken) = (s, Broken::default());
        apply(w, &mut x, node, &step.write);
        match told(step.answer, me.pc == At::Claiming && !w.without.giveup) {
            Claimed::Execute => granted(w, &mut x, i, s.now, &mut broken),
            Claimed::Told(told) => tell(w, &mut x, i, told, s.record.outcome, &mut broken),
            Claimed::Outstanding => x.clients[i].pc = At::GivingUp,
        }
        let (answer, fence) = (step.answer, x.record.fence);
        self.push(x, broken, || {
            let wrote = if step.write == Write::Keep { String::new() } else { wrote(&x.record) };
            format!("{name}@{node}: claims fp{} -> {answer:?}{wrote}", w.fingerprints[i])
        });
        if answer == Answer::Execute {
            self.push_late(
                node,
                &step.write,
                i as u8,
                // Whoever asks again no longer listens for the answer to its first claim.
                |x| x.clients[i] = Client { pc: At::Claiming, ..Client::default() },
                || format!("{name}@{node}: claims (fence {fence}), no answer, write under way"),
            );
        }
        if me.pc == At::Claiming {
            self.late_answer(i);
            if w.giveup {
                let (mut x, mut broken) = (s, Broken::default());
                x.clients[i].pc = At::GivingUp;
                if w.without.giveup {
                    tell(w, &mut x, i, Told::Unavailable, 0, &mut broken);
                }
                self.push(x, broken, || format!("{name}: gives its claim up"));
            }
        }
    }

    /// The claim was applied (its fence and lease stand in the client); its answer comes at last.
    fn late_answer(&mut self, i: usize) {
        let s = self.s;
        if s.clients[i].fence == 0 {
            return;
        }
        let (mut x, name) = (s, NAMES[i]);
        x.clients[i].pc = At::Granted;
        self.push(x, Broken::default(), || {
            format!("{name}: the late answer to its claim: Execute")
        });
    }

    /// Gives its claim back through the machine, or waits until it can no longer land.
    fn withdraws(&mut self, i: usize) {
        let (w, s, name) = (self.w, self.s, NAMES[i]);
        let (node, mine) = (w.nodes[i], i as u8);
        let (mut x, mut broken) = (s, Broken::default());
        if !self.refused_store() {
            if s.record.owner == mine && s.record.open() && s.record.executed == s.record.fence {
                let fence = Fence(u64::from(s.record.fence));
                let step = w.decide(&s, node, &Event::Settle(fence, Outcome::Released));
                apply(w, &mut x, node, &step.write);
                let changed = s.record.declared() && x.record.declared();
                if !changed {
                    self.push_late(
                        node,
                        &step.write,
                        NONE,
                        |_| {},
                        || format!("{name}: releases its own claim, no answer"),
                    );
                }
            } else if s.travelling.is_some_and(|t| {
                t.who == mine && (w.without.deadline || s.now <= t.sent + w.deadline)
            }) {
                // It may still land: wait.
                return;
            }
        }
        tell(w, &mut x, i, Told::Unavailable, 0, &mut broken);
        self.push(x, broken, || format!("{name}: withdrew its claim; 503"));
    }

    fn sends(&mut self, i: usize) {
        let (w, s, name) = (self.w, self.s, NAMES[i]);
        let me = s.clients[i];
        let mut to = s;
        (to.clients[i].pc, to.clients[i].until, to.clients[i].looked) = (At::Settling, 0, 0);
        if me.pc == At::Granted && s.now > me.until && !w.without.begin {
            to.clients[i].outcome = RELEASED;
            self.push(to, Broken::default(), || format!("{name}: lease over, sends nothing"));
            return;
        }
        if me.pc == At::Granted && w.pause > 0 {
            let mut x = s;
            (x.clients[i].pc, x.clients[i].looked) = (At::Checked, s.now);
            self.push(x, Broken::default(), || format!("{name}: looks at its lease, is paused"));
        }
        if me.pc == At::Checked && s.now > me.looked + w.pause {
            // Paused for longer than is allowed: outside of the promise.
            return;
        }
        let (used, budget) = (s.used, w.budget);
        self.sent(i, to, i as u8 + 1, true, "the effect, a reply");
        if used.cut < budget.cut {
            to.used.cut += 1;
            to.doubtful = true;
            self.sent(i, to, IN_DOUBT, true, "the effect, reply cut off");
            self.sent(i, to, IN_DOUBT, false, "request lost, time-out");
            (to.used, to.doubtful) = (used, s.doubtful);
        }
        if used.slow < budget.slow {
            let mut x = to;
            x.used.slow += 1;
            x.doubtful = true;
            x.working |= 1 << i;
            x.sent[i] = s.now;
            self.sent(i, x, IN_DOUBT, false, "upstream slow and still at work, time-out");
        }
        if used.connect < budget.connect {
            to.used.connect += 1;
            self.sent(i, to, RELEASED, false, "no connection");
            to.used = used;
        }
        if used.status < budget.status {
            to.used.status += 1;
            let outcome = if w.without.status_is_no_proof { RELEASED } else { i as u8 + 1 };
            self.sent(i, to, outcome, true, "the effect, and a 429");
        }
    }

    fn sent(&mut self, i: usize, mut x: Model, outcome: u8, acts: bool, how: &str) {
        let mut broken = Broken::default();
        x.clients[i].outcome = outcome;
        if acts {
            effect(self.w, &mut x, i, &mut broken);
        }
        self.push(x, broken, || format!("{}: sends: {how}", NAMES[i]));
    }

    fn renews(&mut self, i: usize) {
        let (w, s, name) = (self.w, self.s, NAMES[i]);
        if self.refused_store() {
            return;
        }
        let (node, me) = (w.nodes[i], s.clients[i]);
        let step = w.decide(&s, node, &Event::Renew(Fence(u64::from(me.fence))));
        let (mut x, mut broken) = (s, Broken::default());
        apply(w, &mut x, node, &step.write);
        let end = |r: &Packed| r.stamp + r.lease;
        let useful = x.record.state != s.record.state || end(&x.record) != end(&s.record);
        if step.answer != Answer::Renewed || !useful {
            return;
        }
        broken.add(Property::N1RenewedDoubt, s.record.declared() && me.outcome == IN_DOUBT);
        if me.pc == At::Granted {
            x.clients[i].until = s.now + x.record.lease;
        }
        self.push(x, broken, || format!("{name}@{node}: renews{}", wrote(&x.record)));
        self.push_late(
            node,
            &step.write,
            NONE,
            |_| {},
            || format!("{name}@{node}: renews, no answer"),
        );
    }

    fn settles(&mut self, i: usize) {
        let (w, s, name) = (self.w, self.s, NAMES[i]);
        let (node, me) = (w.nodes[i], s.clients[i]);
        let (mut x, mut broken) = (s, Broken::default());
        if self.refused_store() {
            tell(w, &mut x, i, Told::Lost, 0, &mut broken);
            self.push(x, broken, || format!("{name}: another store answers; not recorded"));
            return;
        }
        let outcome = match me.outcome {
            RELEASED => Outcome::Released,
            IN_DOUBT => Outcome::InDoubt,
            reply => Outcome::Done(settled(reply)),
        };
        let step = w.decide(&s, node, &Event::Settle(Fence(u64::from(me.fence)), outcome));
        apply(w, &mut x, node, &step.write);
        settle_answer(w, &s, i, step.answer, &mut broken);
        let (told, reply) = match (step.answer, me.outcome) {
            (Answer::Settled { .. } | Answer::Already, RELEASED) if x.record.in_doubt() => {
                (Told::InDoubt, 0)
            }
            (Answer::Settled { .. } | Answer::Already, RELEASED) => (Told::Released, 0),
            (Answer::Settled { .. } | Answer::Already, IN_DOUBT) => (Told::InDoubt, 0),
            (Answer::Settled { .. } | Answer::Already, reply) => (Told::Fresh, reply),
            _ => from_record(&s.record),
        };
        tell(w, &mut x, i, told, reply, &mut broken);
        let (answer, what) = (step.answer, me.outcome);
        self.push(x, broken, || {
            format!(
                "{name}@{node}: settles {} under {} -> {answer:?}",
                outcome_name(what),
                me.fence
            )
        });
        self.push_late(
            node,
            &step.write,
            NONE,
            |_| {},
            || {
                format!(
                    "{name}@{node}: settles {} under {}, no answer",
                    outcome_name(what),
                    me.fence
                )
            },
        );
    }
}

enum Claimed {
    Execute,
    Told(Told),
    /// An earlier claim of the same request may still land: withdraw it before answering.
    Outstanding,
}

fn told(answer: Answer, outstanding: bool) -> Claimed {
    Claimed::Told(match answer {
        Answer::Execute => return Claimed::Execute,
        Answer::Replay => Told::Replayed,
        Answer::NotKept | Answer::Spent => Told::Spent,
        Answer::InFlight => Told::InFlight,
        Answer::InDoubt => Told::InDoubt,
        Answer::Mismatch => Told::Mismatch,
        Answer::Void => Told::Void,
        Answer::TooOld | Answer::TooNew if outstanding => return Claimed::Outstanding,
        Answer::TooOld | Answer::TooNew => Told::TooOld,
        other => panic!("{other:?} is no answer to a claim"),
    })
}

fn wrote(record: &Packed) -> String {
    let Some(state) = record.state else { return " [deletes]".into() };
    let until = if state == State::InFlight { record.stamp + record.lease } else { 0 };
    format!(" [{state:?} fence {}.{} lease to {until}]", record.fence, record.revision)
}

/// The record that `write` would leave, unstamped; `None` for nothing to write.
pub(super) fn packed(w: &World, s: &Model, node: u8, write: &Write) -> Option<Packed> {
    match write {
        Write::Keep => None,
        Write::Delete => Some(Packed::ABSENT),
        Write::Put(record) => Some(Packed::pack(record, &w.policy(node, s.birth))),
    }
}

/// Writes and stamps. Compare-and-set is implied: the decision was made on what stands there.
pub(super) fn apply(w: &World, s: &mut Model, node: u8, write: &Write) {
    if let Some(packed) = packed(w, s, node, write) {
        put(w, s, node, packed);
    }
}

/// The store replaces its record.
pub(super) fn put(w: &World, s: &mut Model, node: u8, mut record: Packed) {
    if record.state.is_some() {
        record.stamp = s.now;
        if w.without.store_clock {
            record.stamp += w.ahead[usize::from(node)];
        }
    }
    let forgotten = s.ended != NONE && !s.remembered(w.memory);
    let anew = matches!(record.state, Some(State::InFlight | State::Voided));
    if anew && forgotten && w.key_time.is_none() {
        // A new life of the key: nothing is promised across memory.
        (s.effects, s.told, s.ended, s.voided) = (0, 0, NONE, NONE);
    }
    let ends = matches!(record.state, Some(State::Completed | State::Voided));
    if ends && (s.ended == NONE || forgotten) {
        s.ended = s.now;
    }
    s.record = record;
}
