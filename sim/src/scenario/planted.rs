//! Bugs put in by hand, to see that checks fire.

use engraft::types::NodeId;
use serde::{Deserialize, Serialize};

/// A bug put in by hand between the core and what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlantedKind {
    /// Writes are reported as durable before they are synced.
    AckBeforeSync,
    /// Acks leave for one entry more than is durable.
    AckTooFar,
    /// A replica writes another payload than it was sent, with checksums that hold.
    OtherPayload,
    /// An entry of the primary is written under another node's epoch.
    ForeignEpoch,
    /// Batches carry a commit that is one too high.
    CommitTooHigh,
    /// The promise is forgotten at a restart.
    ForgottenPromise,
    /// The durable end of a log is zeroed while the node is down.
    LostEnd,
    /// Appends are answered at once, whatever level they ask for.
    AnswerTooEarly,
    /// A failed sync is reported as a good one.
    SyncFailureHidden,
    /// Reads give entries that are not committed.
    ReadUncommitted,
    /// Corrupt frames are mended into good ones with other entries.
    CorruptFrameBelieved,
    /// An entry is written twice, under two sequences.
    DuplicateApply,
    /// Timers never fire.
    ForgottenTimer,
    /// Replies are dropped.
    ForgottenReply,
    /// An old completion changes the node.
    StaleBelieved,
    /// Batches are shipped under another node's epoch.
    ForeignPrimary,
    /// A replica's echoes name no commit any more.
    CommitGoesBack,
    /// A node that lost its memory says that it did not.
    OldIncarnation,
    /// A node forgets at a restart under which incarnations it knew its peers.
    ForgottenPeers,
    /// A node that lost power under a weak fsync mode goes on as if it remembered.
    RecoveringIgnored,
    /// Every start of a machine has the same boot id.
    BootIgnored,
    /// A primary's hello says that nothing is missing.
    RecoversTooEarly,
    /// A node answers at Local as if nothing limited what is exposed.
    LimitIgnored,
    /// A primary names itself the only voter where its epoch begins.
    NamedAlone,
    /// An epoch behind a forced start begins as if there had been none.
    LineageForgotten,
    /// The end of a log is zeroed while the node runs.
    EndTruncated,
    /// Acks name one entry less than is durable.
    AckTooLittle,
    /// Bytes are said to have left that still wait.
    DrainedTooEarly,
    /// The timer of a node dies when a breaker opens.
    TimerDiesWithBreaker,
    /// Appends at Quorum wait for every voter.
    AllForQuorum,
    /// The lag of acks is told on another clock.
    LagOnOtherClock,
    /// Nobody hears that a replica is Healthy again.
    HealthUntold,
}

/// A bug put in by hand on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// The bug.
    pub kind: PlantedKind,
    /// Where.
    pub node: NodeId,
}
