//! A node on its own: append an entry, read it back, stop. Run it again: what was appended before is still there.

use engraft::{Ack, Engraft, Sequence, SpaceOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "shop-data".into());
    let node = Engraft::builder(1, "shop").data_dir(directory).space(SpaceOptions::new("orders")).start().await?;
    let orders = node.space("orders")?;

    let receipt = orders.append("two apples").ack(Ack::Quorum).await?;
    println!("committed as {}", receipt.sequence());

    let mut entries = orders.subscribe(Sequence::ZERO);
    while entries.at() <= receipt.sequence() {
        let Some(entry) = entries.next().await.transpose()? else { break };
        println!("{} {}", entry.header.sequence(), String::from_utf8_lossy(&entry.payload));
    }
    node.shutdown().await;
    Ok(())
}
