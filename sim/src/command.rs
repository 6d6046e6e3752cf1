//! The commands. Results go to stdout, progress and reasons to stderr.
//!
//! Exit codes: 0 nothing is broken, 1 an invariant is or a sweep never met what it should have, 2 the command line is
//! wrong, 3 a scenario cannot be run, 130 a sweep was interrupted before it found anything.

mod interrupt;
mod measure;
mod output;
mod seeds;
mod swarm;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engraft_sim::mark::Mark;
use engraft_sim::minimise::minimise;
use engraft_sim::sweep::{SweepPlan, sweep};
use engraft_sim::{Scenario, Watch, render, run};
use indicatif::{ProgressBar, ProgressStyle};

use measure::{Measured, measure};
use seeds::Seeds;
use swarm::SwarmOption;

/// How long a minimising goes on that `sweep` begins.
const MINIMISE_MAX: Duration = Duration::from_secs(60);

#[derive(Parser)]
#[command(name = "engraft-sim", version, about = "Every fault from a seed")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the scenario of a seed, or of a file.
    Run {
        /// The seed.
        #[arg(long, required_unless_present = "file", conflicts_with = "file")]
        seed: Option<u64>,
        /// The scenario file.
        file: Option<PathBuf>,
        /// Print every event.
        #[arg(long)]
        trace: bool,
        #[command(flatten)]
        swarm: SwarmOption,
    },
    /// Run many seeds until one breaks something, and minimise that one.
    Sweep {
        /// Which seeds, as `A..B`; from 0 without an end where it is not given.
        #[arg(long)]
        seeds: Option<Seeds>,
        /// For how many minutes at most.
        #[arg(long, value_parser = minutes)]
        minutes: Option<Duration>,
        /// How many at once; as many as there are processors where it is not given.
        #[arg(long)]
        jobs: Option<core::num::NonZero<usize>>,
        /// Where the minimised scenario is written.
        #[arg(long, default_value = "tests/scenarios")]
        directory: PathBuf,
        #[command(flatten)]
        swarm: SwarmOption,
    },
    /// Take out of a failing scenario whatever the failure does not need.
    Minimise {
        /// The scenario file, or `seed:N`, or `elections:N`.
        file: String,
        /// For how many seconds at most.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Where the result is written; stdout where it is not given.
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Measure elections over many seeds; fails where a number is out of its bounds.
    Measure {
        #[command(subcommand)]
        measured: Measured,
        /// How many at once; as many as there are processors where it is not given.
        #[arg(long, global = true)]
        jobs: Option<core::num::NonZero<usize>>,
    },
    /// Print a scenario: what is built, what is asked, what goes wrong.
    Show {
        /// The scenario file, or `seed:N`, or `elections:N`.
        file: String,
    },
}

/// Why a command came to nothing.
enum Failure {
    Broken,
    Interrupted(String),
    Short(Vec<String>),
    Scenario(String),
}

pub(crate) fn main() -> ExitCode {
    let line = CommandLine::parse();
    let json = line.json;
    let done = match line.command {
        Command::Run { seed, file, trace, swarm } => command_run(seed, file.as_deref(), trace, swarm, json),
        Command::Sweep { seeds, minutes, jobs, directory, swarm } => {
            let jobs = jobs.map_or_else(processors, core::num::NonZero::get);
            let seeds = seeds.unwrap_or(Seeds { from: 0, to: u64::MAX });
            let plan = SweepPlan { from: seeds.from, to: seeds.to, time_max: minutes, jobs };
            command_sweep(&plan, swarm, &directory, json)
        }
        Command::Minimise { file, seconds, to } => command_minimise(&file, seconds, to.as_deref(), json),
        Command::Measure { measured, jobs } => command_measure(&measured, jobs, json),
        Command::Show { file } => load(&file).map(|scenario| output::show(&scenario, json)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Broken) => ExitCode::from(1),
        Err(Failure::Short(words)) => {
            for word in words {
                eprintln!("{word}");
            }
            ExitCode::from(1)
        }
        Err(Failure::Interrupted(words)) => {
            eprintln!("{words}");
            ExitCode::from(130)
        }
        Err(Failure::Scenario(words)) => {
            eprintln!("{words}");
            ExitCode::from(3)
        }
    }
}

fn load(file: &str) -> Result<Scenario, Failure> {
    if let Some((kind, seed)) = file.split_once(':').filter(|(kind, _)| ["seed", "elections"].contains(kind)) {
        let seed =
            seed.parse().map_err(|_| Failure::Scenario(format!("{file}: expected a number behind `{kind}:`")))?;
        return Ok(if kind == "elections" { Scenario::elections(seed) } else { Scenario::swarm(seed) });
    }
    let text = std::fs::read_to_string(file).map_err(|error| Failure::Scenario(format!("{file}: {error}")))?;
    Scenario::parse(&text).map_err(|error| Failure::Scenario(format!("{file}: {error}")))
}

