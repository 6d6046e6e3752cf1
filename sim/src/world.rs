//! The world: a discrete-event loop around the real cores, the real codec and the real logs.

mod answers;
mod clients;
mod engines;
mod faults;
mod files;
mod links;
mod nodes;
mod operators;
mod orders;
mod own_checks;
mod phases;
mod planted;
mod probes;
pub(crate) mod tampered;
mod wipe;

use tampered::Delivery;

use engraft::core::{Actions, Event, ReplicationCoordinator};
use engraft::types::{Incarnation, LinkId, NodeId, Sequence, Time};
use engraft::wire::WriteBuffer;

use alloc::collections::{BTreeMap, VecDeque};

use crate::check::{Checks, Invariant, node_id};
use crate::clock::Clock;
use crate::disk::SimDisk;
use crate::embed::Own;
use crate::history::Operation;
use crate::mark::Marks;
use crate::net::Net;
use crate::queue::{NodeIndex, Occurrence, Queue, StorageStep};
use crate::run::{Recovery, Report, Watch};
use crate::scenario::{FaultKind, Scenario};
use crate::storage::Storage;
use crate::trace::{EventKind, LineKind, Recent, Subject, Trace};

use clients::Client;
use engines::EngineRun;
use own_checks::KnownStates;
use planted::PlantedBugs;

/// More wake-ups than that at one moment are no work that goes on in parts.
const WAKES_AT_ONE_MOMENT_MAX: u32 = 10_000;

/// The world.
pub(crate) struct World<'s> {
    scenario: &'s Scenario,
    own: &'s Own,
    now: Time,
    queue: Queue,
    nodes: Vec<Node>,
    net: Net,
    clients: Vec<Client>,
    operations: Vec<Operation>,
    checks: Checks,
    marks: Marks,
    trace: Trace,
    bugs: PlantedBugs,
    /// By space.
    states: Vec<KnownStates>,
    actions: Actions,
    /// What the node that is being served sends, link by link.
    outgoing: WriteBuffer,
    frames: Vec<u32>,
    completed: Vec<Event>,
    events: u64,
    wakes: u64,
    /// Faults that began and have not ended.
    in_force: Vec<bool>,
    /// Clients ask for nothing new.
    closing_time: bool,
    /// No more faults begin.
    healing: bool,
    repeats_completions: bool,
    waiting_bytes_max: u64,
    recovery: Option<Recovery>,
    /// The node whose core handled something last.
    handling: Option<NodeIndex>,
    /// How the bytes came that a core is handling.
    delivery: Delivery,
}

/// A machine with a disk, and the process on it.
struct Node {
    id: NodeId,
    disk: SimDisk,
    disks: u32,
    boot: u32,
    life: u32,
    clock: Clock,
    offset_us: u64,
    drift_ppm: i64,
    process: Option<Process>,
    /// Whether a dead process is not even refused: the power is off.
    silent: bool,
    /// Up to when it stays down by a fault; starts are ignored before.
    down: u32,
    pause: Option<u32>,
    pauses: u32,
    held: VecDeque<Occurrence>,
    slow: u64,
    steps: u64,
    wiped: bool,
    /// Which of its disks each other node had when this one knew it first; it holds over restarts.
    known: BTreeMap<NodeIndex, u32>,
    full: bool,
    /// What a planted bug reports before its time.
    completions: VecDeque<Event>,
    old_completion: Option<Event>,
    crashes: u64,
    /// The step of the storage behind which the power fails next.
    doomed: Option<StorageStep>,
    /// Whether the process dies (`true`: the power fails) within the next flush of an engine.
    doomed_flush: Option<bool>,
    /// Steps that engines took.
    engine_steps: u64,
    /// How many syncs had failed when the process began.
    syncs_failed: u64,
    /// When its timer fired last, on its own clock, and how often since then.
    woken: Time,
    wakes_now: u32,
    /// Promises that are durable, of which the core hears with the next step of the storage.
    untold_votes: Vec<Event>,
    /// By a planted bug.
    timer_is_dead: bool,
    /// How often it was started again after the healing.
    mended: u32,
    /// What was durable of each space when the last process ended: the end, and the one before it.
    left: Vec<(Sequence, Sequence)>,
}

/// A process: a core, its storage, its links.
struct Process {
    core: ReplicationCoordinator,
    wal: Box<dyn Storage>,
    /// The embedder's, by space.
    engines: Vec<EngineRun>,
    /// The step that is planned.
    step: Option<StorageStep>,
    links: BTreeMap<LinkId, u32>,
    accepted: u64,
    /// The earliest wake-up that is planned, in the world's time.
    armed: Time,
    told_to_stop: bool,
    storage_failed: bool,
}

