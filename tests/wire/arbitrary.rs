//! Any message, for properties.

use bytes::Bytes;
use engraft::types::message::{
    CloseReason, Detach, Echo, Heartbeat, Hello, Message, Probe, ProbeEcho, ProbedSpace, Refusal, RefusalReason,
    ReplicationAck, ReplicationBatch, ReplicationBatchHeader, SpaceCommit, SpaceEpoch, SpaceHello, VoteAnswer, VoteAsk,
    VoteReply, VoteRequest, VoteRound, Welcome,
};
use engraft::types::{
    ClusterId, Control, Entry, Epoch, EpochHistory, EpochStart, Incarnation, NodeId, Position, Sequence, SpaceId,
    SpaceName, Time, WalEntryType,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::build::{close_reasons, refusal_reasons, verdicts};

/// A configuration of that many cases that writes no files.
pub(super) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A message of any kind.
pub(super) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<(u16, u16, [u8; 16])>(), any::<(u16, u16, [u8; 16])>()).prop_map(|(a, b)| Message::Hello(Hello {
            version_min: a.0,
            version_max: a.1,
            cluster: ClusterId(a.2),
            from: NodeId(b.0),
            to: NodeId(b.1),
            incarnation: Incarnation(b.2),
        })),
        any::<(u16, u16, [u8; 16])>().prop_map(|(version, from, incarnation)| Message::Welcome(Welcome {
            version,
            from: NodeId(from),
            incarnation: Incarnation(incarnation),
        })),
        close_reason().prop_map(Message::Goodbye),
        (any::<([u8; 16], u64, u64)>(), "[a-z0-9_-]{3,64}").prop_map(|((space, epoch, end), name)| {
            let name = SpaceName::new(&name).expect("a name");
            Message::SpaceHello(SpaceHello { space: SpaceId(space), name, epoch: Epoch(epoch), end: Sequence(end) })
        }),
        batch().prop_map(Message::Batch),
        any::<([u8; 16], [u64; 5], bool)>().prop_map(|(space, [epoch, durable, applied, commit, echo], recovering)| {
            Message::Ack(ReplicationAck {
                space: SpaceId(space),
                epoch: Epoch(epoch),
                durable: Sequence(durable),
                applied: Sequence(applied),
                commit: Sequence(commit),
                echo: Time(echo),
                recovering,
            })
        }),
        refusal().prop_map(Message::Refusal),
        (any::<u64>(), commits())
            .prop_map(|(sent, commits)| Message::Heartbeat(Heartbeat { sent: Time(sent), commits })),
        (any::<u64>(), commits()).prop_map(|(sent, commits)| Message::Echo(Echo { sent: Time(sent), commits })),
        vec(ask(), 0..20).prop_map(|asks| Message::VoteRequest(VoteRequest { asks })),
        vec(reply(), 0..20).prop_map(|replies| Message::VoteAnswer(VoteAnswer { replies })),
        (any::<u64>(), probed_spaces()).prop_map(|(sent, spaces)| Message::Probe(Probe { sent: Time(sent), spaces })),
        (any::<u64>(), space_epochs())
            .prop_map(|(sent, promised)| Message::ProbeEcho(ProbeEcho { sent: Time(sent), promised })),
        space_epochs().prop_map(|spaces| Message::Detach(Detach { spaces })),
    ]
}

/// A batch of up to a few entries, some of them large, behind any position.
pub(super) fn batch() -> impl Strategy<Value = ReplicationBatch> {
    let payload = prop_oneof![
        8 => vec(any::<u8>(), 0..300),
        1 => vec(any::<u8>(), 4090..4100),
        1 => (any::<u8>(), 9_000_usize..20_000).prop_map(|(byte, size)| vec![byte; size]),
    ];
    let entry = (any::<(u64, u64, u32, [u8; 8], [u8; 8])>(), payload);
    (any::<([u8; 16], [u64; 4])>(), position(), vec(entry, 0..8)).prop_map(
        |((space, [epoch, commit, sent, _]), previous, parts)| {
            let mut last = previous;
            let mut entries = Vec::new();
            for ((epoch, timestamp, number, control, node_local), payload) in parts {
                let entry_type = WalEntryType::from_number(number);
                let control = Control::from_bytes(control);
                let payload = Bytes::from(payload);
                let mut entry = Entry::following(&last, Epoch(epoch), entry_type, control, timestamp, payload);
                entry.header = entry.header.with_node_local(node_local);
                last = entry.position();
                entries.push(entry);
            }
            let header = ReplicationBatchHeader {
                space: SpaceId(space),
                epoch: Epoch(epoch),
                lineage: Epoch(epoch),
                previous,
                commit: Sequence(commit),
                sent: Time(sent),
            };
            ReplicationBatch { header, entries }
        },
    )
}

