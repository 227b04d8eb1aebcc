//! Anyone's own sounds in a table: a row for every clip.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::DataError;
use super::layout::{LayoutSpec, TableFile};
use super::leaks::AllowedLeak;
use super::manifest::{ClipSpec, Manifest};
use super::own::{self, fault, natural};
use super::own_options::{Columns, OwnOptions};
use super::split_spec::SplitSpec;
use super::table::{self, Row};
use super::toml_error::{edit_distance, nearest};

/// What people call the column of the sound files.
const PATHS: [&str; 6] = ["file", "filename", "file_name", "filepath", "wav", "audio"];

/// The manifest of a table, and the groups that its split keeps together, the
/// one that counts most first.
pub(super) fn manifest(
    file: &Path,
    options: &OwnOptions,
) -> Result<(Manifest, Vec<String>), DataError> {
    let rows = table::read(file)?;
    let present = table::columns(&rows);
    let names = &options.columns;
    check_columns(file, names, &present)?;
    let has = |name: &String| present.contains(name.as_str());
    let column = |name: &String| has(name).then(|| name.clone());
    let value = |row: &Row, name: &str| row.required(name).unwrap_or_default().to_owned();
    let values =
        |name: &str| -> BTreeSet<String> { rows.iter().map(|row| value(row, name)).collect() };
    let folds = Folds::of(&values(&names.fold));
    let mut columns = BTreeMap::from([("label".to_owned(), names.label.clone())]);
    for (group, name) in [
        ("split", &names.split),
        ("fold", &names.fold),
        ("speaker", &names.speaker),
        ("group", &names.group),
    ] {
        if has(name) && !(group == "fold" && folds == Folds::One) {
            columns.insert(group.to_owned(), name.clone());
        }
    }
    let cut = has(&names.start) || has(&names.end);
    let mut kept = kept(&columns, cut, options);
    let mut allowed = Vec::new();
    let split = if has(&names.split) {
        let values = values(&names.split);
        let values = values.iter().map(String::as_str).collect();
        own::parts("split", &values, first(&kept), options, file)?
    } else if let Folds::Many(order) = &folds {
        SplitSpec::GroupRotation {
            group: "fold".to_owned(),
            order: order.clone(),
        }
    } else if let Folds::Two([train, test]) = &folds {
        // Whoever is in the other fold is tested; validation has to come from
        // the fold that trains.
        kept.retain(|group| group != "fold");
        allowed.push(AllowedLeak {
            group: "fold".to_owned(),
            values: vec![train.clone()],
        });
        own::two_parts("fold", train, test, first(&kept), options)
    } else {
        own::shares(first(&kept), options)
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let layout = LayoutSpec::Table {
        tables: vec![TableFile {
            file: name.into_owned(),
            set: BTreeMap::new(),
        }],
        path: names.path.clone(),
        folder: String::new(),
        start: column(&names.start),
        end: column(&names.end),
        columns,
    };
    let mut label = own::label("label", BTreeSet::new());
    label.separator.clone_from(&options.separator);
    let labels = values(&names.label);
    let single: BTreeSet<&str> = labels.iter().flat_map(|value| label.of(value)).collect();
    if labels
        .iter()
        .any(|value| label.of(value).join("").is_empty())
    {
        return Err(fault(
            file,
            format!("a row has no `{}`; give every clip a label", names.label),
        ));
    }
    label.classes = own::label("label", single).classes;
    let clips = ClipSpec::default();
    let mut manifest = own::manifest(file, options, clips, layout, label, split);
    manifest.leaks.allow = allowed;
    Ok((manifest, kept))
}

/// The groups to keep together: the column that the user named first, then who
/// speaks, then the others.
fn kept(columns: &BTreeMap<String, String>, cut: bool, options: &OwnOptions) -> Vec<String> {
    let named = options.columns.renamed().any(|(field, _)| field == "group");
    let order = match named {
        true => ["group", "speaker", "file", "fold"],
        false => ["speaker", "group", "file", "fold"],
    };
    order
        .into_iter()
        .filter(|group| columns.contains_key(*group) || (cut && *group == "file"))
        .map(str::to_owned)
        .filter(|group| !options.allow_leaks.contains(group))
        .collect()
}

fn first(kept: &[String]) -> Option<&str> {
    kept.first().map(String::as_str)
}

/// What the column of folds holds.
#[derive(Debug, PartialEq)]
enum Folds {
    /// Nothing.
    None,
    /// One value for all clips, which says nothing.
    One,
    /// Two values for all clips.
    Two([String; 2]),
    /// At least three for all clips, in their order.
    Many(Vec<String>),
    /// Values for some clips only: groups like others.
    Some,
}

impl Folds {
    fn of(values: &BTreeSet<String>) -> Self {
        let order = natural(values.iter().map(String::as_str).collect());
        match (values.contains(""), &order[..]) {
            (true, [_]) | (_, []) => Folds::None,
            (true, _) => Folds::Some,
            (false, [_]) => Folds::One,
            (false, [a, b]) => Folds::Two([a.clone(), b.clone()]),
            (false, _) => Folds::Many(order),
        }
    }
}

/// Refuses a table without the columns it needs or that the user names, and
/// one with a column that would be lost in silence.
fn check_columns(file: &Path, names: &Columns, present: &BTreeSet<&str>) -> Result<(), DataError> {
    let listed: Vec<&str> = present.iter().copied().collect();
    let listed = listed.join(", ");
    let known: Vec<String> = present.iter().map(|&name| name.to_owned()).collect();
    for (purpose, name) in names.renamed() {
        if !present.contains(name) {
            let hint = nearest(name, &known).unwrap_or_default();
            let message = format!(
                "there is no column `{name}` to be the {purpose}, only {listed}; did you mean `{hint}`?"
            );
            return Err(fault(file, message));
        }
    }
    for (purpose, name) in [("path", &names.path), ("label", &names.label)] {
        if !present.contains(name.as_str()) {
            let usual = PATHS.into_iter().find(|usual| present.contains(usual));
            let example = usual.filter(|_| purpose == "path").unwrap_or("NAME");
            let message = format!(
                "there is no column `{name}`, only {listed}; say what it is called here (`columns.{purpose} = \"{example}\"` in the settings of the run, --set columns.{purpose}={example}), or rename it"
            );
            return Err(fault(file, message));
        }
    }
    // A column that is spelled almost right would be lost in silence.
    for column in present {
        let near = |known: &str| {
            known != *column
                && !present.contains(known)
                && edit_distance(&column.to_lowercase(), known) <= 1
        };
        if let Some((_, known)) = names.all().into_iter().find(|(_, known)| near(known)) {
            return Err(fault(
                file,
                format!(
                    "the column `{column}` is not used; is it `{known}`? Rename it or remove it"
                ),
            ));
        }
    }
    Ok(())
}
