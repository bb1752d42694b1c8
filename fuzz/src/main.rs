//! `fuzz TARGET SECONDS [SEED]`: varies a target's seeds for so long. What breaks it is the last line that is printed.

use std::time::{Duration, Instant};

use fuzz::mutate::{Random, mutated};
use fuzz::targets::TARGETS;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|a| a.parse::<u64>().ok());
    let name = arguments.first().map_or("", String::as_str);
    let Some(target) = TARGETS.iter().find(|t| t.name == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
        eprintln!("fuzz TARGET SECONDS [SEED], where TARGET is one of {}", names.join(", "));
        std::process::exit(2);
    };
    let seeds = (target.seeds)();
    let mut random = Random::new(number(2).unwrap_or(1));
    let end = Instant::now() + Duration::from_secs(number(1).unwrap_or(10));
    let mut count = 0_u64;
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    while Instant::now() < end {
        let pick = |random: &mut Random| seeds.get(random.below(seeds.len())).cloned().unwrap_or_default();
        let (seed, other) = (pick(&mut random), pick(&mut random));
        let bytes = mutated(&mut random, &seed, &other);
        if std::panic::catch_unwind(|| (target.run)(&bytes)).is_err() {
            println!("{name} breaks on {:?}", String::from_utf8_lossy(&bytes));
            std::process::exit(1);
        }
        count += 1;
    }
    println!("{name}: {count} variations, none broke it");
}
