use super::*;
use crate::data::per_class;
use proptest::prelude::*;

fn clip(voice: usize, syllable: usize, label: usize) -> Clip {
    let groups = [
        ("voice", format!("v{voice}")),
        ("syllable", format!("s{syllable}")),
    ];
    Clip {
        path: "none".into(),
        relative: format!("{label}/v{voice}/s{syllable}"),
        label,
        groups: groups
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        segment: None,
    }
}

/// Every voice says every syllable in every class.
fn full(voices: usize, syllables: usize, classes: usize) -> Vec<Clip> {
    let mut clips = Vec::new();
    for voice in 0..voices {
        for syllable in 0..syllables {
            clips.extend((0..classes).map(|label| clip(voice, syllable, label)));
        }
    }
    clips
}

fn leave_one_out(fraction: f64, seed: u64) -> SplitSpec {
    SplitSpec::LeaveOneGroupOut {
        test_group: "voice".to_owned(),
        validation_group: "syllable".to_owned(),
        validation_fraction: fraction,
        seed,
    }
}

fn k_fold(folds: usize, seed: u64, unheard: &[&str]) -> SplitSpec {
    let part = ExtraSpec {
        name: "unheard".to_owned(),
        group: "voice".to_owned(),
        values: unheard.iter().map(|value| (*value).to_owned()).collect(),
    };
    SplitSpec::GroupKFold {
        group: "syllable".to_owned(),
        folds,
        seed,
        extra: if unheard.is_empty() {
            Vec::new()
        } else {
            vec![part]
        },
    }
}

/// The voices take turns in this order.
fn rotation(order: &[usize]) -> SplitSpec {
    SplitSpec::GroupRotation {
        group: "voice".to_owned(),
        order: order.iter().map(|voice| format!("v{voice}")).collect(),
    }
}

fn values(part: &[usize], clips: &[Clip], group: &str) -> BTreeSet<String> {
    part.iter()
        .map(|&index| clips[index].group(group).to_owned())
        .collect()
}

fn names(part: &[usize], clips: &[Clip]) -> BTreeSet<String> {
    part.iter()
        .map(|&index| clips[index].relative.clone())
        .collect()
}

/// Parts by name, to compare splits of lists in different order.
fn by_name(splits: &[Split], clips: &[Clip]) -> Vec<Vec<BTreeSet<String>>> {
    let parts = |split: &Split| {
        let extra = split.extra.iter().map(|(_, part)| names(part, clips));
        [&split.train, &split.validation, &split.test]
            .into_iter()
            .map(|part| names(part, clips))
            .chain(extra)
            .collect()
    };
    splits.iter().map(parts).collect()
}

#[test]
fn each_voice_is_tested_once_and_heard_in_no_other_part() {
    let clips = full(2, 10, 4);
    let folds = splits(&leave_one_out(0.2, 0), &clips, 4).expect("splits");
    assert_eq!(folds.len(), 2);
    assert_eq!(
        (folds[0].name.as_str(), folds[1].name.as_str()),
        ("voice v0", "voice v1")
    );
    for fold in &folds {
        assert_eq!(
            (fold.train.len(), fold.validation.len(), fold.test.len()),
            (32, 8, 40)
        );
    }
}

#[test]
fn an_extra_part_is_never_trained_on_and_tested_once_over_the_folds() {
    let clips = full(3, 25, 2);
    let folds = splits(&k_fold(5, 0, &["v2"]), &clips, 2).expect("splits");
    let mut tested = Vec::new();
    for fold in &folds {
        for part in [&fold.train, &fold.validation, &fold.test] {
            assert!(!values(part, &clips, "voice").contains("v2"));
        }
        let (name, extra) = &fold.extra[0];
        assert_eq!(name, "unheard");
        assert_eq!(
            values(extra, &clips, "syllable"),
            values(&fold.test, &clips, "syllable")
        );
        tested.extend(extra.iter().copied());
    }
    tested.sort_unstable();
    let all = (0..clips.len()).filter(|&index| clips[index].group("voice") == "v2");
    assert_eq!(tested, all.collect::<Vec<_>>());
}

#[test]
fn each_voice_in_turn_is_tested_and_the_one_before_it_validates() {
    let clips = full(5, 4, 2);
    let folds = splits(&rotation(&[4, 0, 1, 2, 3]), &clips, 2).expect("splits");
    let heard = |part: &[usize]| {
        values(part, &clips, "voice")
            .into_iter()
            .collect::<Vec<_>>()
    };
    let expected = [
        ("v4", "v3", ["v0", "v1", "v2"]),
        ("v0", "v4", ["v1", "v2", "v3"]),
        ("v1", "v0", ["v2", "v3", "v4"]),
        ("v2", "v1", ["v0", "v3", "v4"]),
        ("v3", "v2", ["v0", "v1", "v4"]),
    ];
    assert_eq!(folds.len(), expected.len());
    for (index, (fold, (test, validation, train))) in folds.iter().zip(expected).enumerate() {
        assert_eq!((fold.fold, &fold.name), (index, &format!("voice {test}")));
        assert_eq!(heard(&fold.test), [test]);
        assert_eq!(heard(&fold.validation), [validation]);
        assert_eq!(heard(&fold.train), train);
    }
}

