//! What is drawn from a seed, and a bug that is put into it on purpose, so that finding one can be seen.

use core::fmt;

use clap::Args;
use engraft_sim::Scenario;
use engraft_sim::scenario::{Planted, PlantedKind};

/// Which scenario a seed stands for, and which bug every node has.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SwarmOption {
    /// Draw scenarios in which primaries are replaced again and again.
    #[arg(long)]
    elections: bool,
    /// Put this bug into every node, to see it found: a `kind` of a scenario's `[[planted]]`.
    #[arg(long = "planted", value_parser = kind)]
    kind: Option<PlantedKind>,
}

impl SwarmOption {
    /// The scenario of a seed, with the bug in it.
    pub(crate) fn scenario(self, seed: u64) -> Scenario {
        let mut scenario = if self.elections { Scenario::elections(seed) } else { Scenario::swarm(seed) };
        self.put_into(&mut scenario);
        scenario
    }

    /// Whether the scenarios are those in which primaries are replaced again and again.
    pub(crate) const fn is_elections(self) -> bool {
        self.elections
    }

    pub(crate) fn put_into(self, scenario: &mut Scenario) {
        let Some(kind) = self.kind else { return };
        scenario.planted = scenario.node_ids().map(|node| Planted { kind, node }).collect();
    }
}

/// As it stands behind a command line.
impl fmt::Display for SwarmOption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.elections {
            formatter.write_str(" --elections")?;
        }
        let Some(kind) = self.kind else { return Ok(()) };
        let name = serde_json::to_value(kind).unwrap_or_default();
        write!(formatter, " --planted {}", name.as_str().unwrap_or_default())
    }
}

fn kind(text: &str) -> Result<PlantedKind, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}
