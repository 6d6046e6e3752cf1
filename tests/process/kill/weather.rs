//! Each kind of weather does to bytes what it says.

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::super::support::{PATIENCE, eventually};
use super::proxy::{Proxy, Way, Weather};

/// A proxy, and both ends of a connection through it.
fn connection() -> (Proxy, TcpStream, TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Proxy::start(5, 12);
    proxy.lead_to(Some(listener.local_addr().expect("an address")));
    let near = TcpStream::connect(proxy.address()).expect("connected");
    let (far, _) = listener.accept().expect("passed on");
    for end in [&near, &far] {
        end.set_read_timeout(Some(PATIENCE)).expect("set");
    }
    (proxy, near, far, listener)
}

/// Sends bytes that the proxy swallows, and waits until it has; nothing of them comes, and no end.
fn swallowed(proxy: &Proxy, from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    let before = proxy.done().swallowed;
    from.write_all(bytes).expect("sent");
    eventually("silence", || match proxy.done().swallowed - before {
        count if count == bytes.len() as u64 => Ok(()),
        count => Err(count.to_string()),
    });
    to.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
    let error = to.read(&mut [0; 8]).expect_err("nothing came");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    to.set_read_timeout(Some(PATIENCE)).expect("set");
}

fn sent(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    from.write_all(bytes).expect("sent");
    let mut received = vec![0; bytes.len()];
    to.read_exact(&mut received).expect("received");
    received
}

#[test]
fn clear_weather_passes_bytes_and_the_end_of_them() {
    let (_proxy, mut near, mut far, _listener) = connection();
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    assert_eq!(sent(&mut near, &mut far, &bytes), bytes);
    assert_eq!(sent(&mut far, &mut near, b"back"), b"back");
    near.shutdown(std::net::Shutdown::Write).expect("shut");
    assert_eq!(far.read(&mut [0; 8]).expect("an end"), 0);
    assert_eq!(sent(&mut far, &mut near, b"still"), b"still");
}

#[test]
fn a_cut_resets_what_is_open_and_what_is_new() {
    let (proxy, mut near, mut far, _listener) = connection();
    proxy.set(Way::Back, Weather::Cut);
    let error = far.read(&mut [0; 8]).expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(near.read(&mut [0; 8]).is_err());
    if let Ok(mut new) = TcpStream::connect(proxy.address()) {
        assert!(new.read(&mut [0; 8]).is_err(), "reset, not ended");
    }
    assert!(proxy.done().reset >= 3);
}

#[test]
fn corruption_changes_one_bit_and_keeps_the_length() {
    let (proxy, mut near, mut far, _listener) = connection();
    proxy.set(Way::There, Weather::Corrupt(1));
    let received = sent(&mut near, &mut far, &[0; 100]);
    assert_eq!(received.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    assert_eq!(sent(&mut far, &mut near, &[0; 100]), [0; 100], "the other way is clear");
    assert_eq!(proxy.done().corrupted, 1);
}

#[test]
fn a_silent_connection_stays_so_and_a_new_one_is_heard() {
    let (proxy, mut near, mut far, listener) = connection();
    proxy.set(Way::There, Weather::Silent);
    swallowed(&proxy, &mut near, &mut far, b"lost");
    assert_eq!(sent(&mut far, &mut near, b"heard"), b"heard", "half of it is open");
    proxy.set(Way::There, Weather::Clear);
    swallowed(&proxy, &mut near, &mut far, b"lost");
    let mut new = TcpStream::connect(proxy.address()).expect("connected");
    let (mut other, _) = listener.accept().expect("passed on");
    assert_eq!(sent(&mut new, &mut other, b"new"), b"new");
    assert_eq!(proxy.done().swallowed, 8);
}

#[test]
fn delay_and_throttle_take_their_time() {
    let (proxy, mut near, mut far, _listener) = connection();
    for (weather, bytes) in [(Weather::Delay(150), 10), (Weather::Throttle(10_000), 1_500)] {
        proxy.set(Way::There, weather);
        let begun = Instant::now();
        sent(&mut near, &mut far, &vec![1; bytes]);
        assert!(begun.elapsed() >= Duration::from_millis(140), "{weather:?}: {:?}", begun.elapsed());
    }
}