fn command_run(
    seed: Option<u64>,
    file: Option<&Path>,
    trace: bool,
    swarm: SwarmOption,
    json: bool,
) -> Result<(), Failure> {
    let scenario = match (seed, file) {
        (Some(seed), _) => swarm.scenario(seed),
        (None, Some(file)) => {
            let mut scenario = load(&file.to_string_lossy())?;
            swarm.put_into(&mut scenario);
            scenario
        }
        (None, None) => return Err(Failure::Scenario("give `--seed N` or a scenario file".to_owned())),
    };
    let report = run(&scenario, Watch { trace: true }).map_err(|error| Failure::Scenario(error.to_string()))?;
    if json {
        println!("{}", output::report(&scenario, &report, trace));
    } else {
        let (kinds, fold) = if trace { (render::EVERYTHING, false) } else { (render::MILESTONES, true) };
        print!(
            "{}\n{}\n{}",
            render::header(&scenario),
            render::lines(&report.lines, kinds, fold),
            render::table(&report)
        );
        println!("{} events, digest {:016x}", report.events, report.digest);
    }
    if report.violation.is_some() { Err(Failure::Broken) } else { Ok(()) }
}

fn command_sweep(plan: &SweepPlan, swarm: SwarmOption, directory: &Path, json: bool) -> Result<(), Failure> {
    let stop = interrupt::flag();
    let end = if plan.to == u64::MAX { String::new() } else { plan.to.to_string() };
    eprintln!("sweeping seeds {}..{end}, {} at once", plan.from, plan.jobs);
    let bar = bar(plan);
    let swept = sweep(plan, |seed| run(&swarm.scenario(seed), Watch::default()), &stop, |_, _| bar.inc(1))
        .map_err(|error| Failure::Scenario(error.to_string()))?;
    bar.finish_and_clear();
    let interrupted = stop.load(core::sync::atomic::Ordering::Relaxed);
    if json {
        println!("{}", output::sweep(&swept, interrupted));
    } else {
        print!("{}", output::sweep_table(&swept));
    }
    if let Some((seed, violation)) = &swept.violation {
        eprintln!("seed {seed}: {violation}\nits last events:");
        for recent in &swept.recent {
            eprintln!("{recent}");
        }
        eprintln!("replay it: cargo sim run --seed {seed}{swarm}");
        minimise_found(&swarm.scenario(*seed), directory);
        return Err(Failure::Broken);
    }
    if interrupted {
        return Err(Failure::Interrupted(format!(
            "interrupted; go on with: cargo sim sweep --seeds {}..{end}{swarm}",
            swept.next_seed
        )));
    }
    let usual = if swarm.is_elections() { Mark::OF_ELECTIONS } else { Mark::ALL };
    let short = swept.shortfalls(usual);
    if short.is_empty() { Ok(()) } else { Err(Failure::Short(short)) }
}

/// Minimises what a sweep found, and writes it where committed scenarios are.
fn minimise_found(scenario: &Scenario, directory: &Path) {
    let Some(small) = minimise(scenario, MINIMISE_MAX) else { return };
    let number = small.violation.invariant.number().to_lowercase();
    let path = directory.join(format!("{number}-seed-{}.toml", scenario.seed));
    eprintln!(
        "minimised to {} faults and {} loads in {} runs: {}",
        small.scenario.faults.len(),
        small.scenario.loads.len(),
        small.runs,
        small.violation
    );
    match std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, small.scenario.to_text())) {
        Ok(()) => eprintln!("replay that: cargo sim run {}", path.display()),
        Err(error) => eprintln!("{}: {error}\n{}", path.display(), small.scenario.to_text()),
    }
}

fn command_measure(measured: &Measured, jobs: Option<core::num::NonZero<usize>>, json: bool) -> Result<(), Failure> {
    let jobs = jobs.map_or_else(processors, core::num::NonZero::get);
    let figures = measure(measured, jobs).map_err(|error| Failure::Scenario(error.to_string()))?;
    if json {
        println!("{}", figures.json);
    } else {
        println!("{}", figures.words);
    }
    if figures.holds { Ok(()) } else { Err(Failure::Broken) }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, core::num::NonZero::get)
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| format!("expected minutes, found {text:?}"))?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())
}

fn bar(plan: &SweepPlan) -> ProgressBar {
    let style = "{spinner} {pos} of {len} seeds  {per_sec}  {elapsed}";
    let endless = "{spinner} {pos} seeds  {per_sec}  {elapsed}";
    let (bar, style) = if plan.to == u64::MAX {
        (ProgressBar::new_spinner(), endless)
    } else {
        (ProgressBar::new(plan.to - plan.from), style)
    };
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

fn command_minimise(file: &str, seconds: u64, to: Option<&Path>, json: bool) -> Result<(), Failure> {
    let scenario = load(file)?;
    let Some(small) = minimise(&scenario, Duration::from_secs(seconds)) else {
        return Err(Failure::Scenario(format!("{file}: nothing is broken, so there is nothing to minimise")));
    };
    let text = small.scenario.to_text();
    match to {
        Some(path) => {
            std::fs::write(path, &text).map_err(|error| Failure::Scenario(format!("{}: {error}", path.display())))?;
            eprintln!("replay it: cargo sim run {}", path.display());
        }
        None if !json => print!("{text}"),
        None => {}
    }
    if json {
        println!("{}", output::minimised(&scenario, &small));
    } else {
        eprintln!(
            "{} faults to {}, {} runs: {}",
            scenario.faults.len(),
            small.scenario.faults.len(),
            small.runs,
            small.violation
        );
    }
    Ok(())
}
