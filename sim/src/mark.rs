//! Marks: rare paths by name, counted, so that a bulk run can tell which of them it never took.

macro_rules! marks {
    ($($name:ident $rare:ident $words:literal,)*) => {
        /// A path that runs are to take now and then.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $(#[doc = $words] $name,)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What happened where it was reached.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            /// Whether a bulk run may miss it.
            #[must_use]
            pub const fn is_rare(self) -> bool {
                match self { $(Self::$name => marks!(@$rare),)* }
            }
        }
    };
    (@rare) => { true };
    (@usual) => { false };
}

marks! {
    UnsyncedLost usual "the power failed while something was unsynced",
    AcknowledgedLost usual "a power failure took what a weak fsync mode had called durable",
    PrimaryWiped usual "a primary lost its disk",
    PrimaryMisdirected usual "a write of a primary went astray",
    SyncLied rare "a sync was answered well and did nothing",
    CrashBetweenWriteAndSync usual "a node died between a write and its sync",
    CrashBetweenSyncAndCompletion usual "a node died between a sync and its completion",
    FaultDuringFault usual "a fault began while another one was in force",
    PrimaryDied usual "a primary died",
    Elected usual "another voter than the last primary became the primary",
    Deposed usual "a primary heard of a higher epoch",
    LeaseLost usual "a primary lost its lease",
    LeaseRegained usual "a primary without a lease was followed again",
    LineageBegan usual "an operator had a node go on by itself",
    LineageConflict rare "two forced starts of one generation met",
    CommittedTruncated rare "what was committed was truncated, since a forced start took over",
    WentAlone usual "a primary of two went on alone",
    VoterBack usual "a learner became a voter again",
    AnsweredNotEnough usual "an append asked for more than a primary that is alone can have",
    Salvaged usual "entries that nobody else had were saved",
    Truncated usual "a log was truncated",
    LossTold rare "what was lost was told exactly",
    SalvageFailed rare "a salvage file could not be written",
    ReplicaDied usual "a replica died",
    CrashWithinFlush rare "a node died while an embedder's engine flushed",
    NodeShutDown usual "a node shut down in order",
    NodePaused usual "a node stood still",
    FrameLost usual "a frame was lost",
    FrameDuplicated usual "a frame came twice",
    FrameReordered usual "a frame was overtaken",
    FrameStale usual "a frame from the past came once more",
    FrameCorrupted usual "a bit of a frame was turned",
    BytesSplit usual "bytes came in pieces",
    BackPressure usual "bytes waited with the sender",
    PartitionHeldBytes usual "a partition held bytes up",
    DialHeardNothing usual "a dial was never answered",
    DialRefused usual "a dial was refused",
    LinkReset usual "a link was reset",
    LinkHalfOpen usual "one side of a link forgot it",
    SyncFailed usual "a sync failed",
    DiskFilled usual "a disk was full",
    RotFound usual "recovery found corruption",
    RotRead rare "a read found corruption",
    TornTailCut usual "recovery cut a torn end",
    ReadFromWal usual "catch-up read from the log",
    RefusedGap usual "a replica refused a batch behind a gap",
    RefusedStale usual "a replica refused a batch of an older epoch",
    RefusedDiverged usual "a replica refused a batch because the logs differ",
    BreakerOpened usual "a breaker opened",
    BreakerHalfOpened usual "a breaker half-opened",
    BreakerClosed usual "a breaker closed",
    ReplicaLagging usual "a replica fell behind",
    ReplicaDegraded usual "a replica was degraded",
    ReplicaFailed usual "a replica failed",
    LagCritical usual "a lag was critical",
    ReplicaPaused usual "an operator paused a replica",
    AnsweredUnknown usual "an append was answered as unknown",
    ExposureReached usual "as much was answered at Local and not committed as may be",
    AnsweredExposureReached usual "an append at Local was refused because too much is exposed",
    AnsweredIsolated usual "an append at Local was refused because its primary has no lease",
    AnsweredOverloaded usual "an append was refused because too many waited",
    AnsweredNotReady usual "an append came before the epoch was open",
    AnsweredNotPrimary usual "an append went to a replica",
    AnsweredStopped usual "an append went to a stopped space",
    AskedDeadNode usual "a client asked a dead node",
    LostWithNode usual "a client's node died before it answered",
    EmptyPayload usual "an append had no bytes",
    LargestPayload usual "an append was as large as it may be",
    AnsweredTooLarge usual "an append was larger than it may be",
    Flood usual "a client sent 200 appends or more at once",
    ManySpaces usual "a cluster had 32 spaces or more",
    FollowerFarBehind usual "a client that reads everything was 200 entries behind",
    FollowerCaughtUp usual "a client that reads everything had everything",
    WaitedForCommit usual "a client was told by its token that its append is committed",
    WaitedForLost rare "a client was told by its token that its append is lost",
    WaitedInVain usual "a client was told by its token that nothing is certain yet",
    LargePayload usual "an append had 64 KiB or more",
    ClockJumped usual "a clock jumped",
    EpochOpenedAgain usual "a primary was told to open another epoch",
    StaleCompletionIgnored usual "an old completion came twice",
    Recovering usual "a node lost power under a weak fsync mode and came back recovering",
    Recovered usual "a recovering node got what it may have forgotten, and counts again",
    ElectedByAll usual "too few voters remembered, and all of them elected a primary",
    CommittedLost rare "what was committed was on no voter's disk any more",
    WipedNodeRefused usual "a node that lost its memory was refused",
    SpaceStopped usual "a space stopped",
    ReadAnswered usual "a read was answered",
}

impl Mark {
    /// Those that scenarios are to come by in which primaries are replaced again and again.
    pub const OF_ELECTIONS: &'static [Self] = &[
        Self::UnsyncedLost,
        Self::FaultDuringFault,
        Self::PrimaryDied,
        Self::Elected,
        Self::Deposed,
        Self::LeaseLost,
        Self::LeaseRegained,
        Self::Salvaged,
        Self::Truncated,
        Self::LossTold,
        Self::LineageBegan,
        Self::CommittedTruncated,
        Self::NodePaused,
        Self::FrameStale,
        Self::FrameDuplicated,
        Self::RefusedStale,
        Self::RefusedDiverged,
        Self::StaleCompletionIgnored,
        Self::EpochOpenedAgain,
        Self::WaitedForLost,
    ];
}

/// How often each mark was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    counts: [u64; Mark::ALL.len()],
}

impl Default for Marks {
    fn default() -> Self {
        Self { counts: [0; Mark::ALL.len()] }
    }
}

impl Marks {
    /// Counts one.
    pub fn hit(&mut self, mark: Mark) {
        self.add(mark, 1);
    }

    /// Counts many.
    pub fn add(&mut self, mark: Mark, count: u64) {
        if let Some(place) = self.counts.get_mut(mark as usize) {
            *place += count;
        }
    }

    /// How often it was reached.
    #[must_use]
    pub fn count(&self, mark: Mark) -> u64 {
        self.counts.get(mark as usize).copied().unwrap_or(0)
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Self) {
        for (place, count) in self.counts.iter_mut().zip(other.counts) {
            *place += count;
        }
    }

    /// The marks that are not rare and were never reached.
    #[must_use]
    pub fn missed(&self) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|mark| !mark.is_rare() && self.count(*mark) == 0).collect()
    }
}
