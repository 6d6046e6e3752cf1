//! The pure state machine: events in, one ordered list of actions out.
//!
//! Architecture Invariant: nothing here knows a clock, a file, a socket, a thread, a lock or a hash map.
//! The same events give the same actions, byte for byte.

pub mod action;
mod alone;
mod ballots;
mod breaker;
mod catchup;
mod clients;
mod commit;
mod completions;
pub mod config;
mod context;
pub mod coordinator;
mod divergence;
pub mod draw;
pub mod event;
mod exposure;
mod following;
mod hello;
mod lag_monitor;
mod lease;
mod lineage;
mod link;
mod log;
mod members;
pub mod notice;
mod outbox;
mod peer;
mod primary;
mod progress;
mod promotion;
mod receiver;
mod recovering;
mod state;
pub mod status;
mod tail;
mod timer;
mod token_wait;
mod waiting;
mod wal_shipper;

pub use action::{Action, Actions, AppendError, Outcome, PromotionError, TokenState};
pub use config::{Ack, ConfigError, ConnectionPoolConfig, Isolation, Promotion, ReplicationConfig, SpaceConfig};
pub use coordinator::ReplicationCoordinator;
pub use event::{Append, Command, Event, SpaceOpened, StorageError, StorageErrorKind, StorageOperation};
pub use lineage::PromoteBy;
pub use log::{ENTRIES_AT_ONCE, WRITES_UNDER_WAY};
pub use notice::Notice;
pub use progress::ReplicaProgress;
pub use state::ReplicationState;
pub use status::{Exposed, NodeStatus, ReplicaLag, ReplicaStatus, ReplicaView, Role, SpaceStatus};
