//! Bugs put in by hand between the cores and what is around them, so that each check is seen to fire.

use alloc::collections::BTreeMap;
use core::time::Duration;
use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use engraft::core::{Action, Append, Event, Notice, ReplicaStatus, ReplicationConfig};
use engraft::types::entry::{HeaderFields, StartBody, chain};
use engraft::types::message::Message;
use engraft::types::{Control, Entry, Epoch, Sequence, SpaceId, WalEntryHeader};
use engraft::wal::{Access, Disk, DiskFile};

use crate::check::node_index;
use crate::disk::SimDisk;
use crate::net::{Piece, with_turned_bit};
use crate::queue::NodeIndex;
use crate::scenario::{PlantedKind, Scenario};

/// The bugs of a scenario.
#[derive(Debug)]
pub(super) struct PlantedBugs {
    list: Vec<(PlantedKind, NodeIndex)>,
    /// What the completion of each node's last write would say.
    last_writes: BTreeMap<(NodeIndex, SpaceId), Event>,
    /// The chain at the end of what each node was told to write.
    chains: BTreeMap<(NodeIndex, SpaceId), u32>,
}

impl PlantedBugs {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            list: scenario.planted.iter().map(|planted| (planted.kind, node_index(planted.node))).collect(),
            last_writes: BTreeMap::new(),
            chains: BTreeMap::new(),
        }
    }

    pub(super) const fn any(&self) -> bool {
        !self.list.is_empty()
    }

    fn has(&self, kind: PlantedKind, node: NodeIndex) -> bool {
        self.any() && self.list.contains(&(kind, node))
    }

    /// Whether frames must be looked at one by one for a bug.
    pub(super) fn meddles(&self) -> bool {
        self.any() && self.list.iter().any(|(kind, _)| *kind == PlantedKind::CorruptFrameBelieved)
    }

    pub(super) fn timer_is_forgotten(&self, node: NodeIndex) -> bool {
        self.has(PlantedKind::ForgottenTimer, node)
    }

    pub(super) fn reply_is_forgotten(&self, node: NodeIndex) -> bool {
        self.has(PlantedKind::ForgottenReply, node)
    }

    pub(super) fn ignores_boots(&self, node: NodeIndex) -> bool {
        self.has(PlantedKind::BootIgnored, node)
    }

    pub(super) fn reads_uncommitted(&self, node: NodeIndex) -> bool {
        self.has(PlantedKind::ReadUncommitted, node)
    }

    pub(super) fn believes_stale(&self, node: NodeIndex) -> bool {
        self.has(PlantedKind::StaleBelieved, node)
    }

    pub(super) fn drains_too_early(&self, node: NodeIndex) -> bool {
        self.has(PlantedKind::DrainedTooEarly, node)
    }

    pub(super) fn timer_dies_with_breaker(&self, node: NodeIndex) -> bool {
        self.has(PlantedKind::TimerDiesWithBreaker, node)
    }

    /// The notice as others get it; none where it is kept from them.
    pub(super) fn before_telling(&self, node: NodeIndex, notice: &Notice) -> Option<Notice> {
        let mut notice = notice.clone();
        if let Notice::ReplicaAcked { lag_us, .. } = &mut notice
            && self.has(PlantedKind::LagOnOtherClock, node)
        {
            *lag_us += 3_600_000_000;
        }
        let healthy = matches!(&notice, Notice::ReplicaStatusChanged { to: ReplicaStatus::Healthy, .. });
        (!healthy || !self.has(PlantedKind::HealthUntold, node)).then_some(notice)
    }

    /// Zeroes the end of a log, as a truncation would.
    pub(super) fn after_writing(&self, node: NodeIndex, disk: &SimDisk) {
        if !self.has(PlantedKind::EndTruncated, node) {
            return;
        }
        for (path, bytes) in disk.files() {
            let is_log = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wal-"));
            let Some(last) = bytes.iter().rposition(|byte| *byte != 0).filter(|last| *last > 4_000) else { continue };
            if is_log && let Ok(file) = disk.open(&path, Access::ReadWrite) {
                let from = last as u64 - 3_000;
                // The next check sees it: that it was written is all that counts.
                let _ = file.write_at(&[IoSlice::new(&[0; 3_001])], from);
            }
        }
    }

    pub(super) fn before_sending(&self, node: NodeIndex, message: &mut Message) {
        if !self.any() {
            return;
        }
        if let Message::Ack(ack) = message
            && self.has(PlantedKind::AckTooFar, node)
        {
            ack.durable = ack.durable.next();
        }
        if let Message::Ack(ack) = message
            && self.has(PlantedKind::AckTooLittle, node)
        {
            ack.durable = ack.durable.previous();
            ack.applied = ack.applied.min(ack.durable);
            ack.commit = ack.commit.min(ack.durable);
        }
        let incarnation = match message {
            Message::Hello(hello) => Some(&mut hello.incarnation),
            Message::Welcome(welcome) => Some(&mut welcome.incarnation),
            Message::Goodbye(_)
            | Message::SpaceHello(_)
            | Message::Batch(_)
            | Message::Ack(_)
            | Message::Refusal(_)
            | Message::Heartbeat(_)
            | Message::Echo(_)
            | Message::VoteRequest(_)
            | Message::VoteAnswer(_)
            | Message::Probe(_)
            | Message::ProbeEcho(_)
            | Message::Detach(_) => None,
        };
        if let Some(incarnation) = incarnation
            && self.has(PlantedKind::OldIncarnation, node)
        {
            // The number of the node's disks stands there.
            incarnation.0[..4].copy_from_slice(&1_u32.to_le_bytes());
        }
        if let Message::Batch(batch) = message {
            if self.has(PlantedKind::CommitTooHigh, node) {
                batch.header.commit = batch.header.commit.next();
            }
            if self.has(PlantedKind::ForeignPrimary, node) {
                let epoch = batch.header.epoch;
                let other = engraft::types::NodeId(epoch.owner().0 + 1);
                batch.header.epoch = Epoch::new(epoch.generation(), epoch.term(), other);
            }
        }
        if let Message::SpaceHello(hello) = message
            && self.has(PlantedKind::RecoversTooEarly, node)
        {
            hello.end = Sequence::ZERO;
        }
        if let Message::Echo(echo) = message
            && self.has(PlantedKind::CommitGoesBack, node)
        {
            for commit in &mut echo.commits {
                commit.commit = Sequence::ZERO;
            }
        }
    }

    /// Changes the numbers that a node goes by.
    pub(super) fn before_starting(&self, node: NodeIndex, config: &mut ReplicationConfig) {
        if self.has(PlantedKind::LimitIgnored, node) {
            config.exposure_bytes_max = config.exposure_bytes_max.saturating_mul(1_000).min(1 << 40);
            config.exposure_age_max = Duration::from_secs(3_600);
        }
    }

    /// Changes what is to be written. An event is what the bug reports at once.
    pub(super) fn before_writing(&mut self, node: NodeIndex, action: &mut Action) -> Option<Event> {
        if !self.any() {
            return None;
        }
        let Action::WalAppend { space, write, entries } = action else { return None };
        let last = entries.last()?.position();
        let early = Event::WalAppended { space: *space, write: *write, epoch: last.epoch, sequence: last.sequence };
        self.last_writes.insert((node, *space), early.clone());
        let chain = self.chains.insert((node, *space), last.chain);
        let foreign = last.epoch.owner() != crate::check::node_id(node);
        if self.has(PlantedKind::OtherPayload, node) && foreign {
            change_last(entries, chain, |fields| fields, Bytes::from_static(b"another payload than was sent"));
        }
        let begins = entries.last()?.header.control().kind == Control::EPOCH_START;
        if self.has(PlantedKind::NamedAlone, node) && !foreign && begins {
            let voters = vec![crate::check::node_id(node)];
            let body = StartBody { voters, ..StartBody::default() };
            change_last(entries, chain, |fields| fields, body.payload(last.sequence));
        }
        if self.has(PlantedKind::LineageForgotten, node) && !foreign && begins {
            let body = StartBody::parse(&entries.last()?.payload).unwrap_or_default();
            if body.lineage != Epoch::ZERO && body.lineage != last.epoch {
                let body = StartBody { lineage: Epoch::ZERO, ..body };
                change_last(entries, chain, |fields| fields, body.payload(last.sequence));
            }
        }
        if self.has(PlantedKind::ForeignEpoch, node) && last.sequence.0 > 5 {
            let other = Epoch::new(last.epoch.generation(), last.epoch.term(), engraft::types::NodeId(9));
            let payload = entries.last()?.payload.clone();
            change_last(entries, chain, |fields| HeaderFields { epoch: other, ..fields }, payload);
        }
        self.has(PlantedKind::AckBeforeSync, node).then_some(early)
    }

    pub(super) fn before_completed(&self, node: NodeIndex, event: &mut Event) {
        if let Event::StorageFailed { space, .. } = event
            && self.has(PlantedKind::SyncFailureHidden, node)
            && let Some(last) = self.last_writes.get(&(node, *space))
        {
            *event = last.clone();
        }
    }

    pub(super) fn before_opened(&mut self, node: NodeIndex, event: &mut Event) {
        if let Event::SpaceOpened(opened) = event {
            // What is written first continues what recovery found.
            self.chains.insert((node, opened.name.id()), opened.end.chain);
        }
        if let Event::SpaceOpened(opened) = event
            && self.has(PlantedKind::ForgottenPromise, node)
        {
            opened.promise = Epoch::ZERO;
        }
        if let Event::SpaceOpened(opened) = event
            && self.has(PlantedKind::RecoveringIgnored, node)
        {
            opened.recovering = false;
        }
        if let Event::PeersKnown { peers } = event
            && self.has(PlantedKind::ForgottenPeers, node)
        {
            peers.clear();
        }
    }

    /// Zeroes the last durable bytes of the logs while the node is down.
    pub(super) fn before_opening(&self, node: NodeIndex, disk: &SimDisk) {
        if !self.has(PlantedKind::LostEnd, node) {
            return;
        }
        for (path, bytes) in disk.files() {
            let is_log = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wal-"));
            let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else { continue };
            if is_log {
                disk.zero(&path, (last as u64).saturating_sub(600), 601);
            }
        }
    }

    /// A corrupt frame becomes a good one with another payload, as if its checksum had not been looked at.
    pub(super) fn on_the_way(&self, piece: Bytes, what: Piece) -> Bytes {
        match what {
            Piece::Corrupt(bit) if self.meddles() => mend(&piece, bit).unwrap_or(piece),
            Piece::Corrupt(_) | Piece::Frames | Piece::Copy | Piece::Part => piece,
        }
    }

    pub(super) fn before_asking(&self, node: NodeIndex, append: &mut Append) -> Option<Append> {
        if self.has(PlantedKind::AnswerTooEarly, node) {
            append.ack = Some(engraft::core::Ack::Local);
        }
        if self.has(PlantedKind::AllForQuorum, node) && append.ack == Some(engraft::core::Ack::Quorum) {
            append.ack = Some(engraft::core::Ack::All);
        }
        self.has(PlantedKind::DuplicateApply, node).then(|| append.clone())
    }
}

