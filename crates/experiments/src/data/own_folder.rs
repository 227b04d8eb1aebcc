//! Anyone's own sounds in folders: one for every class.

use std::collections::BTreeSet;
use std::path::Path;

use audio_frontend::FILE_ENDINGS;

use super::error::DataError;
use super::layout::LayoutSpec;
use super::layouts::is_sound;
use super::manifest::{ClipSpec, Manifest};
use super::own::{self, fault, part_of};
use super::own_options::OwnOptions;
use super::scan::list_files;

/// Most files an error gives as examples.
const EXAMPLES: usize = 3;

/// The manifest of a folder with a sub-folder for every class.
pub(super) fn manifest(root: &Path, options: &OwnOptions) -> Result<Manifest, DataError> {
    if let Some((purpose, name)) = options.columns.renamed().next() {
        return Err(fault(
            root,
            format!(
                "a folder of sounds has no columns, so `{name}` cannot be its {purpose}; leave that setting out, or name a table (.csv, .tsv, .jsonl)"
            ),
        ));
    }
    if options.separator.is_some() {
        let message = "a file lies in one folder, so it has one label; leave the separator out, or name a table (.csv, .tsv, .jsonl)";
        return Err(fault(root, message));
    }
    let files = list_files(root)?;
    let visible = |path: &str| !path.split('/').any(|part| part.starts_with('.'));
    let sounds = files
        .iter()
        .filter(|(relative, path)| is_sound(path) && visible(relative));
    let paths: Vec<Vec<&str>> = sounds
        .map(|(relative, _)| relative.split('/').collect())
        .filter(|parts: &Vec<&str>| parts.len() > 1)
        .collect();
    let has_parts = has_parts(root, &paths)?;
    let depth = usize::from(has_parts);
    let classes: BTreeSet<&str> = paths.iter().map(|path| path[depth]).collect();
    if classes.len() < own::least_classes(options) {
        let mut tables = files.keys().filter(|name| is_table(name));
        let table = match tables.next() {
            Some(name) => format!("name a table, such as {} in it", root.join(name).display()),
            None => "name a table".to_owned(),
        };
        return Err(fault(
            root,
            format!(
                "{} sub-folders hold sound files ({}); make one for each of at least two classes, or {table}",
                classes.len(),
                FILE_ENDINGS.map(|ending| format!(".{ending}")).join(", ")
            ),
        ));
    }
    let endings = FILE_ENDINGS.join("|");
    let part = if has_parts {
        "(?<part>[^./][^/]*)/"
    } else {
        ""
    };
    let values: BTreeSet<&str> = paths.iter().map(|path| path[0]).collect();
    let split = match has_parts {
        true => own::parts("part", &values, None, options, root)?,
        false => own::shares(None, options),
    };
    Ok(own::manifest(
        root,
        options,
        ClipSpec {
            pattern: format!(r"^{part}(?<class>[^./][^/]*)/.+\.(?i:{endings})$"),
            exclude: Some(r"(^|/)\.".to_owned()),
            ..ClipSpec::default()
        },
        LayoutSpec::default(),
        own::label("class", classes),
        split,
    ))
}

/// Whether a file at the top may be a table of clips.
fn is_table(relative: &str) -> bool {
    let endings = [".csv", ".tsv", ".jsonl", ".ndjson"];
    !relative.contains('/') && endings.iter().any(|ending| relative.ends_with(ending))
}

/// Whether the folders at the top are parts, with the classes in them.
fn has_parts(root: &Path, paths: &[Vec<&str>]) -> Result<bool, DataError> {
    let is_part = |path: &&Vec<&str>| path.len() > 2 && part_of(path[0]).is_some();
    let within = paths.iter().filter(is_part).count();
    if within == paths.len() {
        return Ok(within > 0);
    }
    // A class may be called "test". Where there is a folder of classes for
    // training as well, the two are parts, and other sounds are in the way.
    let holds = |part: usize| {
        let mut parts = paths.iter().filter(is_part);
        parts.any(|path| part_of(path[0]) == Some(part))
    };
    if !(holds(0) && holds(2)) {
        return Ok(false);
    }
    let strays: Vec<String> = paths
        .iter()
        .filter(|path| !is_part(path))
        .map(|path| path.join("/"))
        .collect();
    let examples = &strays[..strays.len().min(EXAMPLES)];
    Err(fault(
        root,
        format!(
            "its folders are parts (train, test) with a folder for every class, but {} sound files lie elsewhere, for example {}; move them into a class of a part, or out of this folder",
            strays.len(),
            examples.join(", ")
        ),
    ))
}
