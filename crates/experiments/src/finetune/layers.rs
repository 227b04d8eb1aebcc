//! Settings on top of settings: a file, flags, and what is chosen.

use toml::{Table, Value};

/// The method of a run that names none.
pub(super) const USUAL_METHOD: &str = "soft-moa";

/// All layers as one, later ones on top; see
/// [`RunConfig::layered`](super::RunConfig::layered).
pub(super) fn merged(layers: impl IntoIterator<Item = Table>) -> Table {
    let mut all = Table::new();
    for mut layer in layers {
        if let (Some(seed), None) = (layer.get("seed"), training_seed(&layer)) {
            let seed = Table::from_iter([("seed".to_owned(), seed.clone())]);
            let seed = Table::from_iter([("training".to_owned(), Value::Table(seed))]);
            merge(&mut layer, seed);
        }
        if let Some(method) = layer.remove("method") {
            let below = all.remove("method");
            all.insert("method".to_owned(), on_top(below, method));
        }
        merge(&mut all, layer);
    }
    all
}

fn training_seed(layer: &Table) -> Option<&Value> {
    layer.get("training")?.get("seed")
}

/// Puts `over` on top of `under`.
pub(super) fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// A method on top of another: settings without a name are settings of the
/// method below, or of soft-moa.
fn on_top(below: Option<Value>, method: Value) -> Value {
    let (mut below, over) = match (below, method) {
        (Some(Value::Table(below)), Value::Table(over)) => (below, over),
        (Some(Value::String(name)), Value::Table(over)) => (named(&name), over),
        (None, Value::Table(over)) => (named(USUAL_METHOD), over),
        (_, other) => return other,
    };
    if over.contains_key("method") && over.get("method") != below.get("method") {
        return Value::Table(over);
    }
    merge(&mut below, over);
    Value::Table(below)
}

fn named(method: &str) -> Table {
    Table::from_iter([("method".to_owned(), Value::String(method.to_owned()))])
}
