//! The lines of NDJSON that go in and out, shared by the server and by clients of it.

use alloc::borrow::Cow;

use serde::{Deserialize, Serialize};

/// An entry to append.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppendLine<'a> {
    /// The payload in base64 (standard alphabet, padded or not).
    #[serde(borrow)]
    pub payload: Cow<'a, str>,
    /// The entry's type by its number; 1 where it is left out.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub entry_type: Option<u32>,
}

/// What became of one append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum AnswerLine<'a> {
    /// It is as durable as its level demands.
    Appended {
        /// Its place.
        sequence: u64,
        /// The epoch in which it was appended, in its printed form.
        #[serde(borrow)]
        epoch: Cow<'a, str>,
        /// What it is known by afterwards.
        #[serde(borrow)]
        token: Cow<'a, str>,
    },
    /// It is in the log, and may or may not reach its level.
    Unknown {
        /// Its place.
        sequence: u64,
        /// The epoch in which it was appended, in its printed form.
        #[serde(borrow)]
        epoch: Cow<'a, str>,
        /// What it is known by afterwards.
        #[serde(borrow)]
        token: Cow<'a, str>,
        /// The nodes that had it durable when the time was up.
        acked_by: Vec<u16>,
    },
    /// Nothing was appended.
    Failed {
        /// Why.
        #[serde(borrow)]
        error: Failed<'a>,
    },
}

/// Why nothing was appended or read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed<'a> {
    /// The failure's name for programs, such as `not_primary`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// The failure in words.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// The node to ask instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<u16>,
    /// Where that node speaks HTTP.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Cow<'a, str>>,
}

/// A committed entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntryLine<'a> {
    /// Its place.
    pub sequence: u64,
    /// Its epoch in its printed form.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    /// Its type by number.
    #[serde(rename = "type")]
    pub entry_type: u32,
    /// What it is to engraft itself: 0 a user's entry (left out), 1 the start of an epoch.
    #[serde(default, skip_serializing_if = "is_user")]
    pub control: u8,
    /// Nanoseconds since the Unix epoch, on the primary's clock.
    pub timestamp: u64,
    /// CRC32C of the payload.
    pub payload_crc: u32,
    /// The payload in base64.
    #[serde(borrow)]
    pub payload: Cow<'a, str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_user(control: &u8) -> bool {
    *control == 0
}
