use super::*;

const MANIFEST: &str = r#"
    name = "tones"
    title = "t"
    licence = "CC0-1.0"
    caveat = "c"
    [clips]
    pattern = '^(?<syllable>[^0-9/]+)(?<tone>[0-9]?)/(?<voice>[ab])\.wav$'
    exclude = '^skip'
    count = 3
    [label]
    group = "tone"
    leave_out = ["9"]
    classes = [{ name = "level", values = [""] }, { name = "rising", values = ["2"] }]
    [split]
    protocol = "leave-one-group-out"
    test_group = "voice"
    validation_group = "syllable"
    validation_fraction = 0.5
    [defaults]
    max_length = 8
    batch = 2
    epochs = 1
"#;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("temporary folder");
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, b"sound").expect("file");
    }
    root
}

fn scan_files(files: &[&str]) -> Result<Vec<Clip>, DataError> {
    let manifest = Manifest::parse(MANIFEST, Path::new("tones.toml")).expect("manifest");
    scan(&manifest, folder(files).path())
}

fn refused(files: &[&str]) -> String {
    scan_files(files).expect_err("refused").to_string()
}

#[test]
fn clips_come_sorted_with_label_and_groups() {
    let files = [
        "ㄇㄚ2/a.wav",
        "ㄇㄚ/b.wav",
        "ㄇㄚ/a.wav",
        "ㄇㄚ9/a.wav",
        "skip2/a.wav",
        "notes.txt",
    ];
    let clips = scan_files(&files).expect("clips");
    let names: Vec<&str> = clips.iter().map(|clip| clip.relative.as_str()).collect();
    assert_eq!(names, ["ㄇㄚ/a.wav", "ㄇㄚ/b.wav", "ㄇㄚ2/a.wav"]);
    let labels: Vec<usize> = clips.iter().map(|clip| clip.label).collect();
    assert_eq!(labels, [0, 0, 1]);
    assert_eq!(clips[1].group("voice"), "b");
    assert_eq!((clips[0].group("tone"), clips[2].group("tone")), ("", "2"));
    assert!(clips[2].path.ends_with("ㄇㄚ2/a.wav"));
}

#[test]
fn a_missing_folder_names_the_command_that_fetches_it() {
    let manifest = Manifest::parse(MANIFEST, Path::new("tones.toml")).expect("manifest");
    let error = scan(&manifest, Path::new("no/such/folder")).expect_err("missing");
    assert!(
        error.to_string().contains("cargo xtask data tones"),
        "{error}"
    );
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}

#[test]
fn a_folder_without_clips_shows_pattern_and_one_file() {
    let text = refused(&["other/sound.mp3"]);
    assert!(
        text.contains("other/sound.mp3") && text.contains("(?<tone>"),
        "{text}"
    );
}

#[test]
fn another_number_of_clips_than_promised_is_refused() {
    let text = refused(&["ma/a.wav", "ma2/a.wav"]);
    assert!(
        text.contains("holds 2 clips") && text.contains("says 3"),
        "{text}"
    );
}

#[test]
fn a_class_without_clips_is_named() {
    let text = refused(&["ma/a.wav", "ma/b.wav", "mo/a.wav"]);
    assert!(text.contains("class `rising`"), "{text}");
}

#[test]
fn a_label_of_no_class_names_file_and_value() {
    let text = refused(&["ma/a.wav", "ma2/a.wav", "ma7/a.wav"]);
    assert!(
        text.contains("label `7`") && text.contains("a.wav"),
        "{text}"
    );
}

#[test]
fn a_clip_in_two_formats_is_refused() {
    assert!(scan_files(&["ma/a.wav", "ma2/a.wav", "ma2/b.wav"]).is_ok());
    let manifest = MANIFEST.replace("wav$'", "(wav|ogg)$'");
    let manifest = Manifest::parse(&manifest, Path::new("tones.toml")).expect("manifest");
    let root = folder(&["ma/a.wav", "ma/a.ogg", "ma2/a.wav"]);
    let text = scan(&manifest, root.path()).expect_err("twice").to_string();
    assert!(text.contains("a.ogg") && text.contains("a.wav"), "{text}");
}

#[test]
fn a_segment_is_cut_at_the_nearest_samples() {
    let segment = |start, end| Segment { start, end };
    let cut = |start, end| segment(start, end).samples(16_000, 32_000);
    assert_eq!(cut(0.5, Some(1.0)), Ok(8_000..16_000));
    assert_eq!(cut(0.5, None), Ok(8_000..32_000));
    assert_eq!(cut(0.000_04, Some(0.000_16)), Ok(1..3));
    // The table rounded: the file ends a little earlier.
    assert_eq!(cut(1.0, Some(2.009)), Ok(16_000..32_000));
    let fault = |start, end| cut(start, end).expect_err("does not fit");
    assert!(fault(1.0, Some(2.02)).contains("ends at 2.02 s"));
    assert!(fault(2.0, None).contains("holds no sample"));
    assert!(fault(1.0, Some(1.0)).contains("holds no sample"));
    assert_eq!(
        segment(0.1, Some(0.2)).samples(44_100, 44_100),
        Ok(4_410..8_820)
    );
}

#[test]
fn the_stem_is_the_path_without_the_ending_of_the_name() {
    let pairs = [
        ("a/b.wav", "a/b"),
        ("a.x/b", "a.x/b"),
        ("a/.b", "a/.b"),
        ("b.c.wav", "b.c"),
    ];
    for (path, expected) in pairs {
        assert_eq!(stem(path), expected);
    }
}

#[cfg(unix)]
#[test]
fn a_loop_of_links_ends() {
    let root = folder(&["ma/a.wav"]);
    std::os::unix::fs::symlink(root.path(), root.path().join("loop")).expect("link");
    let files = list_files(root.path()).expect("listed");
    assert_eq!(files.len(), 1, "{files:?}");
}
