use super::*;
use proptest::prelude::*;
use serde_json::json;

fn csv(text: &str) -> Result<Vec<Row>, (usize, String)> {
    parse(text.as_bytes(), Format::Separated(b','))
}

fn json(text: &str) -> Result<Vec<Row>, (usize, String)> {
    parse(text.as_bytes(), Format::JsonLines)
}

#[test]
fn quoted_commas_quotes_and_line_breaks_belong_to_the_value() {
    let text = "\u{feff},path,transcription,label\r\n\
                0,a.wav,\"no, \"\"not\"\" that\",x\r\n\
                1,b.wav,\"two\nlines\",y";
    let rows = csv(text).expect("rows");
    assert_eq!(rows[0].required("transcription"), Ok("no, \"not\" that"));
    assert_eq!(rows[1].required("transcription"), Ok("two\nlines"));
    // No line break at the end, and nothing lost.
    assert_eq!(rows[1].required("label"), Ok("y"));
    assert_eq!((rows[0].line, rows[1].line), (2, 3));
}

#[test]
fn a_line_at_fault_is_named_with_a_remedy() {
    let cases = [
        (csv("path,label\na.wav,x\nb.wav,y,z\n"), 3, "double quotes"),
        (csv("path,path\na,b\n"), 1, "two columns"),
        (csv("path,label\n"), 1, "no row"),
        (json("{\"path\":\"a\"}\n\n[1]\n"), 3, "one JSON object"),
        (json("{\"path\":"), 1, "one JSON object"),
        (json(""), 1, "no row"),
    ];
    for (result, line, part) in cases {
        let (found, message) = result.expect_err(part);
        assert_eq!(found, line, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn columns_that_are_not_there_are_named_in_csv_and_empty_in_json() {
    let rows = csv("path,label\na.wav,x\n").expect("rows");
    let text = rows[0].required("speaker").expect_err("no column");
    assert!(
        text.contains("`speaker`") && text.contains("label, path"),
        "{text}"
    );
    let rows = json("{\"path\":\"a.wav\",\"fold\":3,\"speaker\":null}").expect("rows");
    assert_eq!(rows[0].required("fold"), Ok("3"));
    assert_eq!(rows[0].required("speaker"), Ok(""));
    assert_eq!(columns(&rows), BTreeSet::from(["path", "fold"]));
}

#[test]
fn times_are_seconds_from_0_or_left_out() {
    let seconds = |text: &str| {
        let rows = csv(&format!("path,start\na.wav,{text}\n")).expect("rows");
        rows[0].seconds("start")
    };
    assert_eq!(seconds("1.25"), Ok(Some(1.25)));
    assert_eq!(seconds(" "), Ok(None));
    for bad in ["-1", "NaN", "1e300", "1:20", "one"] {
        assert!(seconds(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_file_of_another_kind_is_refused_by_its_name() {
    let text = read(Path::new("clips.xlsx")).expect_err("kind").to_string();
    assert!(
        text.contains("clips.xlsx") && text.contains(".jsonl"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn any_values_come_back_from_csv_and_json_lines(
        rows in prop::collection::vec(("\\PC{0,12}", "[ -~\n\r]{0,12}"), 1..20),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["path", "label"]).expect("written");
        let mut lines = String::new();
        for (path, label) in &rows {
            writer.write_record([path, label]).expect("written");
            lines += &format!("{}\n", json!({ "path": path, "label": label }));
        }
        let bytes = writer.into_inner().expect("written");
        for read in [parse(&bytes, Format::Separated(b',')), json(&lines)] {
            let read = read.expect("rows");
            prop_assert_eq!(read.len(), rows.len());
            for (row, (path, label)) in read.iter().zip(&rows) {
                prop_assert_eq!(row.required("path"), Ok(path.as_str()));
                prop_assert_eq!(row.required("label"), Ok(label.as_str()));
            }
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Separated(b','), Format::Separated(b'\t'), Format::JsonLines] {
            if let Ok(rows) = parse(&bytes, format) {
                prop_assert!(!rows.is_empty());
            }
        }
    }
}
