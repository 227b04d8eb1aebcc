//! The report as one HTML page that needs nothing but itself.

mod filter;
mod gallery;
mod rows;
mod studies;
mod table;
mod task;

use std::fmt::Write;

use super::draw::ink::level_rules;
use super::draw::svg::svg;
use super::escape::escape_html as escape;
use super::format::counted;
use super::order::colours;
use super::plots::Plot;
use super::{Report, costs, remarks, tables, task_title};
use table::table;

const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");

/// The whole document.
pub fn html(report: &Report) -> String {
    let mut body = header(report);
    if !report.context.missing.is_empty() {
        let heading = "<h2>What could not run</h2>";
        let items = list(&report.context.missing);
        push(
            &mut body,
            format_args!("<section class=\"missing\">{heading}{items}</section>"),
        );
    }
    body.push_str(&results(report));
    for (i, study) in report.context.studies.iter().enumerate() {
        body.push_str(&studies::section(report, study, i));
    }
    let mut gallery = gallery::Budget::default();
    for i in 0..report.tasks.len() {
        body.push_str(&task::section(report, i, &mut gallery));
    }
    if !report.tasks.is_empty() {
        body.push_str(&cost(report));
        body.push_str(&published(report));
        push(
            &mut body,
            format_args!(
                "<section id=\"provenance\"><h2>Where and how</h2>{}</section>",
                provenance(report)
            ),
        );
    }
    page(&report.context.title, &body)
}

/// Appends a line; writing to a string cannot fail.
fn push(body: &mut String, text: std::fmt::Arguments) {
    let _ = writeln!(body, "{text}");
}

fn page(title: &str, body: &str) -> String {
    // The policy forbids the page to load anything, whatever a record holds.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n\
         <style>\n{STYLE}{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(title),
        colour_rules()
    )
}

/// Fill and stroke rules of every method's colour and of the levels of maps.
fn colour_rules() -> String {
    let rules = |dark: bool| {
        let rule = |(i, colour): (usize, super::order::Colour)| {
            let c = if dark { colour.1 } else { colour.0 };
            format!(".f{i}{{fill:{c}}}.s{i}{{stroke:{c}}}\n")
        };
        colours().map(rule).collect::<String>() + &level_rules(dark)
    };
    format!(
        "{}@media (prefers-color-scheme: dark) {{\n{}}}\n",
        rules(false),
        rules(true)
    )
}

fn header(report: &Report) -> String {
    let context = report.context;
    let rows = report.tasks.iter().map(|task| task.rows.len()).sum();
    let mut text = format!(
        "<header>\n<p class=\"kicker\">Profile {} · {} · {} · {}</p>\n<h1>{}</h1>\n",
        escape(&context.profile),
        counted(report.tasks.len(), "task"),
        counted(rows, "row"),
        counted(report.runs.len(), "run"),
        escape(&context.title)
    );
    for note in &context.notes {
        push(
            &mut text,
            format_args!("<p class=\"lead\">{}</p>", escape(note)),
        );
    }
    push(
        &mut text,
        format_args!(
            "<p class=\"label\">Made by</p>{}",
            command(&context.command)
        ),
    );
    if !report.tasks.is_empty() {
        text.push_str(&contents(report));
    }
    text + "</header>\n"
}

/// Links to the sections.
fn contents(report: &Report) -> String {
    let link = |target: &str, title: &str| format!("<a href=\"#{target}\">{}</a>", escape(title));
    let mut text = format!(
        "<nav aria-label=\"Sections\">{}",
        link("results", "Results")
    );
    for (i, study) in report.context.studies.iter().enumerate() {
        if !report.views[i].is_empty() {
            text.push_str(&link(&format!("study-{i}"), &study.title));
        }
    }
    for (i, task) in report.tasks.iter().enumerate() {
        text.push_str(&link(&format!("task-{i}"), task_title(task)));
    }
    for (target, title) in [
        ("cost", "Cost"),
        ("published", "Published figures"),
        ("provenance", "Where and how"),
    ] {
        text.push_str(&link(target, title));
    }
    text + "</nav>\n"
}

