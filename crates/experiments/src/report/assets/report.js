// Sorting by a click on a heading, one filter for all tables, a choice of the
// row whose plots are shown, copying of commands, and opening the configuration
// a link points at. What is chosen stands in the address behind the #, for
// example
//   #task=mandarin-tone&words=moa&sort=all.accuracy.desc&show=confusion-0.2
// so that a link leads to the same view. Without scripts the tables are plain
// tables, every plot is shown and the links still work.
(function () {
  "use strict";

  var sorted = {};
  var shown = {};
  var form = document.getElementById("filter");

  function each(selector, work, root) {
    Array.prototype.forEach.call((root || document).querySelectorAll(selector), work);
  }

  // Sorting.

  function key(row, column) {
    var cell = row.cells[column];
    var value = cell.getAttribute("data-v");
    return value === null ? cell.textContent.trim() : parseFloat(value);
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }

  function sort(table, column, direction) {
    var heads = table.tHead.rows[0].cells;
    var head = heads[column];
    var numeric = head.classList.contains("n");
    var sign = direction === "descending" ? -1 : 1;
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows);
    rows.sort(function (a, b) {
      var x = key(a, column), y = key(b, column);
      // Cells without a number stay at the end in both directions.
      if (numeric && typeof x !== typeof y) return compare(x, y);
      return sign * compare(x, y);
    });
    rows.forEach(function (row) { body.appendChild(row); });
    Array.prototype.forEach.call(heads, function (h) { h.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", direction);
    table.classList.add("sorted");
    sorted[table.id] = head.getAttribute("data-c") + "." + (sign < 0 ? "desc" : "asc");
  }

  function click(table, column) {
    var head = table.tHead.rows[0].cells[column];
    var now = head.getAttribute("aria-sort");
    // Numbers begin with the largest, texts with the first.
    var next = now === null ? (head.classList.contains("n") ? "descending" : "ascending")
      : now === "descending" ? "ascending" : "descending";
    sort(table, column, next);
    remember();
  }

  each("table.sortable", function (table) {
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.title = "Sort";
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () { click(table, column); });
    });
  });

  // Filtering.

  function keeps(element, wanted, words) {
    var task = element.getAttribute("data-task");
    var method = element.getAttribute("data-method");
    if (wanted.task && task !== wanted.task) return false;
    if (method === null) return true;
    if (wanted.method && method !== wanted.method) return false;
    if (!words.length) return true;
    var text = (task + " " + method + " " + element.textContent).toLowerCase();
    return words.every(function (word) { return text.indexOf(word) >= 0; });
  }

  function filter() {
    if (!form) return;
    var wanted = { task: form.elements.task.value, method: form.elements.method.value };
    var words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    each("section[data-task], div.part[data-task], details[data-task]", function (part) {
      // The words are about lines of tables, the summary of a configuration is one.
      var line = part.tagName === "DETAILS" ? part.querySelector("summary") : null;
      part.hidden = line ? !keepsLine(part, line, wanted, words) : !keeps(part, wanted, words);
    });
    each("table.sortable", function (table) {
      var left = 0;
      Array.prototype.forEach.call(table.tBodies[0].rows, function (row) {
        row.hidden = !keeps(row, wanted, words);
        if (!row.hidden) left += 1;
      });
      table.classList.toggle("empty", left === 0);
      if (table.id === "all") {
        form.querySelector("output").textContent =
          left + " of " + table.tBodies[0].rows.length + " rows";
      }
    });
    if (wanted.method) choose(function (option) {
      return option.getAttribute("data-method") === wanted.method;
    });
  }

  function keepsLine(part, line, wanted, words) {
    if (wanted.task && part.getAttribute("data-task") !== wanted.task) return false;
    if (wanted.method && part.getAttribute("data-method") !== wanted.method) return false;
    var text = (part.getAttribute("data-task") + " " + line.textContent).toLowerCase();
    return words.every(function (word) { return text.indexOf(word) >= 0; });
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("submit", function (event) { event.preventDefault(); });
    form.addEventListener("input", function () { filter(); remember(); });
    form.addEventListener("reset", function () {
      // The fields are emptied after the event.
      setTimeout(function () { filter(); remember(); }, 0);
    });
  }

  // Plots of single rows.

  function show(gallery, choice) {
    each("[data-choice]", function (part) {
      part.hidden = part.getAttribute("data-choice") !== choice;
    }, gallery);
  }

  function choose(wanted) {
    each(".gallery", function (gallery) {
      var select = gallery.querySelector("select");
      Array.prototype.some.call(select.options, function (option) {
        if (!wanted(option, gallery)) return false;
        select.value = option.value;
        show(gallery, option.value);
        return true;
      });
    });
  }

  each(".gallery", function (gallery) {
    var select = gallery.querySelector("select");
    select.parentNode.hidden = false;
    show(gallery, select.value);
    select.addEventListener("change", function () {
      show(gallery, select.value);
      shown[gallery.id] = select.value;
      remember();
    });
  });

  // Commands.

  function copy(text, done) {
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(text).then(done, function () { byHand(text, done); });
    } else {
      byHand(text, done);
    }
  }

  function byHand(text, done) {
    var area = document.createElement("textarea");
    area.value = text;
    document.body.appendChild(area);
    area.select();
    if (document.execCommand("copy")) done();
    area.remove();
  }

  each(".copied", function (box) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", function () {
      copy(box.querySelector("code").textContent, function () {
        button.textContent = "Copied";
        setTimeout(function () { button.textContent = "Copy"; }, 1500);
      });
    });
    box.appendChild(button);
  });

  // The address.

  function remember() {
    var parts = [];
    if (form) ["task", "method", "words"].forEach(function (name) {
      var value = form.elements[name].value;
      if (value) parts.push(name + "=" + encodeURIComponent(value));
    });
    var pairs = function (object) {
      return Object.keys(object).map(function (id) { return id + "." + object[id]; }).join(",");
    };
    if (pairs(sorted)) parts.push("sort=" + pairs(sorted));
    if (pairs(shown)) parts.push("show=" + pairs(shown));
    try {
      history.replaceState(null, "", "#" + parts.join("&"));
    } catch (error) {
      // Some browsers forbid it for files; the view is right all the same.
    }
  }

  function read(text) {
    try {
      return decodeURIComponent(text);
    } catch (error) {
      return text;
    }
  }

  function restore(address) {
    var view = {};
    address.split("&").forEach(function (part) {
      var at = part.indexOf("=");
      if (at > 0) view[part.slice(0, at)] = read(part.slice(at + 1));
    });
    if (form) ["task", "method", "words"].forEach(function (name) {
      form.elements[name].value = view[name] || "";
    });
    (view.sort || "").split(",").forEach(function (wanted) {
      var parts = wanted.split(".");
      var table = document.getElementById(parts[0]);
      if (!table || !table.tHead) return;
      Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
        if (head.getAttribute("data-c") !== parts[1]) return;
        sort(table, column, parts[2] === "asc" ? "ascending" : "descending");
      });
    });
    filter();
    (view.show || "").split(",").forEach(function (wanted) {
      var parts = wanted.split(".");
      choose(function (option, gallery) {
        var found = gallery.id === parts[0] && option.value === parts[1];
        if (found) shown[gallery.id] = option.value;
        return found;
      });
    });
  }

  function follow() {
    var address = location.hash.slice(1);
    if (address.indexOf("=") > 0) {
      restore(address);
      return;
    }
    var target = address && document.getElementById(address);
    var box = target && target.closest("details");
    if (box && !box.open) {
      box.open = true;
      target.scrollIntoView();
    }
  }

  window.addEventListener("hashchange", follow);
  filter();
  follow();
  document.documentElement.setAttribute("data-ready", "yes");
})();
