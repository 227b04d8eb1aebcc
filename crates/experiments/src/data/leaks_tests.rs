use super::*;

/// Clips with these values of the group `speaker`.
fn clips(speakers: &[&str]) -> Vec<Clip> {
    let clip = |(index, speaker): (usize, &&str)| Clip {
        path: format!("{index}.wav").into(),
        relative: format!("{index}.wav"),
        label: 0,
        groups: BTreeMap::from([("speaker".to_owned(), (*speaker).to_owned())]),
        segment: None,
    };
    speakers.iter().enumerate().map(clip).collect()
}

fn split(train: &[usize], validation: &[usize], test: &[usize]) -> Split {
    Split {
        fold: 3,
        name: String::new(),
        train: train.to_vec(),
        validation: validation.to_vec(),
        test: test.to_vec(),
        extra: Vec::new(),
    }
}

#[test]
fn a_speaker_in_two_parts_is_named_with_examples() {
    let clips = clips(&["a", "b", "c", "a", "b", "d"]);
    let leak = |split: &Split| check(split, &clips, &LeakSpec::default(), &[]);
    assert!(leak(&split(&[0, 3], &[1, 4], &[2])).is_ok());
    let text = leak(&split(&[0, 1], &[2], &[3, 4, 5]))
        .expect_err("leak")
        .to_string();
    for part in [
        "fold 3",
        "`a`, `b` are",
        "training",
        "test",
        "0.wav",
        "3.wav",
        "leaks.allow",
    ] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    let text = leak(&split(&[2], &[0], &[3]))
        .expect_err("leak")
        .to_string();
    assert!(
        text.contains("validation") && text.contains("`a` is"),
        "{text}"
    );
    let mut further = split(&[0], &[1], &[2]);
    further.extra.push(("unheard".to_owned(), vec![3]));
    let text = leak(&further).expect_err("leak").to_string();
    assert!(text.contains("unheard part"), "{text}");
}

#[test]
fn leaks_are_allowed_by_the_manifest_for_values_or_by_the_caller_for_the_group() {
    let clips = clips(&["a", "b", "a", "b"]);
    let bad = split(&[0, 1], &[], &[2, 3]);
    let allow = |values: &[&str]| LeakSpec {
        apart: Vec::new(),
        allow: vec![AllowedLeak {
            group: "speaker".to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }],
    };
    assert!(check(&bad, &clips, &allow(&["a"]), &[]).is_err());
    assert!(check(&bad, &clips, &allow(&["a", "b"]), &[]).is_ok());
    assert!(check(&bad, &clips, &allow(&[]), &[]).is_ok());
    let caller = ["speaker".to_owned()];
    assert!(check(&bad, &clips, &LeakSpec::default(), &caller).is_ok());
}

#[test]
fn clips_without_a_value_share_nothing_and_other_groups_only_where_asked() {
    let mut clips = clips(&["", "", "", ""]);
    let parts = split(&[0, 1], &[], &[2, 3]);
    assert!(check(&parts, &clips, &LeakSpec::default(), &[]).is_ok());
    for clip in &mut clips {
        clip.groups.insert("room".to_owned(), "kitchen".to_owned());
    }
    assert!(check(&parts, &clips, &LeakSpec::default(), &[]).is_ok());
    let apart = LeakSpec {
        apart: vec!["room".to_owned()],
        allow: Vec::new(),
    };
    assert!(check(&parts, &clips, &apart, &[]).is_err());
}
