//! Many seeds: machines lose power, processes are killed, cables are cut, while a client appends at quorum.

use alloc::collections::BTreeMap;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use bytes::Bytes;
use engraft::core::{Ack, Outcome};
use engraft::driver::{AppendRequest, NodeHandle};
use engraft::types::{Entry, NodeId, Sequence};
use engraft_sim::draws::draw_below;
use engraft_sim::madsim_host::wal_gate::WalStep;
use engraft_sim::madsim_host::{Detail, World, run_story, sleep};

use super::cluster::{N1, N2, N3, NODES, orders, start, status};

/// How many seeds, unless [`SEEDS_FROM`] says so.
const SEEDS: u64 = 12;
/// The variable with another number of seeds.
const SEEDS_FROM: &str = "ENGRAFT_MADSIM_SEEDS";
const FAULTS: u64 = 6;
/// What the draws of these stories are for.
const FAULT: u64 = 0x5000;

/// Whom a client asks, and what it was told: entries that are answered at quorum.
#[derive(Default)]
struct Client {
    nodes: RefCell<BTreeMap<NodeId, NodeHandle>>,
    asks: Cell<usize>,
    answered: RefCell<BTreeMap<Sequence, Bytes>>,
    done: Cell<bool>,
}

impl Client {
    /// Appends one entry behind the other until it is told to stop.
    async fn run(&self) {
        let mut number = 0;
        while !self.done.get() {
            let node = NODES[self.asks.get() % NODES.len()];
            let primary = self.nodes.borrow().get(&node).cloned().expect("every node was started");
            let payload = Bytes::from(format!("order {number}"));
            number += 1;
            let mut request = AppendRequest::new(orders().id(), payload.clone());
            (request.ack, request.timeout) = (Some(Ack::Quorum), Some(Duration::from_millis(300)));
            match primary.append(vec![request]).await.as_slice() {
                [Outcome::Appended { token }] => {
                    let before = self.answered.borrow_mut().insert(token.sequence, payload);
                    assert_eq!(before, None, "{token} was answered before");
                }
                [Outcome::Unknown { .. } | Outcome::Failed(_)] => {
                    // Another may be the primary by now.
                    self.asks.set(self.asks.get() + 1);
                    sleep(Duration::from_millis(20)).await;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

struct Chaos {
    world: World,
    seed: u64,
    draws: u64,
    nodes: BTreeMap<NodeId, NodeHandle>,
}

impl Chaos {
    fn below(&mut self, bound: u64) -> u64 {
        self.draws += 1;
        draw_below(self.seed, FAULT, 0, self.draws, bound)
    }

    fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        let index = usize::try_from(self.below(N as u64)).expect("it is small");
        all[index]
    }

    async fn some_time(&mut self) {
        let millis = self.below(2_500);
        sleep(Duration::from_millis(millis)).await;
    }

    async fn start(&mut self, node: NodeId, client: &Client) {
        let handle = start(&self.world, self.seed, node).await;
        client.nodes.borrow_mut().insert(node, handle.clone());
        self.nodes.insert(node, handle);
    }

    async fn fault(&mut self, client: &Client) {
        let node = self.one_of(NODES);
        match self.below(4) {
            0 => self.world.power_off(node),
            1 => self.world.kill(node),
            2 => {
                // Between two steps of a write, where there is one within a second.
                let step = self.one_of([WalStep::Taken, WalStep::Written, WalStep::Synced]);
                tokio::select! {
                    biased;
                    () = self.world.stop_log_at(node, step) => {}
                    () = sleep(Duration::from_secs(1)) => {}
                }
                self.world.power_off(node);
            }
            _ => {
                let (a, b) = self.one_of([(N1, N2), (N1, N3), (N2, N3)]);
                self.world.cut(a, b);
                self.some_time().await;
                self.world.heal(a, b);
                return;
            }
        }
        self.some_time().await;
        self.world.power_on(node);
        self.start(node, client).await;
    }

    async fn run(&mut self, client: &Client) {
        for _ in 0..FAULTS {
            self.some_time().await;
            self.fault(client).await;
        }
        client.done.set(true);
    }
}

async fn story(world: World, seed: u64) {
    let client = Client::default();
    let mut chaos = Chaos { world, seed, draws: 0, nodes: BTreeMap::new() };
    for node in NODES {
        chaos.start(node, &client).await;
    }
    tokio::join!(client.run(), chaos.run(&client));

    assert!(client.answered.borrow().len() > 50, "the cluster does its work between the faults");
    let last = *client.answered.borrow().keys().next_back().expect("something was answered");
    let end = agreed(&chaos.nodes).await;
    assert!(end >= last, "what was answered is there: {end}, {last}");
    let mut logs = Vec::new();
    for handle in chaos.nodes.values() {
        let outcome = handle.read(orders().id(), Sequence::ZERO, 100_000, u64::MAX).await;
        let Outcome::Entries { entries, .. } = outcome else { panic!("not read: {outcome}") };
        logs.push(entries);
    }
    check(&client.answered.borrow(), &logs);
    chaos.world.milestone(format!("{} answered, {end} on every node", client.answered.borrow().len()));
}

/// Waits until all logs end at the same entry, and it is committed; panics after a minute.
async fn agreed(nodes: &BTreeMap<NodeId, NodeHandle>) -> Sequence {
    let mut found = Vec::new();
    for _ in 0..600 {
        found.clear();
        for handle in nodes.values() {
            let space = status(handle).await;
            found.push((space.end, space.durable, space.commit));
        }
        if let Some(&(end, durable, commit)) = found.first()
            && end == durable
            && end == commit
            && found.iter().all(|one| *one == (end, durable, commit))
        {
            return end;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("no agreement: {found:?}");
}

/// Every answered entry is on every node, and all logs are the same.
fn check(answered: &BTreeMap<Sequence, Bytes>, logs: &[Vec<Entry>]) {
    for (log, node) in logs.iter().zip(NODES) {
        for (sequence, payload) in answered {
            let index = usize::try_from(sequence.0 - 1).expect("it is small");
            let entry = log.get(index).unwrap_or_else(|| panic!("{node} has no {sequence}"));
            assert_eq!((entry.header.sequence(), &entry.payload), (*sequence, payload), "on {node}");
        }
    }
    for pair in logs.windows(2) {
        let [left, right] = pair else { continue };
        assert_eq!(left.len(), right.len());
        for (left, right) in left.iter().zip(right) {
            let node_local = [0; 8];
            let (left, right) = (left.header.with_node_local(node_local), right.header.with_node_local(node_local));
            assert_eq!(left.as_bytes(), right.as_bytes());
        }
    }
}

#[test]
fn whatever_was_answered_at_quorum_is_on_every_node_in_the_end() {
    let seeds = std::env::var(SEEDS_FROM).ok().map_or(SEEDS, |text| text.parse().expect("a number of seeds"));
    for seed in 0..seeds {
        run_story(seed, &NODES, Detail::Notices, move |world| story(world, seed));
    }
}