impl<'s> World<'s> {
    pub(crate) fn new(scenario: &'s Scenario, watch: Watch, own: &'s Own) -> Self {
        let names = scenario.spaces.iter().map(|space| (space.name.id(), space.name.clone()));
        let mut world = Self {
            scenario,
            own,
            now: Time::ZERO,
            queue: Queue::default(),
            nodes: Vec::new(),
            net: Net::new(scenario.seed, scenario.network, usize::from(scenario.nodes)),
            clients: scenario.loads.iter().map(|load| Client::new(load, scenario)).collect(),
            operations: Vec::new(),
            checks: Checks::new(scenario),
            marks: Marks::default(),
            trace: Trace::new(watch.trace, names),
            bugs: PlantedBugs::new(scenario),
            states: scenario.spaces.iter().map(|_| KnownStates::default()).collect(),
            actions: Actions::new(),
            outgoing: WriteBuffer::new(),
            frames: Vec::new(),
            completed: Vec::new(),
            events: 0,
            wakes: 0,
            in_force: vec![false; scenario.faults.len()],
            closing_time: false,
            healing: false,
            repeats_completions: scenario.faults.iter().any(|fault| fault.kind == FaultKind::StaleCompletion),
            waiting_bytes_max: waiting_bytes_max(scenario, own),
            recovery: None,
            handling: None,
            delivery: Delivery::Other,
        };
        for id in scenario.node_ids() {
            world.nodes.push(Node::new(id, scenario));
        }
        world
    }

    /// Goes through all phases, or to the first violation.
    pub(crate) fn run(mut self) -> Report {
        for node in 0..self.nodes.len() {
            self.start(node);
        }
        for load in 0..self.clients.len() {
            self.queue.push(Time(self.scenario.loads[load].at_us), Occurrence::Burst { load });
        }
        for (fault, plan) in self.scenario.faults.iter().enumerate() {
            self.queue.push(Time(plan.at_us), Occurrence::FaultBegins { fault });
        }
        self.phases();
        self.report()
    }

    /// Lets things happen until a moment; false once something is broken.
    fn advance(&mut self, until: Time) -> bool {
        while self.checks.violation.is_none() {
            let Some((at, what)) = self.queue.pop_until(until) else {
                self.now = until;
                self.checks.at(until);
                return true;
            };
            self.now = at;
            self.checks.at(at);
            self.occur(what);
        }
        false
    }

    fn occur(&mut self, what: Occurrence) {
        if self.hold(what) {
            return;
        }
        match what {
            Occurrence::Wake { node, life } => self.wake(node, life),
            Occurrence::DialArrives { link } => self.dial_arrives(link),
            Occurrence::DialAnswered { link, accepted } => self.dial_answered(link, accepted),
            Occurrence::Deliver { link, way } => self.deliver(link, way),
            Occurrence::Drained { link, way, bytes } => self.drained(link, way, bytes),
            Occurrence::Reset { link, side } => self.reset(link, side),
            Occurrence::Storage { node, life, step } => self.storage_step(node, life, step),
            Occurrence::Engine { node, life, space, step } => self.engine_step(node, life, usize::from(space), step),
            Occurrence::Burst { load } => self.burst(load),
            Occurrence::Ask { operation } => self.ask(operation),
            Occurrence::FaultBegins { fault } => self.fault_begins(fault),
            Occurrence::FaultEnds { fault } => self.fault_ends(fault),
        }
    }

    /// Keeps what concerns a node that stands still; whether it was kept.
    fn hold(&mut self, what: Occurrence) -> bool {
        let node = match what {
            Occurrence::Wake { node, .. } | Occurrence::Storage { node, .. } | Occurrence::Engine { node, .. } => node,
            Occurrence::DialAnswered { link, .. } => self.net.links[link as usize].ends[0].node,
            Occurrence::DialArrives { link } => self.net.links[link as usize].ends[1].node,
            Occurrence::Deliver { link, way } => self.net.route(link, way).1,
            Occurrence::Drained { link, way, .. } => self.net.route(link, way).0,
            Occurrence::Reset { link, side } => self.net.links[link as usize].ends[side.index()].node,
            Occurrence::Ask { operation } => self.operations[operation].node,
            Occurrence::Burst { .. } | Occurrence::FaultBegins { .. } | Occurrence::FaultEnds { .. } => return false,
        };
        let held = self.nodes[node].pause.is_some();
        if held {
            self.nodes[node].held.push_back(what);
        }
        held
    }

    /// Hands an event to a node's core, and does what it orders.
    fn handle(&mut self, node: NodeIndex, event: Event) {
        let at = &mut self.nodes[node];
        let Some(process) = &mut at.process else { return };
        let local = at.clock.local(self.now);
        self.handling = Some(node);
        if event == Event::TimerFired {
            self.wakes += 1;
        } else {
            self.events += 1;
        }
        let (kind, number) = glance(&event);
        self.trace.happened(Recent { at: self.now, node: node_id(node), kind, number });
        if self.trace.is_on() {
            self.trace.push(self.now, Subject::Node(node_id(node)), LineKind::Event, || event.to_string());
        }
        let mut actions = core::mem::take(&mut self.actions);
        process.core.handle(local, event, &mut actions);
        self.carry_out(node, &mut actions);
        self.actions = actions;
        self.arm(node);
    }

