//! Frames that come twice, late, or with a turned bit: they change no log, no promise and no commit (S18).

use bytes::Bytes;
use engraft::core::{Action, Event, Notice};

use super::World;
use crate::check::{Invariant, SpaceIndex, node_id};
use crate::draws::{draw_below, purpose};
use crate::mark::Mark;
use crate::net::{End, Piece};
use crate::queue::{NodeIndex, Way};
use crate::trace::{LineKind, Subject};

/// So many deliveries of the same direction at most come before a remembered one comes again soon, or late.
const STALE_SOON_MAX: u64 = 40;
const STALE_LATE_MAX: u64 = 400;
/// Shorter deliveries are heartbeats and acks alone, and seldom remembered: there are so many of them.
const SHORT_BYTES: usize = 90;

impl World<'_> {
    /// Gives bytes to a core. What it orders while they are a copy, corrupt, or from the past, is judged.
    pub(super) fn deliver_bytes(&mut self, link: u32, way: Way, end: &End, bytes: Bytes, what: Piece) {
        self.tampered = match what {
            Piece::Copy => Some("came twice"),
            Piece::Corrupt(_) => Some("was corrupt"),
            Piece::Frames | Piece::Part => None,
        };
        let again = (what == Piece::Frames).then(|| bytes.clone());
        self.handle(end.node, Event::BytesReceived { link: end.link, bytes });
        self.tampered = None;
        if let Some(bytes) = again {
            self.bring_again(link, way, end, bytes);
        }
    }

    /// Remembers a delivery, or brings one that was remembered. Both only between whole frames of one stream.
    fn bring_again(&mut self, link: u32, way: Way, end: &End, bytes: Bytes) {
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
                stale.kept = Some((bytes, life, n + 1 + after));
            }
            None => {}
            Some((bytes, first_life, due)) if due <= n => {
                self.marks.hit(Mark::FrameStale);
                self.note(Subject::Node(node_id(to)), LineKind::Network, || {
                    format!("{} bytes of {} come once more", bytes.len(), node_id(from))
                });
                // What an earlier life of the receiver was told may be news to this one.
                self.tampered = (first_life == life).then_some("was stale");
                self.handle(end.node, Event::BytesReceived { link: end.link, bytes });
                self.tampered = None;
            }
            Some(kept) => stale.kept = Some(kept),
        }
    }

    /// Judges an order that a core gives while it handles a tampered frame.
    pub(super) fn judge_tampered(&mut self, node: NodeIndex, action: &Action) {
        let Some(how) = self.tampered else { return };
        let space = match action {
            Action::WalAppend { space, .. } | Action::SaveVote { space, .. } => *space,
            Action::Notify(Notice::Committed { space, .. }) => *space,
            Action::Notify(_)
            | Action::WalRead { .. }
            | Action::Send { .. }
            | Action::Connect { .. }
            | Action::Close { .. }
            | Action::Reply { .. }
            | Action::Halt => return,
        };
        let space: Option<SpaceIndex> = self.checks.space(space);
        self.checks
            .violated(Invariant::S18, Some(node), space, || format!("a frame that {how} made it order {action}"));
    }
}
