//! Frames that come twice, late, or with a turned bit: they change no log, no promise and no commit (S18), save that one
//! that was refused when it came first may be accepted late.

use bytes::Bytes;
use engraft::core::{Action, Event, Notice};
use engraft::types::{Epoch, Sequence, SpaceId};

use super::World;
use crate::check::{Invariant, SpaceIndex, node_id};
use crate::draws::{draw_below, purpose};
use crate::mark::Mark;
use crate::net::{End, Kept, Piece};
use crate::queue::{NodeIndex, Way};
use crate::trace::{LineKind, Subject};

/// So many deliveries of the same direction at most come before a remembered one comes again soon, or late.
const STALE_SOON_MAX: u64 = 40;
const STALE_LATE_MAX: u64 = 400;
/// Shorter deliveries are heartbeats and acks alone, and seldom remembered: there are so many of them.
const SHORT_BYTES: usize = 90;

/// What a core ordered while it handled a delivery.
pub(crate) type Orders = Vec<(SpaceId, Ordered)>;

/// One order of a core to its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ordered {
    /// To write entries up to this one.
    Entries(Sequence),
    /// To save this promise.
    Promise(Epoch),
}

/// How the bytes came that a core is handling.
#[derive(Debug)]
pub(super) enum Delivery {
    /// There are none, or only a part of a frame.
    Other,
    /// As they were sent, for the first time. What they make the core write is remembered.
    First(Orders),
    /// Doubled or corrupt, which is how.
    Tampered(&'static str),
    /// From the past; their first time made the core write that.
    Stale(Orders),
}

impl World<'_> {
    /// Gives bytes to a core. What it orders while they are a copy, corrupt, or from the past, is judged.
    pub(super) fn deliver_bytes(&mut self, link: u32, way: Way, end: &End, bytes: Bytes, what: Piece) {
        self.delivery = match what {
            Piece::Copy => Delivery::Tampered("came twice"),
            Piece::Corrupt(_) => Delivery::Tampered("was corrupt"),
            Piece::Frames => Delivery::First(Orders::new()),
            Piece::Part => Delivery::Other,
        };
        let again = (what == Piece::Frames).then(|| bytes.clone());
        self.handle(end.node, Event::BytesReceived { link: end.link, bytes });
        let delivery = core::mem::replace(&mut self.delivery, Delivery::Other);
        if let (Some(bytes), Delivery::First(ordered)) = (again, delivery) {
            self.bring_again(link, way, end, bytes, ordered);
        }
    }

    /// Remembers a delivery, or brings one that was remembered. Both only between whole frames of one stream.
    fn bring_again(&mut self, link: u32, way: Way, end: &End, bytes: Bytes, ordered: Orders) {
        let (from, to) = self.net.route(link, way);
        let seed = self.scenario.seed;
        let life = self.nodes[to].life;
        let stale = &mut self.net.direction_mut(from, to).stale;
        if self.healing {
            stale.kept = None;
        }
        if stale.share == 0 && stale.kept.is_none() {
            return;
        }
        stale.deliveries += 1;
        let subject = (from as u64) << 16 | to as u64;
        let n = stale.deliveries;
        match stale.kept.take() {
            None if bytes.len() < SHORT_BYTES && !n.is_multiple_of(8) => {}
            None if draw_below(seed, purpose::FRAME_STALE, subject, n, 1000) < stale.share => {
                // Soon, while the receiver is where it was, or late, when it has moved on to another epoch.
                let late = draw_below(seed, purpose::FRAME_STALE, subject | 1 << 33, n, 2) == 0;
                let most = if late { STALE_LATE_MAX } else { STALE_SOON_MAX };
                let after = draw_below(seed, purpose::FRAME_STALE, subject | 1 << 32, n, most);
                stale.kept = Some(Kept { bytes, life, due: n + 1 + after, ordered });
            }
            None => {}
            Some(kept) if kept.due <= n => {
                self.marks.hit(Mark::FrameStale);
                self.note(Subject::Node(node_id(to)), LineKind::Network, || {
                    format!("{} bytes of {} come once more", kept.bytes.len(), node_id(from))
                });
                if kept.life == life {
                    self.delivery = Delivery::Stale(kept.ordered);
                }
                // What an earlier life of the receiver was told may be news to this one.
                self.handle(end.node, Event::BytesReceived { link: end.link, bytes: kept.bytes });
                self.delivery = Delivery::Other;
            }
            Some(kept) => stale.kept = Some(kept),
        }
    }

    /// Judges an order that a core gives while it handles a tampered frame.
    ///
    /// A batch that was refused when it came first, because one before it was lost, is news once that one is there: so a
    /// stale frame may bring entries, but none that its first time brought, and what it says of the commit was true when
    /// it left (S7 and S10 judge that). A vote that was refused at first may be granted later in the same way.
    pub(super) fn judge_tampered(&mut self, node: NodeIndex, action: &Action) {
        let (space, order) = match action {
            Action::WalAppend { space, entries, .. } => {
                let written = entries.first().zip(entries.last());
                (
                    *space,
                    written
                        .map(|(first, last)| (first.position().sequence, Ordered::Entries(last.position().sequence))),
                )
            }
            Action::SaveVote { space, promise } => (*space, Some((Sequence::ZERO, Ordered::Promise(*promise)))),
            Action::SalvageSave { space, .. }
            | Action::WalTruncate { space, .. }
            | Action::Notify(Notice::Committed { space, .. }) => (*space, None),
            Action::Notify(_)
            | Action::WalRead { .. }
            | Action::SavePeer { .. }
            | Action::EndRecovering { .. }
            | Action::Send { .. }
            | Action::Connect { .. }
            | Action::Close { .. }
            | Action::Reply { .. }
            | Action::Halt => return,
        };
        let how = match &mut self.delivery {
            Delivery::Other => return,
            Delivery::First(ordered) => {
                ordered.extend(order.map(|(_, order)| (space, order)));
                return;
            }
            Delivery::Tampered(how) => *how,
            Delivery::Stale(ordered) => {
                let repeats = |before: &Ordered| match (order, *before) {
                    (Some((first, Ordered::Entries(_))), Ordered::Entries(last)) => first <= last,
                    (Some((_, Ordered::Promise(again))), Ordered::Promise(promise)) => again <= promise,
                    (None | Some((_, Ordered::Entries(_))), Ordered::Promise(_))
                    | (None | Some((_, Ordered::Promise(_))), Ordered::Entries(_)) => false,
                };
                if !ordered.iter().any(|(of, before)| *of == space && repeats(before)) {
                    return;
                }
                "was stale"
            }
        };
        let space: Option<SpaceIndex> = self.checks.space(space);
        self.checks
            .violated(Invariant::S18, Some(node), space, || format!("a frame that {how} made it order {action}"));
    }
}
