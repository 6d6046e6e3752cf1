//! Scratch.
use engraft_sim::{Scenario, Watch, render, run};
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    if args.len() == 1 {
        let s = Scenario::swarm(args[0]);
        println!("{}", s.to_text());
        let r = run(&s, Watch { trace: true }).unwrap();
        println!(
            "{}",
            render::lines(
                &r.lines,
                if std::env::var("ALL").is_ok() { render::EVERYTHING } else { render::MILESTONES },
                std::env::var("NOFOLD").is_err()
            )
        );
        println!("{}", render::table(&r));
        return;
    }
    let (mut bad, mut events, mut wakes) = (0, 0, 0);
    let mut marks = engraft_sim::mark::Marks::default();
    let begin = std::time::Instant::now();
    for seed in args[0]..args[1] {
        let s = Scenario::swarm(seed);
        let r = match std::panic::catch_unwind(|| run(&s, Watch::default()).unwrap()) {
            Ok(r) => r,
            Err(_) => {
                println!("{seed}: PANIC");
                bad += 1;
                continue;
            }
        };
        if std::env::var("T").is_ok() {
            println!(
                "{seed} {:.3}s {} ev {} wakes ended {}",
                begin.elapsed().as_secs_f64(),
                r.events,
                r.wakes,
                r.ended
            );
        }
        events += r.events;
        wakes += r.wakes;
        marks.merge(&r.marks);
        if let Some(v) = r.violation {
            bad += 1;
            if bad < 40 {
                println!("{seed}: {v}");
            }
        }
    }
    let t = begin.elapsed().as_secs_f64();
    println!(
        "bad {bad} events {events} wakes {wakes} {:.0} ev/s {:.1} seeds/s",
        events as f64 / t,
        (args[1] - args[0]) as f64 / t
    );
    println!("missed {:?}", marks.missed());
}
