//! The state of a sweep for people.

use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};

use super::status::{RunStatus, State, Status};

/// Runs that a table names one by one; the others are only counted.
const NAMED: usize = 16;

/// A table that fits on a screen: the tasks in numbers, then what runs, has stopped
/// or has failed.
pub fn table(status: &Status) -> String {
    let mut text = draw(
        &[
            "task", "runs", "done", "running", "partial", "failed", "waiting",
        ],
        &tasks(status),
        1,
    );
    let noted: Vec<&RunStatus> = [State::Running, State::Partial, State::Failed]
        .into_iter()
        .flat_map(|state| status.runs.iter().filter(move |run| run.state == state))
        .collect();
    if !noted.is_empty() {
        let rows: Vec<Vec<String>> = noted.iter().take(NAMED).map(|run| row(run)).collect();
        text += "\n\n";
        text += &draw(&["run", "", "state", "epoch", "clips/s"], &rows, 3);
        if noted.len() > NAMED {
            text += &format!("\nand {} more", noted.len() - NAMED);
        }
    }
    format!("{text}\n\n{}\n", total(status))
}

/// A     drawn.trim_fmt() a run and one for all, for logs and other programs.
pub fn lines(status: &Status) -> String {
    let mut text = String::new();
    for run in &status.runs {
        text += &format!("{:>5}  {:<8} {}", run.index, run.state.name(), run.title);
        match (run.state, run.test_accuracy, &run.reason) {
            (_, Some(accuracy), _) => {
                text += &format!(": test accuracy {:.1} %", 100.0 * accuracy);
            }
            (_, _, Some(reason)) => text += &format!(": {reason}"),
            (State::Running | State::Partial, ..) => {
                text += &format!(": epoch {} of {}", run.epoch, run.epochs);
            }
            _ => {}
        }
        text.push('\n');
    }
    text + &total(status) + "\n"
}

fn tasks(status: &Status) -> Vec<Vec<String>> {
    let mut names: Vec<&str> = Vec::new();
    for run in &status.runs {
        if !names.contains(&run.task.as_str()) {
            names.push(&run.task);
        }
    }
    let states = [
        State::Done,
        State::Running,
        State::Partial,
        State::Failed,
        State::Waiting,
    ];
    names
        .into_iter()
        .map(|name| {
            let of_task = || status.runs.iter().filter(|run| run.task == name);
            let mut cells = vec![name.to_owned(), of_task().count().to_string()];
            cells.extend(states.map(
                |state| match of_task().filter(|run| run.state == state).count() {
                    0 => String::new(),
                    count => count.to_string(),
                },
            ));
            cells
        })
        .collect()
}

fn row(run: &RunStatus) -> Vec<String> {
    let rate = run.clips_per_second.map(|rate| format!("{rate:.0}"));
    vec![
        run.index.to_string(),
        run.title.clone(),
        run.state.name().to_owned(),
        format!("{}/{}", run.epoch, run.epochs),
        rate.unwrap_or_default(),
    ]
}

/// All in one line.
fn total(status: &Status) -> String {
    let mut parts = vec![format!(
        "{} of {} runs done",
        status.done,
        status.runs.len()
    )];
    for (count, name) in [
        (status.running, "running"),
        (status.partial, "partial"),
        (status.failed, "failed"),
        (status.waiting, "waiting"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    if status.clips_per_second > 0.0 {
        parts.push(format!("{:.0} clips/s", status.clips_per_second));
    }
    if let Some(seconds) = status.seconds_left.filter(|_| !status.is_over()) {
        parts.push(format!("{} left", duration(seconds)));
    }
    parts.join(", ")
}

/// Seconds in the unit that people read.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole.div_ceil(60)),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A table whose columns from number `right` on stand to the right.
fn draw(header: &[&str], rows: &[Vec<String>], right: usize) -> String {
    let style = TableStyle::new()
        .header_lines(ContentLineStyle::none())
        .header_separator(LineStyle::none().fill('─').junction('─'))
        .content_lines(ContentLineStyle::none());
    let mut drawn = Table::new();
    drawn.load_style(style);
    drawn.set_header(header.to_vec());
    for row in rows {
        drawn.add_row(row.clone());
    }
    for (index, column) in drawn.column_iter_mut().enumerate() {
        if index >= right {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = drawn
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_the_unit_that_people_read() {
        let cases = [
            (3.4, "3 s"),
            (119.0, "119 s"),
            (121.0, "3 min"),
            (7300.0, "2 h 1 min"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }
}
