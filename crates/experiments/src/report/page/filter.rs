//! The controls that filter every table of the page. Without scripts they stay
//! hidden and the tables are whole.

use crate::report::Report;
use crate::report::escape::escape_html as escape;
use crate::report::{data, order, task_title};

/// Text, task and method, and how many rows they leave.
pub fn bar(report: &Report) -> String {
    let tasks: String = report
        .tasks
        .iter()
        .map(|task| option(&task.task, task_title(task)))
        .collect();
    let mut methods = data::methods(report.runs);
    methods.sort_by(|a, b| order::compare(a, b));
    let methods: String = methods.iter().map(|m| option(m, m)).collect();
    format!(
        "<form class=\"filter\" id=\"filter\" role=\"search\" aria-label=\"Filter all tables\" \
         autocomplete=\"off\" hidden>\n\
         <label>Words <input type=\"search\" name=\"words\" placeholder=\"for example moa fixed\"></label>\n\
         <label>Task <select name=\"task\"><option value=\"\">all</option>{tasks}</select></label>\n\
         <label>Method <select name=\"method\"><option value=\"\">all</option>{methods}</select></label>\n\
         <button type=\"reset\">Show all</button>\n\
         <output aria-live=\"polite\"></output>\n</form>\n"
    )
}

fn option(value: &str, name: &str) -> String {
    format!(
        "<option value=\"{}\">{}</option>",
        escape(value),
        escape(name)
    )
}
