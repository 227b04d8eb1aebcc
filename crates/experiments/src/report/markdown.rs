//! The report as Markdown, for a terminal pager or a code host.

use super::escape::escape_markdown as escape;
use super::gallery::Gallery;
use super::plots::Plot;
use super::study::Study;
use super::summary::TaskSummary;
use super::tables::{self, Table};
use super::{Report, costs, remarks, studies, task_title};

/// The whole document; the plots are in the folder `plots/` beside it.
pub fn markdown(report: &Report) -> String {
    let mut parts = head(report);
    parts.push("## Results".to_owned());
    if report.tasks.is_empty() {
        parts.push("No run has finished yet.".to_owned());
    } else {
        parts.push(table(&tables::overview(report.tasks)));
        let chances: Vec<String> = report.tasks.iter().map(remarks::chance).collect();
        parts.push(list(&chances));
        parts.push("How to read the numbers:".to_owned());
        parts.push(list(&remarks::reading_notes(report.tasks)));
        for (i, of_study) in report.context.studies.iter().enumerate() {
            study(report, of_study, i, &mut parts);
        }
        for i in 0..report.tasks.len() {
            task(report, i, &mut parts);
        }
        cost(report, &mut parts);
        published(report, &mut parts);
        provenance(report, &mut parts);
    }
    parts.join("\n\n").trim_end().to_owned() + "\n"
}

fn head(report: &Report) -> Vec<String> {
    let context = report.context;
    let mut parts = vec![
        format!("# {}", escape(&context.title)),
        format!("Profile `{}`, made by", code(&context.profile)),
        format!("```sh\n{}\n```", context.command.replace("```", "")),
    ];
    parts.extend(context.notes.iter().map(|note| escape(note)));
    if !context.missing.is_empty() {
        parts.push("**What could not run**".to_owned());
        parts.push(list(&context.missing));
    }
    parts
}

fn study(report: &Report, study: &Study, index: usize, parts: &mut Vec<String>) {
    parts.push(format!("## {}", escape(&study.title)));
    if !study.note.is_empty() {
        parts.push(escape(&study.note));
    }
    let views = &report.views[index];
    if views.is_empty() {
        parts.push("None of its runs has finished yet.".to_owned());
    }
    for (view, plot) in views.iter().zip(&report.plots.studies[index]) {
        let task = &report.tasks[view.task];
        parts.push(format!("### {}", escape(task_title(task))));
        parts.push(table(&tables::study(view, task)));
        parts.extend(remarks::study(view).iter().map(|text| escape(text)));
        parts.extend(plot.iter().map(|plot| picture(&study.title, plot)));
    }
}

fn task(report: &Report, index: usize, parts: &mut Vec<String>) {
    let task = &report.tasks[index];
    let plots = &report.plots.tasks[index];
    parts.push(format!("## {}", escape(task_title(task))));
    parts.extend(about(task));
    let points = studies::of_task(task, index);
    parts.push(table(&tables::comparison(task, &points)));
    parts.push(escape(&remarks::chance(task)));
    let title = task_title(task);
    parts.extend(plots.over_rows.iter().map(|plot| picture(title, plot)));
    parts.extend(plots.galleries.iter().map(links));
}

fn picture(title: &str, plot: &Plot) -> String {
    let alt = escape(&format!("{title}: {}", plot.caption));
    format!("![{alt}](plots/{}.svg)", plot.file)
}

/// Plots of single rows are too many to show all.
fn links(gallery: &Gallery) -> String {
    let link = |label: &str, file: &str| format!("[{}](plots/{file}.svg)", escape(label));
    let rows = gallery.rows.iter();
    let rows: Vec<String> = rows.map(|row| link(&row.label, &row.plot.file)).collect();
    format!("{}: {}.", gallery.title, rows.join(", "))
}

fn cost(report: &Report, parts: &mut Vec<String>) {
    parts.push("## Cost".to_owned());
    parts.push(table(&costs::cost(report.tasks)));
    parts.push(list(&remarks::cost_notes()));
    if let Some(used) = costs::expert_use(report.tasks) {
        parts.push("### Balance of the experts".to_owned());
        parts.push(table(&used));
        parts.push(list(&remarks::expert_notes()));
    }
}

fn published(report: &Report, parts: &mut Vec<String>) {
    parts.push("## Published figures".to_owned());
    if let Some(found) = costs::published(report.context, report.tasks) {
        parts.push(table(&found));
        parts.push(remarks::PUBLISHED.to_owned());
    }
    parts.extend(costs::unpublished(report.context, report.tasks));
}

fn provenance(report: &Report, parts: &mut Vec<String>) {
    parts.push("## Where and how".to_owned());
    let lines: Vec<String> = remarks::provenance(report.runs)
        .into_iter()
        .map(|(label, text)| format!("{label}: {text}"))
        .collect();
    parts.push(list(&lines));
    parts.push(
        "The exact configuration of every row is in `report.html`, that of every run in \
         `results.json` and `results.csv`."
            .to_owned(),
    );
}

/// What the task is, its best row and its warnings.
fn about(task: &TaskSummary) -> Vec<String> {
    let mut texts = Vec::new();
    if let Some(note) = task.note {
        let parts = [
            ("Task", &note.name),
            ("Source", &note.source),
            ("Licence", &note.licence),
            ("Caveat", &note.caveat),
        ];
        let parts = parts.iter().filter(|(_, text)| !text.is_empty());
        let parts: Vec<String> = parts.map(|(l, t)| format!("{l}: {t}")).collect();
        texts.push(list(&parts));
    }
    texts.extend(remarks::highest(task).map(|text| escape(&text)));
    let warnings = remarks::warnings(task);
    texts.extend(
        warnings
            .iter()
            .map(|text| format!("**Careful:** {}", escape(text))),
    );
    texts
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|i| format!("- {}", escape(i))).collect();
    items.join("\n")
}

fn code(text: &str) -> String {
    text.replace('`', "'").replace(['\n', '\r'], " ")
}

fn table(table: &Table) -> String {
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let columns = &table.columns;
    let mut lines = vec![
        row(columns.iter().map(|c| escape(&c.name)).collect()),
        row(columns
            .iter()
            .map(|c| if c.numeric { "---:" } else { "---" }.to_owned())
            .collect()),
    ];
    for cells in &table.rows {
        lines.push(row(cells.iter().map(|cell| escape(&cell.text)).collect()));
    }
    lines.join("\n")
}
