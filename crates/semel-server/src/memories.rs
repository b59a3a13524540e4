//! How long each route remembers, as it was at the last start, so that a longer memory is noticed.
//!
//! A key that carries its own time is too old when that lies before memory. What ran under a shorter
//! memory was forgotten after it, and would look new under a longer one. So the shorter one goes on
//! judging the keys of its time. A part of the note beside the secret ([`crate::known_store`]).

use std::fmt;

use semel::core::policy::Earlier;
use semel::core::{Span, Timestamp};
use semel::http::Route;
use semel::http::route::{Demand, Mode};
use semel::http::routes::Pattern;

/// What one route remembers by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembers {
    /// Which requests it is for; only ever compared.
    route: String,
    memory: Span,
    skew: Span,
}

impl Remembers {
    /// By the rules of a route, the default where there is no pattern; `None` where nothing is claimed.
    pub(crate) fn of(pattern: Option<&Pattern>, route: &Route) -> Option<Self> {
        if route.demand == Demand::Off || route.mode != Mode::Enforce {
            return None;
        }
        let name = match pattern {
            Some(Pattern { prefix, methods }) => {
                let methods: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
                format!("{prefix:?} {}", methods.join(","))
            }
            None => "*".to_owned(),
        };
        let (memory, skew) = (route.policy.memory, route.policy.skew);
        Some(Self { route: name.trim_end().to_owned(), memory, skew })
    }
}

/// What is noted of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memories {
    /// Of each route on which keys count, in order; `None` in a note that does not tell.
    routes: Option<Vec<Remembers>>,
    /// What still judges keys of an earlier time.
    pub earlier: Option<Earlier>,
}

impl Memories {
    /// What is noted at a start with these routes, at `at` by the store.
    pub(crate) fn at_start(&self, routes: &[Remembers], at: Timestamp) -> Self {
        let earlier = match &self.routes {
            Some(before) if !no_longer(before, routes) => ended(before, self.earlier, at),
            Some(_) | None => self.earlier,
        };
        Self { routes: Some(routes.to_vec()), earlier }
    }

    /// Reads what [`fmt::Display`] has written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().peekable();
        if lines.peek().is_none() {
            return Some(Self::default());
        }
        let said = |line: &str| {
            let mut words = line.strip_prefix("earlier ")?.split(' ');
            let (memory, until) = (number(words.next()?)?, number(words.next()?)?);
            let (memory, until) = (Span::from_ms(memory), Timestamp::from_unix_ms(until));
            words.next().is_none().then_some(Earlier { memory, until })
        };
        let earlier = lines.next_if(|line| line.starts_with("earlier "));
        let earlier = match earlier {
            Some(line) => Some(said(line)?),
            None => None,
        };
        let count = number(lines.next()?.strip_prefix("routes ")?)?;
        let remembers = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let (memory, skew) = (number(words.next()?)?, number(words.next()?)?);
            let (memory, skew) = (Span::from_ms(memory), Span::from_ms(skew));
            Some(Remembers { route: words.next()?.to_owned(), memory, skew })
        };
        let routes = lines.map(remembers).collect::<Option<Vec<_>>>()?;
        (routes.len() as u64 == count).then_some(Self { routes: Some(routes), earlier })
    }
}

impl fmt::Display for Memories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(routes) = &self.routes else { return Ok(()) };
        if let Some(Earlier { memory, until }) = self.earlier {
            writeln!(f, "earlier {} {}", memory.as_ms(), until.as_unix_ms())?;
        }
        writeln!(f, "routes {}", routes.len())?;
        for Remembers { route, memory, skew } in routes {
            writeln!(f, "{} {} {route}", memory.as_ms(), skew.as_ms())?;
        }
        Ok(())
    }
}

fn number(word: &str) -> Option<u64> {
    word.parse().ok()
}

/// Whether nothing is remembered longer than before. Where the routes themselves differ, a request may
/// have come under another: that is not looked into.
fn no_longer(before: &[Remembers], now: &[Remembers]) -> bool {
    before.len() == now.len()
        && before.iter().zip(now).all(|(b, n)| b.route == n.route && n.memory <= b.memory)
}

