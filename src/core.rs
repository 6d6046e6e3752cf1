//! The pure state machine: events in, one ordered list of actions out.
//!
//! Architecture Invariant: nothing here knows a clock, a file, a socket, a thread, a lock or a hash map.
//! The same events give the same actions, byte for byte.

pub mod action;
pub mod config;
pub mod coordinator;
pub mod draw;
pub mod event;
pub mod notice;
pub mod status;

pub use action::{Action, Actions, AppendError, Outcome};
pub use config::{Ack, ConfigError, ConnectionPoolConfig, ReplicationConfig, SpaceConfig};
pub use coordinator::ReplicationCoordinator;
pub use event::{Append, Command, Event, SpaceOpened, StorageError, StorageErrorKind, StorageOperation};
pub use notice::Notice;
pub use status::{NodeStatus, ReplicaLag, ReplicaStatus, ReplicaView, Role, SpaceStatus};
