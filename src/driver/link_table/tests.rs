//! The life of links, over real sockets and with the tasks' reports made by hand.

use bytes::Bytes;
use tokio::net::TcpListener;

use super::*;
use crate::driver::tokio_host::TokioHost;
use crate::types::message::Heartbeat;

const N2: NodeId = NodeId(2);
const LINK: LinkId = LinkId::dialled(1);
const BYTES_MAX: u64 = 1_000;

/// A table that is connected to a listener under `link>1`, and what its tasks report.
struct Rig {
    table: LinkTable<TokioHost>,
    events: mpsc::Receiver<LinkEvent<TokioHost>>,
    listener: TcpListener,
}

impl Rig {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (reports, events) = mpsc::channel(16);
        let options = LinkOptions { keepalive: ::core::time::Duration::from_secs(10) };
        let addresses = BTreeMap::from([(N2, address)]);
        Self {
            table: LinkTable::new(TokioHost::new(), addresses, options, BYTES_MAX, reports, Arc::default()),
            events,
            listener,
        }
    }

    async fn connected() -> Self {
        let mut rig = Self::new().await;
        assert_eq!(rig.table.connect(LINK, N2), None);
        let event = rig.events.recv().await.expect("the table holds a sender");
        assert_eq!(rig.table.on_event(event, Time(0)), Some(Event::LinkUp { link: LINK }));
        rig
    }

    fn report(&mut self, event: LinkEvent<TokioHost>) -> Option<Event> {
        self.table.on_event(event, Time(0))
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

fn message() -> Message {
    Message::Heartbeat(Heartbeat { sent: Time(1), commits: Vec::new() })
}

fn received() -> LinkEvent<TokioHost> {
    LinkEvent::Received { link: LINK, bytes: Bytes::from_static(b"bytes") }
}

fn read_ended() -> LinkEvent<TokioHost> {
    LinkEvent::ReadEnded { link: LINK, reason: "ended".into() }
}

fn write_failed() -> LinkEvent<TokioHost> {
    LinkEvent::WriteEnded { link: LINK, failure: Some("broken".into()) }
}

#[test]
fn a_peer_without_an_address_is_down_at_once() {
    run(async {
        let mut rig = Rig::new().await;
        let event = rig.table.connect(LINK, NodeId(9));
        assert_eq!(event, Some(lost(LINK, "no address for n9; add it under `peers`".into())));
        assert!(rig.table.is_empty());
    });
}

#[test]
fn a_dial_that_was_closed_becomes_no_link() {
    run(async {
        let mut rig = Rig::new().await;
        assert_eq!(rig.table.connect(LINK, N2), None);
        let event = rig.events.recv().await.expect("the table holds a sender");
        rig.table.close(LINK, Time(0));
        assert!(matches!(event, LinkEvent::Connected { .. }));
        assert_eq!(rig.report(event), None);
        assert!(rig.table.is_empty());
    });
}

#[test]
fn a_link_goes_down_once() {
    run(async {
        let mut rig = Rig::connected().await;
        assert_eq!(rig.report(read_ended()), Some(lost(LINK, "ended".into())));
        assert_eq!(rig.report(read_ended()), None);
        assert_eq!(rig.report(write_failed()), None);
        assert_eq!(rig.report(received()), None);
        assert_eq!(rig.table.expire(Time::MAX), None);
    });
}

#[test]
fn a_writer_that_failed_leaves_the_reader_time_for_the_last_words() {
    run(async {
        let mut rig = Rig::connected().await;
        assert_eq!(rig.report(write_failed()), None);
        assert!(matches!(rig.report(received()), Some(Event::BytesReceived { .. })));
        assert_eq!(rig.report(read_ended()), Some(lost(LINK, "broken".into())));

        let mut rig = Rig::connected().await;
        assert_eq!(rig.report(write_failed()), None);
        let deadline = rig.table.next_deadline().expect("it does not wait for ever");
        assert_eq!(rig.table.expire(deadline), Some(lost(LINK, "broken".into())));
        assert_eq!(rig.report(read_ended()), None);
    });
}

#[test]
fn nothing_is_told_of_a_link_that_was_closed() {
    run(async {
        let mut rig = Rig::connected().await;
        rig.table.close(LINK, Time(0));
        assert_eq!(rig.report(received()), None);
        assert_eq!(rig.report(LinkEvent::Drained { link: LINK, bytes: 1 }), None);
        assert_eq!(rig.report(read_ended()), None);
        assert!(!rig.table.is_empty(), "it may still be writing");
        assert_eq!(rig.report(LinkEvent::WriteEnded { link: LINK, failure: None }), None);
        assert!(rig.table.is_empty());
    });
}

#[test]
fn a_closing_link_is_gone_after_a_while() {
    run(async {
        let mut rig = Rig::connected().await;
        rig.table.close(LINK, Time(5));
        let deadline = rig.table.next_deadline().expect("it does not wait for ever");
        assert_eq!(rig.table.expire(Time(deadline.0 - 1)), None);
        assert!(!rig.table.is_empty());
        assert_eq!(rig.table.expire(deadline), None);
        assert!(rig.table.is_empty());
    });
}

#[test]
fn a_link_whose_queue_is_full_is_down() {
    run(async {
        let mut rig = Rig::connected().await;
        let mut sent = 0;
        let event = loop {
            sent += 32;
            if let Some(event) = rig.table.send(LINK, &message()) {
                break event;
            }
            assert!(sent <= BYTES_MAX, "the limit holds");
        };
        assert!(sent > BYTES_MAX, "{sent} bytes are not too many");
        let words = alloc::format!("{sent} bytes wait to leave, expected at most {BYTES_MAX}");
        assert_eq!(event, lost(LINK, words));
        assert!(rig.table.is_empty());
    });
}

#[test]
fn bytes_that_left_make_room_in_the_queue() {
    run(async {
        let mut rig = Rig::connected().await;
        let (mut peer, _) = rig.listener.accept().await.expect("the table dialled");
        for _ in 0..200 {
            assert_eq!(rig.table.send(LINK, &message()), None);
            rig.table.flush();
            let event = rig.events.recv().await.expect("the table holds a sender");
            assert_eq!(rig.report(event), Some(Event::LinkDrained { link: LINK, bytes: 32 }));
        }
        let mut bytes = alloc::vec![0; 200 * 32];
        tokio::io::AsyncReadExt::read_exact(&mut peer, &mut bytes).await.expect("all of it left");
    });
}

#[test]
fn accepted_links_are_numbered_and_counted() {
    run(async {
        let mut rig = Rig::connected().await;
        for n in 1..=2 {
            let halves = rig.halves().await;
            assert_eq!(rig.table.accept(halves), Event::LinkUp { link: LinkId::accepted(n) });
        }
        assert_eq!(rig.table.accepted_now(), 2);
        rig.table.on_event(LinkEvent::ReadEnded { link: LinkId::accepted(1), reason: String::new() }, Time(0));
        assert_eq!(rig.table.accepted_now(), 1);
        rig.table.close(LinkId::accepted(2), Time(0));
        assert_eq!(rig.table.accepted_now(), 1, "a closing one still counts");
        assert_eq!(rig.table.expire(Time::MAX), None);
        assert_eq!(rig.table.accepted_now(), 0);
    });
}

impl Rig {
    /// The halves of some connection.
    async fn halves(&self) -> Halves<TokioHost> {
        let address = self.listener.local_addr().expect("it is bound").to_string();
        let options = LinkOptions { keepalive: ::core::time::Duration::from_secs(10) };
        TokioHost::new().dial(&address, options).await.expect("it listens")
    }
}
