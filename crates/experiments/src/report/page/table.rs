//! Tables of the HTML page.

use crate::report::draw::marks;
use crate::report::escape::{escape_html as escape, slug};
use crate::report::plots::Styles;
use crate::report::tables::{Cell, Column, RowLink, Table};
use crate::statistics;

/// A table to sort and filter, in a container that scrolls on its own. `id` and
/// the names of the columns are what addresses of a sorted table are made of.
pub fn table(id: &str, caption: &str, table: &Table, styles: &Styles) -> String {
    let caption = escape(caption);
    let reach = reach(table);
    let head: String = table.columns.iter().map(heading).collect();
    let mut body = String::new();
    let mut last_group = None;
    for cells in &table.rows {
        // A stronger line where the next task begins.
        let by_task = table.columns[0].name == "task";
        let group = by_task.then(|| cells[0].text.as_str());
        let begins = last_group.is_some() && last_group != group;
        last_group = group;
        let class = if begins { " class=\"begins\"" } else { "" };
        let link = cells.iter().find_map(|cell| cell.row.as_ref());
        let names = link.map_or_else(String::new, names);
        body.push_str(&format!("<tr{class}{names}>"));
        for (column, cell) in table.columns.iter().zip(cells) {
            body.push_str(&render(column, cell, styles, reach));
        }
        body.push_str("</tr>\n");
    }
    format!(
        "<p class=\"caption\">{caption}</p>\n\
         <div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\" id=\"{id}\" aria-label=\"{caption}\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n",
    )
}

/// What the filter goes by.
fn names(link: &RowLink) -> String {
    let (task, method) = (escape(&link.task), escape(&link.method));
    format!(" data-task=\"{task}\" data-method=\"{method}\"")
}

/// A plain table of texts inside a container that scrolls; each heading says
/// whether its column is numeric.
pub fn inner(head: &[(String, bool)], rows: &[Vec<String>]) -> String {
    let class = |numeric: bool| if numeric { " class=\"n\"" } else { "" };
    let heads: String = head
        .iter()
        .map(|(name, numeric)| {
            format!("<th scope=\"col\"{}>{}</th>", class(*numeric), escape(name))
        })
        .collect();
    let lines: String = rows
        .iter()
        .map(|cells| {
            let cells: String = head
                .iter()
                .zip(cells)
                .map(|((_, numeric), text)| format!("<td{}>{}</td>", class(*numeric), escape(text)))
                .collect();
            format!("<tr>{cells}</tr>\n")
        })
        .collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"inner\"><thead><tr>{heads}</tr></thead>\n\
         <tbody>\n{lines}</tbody></table></div>"
    )
}

fn heading(column: &Column) -> String {
    let class = match (column.numeric, column.name.as_str()) {
        (true, _) => " class=\"n\"",
        (false, "method") => " class=\"method\"",
        _ => "",
    };
    format!(
        "<th scope=\"col\"{class} data-c=\"{}\">{}</th>",
        slug(&column.name),
        escape(&column.name)
    )
}

fn render(column: &Column, cell: &Cell, styles: &Styles, reach: f64) -> String {
    let value = cell
        .value
        .map_or_else(String::new, |value| format!(" data-v=\"{value}\""));
    let text = escape(&cell.text);
    if let Some(link) = &cell.row {
        let (task, row) = link.place;
        let swatch = styles.get(&link.method).copied().map(marks::swatch);
        return format!(
            "<th scope=\"row\" class=\"method\"{value}><a href=\"#row-{task}-{row}\" \
             title=\"Configuration and runs\">{}{text}</a></th>",
            swatch.unwrap_or_default()
        );
    }
    let class = match (column.numeric, cell.text.chars().count()) {
        (true, _) if cell.difference.is_some() => " class=\"n drawn\"",
        (true, _) => " class=\"n\"",
        (false, 41..) => " class=\"long\"",
        _ => "",
    };
    let title = match cell.tooltip.as_str() {
        "" => String::new(),
        tooltip => format!(" title=\"{}\"", escape(tooltip)),
    };
    let drawing = cell
        .difference
        .map_or_else(String::new, |estimate| marks::difference(&estimate, reach));
    format!("<td{class}{value}{title}>{drawing}{text}</td>")
}

/// Half the range of the drawings beside the differences: three times the usual
/// difference, so that one method far below does not flatten all others.
fn reach(table: &Table) -> f64 {
    let cells = table.rows.iter().flatten();
    let sizes: Vec<f64> = cells
        .filter_map(|cell| cell.difference)
        .map(|difference| difference.mean.abs())
        .filter(|size| size.is_finite())
        .collect();
    let most = sizes.iter().copied().fold(0.0, f64::max) * 1.15;
    let usual = statistics::median(&sizes).unwrap_or(0.0);
    most.min(3.0 * usual).max(0.02)
}
