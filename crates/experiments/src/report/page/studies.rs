//! The section of a study.

use super::{figure, push, table};
use crate::report::escape::escape_html as escape;
use crate::report::studies::StudyView;
use crate::report::study::Study;
use crate::report::{Report, remarks, tables, task_title};

/// The section; a study without any run says so.
pub fn section(report: &Report, study: &Study, index: usize) -> String {
    let title = escape(&study.title);
    let mut text = format!("<section id=\"study-{index}\" class=\"study\">\n<h2>{title}</h2>\n");
    if !study.note.is_empty() {
        push(
            &mut text,
            format_args!("<p class=\"note\">{}</p>", escape(&study.note)),
        );
    }
    let views = &report.views[index];
    if views.is_empty() {
        text.push_str("<p>None of its runs has finished yet.</p>\n");
    }
    for (j, view) in views.iter().enumerate() {
        text.push_str(&on_task(report, view, index, j));
    }
    text + "</section>\n"
}

fn on_task(report: &Report, view: &StudyView, index: usize, j: usize) -> String {
    let task = &report.tasks[view.task];
    let mut text = format!(
        "<div class=\"part\" data-task=\"{}\"><h3>{}</h3>\n",
        escape(&task.task),
        escape(task_title(task))
    );
    let caption = format!(
        "{}, on {}: each row against the single adapter",
        view.study.title, task.task
    );
    let id = format!("study-{index}-{j}");
    let rows = tables::study(view, task);
    text.push_str(&table(&id, &caption, &rows, report.styles));
    for remark in remarks::study(view) {
        push(
            &mut text,
            format_args!("<p class=\"below\">{}</p>", escape(&remark)),
        );
    }
    if let Some(plot) = &report.plots.studies[index][j] {
        push(
            &mut text,
            format_args!("<div class=\"plots\">{}</div>", figure(plot, "")),
        );
    }
    text + "</div>\n"
}
