//! What tells one boot of this machine, and one data directory, from others.

use uuid::Uuid;

use crate::types::Incarnation;

/// Tells this boot of the machine from others. Where the system does not say, every start counts as another boot: that
/// is slower after a crash, and never wrong.
#[must_use]
pub fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    *Uuid::try_parse(text.trim()).unwrap_or_else(|_| Uuid::new_v4()).as_bytes()
}

/// What a data directory gets that is new: 16 random bytes.
#[must_use]
pub fn fresh_incarnation() -> Incarnation {
    Incarnation(*Uuid::new_v4().as_bytes())
}
