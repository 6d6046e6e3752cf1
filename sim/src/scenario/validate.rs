//! Which scenarios can be run.

use engraft::core::{Isolation, Promotion};
use engraft::types::{Incarnation, NodeId};
use serde::Deserialize;

use super::{Fault, FaultKind, SCENARIO_VERSION, Scenario};

/// Why a scenario cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScenarioError {
    /// The text is not of the form; the words name line and column.
    Form(String),
    /// A version that this build does not know.
    Version {
        /// The version there.
        found: u64,
    },
    /// A value that cannot be.
    Value {
        /// Where.
        place: String,
        /// What was expected.
        expected: String,
        /// What stood there.
        found: String,
    },
}

impl core::fmt::Display for ScenarioError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Form(words) => formatter.write_str(words.trim_end()),
            Self::Version { found } => write!(
                formatter,
                "`version`: expected {SCENARIO_VERSION}, found {found}; it was written for another build of the simulator"
            ),
            Self::Value { place, expected, found } => {
                write!(formatter, "`{place}`: expected {expected}, found {found}")
            }
        }
    }
}

impl core::error::Error for ScenarioError {}

#[derive(Deserialize)]
struct VersionOnly {
    version: Option<i64>,
}

pub(super) fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    // The version goes first: what a later one means by a field is not ours to refuse.
    let only: VersionOnly = toml::from_str(text).map_err(|error| ScenarioError::Form(error.to_string()))?;
    match only.version {
        Some(version) if version != i64::from(SCENARIO_VERSION) => {
            return Err(ScenarioError::Version { found: u64::try_from(version).unwrap_or_default() });
        }
        Some(_) | None => {}
    }
    let scenario: Scenario = toml::from_str(text).map_err(|error| ScenarioError::Form(error.to_string()))?;
    check(&scenario)?;
    Ok(scenario)
}

pub(super) fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
    if scenario.version != SCENARIO_VERSION {
        return Err(ScenarioError::Version { found: scenario.version.into() });
    }
    expect((1..=64).contains(&scenario.nodes), "nodes", "1 to 64", scenario.nodes)?;
    expect((1..=1024).contains(&scenario.spaces.len()), "spaces", "1 to 1024 spaces", scenario.spaces.len())?;
    spaces(scenario)?;
    let network = &scenario.network;
    let latencies = network.latency_min_us <= network.latency_max_us && network.latency_max_us <= HOUR_US;
    expect(latencies, "network.latency_max_us", "`latency_min_us` to an hour", network.latency_max_us)?;
    expect(network.socket_bytes >= 1024, "network.socket_bytes", "1024 or more", network.socket_bytes)?;
    for (index, clock) in scenario.clocks.iter().enumerate() {
        let place = format!("clocks[{index}]");
        node(scenario, &format!("{place}.node"), clock.node)?;
        expect(drift(clock.drift_ppm), &format!("{place}.drift_ppm"), DRIFT, clock.drift_ppm)?;
        expect(clock.offset_us <= HOUR_US, &format!("{place}.offset_us"), "0 to an hour", clock.offset_us)?;
    }
    loads(scenario)?;
    for (index, fault) in scenario.faults.iter().enumerate() {
        check_fault(scenario, &format!("faults[{index}]"), fault)?;
    }
    for (index, planted) in scenario.planted.iter().enumerate() {
        node(scenario, &format!("planted[{index}].node"), planted.node)?;
    }
    for id in &scenario.phases.quorum {
        node(scenario, "phases.quorum", *id)?;
    }
    expect(scenario.end().0 <= 24 * HOUR_US, "phases", "a day or less together", scenario.end())?;
    let config = scenario.replication_config(NodeId(1), Incarnation([0; 16]));
    config.validate().map_err(|error| ScenarioError::Value {
        place: format!("knobs.{}", error.key),
        expected: error.expected,
        found: error.found,
    })
}

const HOUR_US: u64 = 3_600_000_000;
const DRIFT: &str = "-200000 to 200000 millionths";

fn drift(ppm: i64) -> bool {
    (-200_000..=200_000).contains(&ppm)
}

