//! A node as a service: one process to a directory, told when it is ready, stopped in good order, sparing with links.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use engraft::driver::tokio_host::TokioHost;
use engraft::driver::{Host, LinkOptions};
use socket2::SockRef;

use super::support::{Server, alone, code, engraft, stderr, stdout};
use super::trio::Trio;

const ENTRIES: &str = "/v1/spaces/orders/entries";

/// Passes connections on to an address, and counts them.
struct Proxy {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (connections, bytes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, passed) = (Arc::clone(&connections), Arc::clone(&bytes));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(client), Ok(server)) = (stream, TcpStream::connect(to)) else { continue };
                counted.fetch_add(1, Ordering::SeqCst);
                for (from, into) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut into) = (from.try_clone().expect("a copy"), into.try_clone().expect("a copy"));
                    let passed = Arc::clone(&passed);
                    std::thread::spawn(move || {
                        let mut buffer = [0; 65_536];
                        while let Ok(size @ 1..) = from.read(&mut buffer) {
                            passed.fetch_add(size, Ordering::SeqCst);
                            if into.write_all(&buffer[..size]).is_err() {
                                break;
                            }
                        }
                        let _ = into.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { address, connections, bytes }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[test]
fn a_link_is_one_connection_however_many_batches_it_carries() {
    let mut trio = Trio::prepare();
    // A link is silent for so long on no machine, however slow: one that is would be dialled again.
    trio.configure(
        "[replication]\nelection_timeout_min = \"10s\"\nelection_timeout_max = \"20s\"\nalone_after = \"20s\"\n",
    );
    let proxies = [(1, 2), (2, 1)].map(|(from, to)| {
        let proxy = Proxy::start(trio.listen(to));
        trio.dial(from, to, proxy.address);
        proxy
    });
    // The one that accepts is there before the one that dials, so that no dial is in vain.
    for node in [2, 3, 1] {
        trio.start_node(node);
    }
    trio.wait_until_healthy();
    let connections = || proxies.iter().map(Proxy::connections).sum::<usize>();
    let at_first = connections();
    assert!((1..=2).contains(&at_first), "a connection from each end at most: {at_first}");
    let sent = |node: usize| {
        let replica = &trio.node(1).get("/v1/status").json()["spaces"][0]["replicas"][node - 2];
        replica["batches_sent"].as_u64().expect("a number")
    };
    let before = sent(2);
    for _ in 0..200 {
        assert_eq!(trio.node(1).post(&format!("{ENTRIES}?ack=all"), &[b'x'; 1_000]).status, 200);
    }
    assert!(sent(2) >= before + 200, "each was answered before the next was sent, so each is a batch of its own");
    assert!(
        proxies.iter().map(|proxy| proxy.bytes.load(Ordering::SeqCst)).sum::<usize>() > 200_000,
        "they came this way"
    );
    assert_eq!(connections(), at_first, "no batch has made a connection of its own");
}

#[test]
fn links_wait_for_nothing_and_notice_a_peer_that_is_gone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let host = TokioHost::new();
        let options = LinkOptions { keepalive: Duration::from_secs(7) };
        let mut listener = host.listen("127.0.0.1:0").await.expect("it listens");
        let address = host.listen_address(&listener).expect("an address").to_string();
        let (dialled, accepted) = tokio::join!(host.dial(&address, options), host.accept(&mut listener, options));
        for (reader, _writer) in [dialled.expect("dialled"), accepted.expect("accepted")] {
            let stream: &tokio::net::TcpStream = reader.as_ref();
            assert!(stream.nodelay().expect("an option"));
            let socket = SockRef::from(stream);
            assert!(socket.keepalive().expect("an option"));
            assert_eq!(socket.tcp_keepalive_time().expect("an option"), Duration::from_secs(7));
            assert_eq!(socket.tcp_keepalive_interval().expect("an option"), Duration::from_secs(7));
        }
    });
}

