//! What can happen around the requests: the network, the nodes, operators, time.

use semel_core::machine::{Answer, Event, Resolution, Write};

use super::moves::{Moves, Next, apply, put};
use super::properties::{Broken, Property, effect};
use super::state::{
    At, CLIENTS, Client, Model, NONE, OPERATOR, OPERATOR_REPLY, Packed, TICK, at, settled,
};
use super::world::World;

/// Everything that can happen after `s`.
pub(super) fn successors(w: &World, s: &Model, labels: bool, next: &mut Vec<Next>) {
    next.clear();
    let mut moves = Moves { w, s: *s, next, labels };
    for i in 0..w.clients {
        moves.of_client(i);
        moves.upstream(i);
    }
    moves.network();
    for node in w.live_nodes() {
        moves.crash(node);
        if s.life == s.believed || w.without.incarnation {
            moves.sweep(node);
            moves.resolve(node);
            moves.void(node);
            moves.ack(node);
            moves.erase(node);
        }
    }
    moves.replaced();
    if s.now < w.last() {
        let mut x = *s;
        x.now += TICK;
        moves.push(x, Broken::default(), || format!("time passes: {}", x.now));
    }
}

impl Moves<'_> {
    fn upstream(&mut self, i: usize) {
        let (w, s) = (self.w, self.s);
        if s.working >> i & 1 == 0 {
            return;
        }
        let mut x = s;
        x.working &= !(1 << i);
        x.sent[i] = 0;
        if s.now <= s.sent[i] + w.upstream {
            let (mut y, mut broken) = (x, Broken::default());
            effect(w, &mut y, i, &mut broken);
            self.push(y, broken, || format!("the upstream finishes request {i}: the effect"));
        }
        self.push(x, Broken::default(), || format!("the upstream drops request {i}"));
    }

    /// The write under way lands, or is lost.
    fn network(&mut self) {
        let (w, s) = (self.w, self.s);
        let Some(write) = s.travelling else { return };
        let mut x = s;
        x.travelling = None;
        let late = s.now > write.sent + w.deadline && !w.without.deadline;
        let lands = write.expected == s.record.version() && !late;
        if lands {
            put(w, &mut x, 0, write.write);
            let who = usize::from(write.who);
            if who < CLIENTS && s.clients[who].pc == At::Claiming {
                // Should the answer still come, it brings this. The lease counts from the sending.
                (x.clients[who].fence, x.clients[who].until) =
                    (write.write.fence, write.sent + write.write.lease);
                x.granted = x.granted.max(write.write.fence);
            }
        }
        self.push(x, Broken::default(), || {
            let how = match (lands, late) {
                (true, _) => "applied",
                (false, true) => "refused, past its deadline",
                (false, false) => "refused, another version",
            };
            format!("the late write arrives: {how}")
        });
        if lands {
            let mut x = s;
            x.travelling = None;
            self.push(x, Broken::default(), || "the late write is lost".into());
        }
    }

    fn crash(&mut self, node: u8) {
        let (w, s) = (self.w, self.s);
        let on = |c: &Client| !matches!(c.pc, At::Idle | At::Answered | At::Dead);
        let hit = |i: &usize| w.nodes[*i] == node && on(&s.clients[*i]);
        if s.used.crash >= w.budget.crash || !(0..w.clients).any(|i| hit(&i)) {
            return;
        }
        let mut x = s;
        x.used.crash += 1;
        for i in (0..w.clients).filter(hit) {
            let fence = s.clients[i].fence;
            x.clients[i] = Client { pc: At::Dead, fence, ..Client::default() };
        }
        self.push(x, Broken::default(), || format!("node {node} crashes"));
    }

    fn sweep(&mut self, node: u8) {
        let (w, s) = (self.w, self.s);
        let step = w.decide(&s, node, &Event::Sweep);
        if step.write == Write::Keep {
            return;
        }
        let mut x = s;
        apply(w, &mut x, node, &step.write);
        self.push(x, Broken::default(), || format!("node {node} sweeps: {:?}", x.record.state));
        if w.all_late {
            self.push_late(
                node,
                &step.write,
                NONE,
                |_| {},
                || format!("node {node} sweeps, write under way"),
            );
        }
    }

    /// An honest operator or look-up: says what stands at the place of the effect now.
    fn resolve(&mut self, node: u8) {
        let (w, s) = (self.w, self.s);
        if s.used.resolve >= w.budget.resolve {
            return;
        }
        let happened = s.effects != 0;
        let done = if w.without.resolve_no_reply { OPERATOR_REPLY } else { OPERATOR };
        let says = if happened { Resolution::Done(settled(done)) } else { Resolution::Released };
        let step = w.decide(&s, node, &Event::Resolve(says));
        if step.answer != Answer::Resolved {
            return;
        }
        let mut x = s;
        x.used.resolve += 1;
        apply(w, &mut x, node, &step.write);
        let found = if happened { "done" } else { "released" };
        self.push(x, Broken::default(), || format!("an operator looks and resolves as {found}"));
        if w.all_late {
            self.push_late(
                node,
                &step.write,
                NONE,
                |x| x.used.resolve += 1,
                || format!("an operator resolves as {found}, no answer"),
            );
        }
    }

    fn void(&mut self, node: u8) {
        let (w, s) = (self.w, self.s);
        if s.used.void >= w.budget.void {
            return;
        }
        let step = w.decide(&s, node, &Event::Void(w.key_time.map(at)));
        let (mut x, mut broken) = (s, Broken::default());
        x.used.void += 1;
        apply(w, &mut x, node, &step.write);
        let answer = step.answer;
        match answer {
            Answer::Voided => {
                x.voided = s.now;
                let acted = x.effects != 0 && x.remembered(w.memory);
                broken.add(Property::P4VoidAfterEffect, acted);
            }
            Answer::InDoubt if step.write != Write::Keep => {}
            _ => return,
        }
        self.push(x, broken, || format!("a client voids the key -> {answer:?}"));
        if w.all_late {
            self.push_late(
                node,
                &step.write,
                NONE,
                |x| x.used.void += 1,
                || "a client voids the key, no answer".into(),
            );
        }
    }

    fn ack(&mut self, node: u8) {
        let (w, s) = (self.w, self.s);
        if s.used.ack >= w.budget.ack {
            return;
        }
        let step = w.decide(&s, node, &Event::Ack);
        if step.write == Write::Keep {
            return;
        }
        let mut x = s;
        x.used.ack += 1;
        apply(w, &mut x, node, &step.write);
        self.push(x, Broken::default(), || "a client acknowledges its reply".into());
    }

    fn erase(&mut self, node: u8) {
        let (w, s) = (self.w, self.s);
        if s.used.erase >= w.budget.erase {
            return;
        }
        let step = w.decide(&s, node, &Event::Erase);
        if step.write == Write::Keep {
            return;
        }
        let mut x = s;
        x.used.erase += 1;
        apply(w, &mut x, node, &step.write);
        self.push(x, Broken::default(), || format!("an operator erases: {:?}", x.record.state));
        if w.all_late {
            self.push_late(
                node,
                &step.write,
                NONE,
                |x| x.used.erase += 1,
                || "an operator erases, write under way".into(),
            );
        }
    }

    /// The store comes back empty under another incarnation; an operator accepts it.
    fn replaced(&mut self) {
        let (w, s) = (self.w, self.s);
        if s.used.empty < w.budget.empty {
            let mut x = s;
            x.used.empty += 1;
            x.life += 1;
            x.record = Packed::ABSENT;
            x.travelling = None;
            self.push(x, Broken::default(), || "THE STORE COMES BACK EMPTY".into());
        }
        // Processes are started anew for it, so nobody is at work.
        let idle = |c: &Client| matches!(c.pc, At::Idle | At::Answered | At::Dead);
        if s.life != s.believed && s.used.accept < w.budget.accept && s.clients.iter().all(idle) {
            let mut x = s;
            x.used.accept += 1;
            (x.believed, x.birth) = (s.life, s.now);
            self.push(x, Broken::default(), || "an operator accepts the empty store".into());
        }
    }
}