fn spaces(scenario: &Scenario) -> Result<(), ScenarioError> {
    for (index, space) in scenario.spaces.iter().enumerate() {
        let place = format!("spaces[{index}]");
        node(scenario, &format!("{place}.primary"), space.primary)?;
        for voter in &space.voters {
            node(scenario, &format!("{place}.voters"), *voter)?;
        }
        let voters = format!("{place}.voters");
        expect(
            space.voters.contains(&space.primary),
            &voters,
            "the primary among them",
            format!("{:?}", space.voters),
        )?;
        let twice =
            (1..space.voters.len()).any(|at| space.voters.get(..at).unwrap_or_default().contains(&space.voters[at]));
        expect(!twice, &voters, "each node once", format!("{:?}", space.voters))?;
        let lifted = space.isolation == Isolation::Continue && space.promotion == Promotion::Automatic;
        let expected = "`exposure` or `stop` where promotion is automatic";
        expect(!lifted, &format!("{place}.isolation"), expected, "continue")?;
        let named = scenario.spaces.iter().filter(|other| other.name == space.name).count();
        expect(named == 1, &format!("{place}.name"), "a name of its own", &space.name)?;
    }
    Ok(())
}

fn loads(scenario: &Scenario) -> Result<(), ScenarioError> {
    for (index, load) in scenario.loads.iter().enumerate() {
        let place = format!("loads[{index}]");
        let known = scenario.spaces.iter().any(|space| space.name == load.space);
        expect(known, &format!("{place}.space"), "one of `spaces`", &load.space)?;
        if let Some(to) = load.to {
            node(scenario, &format!("{place}.to"), to)?;
        }
        expect(load.bytes_min <= load.bytes_max, &format!("{place}.bytes_max"), "`bytes_min` or more", load.bytes_max)?;
        expect(load.bytes_max <= 256 << 20, &format!("{place}.bytes_max"), "256 MiB or less", load.bytes_max)?;
        expect(load.every_us >= 1, &format!("{place}.every_us"), "1 or more", load.every_us)?;
        expect(load.burst >= 1, &format!("{place}.burst"), "1 or more", load.burst)?;
        expect(load.in_flight >= 1, &format!("{place}.in_flight"), "1 or more", load.in_flight)?;
        expect(load.reads_permille <= 1000, &format!("{place}.reads_permille"), "0 to 1000", load.reads_permille)?;
        expect(load.waits_permille <= 1000, &format!("{place}.waits_permille"), "0 to 1000", load.waits_permille)?;
    }
    Ok(())
}

/// What a kind of fault needs.
struct Needs {
    peer: Need,
    amount: Option<(i64, i64)>,
}

#[derive(PartialEq, Eq)]
enum Need {
    No,
    May,
    Must,
}

fn needs(kind: FaultKind) -> Needs {
    const SHARE: Option<(i64, i64)> = Some((1, 1000));
    let (peer, amount) = match kind {
        FaultKind::Partition | FaultKind::PartitionOneWay | FaultKind::Reset => (Need::May, None),
        FaultKind::HalfOpen | FaultKind::PauseReplica => (Need::Must, None),
        FaultKind::Delay => (Need::May, Some((1, 60_000_000))),
        FaultKind::FrameLoss
        | FaultKind::FrameDuplicate
        | FaultKind::FrameReorder
        | FaultKind::FrameStale
        | FaultKind::FrameCorrupt => (Need::May, SHARE),
        FaultKind::Split => (Need::May, Some((1, 1 << 20))),
        FaultKind::SlowLink => (Need::May, Some((1_000, 1 << 40))),
        FaultKind::Crash
        | FaultKind::Power
        | FaultKind::Shutdown
        | FaultKind::Wipe
        | FaultKind::Pause
        | FaultKind::SyncFails
        | FaultKind::LyingSync
        | FaultKind::Rot
        | FaultKind::Misdirect
        | FaultKind::StaleCompletion
        | FaultKind::OpenEpoch => (Need::No, None),
        FaultKind::Force => (Need::No, Some((0, 1))),
        FaultKind::ClockJump => (Need::No, Some((1, 3_600_000_000))),
        FaultKind::ClockDrift => (Need::No, Some((-200_000, 200_000))),
        FaultKind::DiskFull => (Need::No, Some((0, 1 << 40))),
        FaultKind::SlowDisk => (Need::No, Some((1, 100_000))),
    };
    Needs { peer, amount }
}

