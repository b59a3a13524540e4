//! The books: double entry, in memory, one set of them for each account.
//!
//! Every movement of money is two lines of equal size and opposite sign, so the lines of a currency
//! add up to nothing at any time ([`Ledger::trial_balance`]). The ledger must never look at an
//! idempotency key to decide: what is asked twice is booked twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::watch;

use crate::account::Account;
use crate::charge::{Charge, Currency, MAX_AMOUNT, NewCharge, NewRefund, Refund};
use crate::clock::unix_seconds;

/// Why the books refused. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// An amount below 1 or above [`MAX_AMOUNT`].
    #[error("an amount is a whole number from 1 to {MAX_AMOUNT}, in minor units; got {0}")]
    AmountOutOfRange(i64),
    /// The account has no such charge.
    #[error("No such charge: '{0}'")]
    NoSuchCharge(String),
    /// The charge went back whole already.
    #[error("Charge {0} has already been refunded.")]
    AlreadyRefunded(String),
    /// More was asked back than is left.
    #[error("Refund amount ({asked}) is greater than unrefunded amount on charge ({left})")]
    RefundTooLarge {
        /// What was asked back, in minor units.
        asked: i64,
        /// What is left, in minor units.
        left: i64,
    },
}

/// The books of all accounts. A clone is a handle on the same books, so a test or a page can read
/// what the service wrote.
#[derive(Clone, Debug)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
    written: watch::Sender<()>,
}

#[derive(Debug)]
struct Books {
    born: u64,
    movements: u64,
    accounts: BTreeMap<Account, AccountBooks>,
}

#[derive(Debug, Default)]
struct AccountBooks {
    /// Oldest first.
    charges: Vec<Charge>,
    index: BTreeMap<String, usize>,
    refunds: Vec<Refund>,
    lines: Vec<Line>,
}

/// One half of a movement.
#[derive(Debug)]
struct Line {
    side: Side,
    currency: Currency,
    amount: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Side {
    Customers,
    Merchant,
}

impl AccountBooks {
    fn post(&mut self, from: Side, to: Side, currency: Currency, amount: i64) {
        self.lines.push(Line { side: from, currency, amount: -amount });
        self.lines.push(Line { side: to, currency, amount });
    }
}

impl Books {
    fn next_id(&mut self, prefix: &str) -> String {
        self.movements += 1;
        format!("{prefix}_{:08x}{:08x}", self.born, self.movements)
    }
}

impl Ledger {
    /// Empty books.
    #[must_use]
    pub fn new() -> Self {
        let books = Books { born: unix_seconds(), movements: 0, accounts: BTreeMap::new() };
        Self { books: Arc::new(Mutex::new(books)), written: watch::Sender::new(()) }
    }

    /// Charges, always: the same request twice is two charges.
    ///
    /// # Errors
    /// [`LedgerError::AmountOutOfRange`].
    pub fn charge(&self, account: &Account, asked: NewCharge) -> Result<Charge, LedgerError> {
        check_amount(asked.amount)?;
        let mut books = self.books();
        let id = books.next_id("ch");
        let charge = Charge { id, created: unix_seconds(), asked, amount_refunded: 0 };
        let own = books.accounts.entry(account.clone()).or_default();
        own.post(Side::Customers, Side::Merchant, charge.asked.currency, charge.asked.amount);
        own.index.insert(charge.id.clone(), own.charges.len());
        own.charges.push(charge.clone());
        drop(books);
        self.written.send_replace(());
        Ok(charge)
    }

    /// Gives back a charge or a part of it, never more than is left.
    ///
    /// # Errors
    /// Every [`LedgerError`].
    pub fn refund(&self, account: &Account, asked: NewRefund) -> Result<Refund, LedgerError> {
        let mut books = self.books();
        let id = books.next_id("re");
        let missing = || LedgerError::NoSuchCharge(asked.charge.clone());
        let own = books.accounts.get_mut(account).ok_or_else(missing)?;
        let at = *own.index.get(&asked.charge).ok_or_else(missing)?;
        let charge = own.charges.get_mut(at).ok_or_else(missing)?;
        let (left, currency) = (charge.left(), charge.asked.currency);
        if left == 0 {
            return Err(LedgerError::AlreadyRefunded(asked.charge));
        }
        let amount = asked.amount.unwrap_or(left);
        check_amount(amount)?;
        if amount > left {
            return Err(LedgerError::RefundTooLarge { asked: amount, left });
        }
        charge.amount_refunded += amount;
        let NewRefund { charge, reason, metadata, .. } = asked;
        let created = unix_seconds();
        let refund = Refund { id, created, charge, amount, currency, reason, metadata };
        own.post(Side::Merchant, Side::Customers, currency, amount);
        own.refunds.push(refund.clone());
        drop(books);
        self.written.send_replace(());
        Ok(refund)
    }

