//! An interrupted sweep ends in order.

use alloc::sync::Arc;
use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

/// A flag that is set when the user interrupts, from when this returns. A second interrupt ends the process at once.
pub(crate) fn flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let (listens, listening) = mpsc::channel::<()>();
    // The thread lives until the process ends: it waits for something that may never come.
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let mut listens = Some(listens);
            let mut interrupt = pin!(tokio::signal::ctrl_c());
            // It listens from its first poll on.
            let first = poll_fn(|context| {
                let polled = interrupt.as_mut().poll(context);
                listens = None;
                polled
            });
            if first.await.is_ok() {
                set.store(true, Ordering::Relaxed);
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(130);
            }
        });
    });
    // The other end is dropped once it listens, and where it cannot.
    let _ = listening.recv();
    flag
}