/// A command with a button that copies it (made by the script).
fn command(command: &str) -> String {
    let command = escape(command);
    format!("<div class=\"copied\"><pre class=\"command\"><code>{command}</code></pre></div>")
}

fn results(report: &Report) -> String {
    let mut body = String::from("<section id=\"results\">\n<h2>Results</h2>\n");
    if report.tasks.is_empty() {
        return body + "<p>No run has finished yet.</p>\n</section>\n";
    }
    body.push_str(&filter::bar(report));
    let overview = tables::overview(report.tasks);
    let caption = "All methods on all tasks";
    body.push_str(&table("all", caption, &overview, report.styles));
    let chances: Vec<String> = report.tasks.iter().map(remarks::chance).collect();
    let notes = list(&remarks::reading_notes(report.tasks));
    push(
        &mut body,
        format_args!(
            "<div class=\"below\">{}</div>\n<details class=\"how\" open>\
             <summary>How to read the numbers</summary>{notes}</details>",
            list(&chances)
        ),
    );
    body + "</section>\n"
}

fn cost(report: &Report) -> String {
    let mut body = String::from("<section id=\"cost\">\n<h2>Cost</h2>\n");
    let table_of_costs = costs::cost(report.tasks);
    let caption = "Arithmetic, time, memory and size of every row";
    body.push_str(&table("costs", caption, &table_of_costs, report.styles));
    let notes = list(&remarks::cost_notes());
    push(
        &mut body,
        format_args!("<div class=\"below\">{notes}</div>"),
    );
    if let Some(used) = costs::expert_use(report.tasks) {
        body.push_str("<h3 id=\"experts\">Balance of the experts</h3>\n");
        let caption = "How evenly the experts were used on the test part";
        body.push_str(&table("balance", caption, &used, report.styles));
        let notes = list(&remarks::expert_notes());
        push(
            &mut body,
            format_args!("<div class=\"below\">{notes}</div>"),
        );
    }
    body + "</section>\n"
}

fn published(report: &Report) -> String {
    let mut body = String::from("<section id=\"published\">\n<h2>Published figures</h2>\n");
    if let Some(found) = costs::published(report.context, report.tasks) {
        let caption = "Ours beside what the papers print";
        body.push_str(&table("papers", caption, &found, report.styles));
        let note = remarks::PUBLISHED;
        push(&mut body, format_args!("<p class=\"below\">{note}</p>"));
    }
    if let Some(note) = costs::unpublished(report.context, report.tasks) {
        push(&mut body, format_args!("<p>{}</p>", escape(&note)));
    }
    body + "</section>\n"
}

fn list(items: &[String]) -> String {
    let items: String = items
        .iter()
        .map(|item| format!("<li>{}</li>", escape(item)))
        .collect();
    format!("<ul>{items}</ul>")
}

/// A plot in a frame that scrolls on its own, with links to its files.
fn figure(plot: &Plot, more: &str) -> String {
    let class = if plot.wide { " class=\"wide\"" } else { "" };
    let file = escape(&plot.file);
    format!(
        "<figure{class}{more}><div class=\"scroll\" tabindex=\"0\">{}</div><figcaption>{} \
         <span class=\"files\"><a href=\"plots/{file}.svg\">SVG</a> \
         <a href=\"plots/{file}.png\">PNG</a></span></figcaption></figure>\n",
        svg(&plot.drawing).trim_end(),
        escape(&plot.caption)
    )
}

fn definitions<'a>(parts: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let parts: String = parts
        .filter(|(_, text)| !text.is_empty())
        .map(|(label, text)| format!("<dt>{}</dt><dd>{}</dd>", escape(label), escape(text)))
        .collect();
    format!("<dl>{parts}</dl>\n")
}

fn provenance(report: &Report) -> String {
    let lines = remarks::provenance(report.runs);
    definitions(lines.iter().map(|(l, t)| (l.as_str(), t.as_str())))
}
