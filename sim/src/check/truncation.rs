//! What is taken out of a log, and where it must stand before.

use std::path::Path;

use engraft::types::{Epoch, Sequence};
use engraft::wal::salvage::SALVAGE;

use super::log::{Dropped, records};
use super::{Checks, Invariant, SpaceIndex};
use crate::disk::SimDisk;
use crate::queue::NodeIndex;

/// The size of a salvage file's header; entries follow.
const SALVAGE_HEADER: u64 = 192;

impl Checks {
    /// Entries are gone from a log: none of them is committed, and those that were durable are saved.
    pub(super) fn dropped(&mut self, node: NodeIndex, space: SpaceIndex, disk: &SimDisk, dropped: Option<Dropped>) {
        let Some(dropped) = dropped else { return };
        let at = &self.spaces[space];
        let lineage = at.universe.lineage_of(dropped.epoch);
        let damage = at.logs[node].damage;
        let Some(durable_last) = dropped.durable_last else {
            // A weak mode had acknowledged it all the same; only what an election decided against may go.
            let decided = at.elects
                && at.universe.committed_at(lineage, dropped.first).is_none_or(|(epoch, _)| epoch != dropped.epoch);
            self.spaces[space].logs[node].damage.forgot |= self.spaces[space].is_weak() && !decided;
            return;
        };
        if damage.anything || damage.rotten.is_some_and(|rotten| rotten <= durable_last) {
            return;
        }
        let Dropped { first, last, epoch, .. } = dropped;
        // One that is not the committed entry of its sequence has none behind it that is.
        let is_committed = at.universe.committed_at(lineage, first).is_some_and(|(committed, _)| committed == epoch);
        // A forced start takes over what is committed in the lineage before, at whoever has promised it.
        let promised = at.views[node].saved.generation();
        let over = at.universe.lineages_without(lineage.generation(), first, epoch);
        let taken_over = over.iter().any(|lineage| lineage.generation() <= promised);
        if is_committed && !taken_over {
            let committed = at.universe.committed(lineage);
            self.violated(Invariant::S8, Some(node), Some(space), || {
                format!("{epoch}{first} to {last} are gone, and {committed} is committed")
            });
            return;
        }
        let saved = saved(disk, at.name.as_str());
        let missing = dropped.durable.iter().find(|entry| !saved.contains(entry)).copied();
        if let Some((epoch, sequence)) = missing {
            let (invariant, saved) = (if at.elects { Invariant::S13 } else { Invariant::S5 }, saved.len());
            self.violated(invariant, Some(node), Some(space), || {
                format!("{epoch}{sequence} was durable and is gone, and is not among {saved} that are saved")
            });
            return;
        }
        let cut = first.previous();
        let at = &mut self.spaces[space];
        let log = &mut at.logs[node];
        log.durable_before = log.durable_before.min(cut);
        let view = &mut at.views[node];
        view.cut = Some(view.cut.map_or(cut, |before| before.min(cut)));
    }
}

/// The entries in the salvage files of a space that a crash would leave as they are.
fn saved(disk: &SimDisk, space: &str) -> Vec<(Epoch, Sequence)> {
    let mut saved = Vec::new();
    for (path, file) in disk.paths() {
        if is_salvage(&path, space) && disk.name_is_durable(file) && disk.file_is_durable(file) {
            disk.with_bytes(file, |bytes| {
                saved.extend(records(bytes, SALVAGE_HEADER));
            });
        }
    }
    saved
}

fn is_salvage(path: &Path, space: &str) -> bool {
    let named = |path: Option<&Path>, name: &str| path.and_then(Path::file_name).is_some_and(|found| found == name);
    let directory = path.parent();
    path.extension().is_some_and(|extension| extension == "log")
        && named(directory, space)
        && named(directory.and_then(Path::parent), SALVAGE)
}