fn change_last(
    entries: &mut [Entry],
    chain_before: Option<u32>,
    change: impl Fn(HeaderFields) -> HeaderFields,
    payload: Bytes,
) {
    let before =
        entries.len().checked_sub(2).and_then(|at| entries.get(at)).map(|entry| entry.header.chain()).or(chain_before);
    let Some(last) = entries.last_mut() else { return };
    let header = &last.header;
    let fields = change(HeaderFields {
        sequence: header.sequence(),
        timestamp: header.timestamp(),
        entry_type: header.entry_type(),
        payload_size: u32::try_from(payload.len()).unwrap_or(0),
        payload_crc: crc32c::crc32c(&payload),
        epoch: header.epoch(),
        chain: header.chain(),
        control: header.control(),
    });
    let chain = before.map_or(fields.chain, |before| {
        chain(before, fields.epoch, fields.sequence, fields.entry_type, fields.control, fields.payload_crc)
    });
    *last = Entry { header: WalEntryHeader::new(&HeaderFields { chain, ..fields }), payload };
}

/// Sets a frame's turned bit right, changes the last entry of its batch, and encodes it again.
fn mend(piece: &Bytes, bit: u64) -> Option<Bytes> {
    let limits = engraft::wire::WireLimits { batch_bytes_max: 1 << 30, control_bytes_max: 1 << 20 };
    let mut decoder = engraft::wire::FrameDecoder::new(limits);
    decoder.push(with_turned_bit(piece, bit));
    let Ok(Some(Message::Batch(mut batch))) = decoder.next() else { return None };
    let before = batch.header.previous.chain;
    change_last(&mut batch.entries, Some(before), |fields| fields, Bytes::from_static(b"mended"));
    let mut out = engraft::wire::WriteBuffer::new();
    engraft::wire::encode(&Message::Batch(batch), &mut out);
    let mut whole = BytesMut::new();
    for piece in out.pieces() {
        whole.extend_from_slice(piece);
    }
    Some(whole.freeze())
}
