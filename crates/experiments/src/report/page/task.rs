//! The section of a task: what it is, its rows, its plots.

use super::gallery::Budget;
use super::{definitions, figure, gallery, push, rows, table};
use crate::report::escape::escape_html as escape;
use crate::report::summary::TaskSummary;
use crate::report::{Report, remarks, studies, tables, task_title};

/// The section of the task with this index.
pub fn section(report: &Report, index: usize, budget: &mut Budget) -> String {
    let task = &report.tasks[index];
    let plots = &report.plots.tasks[index];
    let title = escape(task_title(task));
    let mut text = format!(
        "<section id=\"task-{index}\" data-task=\"{}\">\n<h2>{title}</h2>\n",
        escape(&task.task)
    );
    text.push_str(&about(task));
    if let Some(highest) = remarks::highest(task) {
        push(
            &mut text,
            format_args!("<p class=\"lead\">{}</p>", escape(&highest)),
        );
    }
    for warning in remarks::warnings(task) {
        push(
            &mut text,
            format_args!("<p class=\"warning\">{}</p>", escape(&warning)),
        );
    }
    let caption = format!(
        "{}: accuracy, and each method against the single adapter",
        task.task
    );
    let points = studies::of_task(task, index);
    let all = tables::comparison(task, &points);
    text.push_str(&table(
        &format!("rows-{index}"),
        &caption,
        &all,
        report.styles,
    ));
    let chance = escape(&remarks::chance(task));
    push(
        &mut text,
        format_args!("<p class=\"below\">{chance}</p>\n<div class=\"plots\">"),
    );
    for plot in &plots.over_rows {
        text.push_str(&figure(plot, ""));
    }
    text.push_str("</div>\n");
    for of_rows in &plots.galleries {
        text.push_str(&gallery::section(of_rows, index, budget));
    }
    text.push_str("<h3>Exact configurations and single runs</h3>\n");
    for (r, row) in task.rows.iter().enumerate() {
        text.push_str(&rows::configuration(report, row, (index, r), task));
    }
    text + "</section>\n"
}

fn about(task: &TaskSummary) -> String {
    let Some(note) = task.note else {
        return String::new();
    };
    let parts = [
        ("Task", &note.name),
        ("Source", &note.source),
        ("Licence", &note.licence),
        ("Caveat", &note.caveat),
    ];
    definitions(parts.iter().map(|(label, text)| (*label, text.as_str())))
}
