//! Three nodes in one process, each with a stock of goods that follows from the log.
#![expect(clippy::std_instead_of_alloc, reason = "written as its users write")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use engraft::{Ack, ApplyError, Engraft, Entry, Sequence, SpaceOptions, StateMachine};

type Stock = Arc<Mutex<BTreeMap<String, i64>>>;

struct Warehouse(Stock);

impl StateMachine for Warehouse {
    /// The stock is kept in memory only: each start begins with the first entry.
    fn applied(&self) -> Sequence {
        Sequence::ZERO
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        let (goods, count) = str::from_utf8(&entry.payload)?.split_once(' ').ok_or("expected goods and a count")?;
        let count: i64 = count.parse()?;
        *self.0.lock().map_err(|_| "a reader panicked")?.entry(goods.into()).or_default() += count;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "warehouse-data".into());
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let addresses = [(1, free()?), (2, free()?), (3, free()?)];

    let mut nodes = Vec::new();
    for (id, address) in addresses {
        let stock = Stock::default();
        let space = SpaceOptions::new("stock").primary(1).ack(Ack::Quorum).state(Warehouse(Arc::clone(&stock)));
        let mut builder = Engraft::builder(id, "warehouse").data_dir(format!("{directory}/{id}"));
        builder = builder.listen(address.to_string()).space(space);
        for (peer, address) in addresses.iter().filter(|(peer, _)| *peer != id) {
            builder = builder.peer(*peer, address.to_string());
        }
        nodes.push((builder.start().await?, stock));
    }

    let receipts = nodes[0].0.space("stock")?.append_all(["apples 7", "pears 3", "apples -2"]).await;
    let last = receipts.into_iter().last().ok_or("nothing was appended")??.token();
    for (node, stock) in &nodes {
        node.space("stock")?.wait_for(last).await?;
        println!("{:?}", stock.lock().map_err(|_| "an engine panicked")?);
    }
    for (node, _) in &nodes {
        node.shutdown().await;
    }
    Ok(())
}
