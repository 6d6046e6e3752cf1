//! What is appended.

use bytes::Bytes;

use crate::core::Ack;
use crate::driver::AppendRequest;
use crate::types::SpaceId;

/// Bytes that no disk or network makes smaller; the same at each call.
pub(super) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Makes requests as a server would that reads them from a connection: each lot has memory of its own.
#[derive(Debug, Clone)]
pub(super) struct Load {
    space: SpaceId,
    ack: Ack,
    size: usize,
    bytes: Bytes,
}

impl Load {
    /// Payloads of `size` bytes, answered at that level.
    pub(super) fn new(space: SpaceId, ack: Ack, size: usize) -> Self {
        Self { space, ack, size, bytes: Bytes::from(noise(size.max(64 << 10))) }
    }

    /// So many requests.
    pub(super) fn requests(&self, count: usize) -> Vec<AppendRequest> {
        let payloads = self.payloads(count);
        payloads
            .map(|payload| AppendRequest { ack: Some(self.ack), ..AppendRequest::new(self.space, payload) })
            .collect()
    }

    /// So many payloads.
    pub(super) fn payloads(&self, count: usize) -> impl Iterator<Item = Bytes> + use<> {
        let wanted = count.saturating_mul(self.size);
        let mut lot = Vec::with_capacity(wanted);
        while lot.len() < wanted {
            let part = self.bytes.len().min(wanted - lot.len());
            lot.extend_from_slice(self.bytes.get(..part).unwrap_or_default());
        }
        let (mut lot, size) = (Bytes::from(lot), self.size);
        ::core::iter::repeat_with(move || lot.split_to(size.min(lot.len()))).take(count)
    }
}
