//! The page in a real browser: scripts run, tables are found, sorted and
//! filtered. Without a browser the tests say so and pass.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::fixtures::{context, expert_use, some_runs};
use super::*;

/// Names a browser to test with, by its full path.
const VARIABLE: &str = "SOFT_MOA_BROWSER";

const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// Longest time for one page; it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(120);

/// Past the harness, which keeps what a passing test prints to itself.
fn skipped(reason: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: the report in a browser; {reason}"
    );
}

/// The browser, and whether the user named it.
fn browser() -> Option<(PathBuf, bool)> {
    if let Some(named) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        assert!(
            named.is_file(),
            "{VARIABLE} is `{}`, which is no file; name the full path of a Chromium or Chrome, \
             or unset it",
            named.display()
        );
        return Some((named, true));
    }
    let folders = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|program| program.is_file())?;
    Some((found, false))
}

/// The document after its scripts ran; `None`, with a word about it, without a
/// browser that works.
fn document(page: &Path, address: &str) -> Option<String> {
    let Some((program, named)) = browser() else {
        skipped("there is no Chromium or Chrome on PATH");
        return None;
    };
    match opened(&program, page, address) {
        Ok(document) => Some(document),
        // One that only happens to be there may be a stub.
        Err(reason) if !named => {
            skipped(&format!("{} does not work: {reason}", program.display()));
            None
        }
        Err(reason) => panic!("{}: {reason}", program.display()),
    }
}

fn opened(program: &Path, page: &Path, address: &str) -> Result<String, String> {
    let home = tempfile::tempdir().map_err(|e| e.to_string())?;
    let output = home.path().join("document.html");
    let file = std::fs::File::create(&output).map_err(|e| e.to_string())?;
    let mut child = Command::new(program)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-dev-shm-usage", "--no-first-run", "--dump-dom"])
        .arg(format!(
            "--user-data-dir={}",
            home.path().join("profile").display()
        ))
        .arg(format!("file://{}{address}", page.display()))
        .stdout(file)
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let started = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no document within {} s", PATIENCE.as_secs()));
            }
        }
    };
    let document = std::fs::read_to_string(&output).map_err(|e| e.to_string())?;
    match document.contains("</html>") {
        true => Ok(document),
        false => Err(format!("no document, {status}")),
    }
}

/// A report with studies, expert use and a published figure.
fn page(folder: &Path) -> PathBuf {
    let mut runs = some_runs();
    for run in runs.iter_mut().filter(|run| run.method == "soft-moa") {
        run.expert_use = Some(expert_use(&[0.5, 0.3, 0.2]));
    }
    let mut context = context();
    let row = |label: &str, x| StudyRow {
        label: label.to_owned(),
        x,
        series: None,
    };
    context.studies = vec![Study {
        name: "width".to_owned(),
        title: "How wide".to_owned(),
        axis: Some("width R".to_owned()),
        rows: vec![
            row("adapter", None),
            row("linear", Some(1.0)),
            row("soft-moa", Some(4.0)),
        ],
        ..Study::default()
    }];
    write(folder, &context, &runs).unwrap();
    folder.join("report.html")
}

/// Method and visibility of each line of the table with this id, in order.
fn lines(document: &str, id: &str) -> Vec<(String, bool)> {
    let start = document.find(&format!("id=\"{id}\"")).expect(id);
    let table = &document[start..];
    let table = &table[..table.find("</table>").expect("its end")];
    let body = &table[table.find("<tbody>").expect("a body")..];
    let line = |tag: &str| {
        let tag = &tag[..tag.find('>').expect("its end")];
        let method = tag.split("data-method=\"").nth(1).expect("a method");
        let method = method.split('"').next().unwrap_or_default();
        (method.to_owned(), !tag.contains("hidden"))
    };
    body.split("<tr").skip(1).map(line).collect()
}

fn ready(document: &str) -> bool {
    document.contains("data-ready=\"yes\"")
}

#[test]
fn a_browser_finds_every_table_and_shows_one_plot_of_a_gallery() {
    let folder = tempfile::tempdir().unwrap();
    let Some(document) = document(&page(folder.path()), "") else {
        return;
    };
    assert!(ready(&document), "a script stopped before its end");
    let methods = ["linear", "linear", "adapter", "soft-moa"];
    let tables = [
        ("all", &["linear", "adapter", "soft-moa", "linear"][..]),
        ("rows-0", &["linear", "adapter", "soft-moa"]),
        ("rows-1", &["linear"]),
        ("study-0-0", &["adapter", "linear", "soft-moa"]),
        ("costs", &["linear", "adapter", "soft-moa", "linear"]),
        ("balance", &["soft-moa"]),
    ];
    for (id, expected) in tables {
        let found = lines(&document, id);
        assert!(found.iter().all(|(_, shown)| *shown), "{id}");
        let found: Vec<&str> = found.iter().map(|(method, _)| method.as_str()).collect();
        assert_eq!(found, expected, "{id}");
    }
    assert_eq!(lines(&document, "all").len(), methods.len());
    assert!(document.contains("4 of 4 rows"));
    let gallery = &document[document.find("id=\"confusion-0\"").unwrap()..];
    let gallery = &gallery[..gallery.find("class=\"gallery\"").unwrap_or(gallery.len())];
    let figures: Vec<&str> = gallery
        .split("<figure")
        .skip(1)
        .filter_map(|figure| figure.split('>').next())
        .collect();
    assert_eq!(figures.len(), 3);
    let shown: Vec<_> = figures.iter().filter(|f| !f.contains("hidden")).collect();
    assert_eq!(shown.len(), 1);
    assert!(shown[0].contains("data-choice=\"2\""), "{shown:?}");
}

#[test]
fn an_address_leads_to_a_sorted_and_filtered_page() {
    let folder = tempfile::tempdir().unwrap();
    let address = "#task=tones&words=moa%20SOFT&sort=all.accuracy.desc,rows-0.method.desc\
                   &show=confusion-0.1";
    let Some(document) = document(&page(folder.path()), address) else {
        return;
    };
    assert!(ready(&document), "a script stopped before its end");
    let all = lines(&document, "all");
    let methods: Vec<&str> = all.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(methods, ["soft-moa", "adapter", "linear", "linear"]);
    let shown: Vec<bool> = all.iter().map(|(_, shown)| *shown).collect();
    assert_eq!(shown, [true, false, false, false]);
    assert!(document.contains("1 of 4 rows"));
    let rows: Vec<String> = lines(&document, "rows-0")
        .into_iter()
        .map(|l| l.0)
        .collect();
    assert_eq!(rows, ["soft-moa", "adapter", "linear"]);
    let other = document.find("id=\"task-1\"").unwrap();
    let tag = &document[other..other + document[other..].find('>').unwrap()];
    assert!(tag.contains("hidden"), "{tag}");
    let gallery = &document[document.find("id=\"confusion-0\"").unwrap()..];
    let chosen = &gallery[gallery.find("data-choice=\"1\"").unwrap()..];
    assert!(!chosen[..chosen.find('>').unwrap()].contains("hidden"));
}