fn position() -> impl Strategy<Value = Position> {
    let sequence = prop_oneof![0..1000_u64, 0..u64::MAX - 100];
    (any::<u64>(), sequence, any::<u32>()).prop_map(|(epoch, sequence, chain)| Position {
        epoch: Epoch(epoch),
        sequence: Sequence(sequence),
        chain,
    })
}

fn commits() -> impl Strategy<Value = Vec<SpaceCommit>> {
    vec(any::<([u8; 16], u64, u64)>(), 0..20).prop_map(|parts| {
        let commit = |(space, epoch, commit)| SpaceCommit {
            space: SpaceId(space),
            epoch: Epoch(epoch),
            commit: Sequence(commit),
        };
        parts.into_iter().map(commit).collect()
    })
}

fn round() -> impl Strategy<Value = VoteRound> {
    proptest::sample::select(vec![VoteRound::PreVote, VoteRound::Vote])
}

fn ask() -> impl Strategy<Value = VoteAsk> {
    (any::<([u8; 16], [u64; 5])>(), round()).prop_map(|((space, [epoch, end_epoch, end, lineage, sent]), round)| {
        VoteAsk {
            space: SpaceId(space),
            epoch: Epoch(epoch),
            round,
            end_epoch: Epoch(end_epoch),
            end_sequence: Sequence(end),
            lineage: Epoch(lineage),
            sent: Time(sent),
        }
    })
}

fn reply() -> impl Strategy<Value = VoteReply> {
    let verdict = proptest::sample::select(verdicts());
    (any::<([u8; 16], [u64; 3])>(), round(), verdict).prop_map(|((space, [epoch, promised, sent]), round, verdict)| {
        VoteReply {
            space: SpaceId(space),
            epoch: Epoch(epoch),
            round,
            verdict,
            promised: Epoch(promised),
            sent: Time(sent),
        }
    })
}

fn space_epochs() -> impl Strategy<Value = Vec<SpaceEpoch>> {
    let one = any::<([u8; 16], u64)>();
    vec(one.prop_map(|(space, epoch)| SpaceEpoch { space: SpaceId(space), epoch: Epoch(epoch) }), 0..20)
}

fn probed_spaces() -> impl Strategy<Value = Vec<ProbedSpace>> {
    let one = any::<([u8; 16], u64, u64)>();
    let probed =
        |(space, epoch, lineage)| ProbedSpace { space: SpaceId(space), epoch: Epoch(epoch), lineage: Epoch(lineage) };
    vec(one.prop_map(probed), 0..20)
}

fn close_reason() -> impl Strategy<Value = CloseReason> {
    prop_oneof![
        proptest::sample::select(close_reasons()),
        "\\PC{0,100}".prop_map(CloseReason::BadFrame),
        ("\\PC{0,20}", "\\PC{0,20}").prop_map(|(expected, found)| CloseReason::Unexpected { expected, found }),
        any::<u64>().prop_map(|millis| CloseReason::Silent { millis }),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let reason = prop_oneof![
        proptest::sample::select(refusal_reasons()),
        "\\PC{0,100}".prop_map(|reason| RefusalReason::Stopped { reason }),
    ];
    let steps = vec((1..1_u64 << 40, 1..1_u64 << 40), 0..20);
    (any::<([u8; 16], u64, u64)>(), reason, position(), steps).prop_map(|((space, epoch, echo), reason, end, steps)| {
        let mut start = EpochStart { epoch: Epoch::ZERO, first: Sequence::ZERO };
        let rising = steps.into_iter().map(|(epoch, first)| {
            start = EpochStart { epoch: Epoch(start.epoch.0 + epoch), first: Sequence(start.first.0 + first) };
            start
        });
        let history = EpochHistory::from_starts(rising.collect()).expect("rising starts");
        Refusal { space: SpaceId(space), epoch: Epoch(epoch), reason, end, history, echo: Time(echo) }
    })
}
