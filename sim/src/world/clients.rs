//! Clients: what they ask for, when, and what they make of the answers.

use core::time::Duration;

use bytes::Bytes;
use engraft::core::{Ack, Append, Command, Event, Outcome, TokenState};
use engraft::types::{Control, RequestId, Sequence, Time, Token, WalEntryType};

use super::World;
use crate::check::{Invariant, SpaceIndex, node_index};
use crate::draws::{draw_below, purpose};
use crate::embed::Ask;
use crate::history::{Operation, OperationState, Wants};
use crate::mark::Mark;
use crate::queue::{NodeIndex, Occurrence};
use crate::run::ClientRow;
use crate::scenario::{Load, LoadAck, Scenario};

/// How long a client waits at least after it was refused.
const REFUSED_WAIT_US: u64 = 20_000;

/// How long a probe waits for an answer before it asks another node, and how many may wait.
const PROBE_PATIENCE_US: u64 = 1_500_000;
const PROBES_MAX: u64 = 64;

/// What a payload begins with that is long enough, so that it is known in a dump.
const PAYLOAD_WORD: u64 = 0x53_494d << 40;
/// How long a client waits for a token.
const WAIT_FOR: Duration = Duration::from_millis(300);
/// From so many entries on a client that follows is far behind.
const FAR_BEHIND: u64 = 200;
/// A client that sends so many at once sends a flood.
const FLOOD: u64 = 200;

/// A client as it goes along.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) load: Load,
    pub(super) space: SpaceIndex,
    /// Whom it asks now.
    node: NodeIndex,
    /// Whom it asks where that one is not the primary.
    others: Vec<NodeIndex>,
    space_ack: Ack,
    /// Operations still to be asked for.
    pub(super) left: u64,
    asked: u64,
    waiting: u64,
    planned: bool,
    /// Where one that follows goes on.
    cursor: Sequence,
    /// Whether something was refused since the last burst: the next one waits longer.
    refused: bool,
    pub(super) row: ClientRow,
}

impl Client {
    pub(super) fn new(load: &Load, scenario: &Scenario) -> Self {
        let found = scenario.spaces.iter().position(|space| space.name == load.space).unwrap_or(0);
        let plan = &scenario.spaces[found];
        let follows = load.to.is_none() && plan.elects();
        let others = if follows { plan.voters.iter().map(|voter| node_index(*voter)).collect() } else { Vec::new() };
        Self {
            load: load.clone(),
            space: found,
            node: node_index(load.to.unwrap_or(plan.primary)),
            others,
            space_ack: plan.ack,
            left: load.entries,
            asked: 0,
            waiting: 0,
            planned: true,
            cursor: Sequence(1),
            refused: false,
            row: ClientRow::default(),
        }
    }
}

/// What a client does with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It is content, or gives up.
    GoOn,
    /// It asks for another one in its place.
    AskAgain,
}

