//! An engine of yours under crashes, lost writes and partitions: one that holds, and one that loses count.
//!
//! `cargo run --example simulate_your_engine` runs both over some seeds; with the path of a scenario file behind `--` it
//! runs that scenario on the second one.
#![expect(clippy::std_instead_of_alloc, reason = "written as its users write")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice};
use std::path::PathBuf;

use engraft::wal::{Access, Disk, DiskFile};
use engraft::{ApplyError, Entry, Sequence, StateMachine};
use engraft_sim::embed::{Failure, Place};
use engraft_sim::{Engine, Simulation, digest};

type Stock = BTreeMap<String, i64>;

/// How many of each goods there are, kept in a file together with the entry up to which it counts.
struct Warehouse<D> {
    disk: D,
    directory: PathBuf,
    stock: Stock,
    applied: Sequence,
    /// The bug: the stock is saved with each entry, and how far it counts only with the next flush.
    saves_apart: bool,
}

impl<D: Disk> Warehouse<D> {
    fn open(disk: D, directory: PathBuf, saves_apart: bool) -> Result<Self, ApplyError> {
        let mut house = Self { disk, directory, stock: Stock::new(), applied: Sequence::ZERO, saves_apart };
        for line in house.load("stock")?.lines().chain(house.load("applied")?.lines()) {
            match line.split_once(' ').ok_or("expected two words")? {
                ("applied", sequence) => house.applied = Sequence(sequence.parse()?),
                (goods, count) => drop(house.stock.insert(goods.into(), count.parse()?)),
            }
        }
        Ok(house)
    }

    fn load(&self, name: &str) -> Result<String, ApplyError> {
        let file = match self.disk.open(&self.directory.join(name), Access::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
            file => file?,
        };
        let mut bytes = vec![0; usize::try_from(file.size()?)?];
        file.read_at(&mut bytes, 0)?;
        Ok(String::from_utf8(bytes)?)
    }

    /// The old file or the new one, whenever the power fails.
    fn save(&self, name: &str, text: &str) -> Result<(), ApplyError> {
        let (new, path) = (self.directory.join("new"), self.directory.join(name));
        match self.disk.remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let file = self.disk.open(&new, Access::CreateNew)?;
        file.write_at(&[IoSlice::new(text.as_bytes())], 0)?;
        file.sync()?;
        self.disk.rename(&new, &path)?;
        Ok(self.disk.sync_directory(&self.directory)?)
    }

    fn stock_text(&self) -> String {
        self.stock.iter().map(|(goods, count)| format!("{goods} {count}\n")).collect()
    }
}

impl<D: Disk> StateMachine for Warehouse<D> {
    fn applied(&self) -> Sequence {
        self.applied
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        let (goods, count) = str::from_utf8(&entry.payload)?.split_once(' ').ok_or("expected goods and a count")?;
        *self.stock.entry(goods.into()).or_default() += count.parse::<i64>()?;
        self.applied = entry.header.sequence();
        if self.saves_apart { self.save("stock", &self.stock_text()) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ApplyError> {
        let applied = format!("applied {}\n", self.applied.0);
        if self.saves_apart {
            self.save("applied", &applied)
        } else {
            self.save("stock", &(self.stock_text() + &applied))
        }
    }
}

impl<D: Disk> Engine for Warehouse<D> {
    fn digest(&self) -> u64 {
        digest(&self.stock)
    }
}

fn simulation(saves_apart: bool) -> Simulation<Warehouse<impl Disk>> {
    Simulation::new(move |place: &Place| Warehouse::open(place.disk.clone(), place.directory.clone(), saves_apart))
        .workload(|ask| format!("{} {}", ["apples", "pears"][usize::from(ask.draw(0, 2) > 0)], 1 + ask.draw(1, 9)))
        .invariant("goods are not negative", |engines| {
            let negative = engines.iter().find(|state| state.engine.stock.values().any(|count| *count < 0));
            negative.map_or(Ok(()), |state| Err(format!("{} has {:?}", state.node, state.engine.stock)))
        })
}

fn main() -> Result<(), Failure> {
    if let Some(path) = std::env::args().nth(1) {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        return simulation(true).replay(&text).map(|_| println!("{path} holds"));
    }
    let held = simulation(false).sweep(0..4)?;
    println!("the good one holds: {} seeds, {} events", held.seeds, held.events);
    match simulation(true).sweep(0..4) {
        Ok(_) => println!("the other one was not found out"),
        Err(failure) => println!("the other one does not:\n\n{failure}"),
    }
    Ok(())
}