fn check_fault(scenario: &Scenario, place: &str, fault: &Fault) -> Result<(), ScenarioError> {
    node(scenario, &format!("{place}.node"), fault.node)?;
    let needs = needs(fault.kind);
    let peer = format!("{place}.peer");
    match fault.peer {
        Some(found) => {
            node(scenario, &peer, found)?;
            expect(needs.peer != Need::No, &peer, "none for this kind", found)?;
            expect(found != fault.node, &peer, "another node than `node`", found)?;
        }
        None => expect(needs.peer != Need::Must, &peer, "a node", "none")?,
    }
    let amount = format!("{place}.amount");
    match (needs.amount, fault.amount) {
        (Some((lowest, highest)), Some(found)) => {
            expect((lowest..=highest).contains(&found), &amount, &format!("{lowest} to {highest}"), found)?;
        }
        (Some((lowest, highest)), None) => expect(false, &amount, &format!("{lowest} to {highest}"), "none")?,
        (None, Some(found)) => expect(false, &amount, "none for this kind", found)?,
        (None, None) => {}
    }
    expect(fault.at_us <= 24 * HOUR_US, &format!("{place}.at_us"), "a day or less", fault.at_us)?;
    expect(fault.for_us.unwrap_or(0) <= 24 * HOUR_US, &format!("{place}.for_us"), "a day or less", fault.at_us)
}

fn node(scenario: &Scenario, place: &str, id: NodeId) -> Result<(), ScenarioError> {
    expect((1..=scenario.nodes).contains(&id.0), place, &format!("1 to {}", scenario.nodes), id)
}

fn expect(holds: bool, place: &str, expected: &str, found: impl core::fmt::Display) -> Result<(), ScenarioError> {
    if holds {
        return Ok(());
    }
    Err(ScenarioError::Value { place: place.to_owned(), expected: expected.to_owned(), found: found.to_string() })
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, FaultKind, Load, LoadAck, Scenario};
    use engraft::types::{NodeId, SpaceName};

    fn scenario() -> Scenario {
        let mut scenario = Scenario::quiet("one", 1, 3);
        scenario.faults.push(Fault::new(10, FaultKind::Delay, NodeId(1)).by(500).lasting(5));
        scenario.loads.push(Load {
            at_us: 0,
            space: SpaceName::new("orders").expect("a name"),
            to: None,
            entries: 3,
            burst: 1,
            every_us: 5,
            in_flight: 1,
            bytes_min: 0,
            bytes_max: 9,
            ack: LoadAck::Mixed,
            timeout_us: None,
            reads_permille: 0,
            waits_permille: 0,
            follows: false,
        });
        scenario
    }

    fn refused(text: &str) -> String {
        Scenario::parse(text).expect_err("refused").to_string()
    }

    #[test]
    fn text_gives_the_same_scenario_back() {
        let scenario = scenario();
        assert_eq!(Scenario::parse(&scenario.to_text()).expect("parses"), scenario);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let text = scenario().to_text();
        assert!(refused(&text.replace("version = 2", "version = 9")).contains("expected 2, found 9"));
        let unknown = refused(&text.replace("kind = \"delay\"", "kind = \"delay\"\ncolour = 1"));
        assert!(unknown.contains("colour") && unknown.contains("line"), "{unknown}");
        let negative = refused(&text.replace("at_us = 10", "at_us = -10"));
        assert!(negative.contains("-10") && negative.contains("line"), "{negative}");
        let missing = refused(&text.replace("amount = 500\n", ""));
        assert!(missing.contains("faults[0].amount"), "{missing}");
        let outside = refused(&text.replace("voters = [1, 2, 3]", "voters = [1, 2, 4]"));
        assert!(outside.contains("spaces[0].voters") && outside.contains("n4"), "{outside}");
        let knob = refused(&format!("{text}\n[knobs]\nbatch_entries = 0\n"));
        assert!(knob.contains("knobs.batch_entries"), "{knob}");
    }
}