impl World<'_> {
    /// A client's next burst.
    pub(super) fn burst(&mut self, load: usize) {
        self.clients[load].planned = false;
        if self.closing_time && load < self.scenario.loads.len() {
            return;
        }
        if self.clients[load].load.burst >= FLOOD {
            self.marks.hit(Mark::Flood);
        }
        for _ in 0..self.clients[load].load.burst {
            let client = &mut self.clients[load];
            if client.left == 0 || client.waiting >= client.load.in_flight {
                break;
            }
            client.left -= 1;
            client.asked += 1;
            client.waiting += 1;
            self.issue(load);
        }
        self.plan_burst(load);
    }

    fn plan_burst(&mut self, load: usize) {
        let client = &mut self.clients[load];
        if client.planned || client.left == 0 {
            return;
        }
        client.planned = true;
        let every = client.load.every_us;
        let wait =
            every / 2 + draw_below(self.scenario.seed, purpose::CLIENT_WAIT, load as u64, client.asked, every + 1);
        // A refused client that came back at once would ask for ever and be told the same.
        let wait = if core::mem::take(&mut client.refused) { wait.max(REFUSED_WAIT_US) } else { wait };
        let at = Time(self.now.0 + wait.max(1));
        self.queue.push(at, Occurrence::Burst { load });
    }

    fn issue(&mut self, load: usize) {
        let seed = self.scenario.seed;
        let client = &self.clients[load];
        let (n, subject) = (client.asked, load as u64);
        let reads = draw_below(seed, purpose::READ, subject, n, 1000) < client.load.reads_permille;
        let follows = client.load.follows;
        let spread = client.load.bytes_max - client.load.bytes_min + 1;
        let bytes = client.load.bytes_min + draw_below(seed, purpose::PAYLOAD_SIZE, subject, n, spread);
        let level = match client.load.ack {
            LoadAck::Space => client.space_ack,
            LoadAck::Local => Ack::Local,
            LoadAck::Quorum => Ack::Quorum,
            LoadAck::All => Ack::All,
            LoadAck::Mixed => match draw_below(seed, purpose::ACK_LEVEL, subject, n, 3) {
                0 => Ack::Local,
                1 => Ack::Quorum,
                _ => Ack::All,
            },
        };
        let space = &self.checks.spaces[client.space];
        let wants = if follows {
            Wants::Read { from: client.cursor }
        } else if reads {
            Wants::Read {
                from: Sequence(draw_below(seed, purpose::READ, subject ^ 1 << 32, n, space.answered_max.0 + 2)),
            }
        } else {
            Wants::Append
        };
        let number = self.operations.len();
        self.operations.push(Operation {
            number,
            n,
            load,
            space: client.space,
            node: client.node,
            level,
            stamp: if wants == Wants::Append { self.checks.operations.stamp(self.now) } else { 0 },
            bytes: usize::try_from(bytes).unwrap_or(0),
            wants,
            asked: self.now,
            floor: space.answered_max,
            state: OperationState::Waiting,
        });
        self.occur(Occurrence::Ask { operation: number });
    }

    /// A request reaches its node.
    pub(super) fn ask(&mut self, operation: usize) {
        let asked = &self.operations[operation];
        let node = asked.node;
        if asked.state != OperationState::Waiting {
            return;
        }
        if self.nodes[node].process.is_none() {
            self.marks.hit(Mark::AskedDeadNode);
            self.look_elsewhere(operation, None);
            self.resolve(operation, OperationState::Failed, Then::AskAgain);
            return;
        }
        let request = RequestId(operation as u64 + 1);
        let space = self.checks.spaces[asked.space].id;
        match asked.wants {
            Wants::Append => {}
            Wants::Read { from } => {
                let command = Command::Read { space, request, from, entries_max: 50, bytes_max: 64 << 10 };
                self.handle(node, Event::Command(command));
                return;
            }
            Wants::WaitFor { token, .. } => {
                let command = Command::WaitFor { space, request, token, timeout: WAIT_FOR };
                self.handle(node, Event::Command(command));
                return;
            }
        }
        self.mark_size(asked.bytes);
        let asked = &self.operations[operation];
        let load = &self.clients[asked.load].load;
        let mut append = Append {
            space,
            request,
            payload: self.payload(asked),
            entry_type: WalEntryType::EpisodeStore,
            control: Control::user(),
            timestamp: asked.stamp,
            ack: (load.ack != LoadAck::Space).then_some(asked.level),
            timeout: load.timeout_us.map(core::time::Duration::from_micros),
        };
        let again = self.bugs.before_asking(node, &mut append);
        self.handle(node, Event::Append(append));
        if let Some(mut again) = again {
            again.request = RequestId(u64::MAX);
            self.handle(node, Event::Append(again));
        }
    }

    fn payload(&self, asked: &Operation) -> Bytes {
        let Some(own) = &self.own.payload else { return payload(asked) };
        own(&Ask {
            seed: self.scenario.seed,
            client: asked.load,
            n: asked.n,
            space: self.checks.spaces[asked.space].name.clone(),
            bytes: asked.bytes,
        })
    }

    /// The client of an operation turns to another node: to the one that was named, or to the next. Whether it does.
    pub(super) fn look_elsewhere(&mut self, operation: usize, hint: Option<NodeIndex>) -> bool {
        let asked = &self.operations[operation];
        let client = &mut self.clients[asked.load];
        let at = client.others.iter().position(|other| *other == client.node);
        let next = client.others.get(at.map_or(0, |at| at + 1)).or(client.others.first()).copied();
        let next = hint.filter(|hint| client.others.contains(hint)).or(next);
        // Another answer may have turned it already.
        if client.node == asked.node
            && let Some(next) = next
        {
            client.node = next;
        }
        !client.others.is_empty()
    }

    /// An operation has its answer.
    pub(super) fn resolve(&mut self, operation: usize, state: OperationState, then: Then) {
        let done = &mut self.operations[operation];
        done.state = state;
        let (load, wants) = (done.load, done.wants);
        let client = &mut self.clients[load];
        client.waiting -= 1;
        if let Wants::WaitFor { .. } = wants {
            return;
        }
        match state {
            OperationState::Done if wants != Wants::Append => client.row.reads += 1,
            OperationState::Done => client.row.answered += 1,
            OperationState::Unknown => client.row.unknown += 1,
            OperationState::Failed => client.row.failed += 1,
            OperationState::Waiting => {}
        }
        // A probe is not content before one append is committed for certain.
        let probes = load >= self.scenario.loads.len() && state != OperationState::Done;
        if probes && state == OperationState::Unknown {
            self.look_elsewhere(operation, None);
        }
        let client = &mut self.clients[load];
        if then == Then::AskAgain || probes {
            client.left += 1;
            client.refused = true;
        }
        if !self.closing_time || load >= self.scenario.loads.len() {
            self.plan_burst(load);
        }
    }

    /// The node of these operations is gone: whether they happened is not known.
    pub(super) fn abandon_operations(&mut self, node: NodeIndex) {
        for operation in 0..self.operations.len() {
            let asked = &self.operations[operation];
            if asked.node == node && asked.state == OperationState::Waiting {
                self.marks.hit(Mark::LostWithNode);
                self.look_elsewhere(operation, None);
                self.resolve(operation, OperationState::Unknown, Then::GoOn);
            }
        }
    }

    /// A probe that has waited for too long asks another node beside: the one that it asked may stand still.
    pub(super) fn nudge(&mut self, probe: usize) {
        let last = self.operations.iter().rposition(|operation| operation.load == probe);
        let Some(operation) = last else { return };
        let asked = &self.operations[operation];
        let overdue = asked.state == OperationState::Waiting && asked.asked.0 + PROBE_PATIENCE_US <= self.now.0;
        if overdue && self.clients[probe].left == 0 && self.look_elsewhere(operation, None) {
            self.clients[probe].left += 1;
            self.plan_burst(probe);
        }
    }

    /// A client that wants to see one append committed, and asks these nodes first; tells whether a live quorum makes
    /// progress.
    pub(super) fn probe(&mut self, space: SpaceIndex, first: &[NodeIndex]) -> usize {
        let load = Load {
            at_us: self.now.0,
            space: self.checks.spaces[space].name.clone(),
            to: None,
            entries: 1,
            burst: 1,
            every_us: 20_000,
            in_flight: PROBES_MAX,
            bytes_min: 16,
            bytes_max: 16,
            ack: LoadAck::Quorum,
            // Whoever is cut off says nothing else for all that time.
            timeout_us: Some(if self.checks.spaces[space].elects { 1_000_000 } else { 4_000_000 }),
            reads_permille: 0,
            waits_permille: 0,
            follows: false,
        };
        let index = self.clients.len();
        let mut client = Client::new(&load, self.scenario);
        client.others.sort_by_key(|other| !first.contains(other));
        client.node = client.others.first().copied().unwrap_or(client.node);
        self.clients.push(client);
        self.queue.push(self.now, Occurrence::Burst { load: index });
        index
    }
}

/// The operation's number with a word before it, then bytes that differ from one operation to the next.
fn payload(operation: &Operation) -> Bytes {
    let number = operation.number as u64;
    let mut payload = vec![number.to_le_bytes()[0]; operation.bytes];
    if let Some(first) = payload.first_chunk_mut::<8>() {
        *first = (PAYLOAD_WORD | number).to_le_bytes();
    }
    Bytes::from(payload)
}
