//! The order of the methods and their colour and marker, the same in every
//! table and plot.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Families of methods in display order. A method belongs to the longest name
/// that begins its label; methods of no family come after, alphabetically.
const FAMILIES: [(&str, Colour, Marker); 18] = [
    ("linear", Colour("#6e7781", "#a3acb8"), Marker::Circle),
    ("bitfit", Colour("#8a8420", "#cfc95a"), Marker::Down),
    ("layernorm", Colour("#6b6a1c", "#b9b66a"), Marker::Up),
    ("ssf", Colour("#8a8420", "#cfc95a"), Marker::Pentagon),
    ("prompt", Colour("#aa4499", "#dd8ad0"), Marker::Plus),
    ("prefix", Colour("#882255", "#dd6f9f"), Marker::Cross),
    ("adapter", Colour("#0072b2", "#4fabe6"), Marker::Square),
    ("houlsby", Colour("#0072b2", "#4fabe6"), Marker::Down),
    ("conformer", Colour("#332288", "#9c8fe8"), Marker::Diamond),
    ("convpass", Colour("#332288", "#9c8fe8"), Marker::Up),
    ("lora", Colour("#2b95c9", "#8fd3f7"), Marker::Up),
    ("dense-moa", Colour("#b97a00", "#f0b429"), Marker::Diamond),
    ("soft-moa", Colour("#d55e00", "#ff8a3d"), Marker::Star),
    (
        "sparse-moa top-1",
        Colour("#009e73", "#35cfa2"),
        Marker::Pentagon,
    ),
    (
        "sparse-moa top-2",
        Colour("#117733", "#63c27e"),
        Marker::Down,
    ),
    ("sparse-moa", Colour("#44aa99", "#7fd8c9"), Marker::Circle),
    ("full", Colour("#24292f", "#f0f3f6"), Marker::Circle),
    ("", Colour("#7b5e57", "#c9a79e"), Marker::Square),
];

/// A colour on white and on dark paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub &'static str, pub &'static str);

/// Shape of a point, so that no reading depends on colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Marker {
    /// Filled circle.
    Circle,
    /// Filled square.
    Square,
    /// Filled square on its corner.
    Diamond,
    /// Filled triangle, point up.
    Up,
    /// Filled triangle, point down.
    Down,
    /// Upright cross.
    Plus,
    /// Diagonal cross.
    Cross,
    /// Five-pointed star.
    Star,
    /// Filled pentagon.
    Pentagon,
}

const MARKERS: [Marker; 9] = [
    Marker::Circle,
    Marker::Square,
    Marker::Diamond,
    Marker::Up,
    Marker::Down,
    Marker::Plus,
    Marker::Cross,
    Marker::Star,
    Marker::Pentagon,
];

/// How a method is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Index of the colour, see [`colours`]; also its CSS class.
    pub colour: usize,
    /// Shape of its points.
    pub marker: Marker,
}

impl Style {
    /// The colour on white paper.
    pub fn on_white(self) -> &'static str {
        FAMILIES[self.colour].1.0
    }
}

/// All colours by index.
pub fn colours() -> impl Iterator<Item = (usize, Colour)> {
    FAMILIES.iter().enumerate().map(|(i, family)| (i, family.1))
}

fn family(method: &str) -> usize {
    let mut best = FAMILIES.len() - 1;
    for (i, (name, ..)) in FAMILIES.iter().enumerate() {
        if method.starts_with(name) && name.len() > FAMILIES[best].0.len() {
            best = i;
        }
    }
    best
}

/// Display order of two methods.
pub fn compare(a: &str, b: &str) -> Ordering {
    family(a).cmp(&family(b)).then_with(|| natural(a, b))
}

/// By letters, and by value where both have digits: `n2` before `n10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (parts_a, parts_b) = (parts(a), parts(b));
    for (x, y) in parts_a.iter().zip(&parts_b) {
        let order = match (x.parse::<u64>(), y.parse::<u64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            _ => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
    }
    // `a1` and `a01` differ all the same.
    parts_a.len().cmp(&parts_b.len()).then_with(|| a.cmp(b))
}

/// Runs of digits and of anything else.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits);
        let (part, tail) = rest.split_at(end.unwrap_or(rest.len()));
        parts.push(part);
        rest = tail;
    }
    parts
}

/// A style for each of `methods`. Methods of one family share its colour and
/// differ in the marker.
pub fn styles<'a>(methods: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Style> {
    let mut sorted: Vec<&str> = methods.into_iter().collect();
    sorted.sort_by(|a, b| compare(a, b));
    sorted.dedup();
    let mut styles = BTreeMap::new();
    let mut taken: BTreeSet<(usize, Marker)> = BTreeSet::new();
    for method in sorted {
        let colour = family(method);
        let first = FAMILIES[colour].2;
        let marker = std::iter::once(first)
            .chain(MARKERS)
            .find(|marker| !taken.contains(&(colour, *marker)))
            .unwrap_or(first);
        taken.insert((colour, marker));
        styles.insert(method.to_owned(), Style { colour, marker });
    }
    styles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_come_in_display_order_and_unknown_ones_last() {
        let mut methods = [
            "zeta",
            "full",
            "sparse-moa top-2",
            "alpha",
            "soft-moa",
            "sparse-moa top-1",
            "adapter r48",
            "adapter",
            "prompt-tuning",
            "lora",
            "dense-moa",
            "bitfit",
            "linear",
        ];
        methods.sort_by(|a, b| compare(a, b));
        assert_eq!(
            methods,
            [
                "linear",
                "bitfit",
                "prompt-tuning",
                "adapter",
                "adapter r48",
                "lora",
                "dense-moa",
                "soft-moa",
                "sparse-moa top-1",
                "sparse-moa top-2",
                "full",
                "alpha",
                "zeta",
            ]
        );
    }

    #[test]
    fn numbers_in_labels_are_ordered_by_value() {
        let mut methods = ["soft-moa n10", "soft-moa", "soft-moa p2", "soft-moa n2"];
        methods.sort_by(|a, b| compare(a, b));
        let expected = ["soft-moa", "soft-moa n2", "soft-moa n10", "soft-moa p2"];
        assert_eq!(methods, expected);
        assert_eq!(compare("a01", "a1"), Ordering::Less);
        assert_eq!(compare("a1", "a1"), Ordering::Equal);
    }

    #[test]
    fn no_two_methods_look_the_same() {
        let methods = [
            "adapter",
            "adapter r48",
            "adapter r12",
            "soft-moa",
            "x",
            "y",
        ];
        let styles = styles(methods);
        let looks: BTreeSet<_> = styles.values().map(|s| (s.colour, s.marker)).collect();
        assert_eq!(looks.len(), methods.len());
        assert_eq!(styles["adapter"].marker, Marker::Square);
    }
}
