//! A TCP proxy that stands in a link's way, and what it does to the bytes.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use engraft::core::draw;
use socket2::SockRef;

/// How long a pump waits for bytes, or for room, before it looks at the weather again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// What is read at a time.
const CHUNK: usize = 16 * 1024;
/// The draws of corrupted bytes.
const CORRUPT: u64 = 100;

/// What happens to the bytes that flow in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// They pass.
    Clear,
    /// Every connection is reset, and so is every new one.
    Cut,
    /// Each chunk is held back for that many milliseconds.
    Delay(u64),
    /// That many bytes pass in a second.
    Throttle(u64),
    /// One chunk in that many has one byte changed.
    Corrupt(u64),
    /// They are swallowed. A connection that lost bytes this way stays silent until a node closes it.
    Silent,
}

/// From the dialling node to the one that listens, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
}

/// A proxy for the connections that one node dials to another.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where the node behind it listens; it changes with each start.
    target: Mutex<Option<SocketAddr>>,
    there: Mutex<Weather>,
    back: Mutex<Weather>,
    ended: AtomicBool,
    /// The number of chunks, by which corruption is drawn.
    chunks: AtomicU64,
    /// What happened to bytes and connections, so that a run can tell that its faults were there.
    corrupted: AtomicU64,
    reset: AtomicU64,
    swallowed: AtomicU64,
    seed: u64,
    subject: u64,
}

/// What a proxy did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) corrupted: u64,
    pub(super) reset: u64,
    pub(super) swallowed: u64,
}

impl Proxy {
    /// Listens on a port of the system's choice; `subject` tells its draws from those of other proxies.
    pub(super) fn start(seed: u64, subject: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            there: Mutex::new(Weather::Clear),
            back: Mutex::new(Weather::Clear),
            ended: AtomicBool::new(false),
            chunks: AtomicU64::new(0),
            corrupted: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
            seed,
            subject,
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &own));
        Self { address, shared }
    }

    /// Where the dialling node is to connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections lead; none are reset.
    pub(super) fn lead_to(&self, target: Option<SocketAddr>) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Changes the weather of one way.
    pub(super) fn set(&self, way: Way, weather: Weather) {
        *self.shared.weather(way).lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// What it did so far.
    pub(super) fn done(&self) -> Done {
        Done {
            corrupted: self.shared.corrupted.load(Ordering::Relaxed),
            reset: self.shared.reset.load(Ordering::Relaxed),
            swallowed: self.shared.swallowed.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // The listener waits for a connection: this is the last one.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn weather(&self, way: Way) -> &Mutex<Weather> {
        match way {
            Way::There => &self.there,
            Way::Back => &self.back,
        }
    }

    fn now(&self, way: Way) -> Weather {
        *self.weather(way).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cut(&self) -> bool {
        [Way::There, Way::Back].into_iter().any(|way| self.now(way) == Weather::Cut)
    }

    fn reset(&self, stream: &TcpStream) {
        self.reset.fetch_add(1, Ordering::Relaxed);
        // Closed without lingering, a connection is reset; otherwise it would end in good order.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || connection(stream, &shared));
    }
}

fn connection(stream: TcpStream, shared: &Arc<Shared>) {
    let target = *shared.target.lock().unwrap_or_else(PoisonError::into_inner);
    let onward = target.filter(|_| !shared.is_cut());
    let Some(Ok(onward)) = onward.map(|target| TcpStream::connect_timeout(&target, Duration::from_secs(1))) else {
        return shared.reset(&stream);
    };
    for each in [&stream, &onward] {
        let set = each.set_nodelay(true).and_then(|()| each.set_read_timeout(Some(LOOK_AGAIN)));
        if set.and_then(|()| each.set_write_timeout(Some(LOOK_AGAIN))).is_err() {
            return shared.reset(&stream);
        }
    }
    let (stream, onward, broken) = (Arc::new(stream), Arc::new(onward), Arc::new(AtomicBool::new(false)));
    let back = {
        let (shared, stream, onward, broken) =
            (Arc::clone(shared), Arc::clone(&stream), Arc::clone(&onward), Arc::clone(&broken));
        thread::spawn(move || {
            Pump { shared: &shared, way: Way::Back, broken: &broken, silent: false }.run(&onward, &stream)
        })
    };
    Pump { shared, way: Way::There, broken: &broken, silent: false }.run(&stream, &onward);
    let _ = back.join();
}

/// Carries the bytes of one way until the connection ends.
struct Pump<'a> {
    shared: &'a Shared,
    way: Way,
    /// The connection is to end on both sides.
    broken: &'a AtomicBool,
    /// Bytes were swallowed: what follows them makes no sense to anybody.
    silent: bool,
}

impl Pump<'_> {
    fn run(mut self, from: &TcpStream, to: &TcpStream) {
        match self.carry(from, to) {
            // An end in good order is passed on; the other way may go on.
            Ok(()) if !self.silent => {
                let _ = to.shutdown(Shutdown::Write);
            }
            Ok(()) => {}
            Err(_) => {
                self.broken.store(true, Ordering::Relaxed);
                self.shared.reset(from);
                self.shared.reset(to);
            }
        }
    }

    fn carry(&mut self, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            self.look()?;
            let room = match self.shared.now(self.way) {
                Weather::Throttle(rate) => usize::try_from(rate / 20).unwrap_or(CHUNK).clamp(1, CHUNK),
                Weather::Clear | Weather::Cut | Weather::Delay(_) | Weather::Corrupt(_) | Weather::Silent => CHUNK,
            };
            let count = match (&*from).read(&mut buffer[..room]) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if is_wait(&error) => continue,
                Err(error) => return Err(error),
            };
            self.pass(&mut buffer[..count], to)?;
        }
    }

    fn pass(&mut self, bytes: &mut [u8], to: &TcpStream) -> io::Result<()> {
        match self.shared.now(self.way) {
            Weather::Clear | Weather::Cut => {}
            Weather::Delay(milliseconds) => self.wait(Duration::from_millis(milliseconds))?,
            Weather::Throttle(rate) => {
                self.wait(
                    Duration::from_secs(1) * u32::try_from(bytes.len()).unwrap_or(0)
                        / u32::try_from(rate.max(1)).unwrap_or(u32::MAX),
                )?;
            }
            Weather::Corrupt(one_in) => self.corrupt(bytes, one_in),
            Weather::Silent => self.silent = true,
        }
        if self.silent {
            self.shared.swallowed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        let mut rest = &*bytes;
        while !rest.is_empty() {
            self.look()?;
            match (&*to).write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if is_wait(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the connection goes on.
    fn look(&self) -> io::Result<()> {
        let ends = self.broken.load(Ordering::Relaxed) || self.shared.ended.load(Ordering::Relaxed);
        if ends || self.shared.is_cut() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    fn wait(&self, length: Duration) -> io::Result<()> {
        let until = Instant::now() + length;
        loop {
            self.look()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK_AGAIN));
        }
    }

    fn corrupt(&self, bytes: &mut [u8], one_in: u64) {
        let number = self.shared.chunks.fetch_add(1, Ordering::Relaxed);
        let drawn = draw::draw(self.shared.seed, CORRUPT, self.shared.subject, number);
        if !drawn.is_multiple_of(one_in.max(1)) {
            return;
        }
        let place = usize::try_from((drawn >> 16) % bytes.len() as u64).unwrap_or(0);
        bytes[place] ^= 1 << ((drawn >> 8) & 7);
        self.shared.corrupted.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