    /// One charge of the account.
    #[must_use]
    pub fn find(&self, account: &Account, id: &str) -> Option<Charge> {
        let books = self.books();
        let own = books.accounts.get(account)?;
        own.charges.get(*own.index.get(id)?).cloned()
    }

    /// The charges of the account, newest first.
    #[must_use]
    pub fn charges(&self, account: &Account) -> Vec<Charge> {
        let books = self.books();
        let own = books.accounts.get(account);
        own.map_or_else(Vec::new, |own| own.charges.iter().rev().cloned().collect())
    }

    /// The refunds of the account, newest first.
    #[must_use]
    pub fn refunds(&self, account: &Account) -> Vec<Refund> {
        let books = self.books();
        let own = books.accounts.get(account);
        own.map_or_else(Vec::new, |own| own.refunds.iter().rev().cloned().collect())
    }

    /// What the account has, in minor units by currency: its charges less its refunds.
    #[must_use]
    pub fn balance(&self, account: &Account) -> BTreeMap<Currency, i64> {
        let books = self.books();
        let own = books.accounts.get(account).into_iter();
        sums(own.flat_map(|own| &own.lines).filter(|line| line.side == Side::Merchant))
    }

    /// The sum of all lines of all accounts by currency. Anything but zero is a broken ledger.
    #[must_use]
    pub fn trial_balance(&self) -> BTreeMap<Currency, i64> {
        sums(self.books().accounts.values().flat_map(|own| &own.lines))
    }

    /// How many charges, of all accounts, the question names: "how often was the customer charged?"
    #[must_use]
    pub fn times_charged(&self, counts: impl Fn(&Charge) -> bool) -> usize {
        let books = self.books();
        books.accounts.values().flat_map(|own| &own.charges).filter(|c| counts(c)).count()
    }

    /// Returns as soon as the books are so, looking again after each charge and refund.
    pub async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let mut written = self.written.subscribe();
        while !is_so(self) {
            // The sender lives as long as `self` does.
            if written.changed().await.is_err() {
                return;
            }
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // No code between a first and a last write to the books can panic: a poisoned lock still
        // guards whole books.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) fn check_amount(amount: i64) -> Result<(), LedgerError> {
    if (1..=MAX_AMOUNT).contains(&amount) {
        Ok(())
    } else {
        Err(LedgerError::AmountOutOfRange(amount))
    }
}

fn sums<'a>(lines: impl Iterator<Item = &'a Line>) -> BTreeMap<Currency, i64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        *sums.entry(line.currency).or_default() += line.amount;
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::charge::Payer;

    fn asked(amount: i64, currency: &str) -> NewCharge {
        NewCharge {
            amount,
            currency: Currency::parse(currency).unwrap(),
            payer: Payer::Source("tok_visa".into()),
            description: None,
            metadata: BTreeMap::new(),
            shipping: None,
            idempotency_key: Some("the same".into()),
        }
    }

    fn back(charge: &str, amount: Option<i64>) -> NewRefund {
        NewRefund { charge: charge.into(), amount, reason: None, metadata: BTreeMap::new() }
    }

    #[test]
    fn the_same_request_twice_is_two_charges() {
        let (ledger, me) = (Ledger::new(), Account::bearer("sk_1"));
        let first = ledger.charge(&me, asked(2000, "eur")).unwrap();
        let second = ledger.charge(&me, asked(2000, "eur")).unwrap();
        assert_ne!(first.id, second.id);
        assert_eq!(ledger.times_charged(|c| c.asked.amount == 2000), 2);
        assert_eq!(ledger.charges(&me), [second, first]);
    }

