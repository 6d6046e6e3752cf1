//! What madsim's TCP lacks: silence instead of an end, and an end that one side alone declares.
//!
//! madsim tells the peers of a killed node at once that their connections have ended, even through a partition, and refuses a
//! dial into a partition. A machine without power, or behind a cut cable, does neither: nothing comes from it at all.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engraft::types::NodeId;
use madsim::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::Notify;

/// Who hears whom. Clones are the same network.
#[derive(Debug, Clone, Default)]
pub struct Network {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<NetworkState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct NetworkState {
    /// Machines without power.
    off: BTreeSet<IpAddr>,
    /// From whom nothing comes to whom.
    cut: BTreeSet<(IpAddr, IpAddr)>,
}

/// The address of a node's machine.
#[must_use]
pub fn address_of(node: NodeId) -> IpAddr {
    let [high, low] = node.0.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
}

impl Network {
    /// Nothing comes from the machine any more, nor does it answer.
    pub fn power_off(&self, node: NodeId) {
        self.change(|state| state.off.insert(address_of(node)));
    }

    /// The machine is back: new connections can be made. Those from before stay silent.
    pub fn power_on(&self, node: NodeId) {
        self.change(|state| state.off.remove(&address_of(node)));
    }

    /// Nothing comes from one machine to the other.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.change(|state| state.cut.insert((address_of(from), address_of(to))));
    }

    /// What one machine sends comes to the other again.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        self.change(|state| state.cut.remove(&(address_of(from), address_of(to))));
    }

    fn change(&self, change: impl FnOnce(&mut NetworkState) -> bool) {
        change(&mut self.lock());
        self.shared.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, NetworkState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silent(&self, from: IpAddr, to: IpAddr) -> bool {
        let state = self.lock();
        state.off.contains(&from) || state.off.contains(&to) || state.cut.contains(&(from, to))
    }

    /// Returns once a dial could be answered.
    pub(super) async fn reachable(&self, node: NodeId, peer: IpAddr) {
        let local = address_of(node);
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if !self.silent(local, peer) && !self.silent(peer, local) {
                return;
            }
            changed.await;
        }
    }

    /// Puts a connection of `node` under this network.
    pub(super) fn adopt(&self, node: NodeId, stream: TcpStream) -> io::Result<(SimReader, SimWriter)> {
        let peer = stream.peer_addr()?.ip();
        let line = Arc::new(Line { network: self.clone(), local: address_of(node), peer, state: Mutex::default() });
        let (reader, writer) = tokio::io::split(stream);
        Ok((SimReader { half: reader, line: Arc::clone(&line) }, SimWriter { half: writer, line }))
    }
}

/// What both halves of a connection know.
#[derive(Debug)]
struct Line {
    network: Network,
    local: IpAddr,
    peer: IpAddr,
    state: Mutex<LineState>,
}

#[derive(Debug, Default)]
struct LineState {
    /// This side has shut it.
    shut: bool,
    /// It ended while the peer was silent: this side never learns.
    lost: bool,
    /// The reader, to be told of `shut`.
    reader: Option<Waker>,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection has ended; whether this side is not to know.
    fn hide_end(&self) -> bool {
        let mut state = self.lock();
        state.lost |= self.network.silent(self.peer, self.local);
        state.lost
    }
}

/// The receiving half of a connection.
#[derive(Debug)]
pub struct SimReader {
    half: ReadHalf<TcpStream>,
    line: Arc<Line>,
}

impl AsyncRead for SimReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let mut state = self.line.lock();
            if state.shut {
                // madsim cannot shut one direction: this side's shutdown ends both, once what it sent is on its way.
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(context.waker().clone());
            if state.lost {
                return Poll::Pending;
            }
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.half).poll_read(context, buffer);
        let ended = match &polled {
            Poll::Ready(Ok(())) => buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended && self.line.hide_end() { Poll::Pending } else { polled }
    }
}

/// The sending half of a connection.
#[derive(Debug)]
pub struct SimWriter {
    half: WriteHalf<TcpStream>,
    line: Arc<Line>,
}

impl AsyncWrite for SimWriter {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.half).poll_write(context, bytes);
        match polled {
            Poll::Ready(Err(_)) if self.line.hide_end() => Poll::Ready(Ok(bytes.len())),
            Poll::Ready(_) | Poll::Pending => polled,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.half).poll_flush(context);
        match polled {
            Poll::Ready(Err(_)) if self.line.hide_end() => Poll::Ready(Ok(())),
            Poll::Ready(_) | Poll::Pending => polled,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.as_mut().poll_flush(context);
        if polled.is_ready() {
            let mut state = self.line.lock();
            state.shut = true;
            if let Some(reader) = state.reader.take() {
                reader.wake();
            }
        }
        polled
    }
}
