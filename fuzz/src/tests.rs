use crate::mutate::{Random, mutated};
use crate::targets::TARGETS;

/// So many variations of each seed's target are tried for each change.
const ROUNDS: usize = 3_000;

#[test]
fn nothing_that_is_nearly_right_makes_a_decoder_or_the_analysis_panic() {
    let run = || {
        for target in TARGETS {
            let seeds = (target.seeds)();
            let mut random = Random::new(20_261_125);
            seeds.iter().for_each(|seed| (target.run)(seed));
            for _ in 0..ROUNDS {
                let seed = &seeds[random.below(seeds.len())];
                let other = &seeds[random.below(seeds.len())];
                (target.run)(&mutated(&mut random, seed, other));
            }
        }
    };
    // As large a stack as a session has.
    std::thread::Builder::new().stack_size(16 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn variations_differ_from_their_seed_and_repeat() {
    let make = || mutated(&mut Random::new(7), b"SELECT 1 FROM x", b"DELETE FROM y");
    assert_eq!(make(), make());
    let mut random = Random::new(9);
    let different = (0..100).filter(|_| mutated(&mut random, b"SELECT 1", b"x") != b"SELECT 1").count();
    assert!(different > 80, "{different}");
}