#[test]
fn a_voice_without_a_turn_and_a_turn_without_a_voice_are_refused_by_name() {
    let clips = full(4, 3, 2);
    let unlisted = splits(&rotation(&[0, 1, 2]), &clips, 2).expect_err("v3 has no turn");
    let unlisted = unlisted.to_string();
    assert!(
        unlisted.contains("voice `v3`") && unlisted.contains("split.order"),
        "{unlisted}"
    );
    let absent = splits(&rotation(&[0, 1, 2, 3, 4]), &clips, 2).expect_err("no clip of v4");
    let absent = absent.to_string();
    assert!(
        absent.starts_with("fold 4") && absent.contains("no clip has voice `v4`"),
        "{absent}"
    );
}

#[test]
fn a_group_in_two_parts_is_refused_by_name() {
    let clips = full(2, 10, 4);
    let spec = leave_one_out(0.2, 0);
    let mut fold = splits(&spec, &clips, 4).expect("splits").remove(0);
    let moved = fold.validation.pop().expect("validation clip");
    fold.train.push(moved);
    let error = fold.check(&spec, &clips, 4).expect_err("leak").to_string();
    let syllable = clips[moved].group("syllable");
    assert!(error.contains(&format!("syllable `{syllable}`")), "{error}");
    assert!(
        error.contains("training") && error.contains("validation"),
        "{error}"
    );

    let spec = k_fold(5, 0, &["v1"]);
    let mut fold = splits(&spec, &clips, 4).expect("splits").remove(0);
    let trained = clips[fold.train[0]].group("syllable");
    let same = clips
        .iter()
        .position(|clip| clip.group("syllable") == trained && clip.group("voice") == "v1");
    fold.extra[0]
        .1
        .push(same.expect("clip of the unheard voice"));
    let error = fold.check(&spec, &clips, 4).expect_err("leak").to_string();
    assert!(error.contains("unheard"), "{error}");

    let (spec, clips) = (rotation(&[0, 1, 2]), full(3, 4, 4));
    let mut fold = splits(&spec, &clips, 4).expect("splits").remove(1);
    let moved = fold.test.pop().expect("test clip");
    fold.validation.push(moved);
    let error = fold.check(&spec, &clips, 4).expect_err("leak").to_string();
    assert!(error.contains("voice `v1`"), "{error}");
}

#[test]
fn what_cannot_be_split_is_refused_with_a_remedy() {
    let one_voice = splits(&leave_one_out(0.2, 0), &full(1, 10, 2), 2).expect_err("one voice");
    assert!(one_voice.to_string().contains("at least 2"), "{one_voice}");
    let one_syllable = splits(&leave_one_out(0.2, 0), &full(2, 1, 2), 2).expect_err("one syllable");
    assert!(
        one_syllable.to_string().contains("training part is empty"),
        "{one_syllable}"
    );
    let few_groups = splits(&k_fold(5, 0, &[]), &full(2, 4, 2), 2).expect_err("4 groups, 5 folds");
    assert!(
        few_groups.to_string().contains("fewer folds"),
        "{few_groups}"
    );
    // Far more folds than could be made: refused before anything is made.
    let absurd = splits(&k_fold(usize::MAX, 0, &[]), &full(2, 4, 2), 2).expect_err("4 groups");
    assert!(absurd.to_string().contains("only 4 values"), "{absurd}");
    // Class 1 is said by one voice only, which the other fold tests.
    let mut clips = full(2, 6, 1);
    clips.extend((0..6).map(|syllable| clip(0, syllable, 1)));
    let lonely = splits(&leave_one_out(0.2, 0), &clips, 2).expect_err("class 1 is never trained");
    assert!(
        lonely.to_string().contains("class 1 has no training clip"),
        "{lonely}"
    );
    let no_extra =
        splits(&k_fold(3, 0, &["nobody"]), &full(2, 9, 2), 2).expect_err("no such voice");
    assert!(
        no_extra.to_string().contains("`unheard` is empty"),
        "{no_extra}"
    );
}

#[test]
fn another_seed_gives_another_split() {
    let clips = full(2, 40, 2);
    for specs in [
        [leave_one_out(0.2, 0), leave_one_out(0.2, 1)],
        [k_fold(5, 0, &[]), k_fold(5, 1, &[])],
    ] {
        let [a, b] = specs.map(|spec| splits(&spec, &clips, 2).expect("splits"));
        assert_ne!(a, b);
        assert_eq!(a.len(), b.len());
    }
}

