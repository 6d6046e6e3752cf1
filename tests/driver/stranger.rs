//! A peer that speaks the protocol by hand, badly where it is asked to.

use bytes::{Buf, BytesMut};
use engraft::types::message::{CloseReason, Hello, Message, VERSION_MAX, VERSION_MIN};
use engraft::wire::{FrameDecoder, WireLimits, WriteBuffer, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cluster::{N1, N2, cluster_id, incarnation, within};

/// A connection to a node.
pub(super) struct Stranger {
    stream: TcpStream,
    decoder: FrameDecoder,
}

/// The hello that n2 says to n1.
pub(super) fn hello() -> Hello {
    Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        cluster: cluster_id("test-cluster"),
        from: N2,
        to: N1,
        incarnation: incarnation(N2),
    }
}

/// The bytes of a message's frame.
pub(super) fn frame(message: &Message) -> Vec<u8> {
    let mut buffer = WriteBuffer::default();
    encode(message, &mut buffer);
    let mut bytes = vec![0; buffer.remaining()];
    buffer.copy_to_slice(&mut bytes);
    bytes
}

impl Stranger {
    pub(super) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the node accepts");
        Self { stream, decoder: FrameDecoder::new(WireLimits::new(1 << 20, 16 << 20)) }
    }

    /// Says hello as n2, which has to be welcome.
    pub(super) async fn greet(&mut self) {
        self.send(&frame(&Message::Hello(hello()))).await;
        let answer = self.receive().await;
        assert!(matches!(answer, Some(Message::Welcome(welcome)) if welcome.from == N1), "{answer:?}");
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the node reads");
    }

    /// The next message; `None` where the connection ended.
    pub(super) async fn receive(&mut self) -> Option<Message> {
        within("an answer", async {
            loop {
                if let Some(message) = self.decoder.next().expect("the node speaks the protocol") {
                    return Some(message);
                }
                let mut bytes = BytesMut::new();
                if self.stream.read_buf(&mut bytes).await.expect("the connection ends in order") == 0 {
                    return None;
                }
                self.decoder.push(bytes.freeze());
            }
        })
        .await
    }

    /// The reason with which the node closes the connection.
    pub(super) async fn goodbye(mut self) -> CloseReason {
        loop {
            let message = self.receive().await.expect("a goodbye comes before the end");
            if let Message::Goodbye(reason) = message {
                assert_eq!(self.receive().await, None, "the goodbye is the last frame");
                return reason;
            }
        }
    }
}
