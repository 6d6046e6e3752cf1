//! How much the shell holds at most. What the core has in flight is bounded by its windows; these bounds lie above those,
//! so that reaching one shows a defect (the log's queue) or a peer that does not read (a link's queue).

use ::core::time::Duration;

use crate::core::ReplicationConfig;

/// Completions taken in one turn, in groups of the log.
pub(super) const COMPLETIONS_PER_TURN: usize = 64;
/// What links tell, taken in one turn; as many wait at most.
pub(super) const LINK_EVENTS_PER_TURN: usize = 256;
/// Requests of handles taken in one turn; as many wait at most.
pub(super) const REQUESTS_PER_TURN: usize = 64;
/// Appends in one request of a handle; more become several requests.
pub(super) const APPENDS_PER_REQUEST: usize = 1_000;
/// Accepted links at most; further ones wait in the operating system's backlog.
pub(super) const ACCEPTED_LINKS_MAX: usize = 1_024;
/// Notices that a slow subscriber may be behind before it misses some.
pub(super) const NOTICES_MAX: usize = 4_096;
/// Bytes taken from a connection at once.
pub(super) const READ_BYTES: usize = 64 << 10;
/// Bytes given to a connection before the core is told that they left.
pub(super) const WRITE_BYTES: u64 = 256 << 10;
/// The wait after a failed accept.
pub(super) const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a closing link may take to send what it has, and to see that its peer has closed as well.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Requests that may wait for the log.
///
/// Per space: each waiting append may be a write of its own, each batch of a primary's window as well, and each peer is
/// read for; then what clients read, and the promise.
pub(super) fn wal_requests_max(config: &ReplicationConfig, spaces: usize) -> usize {
    let appends = usize::try_from(config.append_entries_max).unwrap_or(usize::MAX);
    let batches = usize::try_from(config.window_batches).unwrap_or(usize::MAX);
    let per_space = appends.saturating_add(batches).saturating_add(config.peers.len());
    let reads_and_promise = 1_024;
    per_space.saturating_add(reads_and_promise).saturating_mul(spaces.max(1))
}

/// Bytes that may wait to leave on a link: the bulk that the core lets wait, the batch that fills it, and what is no
/// batch (acks and refusals of a window of batches per space, heartbeats).
pub(super) fn link_bytes_max(config: &ReplicationConfig, spaces: usize) -> u64 {
    let bulk = config.link_bulk_bytes.saturating_add(config.batch_bytes).saturating_add(config.entry_bytes_max);
    let spaces = u64::try_from(spaces.max(1)).unwrap_or(u64::MAX);
    let control = spaces.saturating_mul(u64::from(config.window_batches)).saturating_mul(256);
    bulk.saturating_add(control).saturating_add(4 << 20)
}
