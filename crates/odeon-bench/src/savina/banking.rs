//! Bank transactions: a teller orders transfers between accounts all at once; an account does one at a time, and
//! keeps whatever else comes until the other account has confirmed. Money goes to accounts with higher numbers
//! only, so that no two wait for one another.

use std::collections::VecDeque;

use crate::{
    error::JobError,
    savina::{
        random::Random,
        verdict::{Verdict, verdict},
    },
    stages::{Behaviour, Scene, Stage},
};

const ACCOUNTS: u64 = 1_000;
/// What an account has at first: more than it can lose in 50,000 transfers of less than [`AMOUNT_MAX`].
const BALANCE: u64 = 100_000_000;
const AMOUNT_MAX: u64 = 1_000;

/// Orders the transfers, and audits the accounts after the last.
struct Teller<S: Stage> {
    accounts: Vec<S::Address<Account<S>>>,
    transfers: u64,
    confirmed: u64,
    audited: u64,
    sum: u64,
    verdict: Verdict,
}

/// What the teller takes.
enum Report<S: Stage> {
    Open(Vec<S::Address<Account<S>>>),
    Transferred,
    Balance(u64),
}

/// One account.
struct Account<S: Stage> {
    balance: u64,
    teller: S::Address<Teller<S>>,
    transferring: bool,
    kept: VecDeque<Order<S>>,
}

/// What an account takes.
enum Order<S: Stage> {
    Transfer { amount: u64, to: S::Address<Account<S>> },
    Deposit { amount: u64, from: S::Address<Account<S>> },
    Deposited,
    Audit,
}

/// Four messages per transfer: ordered, deposited, confirmed to the account, confirmed to the teller. The verdict is
/// the sum of all balances, which transfers do not change.
pub(crate) async fn run<S: Stage>(stage: &S, transfers: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let teller = stage.spawn(Teller::<S> {
        accounts: Vec::new(),
        transfers,
        confirmed: 0,
        audited: 0,
        sum: 0,
        verdict,
    });
    let account = |_| {
        let kept = VecDeque::new();
        stage.spawn(Account::<S> { balance: BALANCE, teller: teller.clone(), transferring: false, kept })
    };
    S::send(&teller, Report::Open((0..ACCOUNTS).map(account).collect()));
    pending.expect(ACCOUNTS * BALANCE).await?;
    Ok(4 * transfers)
}

impl<S: Stage> Teller<S> {
    fn order(&self) {
        let mut random = Random::new(ACCOUNTS);
        for _ in 0..self.transfers {
            // As in the suite: from the lower eight tenths, to anyone above.
            let from = random.below(ACCOUNTS * 8 / 10);
            let to = from + 1 + random.below(ACCOUNTS - from - 1);
            let amount = random.below(AMOUNT_MAX);
            let to = self.account(to).clone();
            S::send(self.account(from), Order::Transfer { amount, to });
        }
    }

    fn account(&self, number: u64) -> &S::Address<Account<S>> {
        &self.accounts[usize::try_from(number).unwrap_or(usize::MAX)]
    }
}

impl<S: Stage> Behaviour<S> for Teller<S> {
    type Message = Report<S>;

    fn receive(&mut self, report: Report<S>, _scene: &mut impl Scene<S, Self>) {
        match report {
            Report::Open(accounts) => {
                self.accounts = accounts;
                self.order();
            }
            Report::Transferred => {
                self.confirmed += 1;
                if self.confirmed == self.transfers {
                    self.accounts.iter().for_each(|account| S::send(account, Order::Audit));
                }
            }
            Report::Balance(balance) => {
                self.sum += balance;
                self.audited += 1;
                if self.audited == ACCOUNTS {
                    self.verdict.tell(self.sum);
                }
            }
        }
    }
}

impl<S: Stage> Account<S> {
    fn obey(&mut self, order: Order<S>, scene: &impl Scene<S, Self>) {
        match order {
            Order::Transfer { amount, to } => {
                self.balance -= amount;
                self.transferring = true;
                S::send(&to, Order::Deposit { amount, from: scene.me() });
            }
            Order::Deposit { amount, from } => {
                self.balance += amount;
                S::send(&from, Order::Deposited);
            }
            Order::Deposited => {
                self.transferring = false;
                S::send(&self.teller, Report::Transferred);
            }
            Order::Audit => S::send(&self.teller, Report::Balance(self.balance)),
        }
    }
}

impl<S: Stage> Behaviour<S> for Account<S> {
    type Message = Order<S>;

    fn receive(&mut self, order: Order<S>, scene: &mut impl Scene<S, Self>) {
        if self.transferring && !matches!(order, Order::Deposited) {
            self.kept.push_back(order);
            return;
        }
        self.obey(order, scene);
        while !self.transferring
            && let Some(order) = self.kept.pop_front()
        {
            self.obey(order, scene);
        }
    }
}
