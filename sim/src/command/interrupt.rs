//! An interrupted sweep ends in order.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A flag that is set when the user interrupts. A second interrupt ends the process at once.
pub(crate) fn flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    // The thread lives until the process ends: it waits for something that may never come.
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                set.store(true, Ordering::Relaxed);
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(130);
            }
        });
    });
    flag
}