    /// Plans the wake-up for a core's earliest deadline.
    fn arm(&mut self, node: NodeIndex) {
        let at = &mut self.nodes[node];
        let Some(process) = &mut at.process else { return };
        let Some(deadline) = process.core.next_wake() else { return };
        let moment = at.clock.world(deadline).max(self.now);
        if moment < process.armed {
            process.armed = moment;
            self.queue.push(moment, Occurrence::Wake { node, life: at.life });
        }
    }

    /// What a node's clock shows, where a process runs there.
    fn local_time(&self, node: NodeIndex) -> Option<Time> {
        let at = &self.nodes[node];
        at.process.as_ref().map(|_| at.clock.local(self.now))
    }

    fn wake(&mut self, node: NodeIndex, life: u32) {
        let at = &mut self.nodes[node];
        let Some(process) = &mut at.process else { return };
        if at.life != life || process.armed > self.now {
            return;
        }
        process.armed = Time::MAX;
        let local = at.clock.local(self.now);
        let due = process.core.next_wake().is_some_and(|deadline| deadline <= local);
        if due && !self.bugs.timer_is_forgotten(node) && !self.nodes[node].timer_is_dead {
            self.count_wakes(node, local);
            self.handle(node, Event::TimerFired);
        } else if !due {
            self.arm(node);
        }
    }

    /// A core may ask to be woken at once to go on with work, not for ever.
    fn count_wakes(&mut self, node: NodeIndex, local: Time) {
        let at = &mut self.nodes[node];
        at.wakes_now = if at.woken == local { at.wakes_now + 1 } else { 0 };
        at.woken = local;
        if at.wakes_now > WAKES_AT_ONE_MOMENT_MAX {
            self.checks.violated(Invariant::Spin, Some(node), None, || {
                format!("the timer fired {WAKES_AT_ONE_MOMENT_MAX} times at one moment and is still due")
            });
        }
    }

    fn note(&mut self, subject: Subject, kind: LineKind, text: impl FnOnce() -> String) {
        self.trace.push(self.now, subject, kind, text);
    }
}

/// How many bytes may wait to leave on one link.
fn waiting_bytes_max(scenario: &Scenario, own: &Own) -> u64 {
    let config = scenario.replication_config(NodeId(0), Incarnation([0; 16]));
    // An embedder's payloads have any size that is let in.
    let drawn = scenario.loads.iter().map(|load| load.bytes_max).max().unwrap_or(0);
    let largest = if own.payload.is_some() { config.entry_bytes_max } else { drawn };
    config.link_bulk_bytes + config.batch_bytes + largest + (1 << 20)
}

/// Which kind of event it is, and the number that says most about it.
fn glance(event: &Event) -> (EventKind, u64) {
    match event {
        Event::SpaceOpened(opened) => (EventKind::SpaceOpened, opened.end.sequence.0),
        Event::SpaceOpenFailed { .. } => (EventKind::SpaceOpenFailed, 0),
        Event::WalAppended { sequence, .. } => (EventKind::WalAppended, sequence.0),
        Event::WalRead { entries, .. } => (EventKind::WalRead, entries.len() as u64),
        Event::VotesSaved { votes } => (EventKind::VotesSaved, votes.iter().fold(0, |mark, vote| mark ^ vote.epoch.0)),
        Event::PeersKnown { peers } => (EventKind::PeersKnown, peers.len() as u64),
        Event::PeerSaved { peer, .. } => (EventKind::PeerSaved, u64::from(peer.0)),
        Event::SalvageSaved { write, .. } => (EventKind::SalvageSaved, write.0),
        Event::WalTruncated { write, .. } => (EventKind::WalTruncated, write.0),
        Event::StorageFailed { .. } => (EventKind::StorageFailed, 0),
        Event::BytesReceived { bytes, .. } => (EventKind::BytesReceived, bytes.len() as u64),
        Event::LinkUp { .. } => (EventKind::LinkUp, 0),
        Event::LinkDrained { bytes, .. } => (EventKind::LinkDrained, *bytes),
        Event::LinkDown { .. } => (EventKind::LinkDown, 0),
        Event::TimerFired => (EventKind::TimerFired, 0),
        Event::Append(append) => (EventKind::Append, append.request.0),
        Event::Command(_) => (EventKind::Command, 0),
        Event::Applied { sequence, .. } => (EventKind::Applied, sequence.0),
    }
}
