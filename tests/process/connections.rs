//! Connections of clients: bounded in number and in time, whatever clients do with them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::support::{PATIENCE, Server, alone, eventually};

const ENTRIES: &str = "/v1/spaces/orders/entries";

fn node(limits: &str) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &alone(directory.path(), &format!("[clients]\n{limits}")));
    server.wait_for_primary();
    (directory, server)
}

fn connect(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.http()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(bytes).expect("sent");
    stream
}

/// What comes until the node ends the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn clients_that_never_end_their_requests_cannot_take_the_descriptors() {
    let (_directory, server) = node("connections_max = 5\nhead_timeout = \"1h\"\n");
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", server.id())).expect("a list").count();
    // Those of the connections until now are gone once no further one ends.
    let before = eventually("quiet", || {
        let (first, second) = (descriptors(), descriptors());
        let closed = server.get("/livez").status == 200 && first == second;
        if closed { Ok(first) } else { Err(first.to_string()) }
    });
    let slow: Vec<TcpStream> = (0..60).map(|_| connect(&server, b"GET /livez HTTP/1.1\r\nhost: sl")).collect();
    eventually("as many as may be", || match descriptors() {
        count if count >= before + 4 => Ok(()),
        count => Err(count.to_string()),
    });
    for _ in 0..100 {
        let count = descriptors();
        assert!(count <= before + 6, "{before} descriptors became {count}");
        std::thread::sleep(core::time::Duration::from_millis(2));
    }
    drop(slow);
    assert_eq!(server.get("/livez").status, 200, "there is room again");
}

#[test]
fn whoever_waits_for_a_connection_gets_it_when_slow_and_idle_ones_are_closed() {
    let (_directory, server) = node("connections_max = 2\nhead_timeout = \"500ms\"\n");
    for _ in 0..3 {
        let slow = connect(&server, b"GET /livez HTTP/1.1\r\nhost: sl");
        let idle = connect(&server, b"GET /livez HTTP/1.1\r\nhost: idle\r\n\r\n");
        assert_eq!(server.get("/livez").status, 200, "it came after both");
        assert!(!rest(slow).contains(" 200 "), "it was never a request");
        assert!(rest(idle).starts_with("HTTP/1.1 200 "), "it was answered, then closed");
    }
}

#[test]
fn a_client_that_does_not_read_its_answer_loses_the_connection() {
    let (_directory, server) = node("connections_max = 1\nwrite_timeout = \"300ms\"\n");
    // More than what the system keeps of a connection's bytes.
    for _ in 0..3 {
        assert_eq!(server.post(ENTRIES, &vec![7; 8 << 20]).status, 200);
    }
    let request = format!("GET {ENTRIES}?from=2&max=1 HTTP/1.1\r\nhost: test\r\n\r\n").repeat(3);
    let deaf = connect(&server, request.as_bytes());
    assert_eq!(server.get("/livez").status, 200, "it came after the one that does not read");
    let got = rest(deaf).len();
    assert!(got < 3 * (8 << 20), "{got}");
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let (_directory, server) = node("head_bytes_max = \"8KiB\"\n");
    let head = |size: usize| {
        let request =
            format!("GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx: {}\r\n\r\n", "x".repeat(size));
        rest(connect(&server, request.as_bytes()))
    };
    assert!(head(4_000).starts_with("HTTP/1.1 200 "));
    assert!(!head(100_000).contains(" 200 "));
    assert_eq!(server.get("/livez").status, 200);
}
