//! Which messages travel on which side of a link.

use alloc::string::String;

use crate::types::LinkId;
use crate::types::message::{CloseReason, Message};

use super::Phase;

/// Whether a message of an open link came on the side where it belongs: requests on accepted links, answers on dialled.
pub(super) fn travels(message: &Message, link: LinkId) -> bool {
    match message {
        Message::SpaceHello(_)
        | Message::Batch(_)
        | Message::Heartbeat(_)
        | Message::VoteRequest(_)
        | Message::Probe(_) => link.is_accepted(),
        Message::Ack(_) | Message::Refusal(_) | Message::Echo(_) | Message::VoteAnswer(_) | Message::ProbeEcho(_) => {
            !link.is_accepted()
        }
        // A primary's goes with its heartbeats, a replica's with its echoes.
        Message::Detach(_) => true,
        Message::Hello(_) | Message::Welcome(_) | Message::Goodbye(_) => false,
    }
}

pub(super) fn unexpected(message: &Message, phase: Phase, link: LinkId) -> CloseReason {
    let expected = match (phase, link.is_accepted()) {
        (Phase::Open, true) => "a request",
        (Phase::Open, false) => "an answer",
        (Phase::Dialling | Phase::Greeting, true) => "a hello",
        (Phase::Dialling | Phase::Greeting, false) => "a welcome",
        (Phase::Learning { .. }, true) => "nothing before the welcome",
        (Phase::Learning { .. }, false) => "nothing before a request",
    };
    CloseReason::Unexpected { expected: String::from(expected), found: String::from(message.name()) }
}
