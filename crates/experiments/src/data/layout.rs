//! How the folder of a data set tells what its clips are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::manifest::compile;
use super::template::Template;

/// The layouts. The settings of each are in the manifest, so that another data
/// set of the same kind is another file and no code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayoutSpec {
    /// Every file that matches `clips.pattern` is a clip, and its name says
    /// all about it.
    Files {},
    /// As `files`; beside the clips there are text files with the path of a
    /// clip on every line, as in Speech Commands.
    Lists {
        /// Group that says in which list a clip stands.
        group: String,
        /// Value of that group for clips in none.
        otherwise: String,
        /// The text files.
        lists: Vec<ListFile>,
    },
    /// Tables with a row for every clip, as in Fluent Speech Commands. Files
    /// named `.csv` have commas, `.tsv` tabs and a line of column names;
    /// `.jsonl` and `.ndjson` have a JSON object on every line.
    Table {
        /// The tables.
        tables: Vec<TableFile>,
        /// Column with the path of the sound file. Default `path`.
        #[serde(default = "path_column")]
        path: String,
        /// Folder the paths are relative to, below that of the data set.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        folder: String,
        /// Column with the second at which the clip begins in the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<String>,
        /// Column with the second at which it ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<String>,
        /// Groups of the clip, and the column that holds each.
        columns: BTreeMap<String, String>,
    },
    /// Text files with a line for every clip, as in IEMOCAP. Lines that do not
    /// match are passed over.
    Annotations {
        /// Regular expression over the relative path of the text files; its
        /// named groups are groups of every clip in the file.
        files: String,
        /// Regular expression over a line; its named groups are groups of the
        /// clip.
        line: String,
        /// Path of the sound file, with `{name}` for the value of a group.
        audio: String,
    },
}

/// A text file that lists clips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListFile {
    /// Its path relative to the folder of the data set.
    pub file: String,
    /// Value of the group for the clips in it.
    pub value: String,
}

/// A table with a row for every clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableFile {
    /// Its path relative to the folder of the data set.
    pub file: String,
    /// Groups with one value for all clips of the table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
}

fn path_column() -> String {
    "path".to_owned()
}

impl Default for LayoutSpec {
    fn default() -> Self {
        Self::Files {}
    }
}

impl LayoutSpec {
    /// Whether file names say all.
    pub fn is_files(&self) -> bool {
        matches!(self, Self::Files {})
    }

    /// Whether other files name the clips, so that there is no pattern.
    pub(super) fn names_files(&self) -> bool {
        matches!(self, Self::Table { .. } | Self::Annotations { .. })
    }

    /// Checks the settings and adds the groups that clips get from them.
    pub(super) fn validate(&self, groups: &mut BTreeSet<String>) -> Result<(), String> {
        let mut add = |name: &str| match groups.insert(name.to_owned()) {
            true => Ok(()),
            false => Err(format!(
                "`layout` gives the group `{name}` twice; give one of them another name"
            )),
        };
        match self {
            Self::Files {} => Ok(()),
            Self::Lists { group, lists, .. } => {
                for list in lists {
                    inside("layout.lists.file", &list.file)?;
                }
                add(group)
            }
            Self::Table {
                tables,
                folder,
                columns,
                start,
                end,
                ..
            } => {
                inside("layout.folder", folder)?;
                let Some(first) = tables.first() else {
                    return Err("`layout.tables` is empty; name at least one table".to_owned());
                };
                for table in tables {
                    inside("layout.tables.file", &table.file)?;
                    if !table.set.keys().eq(first.set.keys()) {
                        return Err(format!(
                            "`layout.tables`: {} and {} `set` different groups; set the same ones for every table",
                            first.file, table.file
                        ));
                    }
                }
                // Pieces of one recording have a group of their own.
                if start.is_some() || end.is_some() {
                    add("file")?;
                }
                let mut names = columns.keys().chain(first.set.keys());
                names.try_for_each(|name| add(name))
            }
            Self::Annotations { files, line, audio } => {
                for (field, pattern) in [("layout.files", files), ("layout.line", line)] {
                    let pattern = compile(field, pattern)?;
                    pattern.capture_names().flatten().try_for_each(&mut add)?;
                }
                Template::parse("layout.audio", audio)?.needs("layout.audio", groups)
            }
        }
    }
}

/// Refuses paths that lead out of the folder.
fn inside(field: &str, path: &str) -> Result<(), String> {
    let leaves = path.starts_with('/') || path.split(['/', '\\']).any(|part| part == "..");
    if leaves {
        return Err(format!(
            "`{field}` is `{path}`; write a path below the folder of the data set"
        ));
    }
    Ok(())
}
