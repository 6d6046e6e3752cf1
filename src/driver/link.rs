//! The tasks of one link: bytes in, bytes out, and what the shell is told of them.

use alloc::string::{String, ToString};
use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::types::LinkId;
use crate::wire::WriteBuffer;

use super::host::{Halves, Host};
use super::limits::{READ_BYTES, WRITE_BYTES};

/// What a link's tasks tell the shell.
pub(super) enum LinkEvent<H: Host> {
    /// A dial succeeded.
    Connected { link: LinkId, halves: Halves<H> },
    /// A dial failed.
    DialFailed { link: LinkId, reason: String },
    /// Bytes came in.
    Received { link: LinkId, bytes: Bytes },
    /// Bytes have left.
    Drained { link: LinkId, bytes: u64 },
    /// Nothing more comes in. The reader has ended.
    ReadEnded { link: LinkId, reason: String },
    /// Nothing more leaves: the queue was closed and is empty (`None`), or the connection failed. The writer has ended.
    WriteEnded { link: LinkId, failure: Option<String> },
}

/// Dials; tells [`LinkEvent::Connected`] or [`LinkEvent::DialFailed`].
pub(super) async fn dial<H: Host>(
    host: H,
    link: LinkId,
    address: String,
    options: super::LinkOptions,
    events: mpsc::Sender<LinkEvent<H>>,
) {
    let event = match host.dial(&address, options).await {
        Ok(halves) => LinkEvent::Connected { link, halves },
        Err(error) => LinkEvent::DialFailed { link, reason: alloc::format!("dialling {address}: {error}") },
    };
    let _ = events.send(event).await;
}

/// Reads until the connection ends; what comes in after `closing` resolved is thrown away.
///
/// It reads on after that because a connection that is closed while bytes wait to be read is reset, and a reset can
/// overtake the last frame on its way to the peer.
pub(super) async fn read<H: Host>(
    link: LinkId,
    mut reader: H::Reader,
    events: mpsc::Sender<LinkEvent<H>>,
    mut closing: oneshot::Receiver<()>,
) {
    let mut buffer = BytesMut::new();
    let reason = loop {
        buffer.reserve(READ_BYTES);
        // Biased, so that a simulated run repeats. A piece that is read all the same is told of a link that is closing, and
        // goes no further than the table of links.
        let received = tokio::select! {
            biased;
            _ = &mut closing => break discard(&mut reader, buffer).await,
            received = reader.read_buf(&mut buffer) => received,
        };
        match received {
            Ok(0) => break "the peer ended the connection".to_string(),
            Ok(_) => {
                let bytes = buffer.split().freeze();
                if events.send(LinkEvent::Received { link, bytes }).await.is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error.to_string(),
        }
    };
    let _ = events.send(LinkEvent::ReadEnded { link, reason }).await;
}

async fn discard<R: AsyncRead + Unpin>(reader: &mut R, mut buffer: BytesMut) -> String {
    loop {
        buffer.clear();
        buffer.reserve(READ_BYTES);
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return String::new(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// Writes what is queued, in order; once the queue is closed and empty, shuts the sending half.
pub(super) async fn write<H: Host>(
    link: LinkId,
    mut writer: H::Writer,
    mut queue: mpsc::UnboundedReceiver<WriteBuffer>,
    events: mpsc::Sender<LinkEvent<H>>,
) {
    let failure = loop {
        let Some(mut buffer) = queue.recv().await else {
            break writer.shutdown().await.err();
        };
        match write_buffer(link, &mut writer, &mut buffer, &events).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => break Some(error),
        }
    };
    let failure = failure.map(|error| error.to_string());
    let _ = events.send(LinkEvent::WriteEnded { link, failure }).await;
}

/// Writes a buffer to its end; `false` where nobody listens to the link any more.
async fn write_buffer<H: Host>(
    link: LinkId,
    writer: &mut H::Writer,
    buffer: &mut WriteBuffer,
    events: &mpsc::Sender<LinkEvent<H>>,
) -> io::Result<bool> {
    while !buffer.is_empty() {
        let bytes = write_some(writer, buffer).await?;
        // A host may hold bytes back until it is told to let them go; they have not left before.
        writer.flush().await?;
        if events.send(LinkEvent::Drained { link, bytes }).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes up to [`WRITE_BYTES`], or a little more where a call takes more.
async fn write_some<W: AsyncWrite + Unpin>(writer: &mut W, buffer: &mut WriteBuffer) -> io::Result<u64> {
    let mut written = 0;
    while written < WRITE_BYTES && !buffer.is_empty() {
        let bytes = writer.write_buf(buffer).await?;
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        written += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
    Ok(written)
}
