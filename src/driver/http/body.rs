//! Bodies within bounds: of size, of time, and of memory over all requests.

use ::core::future::poll_fn;
use ::core::pin::Pin;
use ::core::time::Duration;
use alloc::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::config::ClientLimits;
use super::failure::Failure;

/// The unit in which memory is given out.
const UNIT: u64 = 1024;

/// How much memory the bodies of requests and the answers to reads may take together.
#[derive(Debug)]
pub(super) struct BodyBudget {
    units: Arc<Semaphore>,
    bodies_bytes_max: u64,
    body_bytes_max: u64,
    body_timeout: Duration,
}

impl BodyBudget {
    pub(super) fn new(limits: &ClientLimits) -> Self {
        let units = usize::try_from(limits.bodies_bytes_max / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            bodies_bytes_max: limits.bodies_bytes_max,
            body_bytes_max: limits.body_bytes_max,
            body_timeout: limits.body_timeout,
        }
    }

    /// Sets memory aside until the permit is dropped.
    pub(super) fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Failure> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units);
        permit.map_err(|_| Failure::Busy { limit: self.bodies_bytes_max })
    }

    /// The whole body, and the permit for its memory.
    ///
    /// A body of unknown size is given room for the largest. One that is too large is read to its end (within the
    /// time-out) and dropped as it comes: an answer before the end would be lost to most clients.
    pub(super) async fn collect(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Failure> {
        let declared = declared_size(headers);
        let room = declared.unwrap_or(self.body_bytes_max).min(self.body_bytes_max);
        let permit = self.take(room)?;
        let collected = tokio::time::timeout(self.body_timeout, self.read_all(body, room)).await;
        let ms = u64::try_from(self.body_timeout.as_millis()).unwrap_or(u64::MAX);
        let bytes = collected.map_err(|_| Failure::BodyTimeout { ms })??;
        Ok((bytes, permit))
    }

    async fn read_all(&self, mut body: Body, room: u64) -> Result<Bytes, Failure> {
        let mut bytes = BytesMut::new();
        let mut total = 0_u64;
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let frame = frame.map_err(|error| Failure::BadRequest {
                what: "the body".to_owned(),
                expected: "to come whole".to_owned(),
                found: error.to_string(),
            })?;
            let Ok(data) = frame.into_data() else { continue };
            total += data.len() as u64;
            if total > self.body_bytes_max {
                bytes = BytesMut::new();
                continue;
            }
            if bytes.is_empty() {
                bytes.reserve(usize::try_from(room).unwrap_or(0));
            }
            bytes.extend_from_slice(&data);
        }
        if total > self.body_bytes_max {
            return Err(Failure::BodyTooLarge { expected: self.body_bytes_max, found: total });
        }
        Ok(bytes.freeze())
    }
}

fn declared_size(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
