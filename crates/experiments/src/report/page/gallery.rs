//! Plots of single rows: a list to choose the row from, and one plot at a time.
//! Without scripts all of them are shown.

use super::figure;
use crate::report::compare::BASELINE;
use crate::report::draw::svg::svg;
use crate::report::escape::escape_html as escape;
use crate::report::gallery::{Gallery, RowPlot};

/// Room for plots of single rows in the page; what does not fit is linked.
const ROOM: usize = 5_000_000;

/// What is left of the room.
#[derive(Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(ROOM)
    }
}

impl Budget {
    /// Whether there is room for `bytes`, which are then taken.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.0;
        if fits {
            self.0 -= bytes;
        }
        fits
    }
}

/// The gallery of the task with this index.
pub fn section(gallery: &Gallery, task: usize, budget: &mut Budget) -> String {
    let id = format!("{}-{task}", gallery.name);
    let first = first(&gallery.rows);
    let options: String = gallery
        .rows
        .iter()
        .enumerate()
        .map(|(i, row)| {
            let selected = if i == first { " selected" } else { "" };
            format!(
                "<option value=\"{i}\" data-method=\"{}\"{selected}>{}</option>",
                escape(&row.method),
                escape(&row.label)
            )
        })
        .collect();
    let mut figures = String::new();
    let mut linked = String::new();
    // The row that is shown first is never the one that has no room.
    let order = std::iter::once(first).chain((0..gallery.rows.len()).filter(|i| *i != first));
    for i in order {
        let row = &gallery.rows[i];
        if budget.take(svg(&row.plot.drawing).len()) {
            figures.push_str(&figure(&row.plot, &format!(" data-choice=\"{i}\"")));
        } else {
            linked.push_str(&link(row, i));
        }
    }
    format!(
        "<div class=\"gallery\" id=\"{id}\"><h3>{}</h3>\n\
         <label class=\"choice\" hidden>Row <select>{options}</select></label>\n\
         {figures}{linked}</div>\n",
        escape(gallery.title)
    )
}

fn link(row: &RowPlot, i: usize) -> String {
    let file = escape(&row.plot.file);
    format!(
        "<p data-choice=\"{i}\">{}: too large for this page, see \
         <a href=\"plots/{file}.svg\">plots/{file}.svg</a>. {}</p>\n",
        escape(&row.label),
        escape(&row.plot.caption)
    )
}

/// The soft mixture, else the single adapter, else the first row.
fn first(rows: &[RowPlot]) -> usize {
    let named = |name: &str| rows.iter().position(|row| row.method == name);
    named("soft-moa").or_else(|| named(BASELINE)).unwrap_or(0)
}