#[test]
fn a_second_process_is_kept_out_of_a_data_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let configuration = alone(directory.path(), "");
    let mut first = Server::start(directory.path(), &configuration);
    first.wait_for_primary();
    let serve = || {
        let config = directory.path().join("node.toml");
        // Were it let in, it would end with its stdin, and by another exit code.
        let mut command = engraft();
        command.args(["serve", "--stop-with-stdin", "--config"]).arg(config).stdin(std::process::Stdio::null());
        command.output().expect("it runs")
    };
    let second = serve();
    assert_eq!((code(&second), stdout(&second).as_str()), (Some(1), ""), "{}", stderr(&second));
    let said = stderr(&second);
    assert!(said.contains("in use by another process") && said.contains("data"), "{said}");
    assert_eq!(first.post(ENTRIES, b"still here").json()["sequence"], 2, "the first one is not disturbed");
    // The lock is the process's, not the file's: a kill leaves nothing behind that keeps the next one out.
    first.signal("KILL");
    assert_eq!(first.wait(), None);
    let third = Server::start(directory.path(), &configuration);
    third.wait_for_primary();
    assert_eq!(third.post(ENTRIES, b"next").json()["sequence"], 4);
}

#[test]
fn whoever_supervises_it_is_told_when_it_is_ready_and_when_it_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(super::support::PATIENCE)).expect("set");
    let receive = || {
        let mut buffer = [0; 256];
        let size = socket.recv(&mut buffer).expect("a word");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    };
    let mut command = engraft();
    command.env("NOTIFY_SOCKET", &path);
    let mut server = Server::start_with(command, directory.path(), &alone(directory.path(), ""));
    assert_eq!(receive(), "READY=1\n");
    assert_eq!(server.get("/livez").status, 200, "it is ready when it says so");
    server.signal("TERM");
    assert_eq!(receive(), "STOPPING=1\n");
    assert_eq!(server.wait(), Some(0));

    let mut command = engraft();
    command.env("NOTIFY_SOCKET", directory.path().join("nobody"));
    let mut server = Server::start_with(command, directory.path(), &alone(directory.path(), ""));
    server.close_stdin();
    assert_eq!(server.wait(), Some(0), "nobody's listening is no failure");
}

/// Every user's entry of a log on disk, by sequence.
fn on_disk(data: &Path) -> BTreeMap<u64, String> {
    let output = engraft().args(["wal", "inspect", "--json", "--payload"]).arg(data).output().expect("it runs");
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    lines
        .filter(|line| line["control"].is_null())
        .map(|line| (line["sequence"].as_u64().expect("a number"), line["payload"].as_str().expect("text").to_owned()))
        .collect()
}

#[test]
fn a_stop_under_load_keeps_every_entry_that_was_acknowledged() {
    use base64::Engine;
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path(), &alone(directory.path(), ""));
    server.wait_for_primary();
    let (http, stopped) = (server.http().to_owned(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (http, stopped) = (http.clone(), Arc::clone(&stopped));
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let payload = format!("{client}-{number}");
                    let Some(sequence) = try_append(&http, &payload) else { continue };
                    acknowledged.push((sequence, base64::engine::general_purpose::STANDARD.encode(payload)));
                }
                acknowledged
            })
        })
        .collect();
    super::support::eventually("a load", || {
        let end = server.get("/v1/status").json()["spaces"][0]["end"].as_u64().unwrap_or(0);
        if end > 100 { Ok(()) } else { Err(end.to_string()) }
    });
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    stopped.store(true, Ordering::SeqCst);
    let acknowledged: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("it ends")).collect();
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let found = on_disk(&directory.path().join("data"));
    for (sequence, payload) in &acknowledged {
        assert_eq!(found.get(sequence), Some(payload), "#{sequence} was acknowledged");
    }
    let output = engraft().args(["wal", "verify"]).arg(directory.path().join("data")).output().expect("it runs");
    assert_eq!(code(&output), Some(0), "{}", stdout(&output));
}

/// The sequence of an entry that was acknowledged.
fn try_append(http: &str, payload: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(http).ok()?;
    let size = payload.len();
    let request = format!(
        "POST {ENTRIES} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n{payload}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200") {
        return None;
    }
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    body["sequence"].as_u64()
}