/// What judges the keys of a time that ends at `at`.
fn ended(before: &[Remembers], older: Option<Earlier>, at: Timestamp) -> Option<Earlier> {
    let Some(memory) = before.iter().map(|b| b.memory).min() else { return older };
    let skew = before.iter().map(|b| b.skew).max().unwrap_or_default();
    // Keys of a time that lies further back than this memory are too old by it already.
    let older = older.filter(|older| at.since(older.until) <= memory);
    let memory = older.map_or(memory, |older| older.memory.min(memory));
    let until = older.map_or(Timestamp::ZERO, |older| older.until).max(at.plus(skew));
    Some(Earlier { memory, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use semel::core::Policy;

    const HOUR: Span = Span::from_secs(3600);
    const DAY: Span = Span::from_secs(86_400);
    const AT: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);

    fn route(memory: Span) -> Route {
        let skew = Span::from_secs(1);
        Route { policy: Policy { memory, skew, ..Policy::default() }, ..Route::gateway() }
    }

    fn default(memory: Span) -> Vec<Remembers> {
        Remembers::of(None, &route(memory)).into_iter().collect()
    }

    fn with(memory: Span, charges: Span) -> Vec<Remembers> {
        let methods = vec![http::Method::PUT, http::Method::POST];
        let pattern = Pattern { prefix: "/v1/ch\n \"a\"".to_owned(), methods };
        let mut all = default(memory);
        all.extend(Remembers::of(Some(&pattern), &route(charges)));
        all
    }

    fn noted(routes: &[Remembers]) -> Memories {
        Memories::default().at_start(routes, AT)
    }

    #[test]
    fn what_is_noted_reads_back_and_what_is_damaged_does_not() {
        for memories in [
            Memories::default(),
            noted(&[]),
            noted(&with(DAY, Span::FOREVER)),
            noted(&default(HOUR)).at_start(&with(DAY, HOUR), AT),
        ] {
            assert_eq!(Memories::parse(&memories.to_string()), Some(memories));
        }
        for wrong in ["x", "routes", "routes 1", "routes 0\n1 2 *", "routes 1\n1 *", "earlier 1 2"]
        {
            assert_eq!(Memories::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_route_on_which_nothing_is_claimed_is_not_noted() {
        let off = Route { demand: Demand::Off, ..route(DAY) };
        let observed = Route { mode: Mode::Observe, ..route(DAY) };
        assert_eq!([off, observed].map(|route| Remembers::of(None, &route)), [None, None]);
    }

    #[test]
    fn a_memory_that_may_be_longer_leaves_the_shortest_to_the_keys_of_its_time() {
        let until = AT.plus(Span::from_secs(1));
        let day = Some(Earlier { memory: DAY, until });
        for (before, now, earlier) in [
            (default(DAY), default(DAY), None),
            (default(DAY), default(HOUR), None),
            (default(DAY), default(DAY.times(2)), day),
            (with(DAY, DAY.times(9)), with(DAY, DAY.times(10)), day),
            (with(DAY.times(9), DAY), with(DAY.times(9), HOUR), None),
            // Which requests were under which route, nobody knows.
            (with(DAY.times(9), DAY), default(DAY.times(9)), day),
            (default(DAY), with(DAY, HOUR), day),
            (vec![], default(DAY), None),
        ] {
            assert_eq!(noted(&before).at_start(&now, AT).earlier, earlier, "{before:?} {now:?}");
        }
        assert_eq!(Memories::default().at_start(&default(DAY), AT).earlier, None);
    }

    #[test]
    fn a_memory_before_the_last_counts_as_long_as_its_keys_may_come() {
        let longer = noted(&default(HOUR)).at_start(&default(DAY), AT);
        let same = longer.at_start(&default(DAY), AT.plus(HOUR));
        assert_eq!(same.earlier, longer.earlier);
        let soon = AT.plus(DAY);
        let again = same.at_start(&default(DAY.times(9)), soon);
        let until = soon.plus(Span::from_secs(1));
        assert_eq!(again.earlier, Some(Earlier { memory: HOUR, until }));
        let late = AT.plus(DAY.times(2));
        let again = same.at_start(&default(DAY.times(9)), late);
        let until = late.plus(Span::from_secs(1));
        assert_eq!(again.earlier, Some(Earlier { memory: DAY, until }));
    }
}