#[test]
fn few_clips_per_class_are_chosen_by_seed_from_the_part() {
    let clips = full(2, 10, 3);
    let part: Vec<usize> = (0..30).collect();
    let few = per_class(&part, &clips, 4, 7);
    assert_eq!(few.len(), 12);
    assert!(few.is_sorted() && few.iter().all(|index| part.contains(index)));
    for label in 0..3 {
        assert_eq!(
            few.iter()
                .filter(|&&index| clips[index].label == label)
                .count(),
            4
        );
    }
    assert_ne!(few, per_class(&part, &clips, 4, 8));
    assert_eq!(per_class(&part, &clips, 1000, 7), part);
}

proptest! {
    #[test]
    fn parts_are_disjoint_cover_all_clips_and_share_no_group(
        voices in 2usize..5, syllables in 6usize..30, classes in 2usize..5,
        k in prop::bool::ANY, fraction in 0.05f64..0.6, folds in 3usize..7, seed: u64,
    ) {
        let clips = full(voices, syllables, classes);
        let spec = if k { k_fold(folds, seed, &[]) } else { leave_one_out(fraction, seed) };
        let made = splits(&spec, &clips, classes)?;
        prop_assert_eq!(made.len(), if k { folds } else { voices });
        let mut tested = Vec::new();
        for fold in &made {
            let mut all = [&fold.train[..], &fold.validation, &fold.test].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..clips.len()).collect::<Vec<_>>());
            for label in 0..classes {
                prop_assert!(fold.train.iter().any(|&index| clips[index].label == label));
            }
            let said = |part: &[usize]| values(part, &clips, "syllable");
            let heard = |part: &[usize]| values(part, &clips, "voice");
            prop_assert!(said(&fold.train).is_disjoint(&said(&fold.validation)));
            let (test, train) = if k {
                prop_assert!(said(&fold.test).is_disjoint(&said(&fold.validation)));
                (said(&fold.test), said(&fold.train))
            } else {
                prop_assert!(heard(&fold.test).is_disjoint(&heard(&fold.validation)));
                (heard(&fold.test), heard(&fold.train))
            };
            prop_assert!(test.is_disjoint(&train));
            tested.extend_from_slice(&fold.test);
        }
        tested.sort_unstable();
        prop_assert_eq!(tested, (0..clips.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_rotation_tests_and_validates_every_clip_once_and_shares_no_voice(
        order in (3usize..8).prop_flat_map(|voices| Just((0..voices).collect::<Vec<_>>()).prop_shuffle()),
        syllables in 1usize..8, classes in 2usize..5,
    ) {
        let clips = full(order.len(), syllables, classes);
        let made = splits(&rotation(&order), &clips, classes)?;
        prop_assert_eq!(made.len(), order.len());
        let (mut tested, mut validated) = (Vec::new(), Vec::new());
        for (fold, voice) in made.iter().zip(&order) {
            let mut all = [&fold.train[..], &fold.validation, &fold.test].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..clips.len()).collect::<Vec<_>>());
            let heard = |part: &[usize]| values(part, &clips, "voice");
            prop_assert_eq!(heard(&fold.test), BTreeSet::from([format!("v{voice}")]));
            prop_assert_eq!(heard(&fold.validation).len(), 1);
            prop_assert_eq!(heard(&fold.train).len(), order.len() - 2);
            tested.extend_from_slice(&fold.test);
            validated.extend_from_slice(&fold.validation);
        }
        for mut once in [tested, validated] {
            once.sort_unstable();
            prop_assert_eq!(once, (0..clips.len()).collect::<Vec<_>>());
        }
        for pair in made.windows(2) {
            prop_assert_eq!(&pair[0].test, &pair[1].validation);
        }
        prop_assert_eq!(&made[0].validation, &made[made.len() - 1].test);
    }

    #[test]
    fn a_split_does_not_depend_on_the_order_of_the_clips(
        seed: u64, protocol in 0..3,
        (clips, shuffled) in (3usize..5, 8usize..20)
            .prop_map(|(voices, syllables)| full(voices, syllables, 2))
            .prop_flat_map(|clips| (Just(clips.clone()), Just(clips).prop_shuffle())),
    ) {
        let voices = values(&(0..clips.len()).collect::<Vec<_>>(), &clips, "voice").len();
        let spec = match protocol {
            0 => k_fold(4, seed, &["v1"]),
            1 => leave_one_out(0.3, seed),
            _ => rotation(&(0..voices).rev().collect::<Vec<_>>()),
        };
        let a = by_name(&splits(&spec, &clips, 2)?, &clips);
        let b = by_name(&splits(&spec, &shuffled, 2)?, &shuffled);
        prop_assert_eq!(a, b);
    }
}
