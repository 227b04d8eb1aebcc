//! The choices of the tokens and their places in the experts' queues.

use super::{Group, Priority, SparseConfig};
use crate::mask::{TokenMask, masked, mean_over_tokens};
use tch::{Kind, Tensor};

/// Which experts the tokens of a batch chose.
#[derive(Debug)]
pub struct Assignment {
    /// Index of the chosen experts [B, L, K], the most probable first, equal
    /// ones by lower index.
    pub experts: Tensor,
    /// Gate of each choice [B, L, K]; 0 where it was dropped.
    pub gates: Tensor,
    /// Whether the choice found room [B, L, K]; all true without a capacity.
    pub kept: Tensor,
    /// Number of experts, N.
    pub expert_count: i64,
}

impl Assignment {
    /// `probabilities` [B, L, N]; the configuration is valid for N.
    pub(super) fn new(
        probabilities: &Tensor,
        config: &SparseConfig,
        mask: Option<&TokenMask>,
    ) -> Self {
        let size = probabilities.size();
        let (b, l, n) = (size[0], size[1], size[2]);
        // A stable sort: among equal probabilities the lower index comes first.
        let (_, order) = probabilities.detach().sort_stable(true, -1, true);
        let experts = order.narrow(-1, 0, config.k).contiguous();
        let chosen = probabilities.gather(-1, &experts, false);
        let gates = if config.renormalises() {
            &chosen / chosen.sum_dim_intlist(-1, true, None::<Kind>)
        } else {
            chosen.shallow_clone()
        };
        let unlimited = Self {
            kept: match mask {
                Some(mask) => mask.of_choices(config.k).contiguous(),
                None => experts.ones_like().to_kind(Kind::Bool),
            },
            experts,
            gates: masked(gates, mask),
            expert_count: n,
        };
        let (groups, tokens) = match config.group {
            Group::Batch => (1, b * l),
            Group::Sample => (b, l),
        };
        let Some(capacity) = config.capacity(tokens, n) else {
            return unlimited;
        };
        let queue = match config.priority {
            Priority::Position => None,
            Priority::Score => {
                let best = chosen.detach().select(-1, 0);
                Some(by_score(&best.reshape([groups, tokens])))
            }
        };
        let experts = unlimited.experts.view([groups, tokens, config.k]);
        let waiting = unlimited.kept.view([groups, tokens, config.k]);
        let places = places_in_queue(&experts, &waiting, n, queue.as_ref());
        let places = places.view([b, l, config.k]);
        let kept = places.lt(capacity).logical_and(&unlimited.kept);
        Self {
            gates: &unlimited.gates * kept.to_kind(unlimited.gates.kind()),
            kept,
            ..unlimited
        }
    }

    /// 1 where a token chose an expert, dropped or not, else 0: [B, L, N].
    pub(crate) fn chosen(&self) -> Tensor {
        self.zeros().scatter_value(-1, &self.experts, 1)
    }

    /// The gate of every expert [B, L, N], 0 where it was not chosen or dropped.
    pub(super) fn dense_gates(&self) -> Tensor {
        self.zeros().scatter(-1, &self.experts, &self.gates)
    }

    /// Share of the assignments that found no room, of those of the tokens that
    /// take part.
    pub(super) fn drop_rate(&self, mask: Option<&TokenMask>) -> f64 {
        let dropped = self.kept.logical_not().to_kind(Kind::Double);
        let per_token = dropped.mean_dim(-1, false, None::<Kind>);
        mean_over_tokens(&per_token, mask)
    }

    fn zeros(&self) -> Tensor {
        let size = self.experts.size();
        let options = (self.gates.kind(), self.gates.device());
        Tensor::zeros([size[0], size[1], self.expert_count], options)
    }
}

/// The tokens of each group [G, T] in the order of descending score, equal
/// ones by position.
fn by_score(score: &Tensor) -> Tensor {
    score.argsort_stable(true, -1, true)
}

