use super::*;
use proptest::prelude::*;

/// Clips of these classes, each with a speaker.
fn clips(of: &[(usize, usize)]) -> Vec<Clip> {
    let clip = |(index, &(label, speaker)): (usize, &(usize, usize))| Clip {
        path: format!("{index}.wav").into(),
        relative: format!("{index}.wav"),
        label,
        groups: BTreeMap::from([("speaker".to_owned(), format!("s{speaker}"))]),
        segment: None,
    };
    of.iter().enumerate().map(clip).collect()
}

#[test]
fn two_classes_of_ten_recordings_give_six_two_and_two_of_each() {
    let of: Vec<(usize, usize)> = (0..20).map(|index| (index % 2, index)).collect();
    let clips = clips(&of);
    let split = shares(&clips, None, [0.2, 0.2], 0);
    for (part, expected) in [(&split.train, 6), (&split.validation, 2), (&split.test, 2)] {
        for label in 0..2 {
            let of_class = part.iter().filter(|&&index| clips[index].label == label);
            assert_eq!(of_class.count(), expected);
        }
    }
    assert_ne!(split, shares(&clips, None, [0.2, 0.2], 1));
}

#[test]
fn three_large_groups_give_a_part_each() {
    let of: Vec<(usize, usize)> = (0..60).map(|index| (index % 2, index / 20)).collect();
    let split = shares(&clips(&of), Some("speaker"), [0.1, 0.1], 0);
    let sizes = [&split.train, &split.validation, &split.test].map(Vec::len);
    assert_eq!(sizes, [20, 20, 20]);
}

#[test]
fn held_out_clips_come_from_training() {
    let of: Vec<(usize, usize)> = (0..40).map(|index| (index % 2, index / 4)).collect();
    let part: Vec<usize> = (10..40).collect();
    let (train, held) = hold_out(&part, &clips(&of), None, 0.2, 0);
    assert_eq!((train.len(), held.len()), (24, 6));
    let mut all = [train, held].concat();
    all.sort_unstable();
    assert_eq!(all, part);
}

proptest! {
    #[test]
    fn shares_cover_all_clips_once_train_every_class_and_keep_groups_whole(
        of in prop::collection::vec((0usize..4, 0usize..12), 1..90),
        grouped: bool, validation in 0.05f64..0.45, test in 0.05f64..0.45, seed: u64,
    ) {
        let clips = clips(&of);
        let group = grouped.then_some("speaker");
        let split = shares(&clips, group, [validation, test], seed);
        let parts = [&split.train, &split.validation, &split.test];
        let mut all = parts.map(Vec::clone).concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..clips.len()).collect::<Vec<_>>());
        if grouped {
            for speaker in 0..12 {
                let name = format!("s{speaker}");
                let holds = |part: &&&Vec<usize>| part.iter().any(|&i| clips[i].group("speaker") == name);
                prop_assert!(parts.iter().filter(holds).count() <= 1);
            }
        } else {
            for label in 0..4 {
                let count = |part: &Vec<usize>| part.iter().filter(|&&i| clips[i].label == label).count();
                let all = clips.iter().filter(|clip| clip.label == label).count();
                prop_assert!(all == 0 || count(&split.train) >= 1);
                if all >= 10 {
                    let wanted = |share: f64| ((all as f64 * share).round() as usize).max(1);
                    prop_assert!(count(&split.test) <= wanted(test));
                    prop_assert!(count(&split.validation) <= wanted(validation));
                }
            }
        }
    }
}
