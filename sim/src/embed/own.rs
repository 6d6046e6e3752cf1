//! What an embedder brings, with the types taken off: the world does not know them.

use core::any::Any;
use std::path::PathBuf;

use bytes::Bytes;
use engraft::driver::wal_worker::StorageOptions;
use engraft::types::{NodeId, Sequence, SpaceName};
use engraft::wal::StorageOpenError;
use engraft::{ApplyError, StateMachine};

use crate::disk::SimDisk;
use crate::draws::{draw_below, purpose};
use crate::storage::OpenedStorage;

use super::Engine;

/// Where an engine is opened.
#[derive(Debug, Clone)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// The space whose log its state follows from.
    pub space: SpaceName,
    /// The node's disk. What is not synced on it is lost, kept or torn when the power fails.
    pub disk: SimDisk,
    /// A directory on that disk which is the engine's alone, and is there.
    pub directory: PathBuf,
}

/// What a client asks for; its payload is a function of this alone.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The seed of the run.
    pub seed: u64,
    /// The client, by the place of its load.
    pub client: usize,
    /// The client's operation, from 1 on.
    pub n: u64,
    /// The space.
    pub space: SpaceName,
    /// The size that the load says.
    pub bytes: usize,
}

impl Ask {
    /// A number below `bound` that is drawn for this operation; `what` tells one draw from another. 0 where `bound` is 0.
    ///
    /// An operation that is taken out takes its own draws with it and no others.
    #[must_use]
    pub fn draw(&self, what: u64, bound: u64) -> u64 {
        draw_below(self.seed, purpose::OWN_PAYLOAD, (self.client as u64) << 32 | what, self.n, bound)
    }
}

pub(crate) type OpenEngine = Box<dyn Fn(&Place) -> Result<Box<dyn OwnEngine>, ApplyError> + Send + Sync>;
pub(crate) type Payload = Box<dyn Fn(&Ask) -> Bytes + Send + Sync>;
pub(crate) type OpenStorage =
    Box<dyn Fn(SimDisk, &StorageOptions) -> Result<OpenedStorage, StorageOpenError> + Send + Sync>;
pub(crate) type Holds = Box<dyn Fn(&[OwnState<'_>]) -> Result<(), String> + Send + Sync>;

/// What an embedder brings; nothing of it for the simulator's own runs.
#[derive(Default)]
pub(crate) struct Own {
    pub(crate) engine: Option<OpenEngine>,
    pub(crate) payload: Option<Payload>,
    pub(crate) storage: Option<OpenStorage>,
    pub(crate) always: Vec<(String, Holds)>,
    pub(crate) at_end: Vec<(String, Holds)>,
}

/// An engine of a type that only the embedder knows.
pub(crate) trait OwnEngine: Send {
    fn machine(&mut self) -> &mut dyn StateMachine;
    fn applied(&self) -> Sequence;
    fn digest(&self) -> u64;
    fn any(&self) -> &dyn Any;
}

impl<E: Engine> OwnEngine for E {
    fn machine(&mut self) -> &mut dyn StateMachine {
        self
    }

    fn applied(&self) -> Sequence {
        StateMachine::applied(self)
    }

    fn digest(&self) -> u64 {
        Engine::digest(self)
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

/// One engine's state, for an invariant.
pub(crate) struct OwnState<'a> {
    pub(crate) node: NodeId,
    pub(crate) space: &'a SpaceName,
    pub(crate) applied: Sequence,
    pub(crate) engine: &'a dyn OwnEngine,
}
