//! Mixup plans and blends.

use audio_frontend::{Mixup, Pairing};
use ndarray::Array2;
use proptest::prelude::*;

fn always(alpha: f64) -> Mixup {
    Mixup { rate: 1.0, alpha }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_plan_is_made_of_pairings_that_need_no_plan(
        seed: u64, epoch: u64, total in 0u64..60, rate in 0.0f64..=1.0, alpha in 0.01f64..100.0,
    ) {
        let mixup = Mixup { rate, alpha };
        let plan = mixup.plan(seed, epoch, total).unwrap();
        prop_assert_eq!(plan.len() as u64, total);
        for sample in (0..total).rev() {
            let pairing = mixup.pairing(seed, epoch, sample, total).unwrap();
            prop_assert_eq!(pairing, plan[sample as usize]);
            prop_assert_eq!(pairing.sample, sample);
            prop_assert!(pairing.partner < total && (0.0..=1.0).contains(&pairing.lambda));
            prop_assert!(pairing.is_mixed() || pairing.lambda == 1.0);
        }
        prop_assert!(mixup.pairing(seed, epoch, total, total).is_err());
    }

    #[test]
    fn soft_labels_sum_to_one(
        lambda in 0.0f64..=1.0, label in 0usize..5, partner in 0usize..5,
    ) {
        let pairing = Pairing { sample: 0, partner: 1, lambda };
        let weights = pairing.soft_labels(label, partner, 5).unwrap();
        prop_assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let own = if label == partner { 1.0 } else { lambda as f32 };
        prop_assert_eq!(weights[label], own);
        prop_assert!(pairing.soft_labels(label, partner, label.max(partner)).is_err());
    }

    #[test]
    fn blends_lie_between_both_clips(
        lambda in 0.0f64..0.99, own in prop::collection::vec(-1.0f32..1.0, 0..50),
        other in prop::collection::vec(-1.0f32..1.0, 0..50),
    ) {
        let pairing = Pairing { sample: 0, partner: 1, lambda };
        let mut mixed = own.clone();
        pairing.mix_waveforms(&mut mixed, &other);
        prop_assert_eq!(mixed.len(), own.len());
        for (index, value) in mixed.iter().enumerate() {
            let other = other.get(index).copied().unwrap_or(0.0);
            let exact = lambda * f64::from(own[index]) + (1.0 - lambda) * f64::from(other);
            prop_assert!((f64::from(*value) - exact).abs() < 1e-7);
        }
    }
}

#[test]
fn lambda_has_the_moments_of_the_beta_distribution() {
    for alpha in [0.2, 1.0, 10.0, 300.0] {
        let draws = 40_000;
        let plan = always(alpha).plan(7, 1, draws).unwrap();
        let n = draws as f64;
        let mean = plan.iter().map(|p| p.lambda).sum::<f64>() / n;
        let moment = |power| {
            plan.iter()
                .map(|p| (p.lambda - 0.5).powi(power))
                .sum::<f64>()
                / n
        };
        let variance = 0.25 / (2.0 * alpha + 1.0);
        // E (x - 1/2)^4 of Beta(a, a) is 3 v² (2a + 1) / (2a + 3).
        let fourth = 3.0 * variance * variance * (2.0 * alpha + 1.0) / (2.0 * alpha + 3.0);
        assert!(
            (mean - 0.5).abs() < 5.0 * (variance / n).sqrt(),
            "{alpha} {mean}"
        );
        let scatter = ((fourth - variance * variance) / n).sqrt();
        assert!((moment(2) - variance).abs() < 5.0 * scatter, "{alpha}");
        assert!((moment(4) / fourth - 1.0).abs() < 0.1, "{alpha}");
    }
}

#[test]
fn partners_are_uniform_and_the_rate_is_kept() {
    let mixup = Mixup {
        rate: 0.5,
        ..Mixup::default()
    };
    let mut partners = [0i64; 10];
    let mut mixed = 0i64;
    for epoch in 0..4000 {
        for pairing in mixup.plan(1, epoch, 10).unwrap() {
            if pairing.is_mixed() {
                partners[pairing.partner as usize] += 1;
                mixed += 1;
            } else {
                assert_eq!(pairing.partner, pairing.sample);
            }
        }
    }
    // Five standard deviations of 40 000 draws at 1/2 and at 1/20.
    assert!((mixed - 20_000).abs() < 500, "{mixed}");
    assert!(
        partners.iter().all(|n| (n - 2000).abs() < 218),
        "{partners:?}"
    );
}

#[test]
fn off_by_default_it_pairs_every_clip_with_itself_and_changes_no_bit() {
    for pairing in Mixup::default().plan(1, 2, 50).unwrap() {
        assert_eq!((pairing.partner, pairing.lambda), (pairing.sample, 1.0));
        let mut samples = [-0.0f32, f32::INFINITY];
        pairing.mix_waveforms(&mut samples, &[f32::NAN, f32::NAN]);
        assert_eq!(
            samples.map(f32::to_bits),
            [-0.0f32, f32::INFINITY].map(f32::to_bits)
        );
    }
}

#[test]
fn features_are_blended_where_their_shapes_agree() {
    let pairing = Pairing {
        sample: 0,
        partner: 1,
        lambda: 0.75,
    };
    let mut features = Array2::from_elem((2, 3), 4.0f32);
    let partner = Array2::from_elem((2, 3), 8.0f32);
    pairing
        .mix_features(features.view_mut(), partner.view())
        .unwrap();
    assert!(features.iter().all(|&x| x == 5.0));
    let wrong = Array2::zeros((3, 2));
    let error = pairing.mix_features(features.view_mut(), wrong.view());
    assert!(error.unwrap_err().to_string().contains("[3, 2]"));
}

#[test]
fn plans_differ_between_seeds_and_epochs() {
    let plan = |seed, epoch| always(10.0).plan(seed, epoch, 20).unwrap();
    assert_eq!(plan(1, 2), plan(1, 2));
    assert_ne!(plan(1, 2), plan(2, 2));
    assert_ne!(plan(1, 2), plan(1, 3));
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (field, rate, alpha) in [
        ("rate", -0.1, 1.0),
        ("rate", f64::NAN, 1.0),
        ("alpha", 0.5, 0.0),
        ("alpha", 0.5, f64::INFINITY),
    ] {
        let mixup = Mixup { rate, alpha };
        let error = mixup.plan(1, 2, 3).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
        assert!(mixup.pairing(1, 2, 0, 3).is_err());
    }
}