    #[test]
    fn an_account_sees_and_refunds_only_its_own() {
        let (ledger, me, you) = (Ledger::new(), Account::bearer("a"), Account::bearer("b"));
        let charge = ledger.charge(&me, asked(100, "usd")).unwrap();
        ledger.charge(&you, asked(5, "usd")).unwrap();
        assert_eq!(ledger.find(&you, &charge.id), None);
        let refused = ledger.refund(&you, back(&charge.id, None));
        assert_eq!(refused, Err(LedgerError::NoSuchCharge(charge.id.clone())));
        assert_eq!(ledger.find(&me, &charge.id), Some(charge));
        assert_eq!(ledger.balance(&you).into_values().collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_refund_stays_within_what_is_left() {
        let (ledger, me) = (Ledger::new(), Account::bearer("a"));
        let id = ledger.charge(&me, asked(100, "usd")).unwrap().id;
        for amount in [0, -1, MAX_AMOUNT + 1] {
            let refused = ledger.refund(&me, back(&id, Some(amount)));
            assert_eq!(refused, Err(LedgerError::AmountOutOfRange(amount)));
        }
        let refused = ledger.refund(&me, back(&id, Some(101)));
        assert_eq!(refused, Err(LedgerError::RefundTooLarge { asked: 101, left: 100 }));
        assert_eq!(ledger.refund(&me, back(&id, Some(40))).unwrap().amount, 40);
        assert_eq!(ledger.refund(&me, back(&id, None)).unwrap().amount, 60);
        assert_eq!(
            ledger.refund(&me, back(&id, None)),
            Err(LedgerError::AlreadyRefunded(id.clone()))
        );
        assert_eq!(ledger.find(&me, &id).unwrap().left(), 0);
        assert_eq!(ledger.refunds(&me).len(), 2);
    }

    #[test]
    fn an_amount_out_of_range_is_not_booked() {
        let (ledger, me) = (Ledger::new(), Account::bearer("a"));
        for amount in [i64::MIN, -1, 0, MAX_AMOUNT + 1, i64::MAX] {
            let refused = ledger.charge(&me, asked(amount, "usd"));
            assert_eq!(refused, Err(LedgerError::AmountOutOfRange(amount)));
        }
        assert!(ledger.trial_balance().is_empty());
    }

    #[derive(Clone, Debug)]
    enum Move {
        Charge { account: usize, currency: usize, amount: i64 },
        Refund { account: usize, charge: usize, amount: Option<i64> },
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let charge = (0..2_usize, 0..2_usize, -2..=60_i64)
            .prop_map(|(account, currency, amount)| Move::Charge { account, currency, amount });
        let refund = (0..2_usize, 0..12_usize, proptest::option::of(-2..=60_i64))
            .prop_map(|(account, charge, amount)| Move::Refund { account, charge, amount });
        proptest::collection::vec(prop_oneof![charge, refund], 0..60)
    }

    proptest! {
        /// A plain model beside the books: an account's balance is what its accepted moves say,
        /// no charge goes back more than whole, and the lines add up to nothing.
        #[test]
        fn the_books_balance_after_every_move(moves in moves()) {
            let ledger = Ledger::new();
            let accounts = [Account::bearer("a"), Account::bearer("b")];
            let currencies = ["eur", "usd"];
            let mut made: Vec<(usize, usize, String, i64)> = Vec::new();
            let mut model = [[0_i64; 2]; 2];
            for step in moves {
                match step {
                    Move::Charge { account, currency, amount } => {
                        let got = ledger.charge(&accounts[account], asked(amount, currencies[currency]));
                        prop_assert_eq!(got.is_ok(), amount > 0);
                        if let Ok(charge) = got {
                            model[account][currency] += amount;
                            made.push((account, currency, charge.id, amount));
                        }
                    }
                    Move::Refund { account, charge, amount } => {
                        let Some((owner, currency, id, left)) = made.get_mut(charge) else { continue };
                        let got = ledger.refund(&accounts[account], back(id, amount));
                        let fits = *left > 0 && amount.is_none_or(|a| a > 0 && a <= *left);
                        prop_assert_eq!(got.is_ok(), fits && account == *owner, "{:?}", got);
                        if let Ok(refund) = got {
                            *left -= refund.amount;
                            model[account][*currency] -= refund.amount;
                        }
                    }
                }
                prop_assert!(ledger.trial_balance().values().all(|&sum| sum == 0));
                for (account, expected) in accounts.iter().zip(model) {
                    let balance = ledger.balance(account);
                    for (currency, expected) in currencies.iter().zip(expected) {
                        let got = balance.get(&Currency::parse(currency).unwrap());
                        prop_assert_eq!(got.copied().unwrap_or(0), expected);
                    }
                }
            }
        }
    }
}
