//! What is encoded comes back, however the stream is split.

use bytes::Bytes;
use engraft::types::message::Message;

use super::build::{decode, decode_pieces, frame, messages, stream};

#[test]
fn every_message_comes_back() {
    for (name, message) in messages() {
        assert_eq!(decode(&frame(&message)), (vec![message], None), "{name}");
    }
}

#[test]
fn a_stream_of_single_bytes_gives_the_same_messages() {
    let messages: Vec<Message> = messages().into_iter().map(|(_, message)| message).collect();
    let bytes = Bytes::from(stream(&messages));
    let pieces = (0..bytes.len()).map(|at| bytes.slice(at..=at));
    assert_eq!(decode_pieces(pieces), (messages, None));
}
