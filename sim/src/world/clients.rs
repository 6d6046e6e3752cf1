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
use crate::scenario::{FaultKind, Load, LoadAck, Scenario};

/// How long a client waits at least after it was refused.
const REFUSED_WAIT_US: u64 = 20_000;

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
    pub(super) node: NodeIndex,
    /// Whom it asks where that one is not the primary.
    pub(super) others: Vec<NodeIndex>,
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
        let forced = scenario.faults.iter().any(|fault| fault.kind == FaultKind::Force);
        let follows = load.to.is_none() && (plan.elects() || forced);
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

    pub(super) fn plan_burst(&mut self, load: usize) {
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
            Wants::Read { from: Sequence(draw_below(seed, purpose::READ, subject ^ 1 << 32, n, space.floor().1.0 + 2)) }
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
            floor: space.floor(),
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

    fn mark_size(&mut self, bytes: usize) {
        let largest = self.scenario.largest_payload();
        match bytes as u64 {
            0 => self.marks.hit(Mark::EmptyPayload),
            bytes if bytes == largest => self.marks.hit(Mark::LargestPayload),
            bytes if bytes >= 64 << 10 => self.marks.hit(Mark::LargePayload),
            _ => {}
        }
    }

    /// What a client makes of an answer: one that follows goes on behind what it read, others may wait for their append
    /// on any node.
    pub(super) fn look_after(&mut self, operation: usize, outcome: &Outcome) {
        let asked = self.operations[operation].clone();
        match (asked.wants, outcome) {
            (Wants::Read { .. }, Outcome::Entries { entries, commit }) if self.clients[asked.load].load.follows => {
                let client = &mut self.clients[asked.load];
                client.cursor = Sequence(client.cursor.0 + entries.len() as u64);
                let behind = commit.next().above(client.cursor);
                if behind >= FAR_BEHIND {
                    self.marks.hit(Mark::FollowerFarBehind);
                } else if behind == 0 && !entries.is_empty() {
                    self.marks.hit(Mark::FollowerCaughtUp);
                }
            }
            (Wants::Append, Outcome::Appended { token } | Outcome::Unknown { token, .. }) => {
                let (seed, subject) = (self.scenario.seed, asked.load as u64);
                let drawn = draw_below(seed, purpose::WAIT_FOR, subject, asked.number as u64, 1000);
                if drawn < self.clients[asked.load].load.waits_permille {
                    self.wait_for(&asked, *token);
                }
            }
            (Wants::WaitFor { deadline, .. }, Outcome::Resolved { state, .. }) => {
                let early = self.local_time(asked.node).is_some_and(|local| local < deadline);
                if early && *state == TokenState::Pending {
                    self.checks.violated(Invariant::S15, Some(asked.node), Some(asked.space), || {
                        format!(
                            "says that nothing is certain before {deadline} on its clock, up to which a client waits"
                        )
                    });
                }
                self.marks.hit(match state {
                    TokenState::Committed => Mark::WaitedForCommit,
                    TokenState::Lost => Mark::WaitedForLost,
                    TokenState::Pending => Mark::WaitedInVain,
                });
            }
            _ => {}
        }
    }

    /// The client asks one of the voters for what became of its append; that node must then know it.
    fn wait_for(&mut self, asked: &Operation, token: Token) {
        let voters = &self.checks.spaces[asked.space].voters;
        let place = draw_below(
            self.scenario.seed,
            purpose::WAIT_FOR,
            asked.load as u64 | 1 << 32,
            asked.number as u64,
            voters.len() as u64,
        );
        let Some(node) = usize::try_from(place).ok().and_then(|place| voters.get(place)).copied() else { return };
        let Some(deadline) = self.local_time(node).map(|local| local + WAIT_FOR) else { return };
        let number = self.operations.len();
        let wants = Wants::WaitFor { token, deadline };
        let state = OperationState::Waiting;
        self.operations.push(Operation { number, node, wants, state, stamp: 0, asked: self.now, ..asked.clone() });
        self.clients[asked.load].waiting += 1;
        // The client is told of its append first: what it asks next travels behind.
        self.queue.push(self.now, Occurrence::Ask { operation: number });
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
