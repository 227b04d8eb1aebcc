//! Randomness of training, derived from seeds and never stored.

use rand::RngExt;

/// The order of `count` samples in one epoch: a permutation that depends on
/// (seed, epoch) only.
pub fn permutation(seed: u64, epoch: usize, count: usize) -> Vec<usize> {
    let mut generator = ast_model::init::generator(seed, &format!("order of epoch {epoch}"));
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, generator.random_range(0..=last));
    }
    order
}

/// The seed of a run: the same for all methods of a task and fold, so that they
/// can be compared in pairs, and another for every fold.
pub fn run_seed(seed: u64, task: &str, fold: usize) -> u64 {
    ast_model::init::generator(seed, &format!("run on {task}, fold {fold}")).random()
}

/// The seed of one training step.
pub fn step_seed(seed: u64, step: usize) -> u64 {
    ast_model::init::generator(seed, &format!("step {step}")).random()
}

/// The seed of one piece of a training step whose batch is computed in pieces;
/// for the first it is [`step_seed`].
pub fn piece_seed(seed: u64, step: usize, piece: usize) -> u64 {
    if piece == 0 {
        return step_seed(seed, step);
    }
    ast_model::init::generator(seed, &format!("step {step}, piece {piece}")).random()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_order_holds_every_sample_once(seed: u64, epoch in 0usize..9, count in 0usize..300) {
            let mut order = permutation(seed, epoch, count);
            prop_assert_eq!(&order, &permutation(seed, epoch, count));
            order.sort_unstable();
            prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_and_seeds_differ() {
        assert_ne!(permutation(1, 0, 50), permutation(1, 1, 50));
        assert_ne!(permutation(1, 0, 50), permutation(2, 0, 50));
        assert_ne!(step_seed(1, 0), step_seed(1, 1));
        assert_eq!(piece_seed(1, 3, 0), step_seed(1, 3));
        assert_ne!(piece_seed(1, 3, 1), piece_seed(1, 3, 2));
    }
}