/// The place of every choice in the queue of its expert and group: all first
/// choices before all second choices, and within these in the order of `queue`
/// (a permutation of the group's tokens), or by position. Choices that are not
/// `waiting` take no place.
///
/// # Shapes
/// `experts` and `waiting` [G, T, K], `queue` [G, T] → [G, T, K].
fn places_in_queue(experts: &Tensor, waiting: &Tensor, n: i64, queue: Option<&Tensor>) -> Tensor {
    let size = experts.size();
    let (g, t, k) = (size[0], size[1], size[2]);
    let in_order = |x: &Tensor, order: &Tensor| {
        let order = order.unsqueeze(-1).expand([g, t, k], false);
        x.gather(1, &order, false)
    };
    let arriving = |x: &Tensor| {
        let ordered = match queue {
            Some(queue) => in_order(x, queue),
            None => x.shallow_clone(),
        };
        ordered.transpose(1, 2).reshape([g, k * t, 1])
    };
    let arrivals = arriving(experts);
    let counted = arriving(&waiting.to_kind(Kind::Int64));
    let options = (Kind::Int64, experts.device());
    let joined = Tensor::zeros([g, k * t, n], options).scatter(2, &arrivals, &counted);
    let place = joined.cumsum(1, None::<Kind>).gather(2, &arrivals, false) - 1;
    let place = place.view([g, k, t]).transpose(1, 2);
    match queue {
        Some(queue) => in_order(&place, &queue.argsort(-1, false)),
        None => place.contiguous(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(t: &Tensor) -> Vec<i64> {
        Vec::try_from(t.reshape([-1])).expect("integers")
    }

    fn all(experts: &Tensor) -> Tensor {
        experts.ones_like().to_kind(Kind::Bool)
    }

    #[test]
    fn choices_left_out_take_no_place() {
        let experts = Tensor::from_slice(&[0i64, 0, 1, 0]).view([1, 4, 1]);
        let waiting = Tensor::from_slice(&[true, false, true, true]).view([1, 4, 1]);
        let places = numbers(&places_in_queue(&experts, &waiting, 2, None));
        assert_eq!([places[0], places[2], places[3]], [0, 0, 1]);
    }

    #[test]
    fn first_choices_queue_before_second_choices() {
        // Tokens 0, 1, 2 choose (0, 1), (1, 0), (0, 1).
        let experts = Tensor::from_slice(&[0i64, 1, 1, 0, 0, 1]).view([1, 3, 2]);
        let places = places_in_queue(&experts, &all(&experts), 2, None);
        assert_eq!(numbers(&places), [0, 1, 0, 2, 1, 2]);
    }

    #[test]
    fn a_queue_order_replaces_the_position() {
        let experts = Tensor::from_slice(&[0i64, 0, 0]).view([1, 3, 1]);
        let queue = by_score(&Tensor::from_slice(&[0.4f32, 0.9, 0.4]).view([1, 3]));
        assert_eq!(numbers(&queue), [1, 0, 2]);
        assert_eq!(
            numbers(&places_in_queue(&experts, &all(&experts), 2, Some(&queue))),
            [1, 0, 2]
        );
    }

    #[test]
    fn every_group_has_queues_of_its_own() {
        let experts = Tensor::from_slice(&[0i64, 0, 0, 0]).view([2, 2, 1]);
        let places = places_in_queue(&experts, &all(&experts), 2, None);
        assert_eq!(numbers(&places), [0, 1, 0, 1]);
    }

    #[test]
    fn equal_probabilities_choose_the_lowest_index() {
        let probabilities =
            Tensor::from_slice(&[0.25f32, 0.25, 0.25, 0.25, 0.1, 0.4, 0.1, 0.4]).view([1, 2, 4]);
        let config = SparseConfig {
            k: 3,
            ..SparseConfig::default()
        };
        let assignment = Assignment::new(&probabilities, &config, None);
        assert_eq!(numbers(&assignment.experts), [0, 1, 2, 1, 3, 0]);
    }
}
