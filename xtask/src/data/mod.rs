//! `cargo xtask data`: recordings and backbones by name.

mod backbone;
mod dataset;
mod debian;
mod keep;
pub mod manifest;
mod pointer;
mod shipped;

use crate::bench;
use crate::cli::DataArgs;
use crate::paths::Paths;
use anyhow::{Context, Result, bail};
use dataset::Check;
use manifest::{Manifest, Manual, SameAs, Source};
use std::path::PathBuf;

/// `cargo xtask data`.
pub fn command(paths: &Paths, args: &DataArgs) -> Result<()> {
    let known = known(paths)?;
    for (name, dir) in &args.path {
        pointer::write(paths, &find(&known, name)?.name, dir)?;
    }
    if args.list {
        return list(paths, &known);
    }
    if args.names.is_empty() && !args.path.is_empty() {
        return Ok(());
    }
    let chosen: Vec<&Manifest> = if args.names.is_empty() {
        let (chosen, others): (Vec<_>, Vec<_>) = known
            .iter()
            .partition(|manifest| is_needed(paths, manifest));
        let (missing, by_name): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|manifest| is_missing_by_hand(paths, manifest));
        for line in [skipped(&missing), unasked(&by_name)].into_iter().flatten() {
            eprintln!("{line}");
        }
        chosen
    } else {
        args.names
            .iter()
            .map(|name| find(&known, name))
            .collect::<Result<_>>()?
    };
    for manifest in chosen {
        fetch(paths, manifest, Check::Full)?;
        eprintln!(
            "{}: ready ({}; {})",
            manifest.name, manifest.title, manifest.licence
        );
    }
    Ok(())
}

/// Makes sure of one data set or backbone before a run.
pub fn ensure(paths: &Paths, name: &str) -> Result<()> {
    let known = known(paths)?;
    fetch(paths, find(&known, name)?, Check::Quick)
}

/// Reads every manifest of the repository.
pub fn known(paths: &Paths) -> Result<Vec<Manifest>> {
    let mut known = manifest::read_all(&paths.manifests())?;
    known.extend(manifest::read_all(&paths.manifests().join("backbones"))?);
    Ok(known)
}

fn find<'a>(known: &'a [Manifest], name: &str) -> Result<&'a Manifest> {
    let Some(found) = known.iter().find(|manifest| manifest.name == name) else {
        let names: Vec<&str> = known
            .iter()
            .map(|manifest| manifest.name.as_str())
            .collect();
        bail!(
            "no data set or backbone is named {name}; known are {}",
            names.join(", ")
        );
    };
    Ok(found)
}

fn fetch(paths: &Paths, manifest: &Manifest, check: Check) -> Result<()> {
    if let Some(Source::SameAs(same)) = &manifest.source
        && !has_own_folder(paths, manifest, same)
    {
        let known = known(paths)?;
        fetch(paths, find(&known, &same.data_set)?, check)?;
        if pointer::read(paths, &manifest.name).is_some() {
            return Ok(());
        }
        return pointer::write(paths, &manifest.name, &folder(paths, &same.data_set));
    }
    if let Some(dir) = pointer::read(paths, &manifest.name) {
        eprintln!("{}: using {}", manifest.name, dir.display());
        return pointer::require_filled(&dir).map(drop).with_context(|| {
            let name = &manifest.name;
            format!("`cargo xtask data --path {name}=` forgets this path")
        });
    }
    match &manifest.source {
        Some(Source::Debian(source)) => dataset::ensure(paths, manifest, source, check).map(drop),
        Some(Source::Wheel(source)) => {
            backbone::ensure(paths, manifest, source, || bench::build(paths))
        }
        Some(Source::Shipped(source)) => shipped::ensure(paths, &manifest.name, source),
        Some(Source::Manual(source)) => bail!("{}", by_hand(manifest, Some(source))),
        Some(Source::SameAs(_)) | None => bail!("{}", by_hand(manifest, None)),
    }
}

/// Where the recordings of a data set lie, or will lie.
fn folder(paths: &Paths, name: &str) -> PathBuf {
    pointer::read(paths, name).unwrap_or_else(|| paths.data().join(name))
}

/// Whether the user gave a data set that shares the folder of another one a
/// folder of its own.
fn has_own_folder(paths: &Paths, manifest: &Manifest, same: &SameAs) -> bool {
    let shared = folder(paths, &same.data_set);
    let whole = |dir: PathBuf| dir.canonicalize().unwrap_or(dir);
    pointer::read(paths, &manifest.name).is_some_and(|dir| whole(dir) != whole(shared))
}

/// Whether a run without names makes sure of it: what `bench-all` needs, and
/// what the user said where to find.
fn is_needed(paths: &Paths, manifest: &Manifest) -> bool {
    let by_hand = matches!(manifest.source, None | Some(Source::Manual(_)));
    bench::needs(&manifest.name) || (by_hand && pointer::read(paths, &manifest.name).is_some())
}

/// Whether only the user can get it and has not told where it is.
fn is_missing_by_hand(paths: &Paths, manifest: &Manifest) -> bool {
    let by_hand = matches!(manifest.source, None | Some(Source::Manual(_)));
    by_hand && pointer::read(paths, &manifest.name).is_none()
}

/// One line about what a run without names leaves out.
fn skipped(missing: &[&Manifest]) -> Option<String> {
    let names: Vec<&str> = missing.iter().map(|m| m.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "left out, to be brought by hand: {} (`cargo xtask data NAME` says how)",
            names.join(", ")
        )
    })
}

/// One line about what a run without names does not fetch.
fn unasked(others: &[&Manifest]) -> Option<String> {
    let names: Vec<&str> = others.iter().map(|m| m.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "fetched only when named (`cargo xtask data NAME ...`): {}",
            names.join(", ")
        )
    })
}

/// What to do to get what this program does not fetch.
fn by_hand(manifest: &Manifest, source: Option<&Manual>) -> String {
    let Manifest {
        name,
        title,
        licence,
        ..
    } = manifest;
    let steps = source.map_or_else(String::new, |Manual { place, layout }| {
        format!("download and unpack it from {place};\n  the folder must hold {layout};\n  then ")
    });
    format!(
        "{name} ({title}; {licence}) is not fetched, get it by hand:\n  \
         {steps}run `cargo xtask data --path {name}=FOLDER` with that folder"
    )
}

fn list(paths: &Paths, known: &[Manifest]) -> Result<()> {
    for manifest in known {
        let state = match (pointer::read(paths, &manifest.name), &manifest.source) {
            (Some(dir), _) => format!("at {}", dir.display()),
            (None, Some(Source::Debian(source))) => {
                let folder = paths.data().join(&manifest.name);
                words(dataset::is_whole(&folder, source, Check::Quick)?).to_owned()
            }
            (None, Some(Source::SameAs(same))) => format!("comes with {}", same.data_set),
            (None, Some(Source::Wheel(source))) => {
                words(backbone::is_whole(paths, manifest, source)).to_owned()
            }
            (None, Some(Source::Shipped(source))) => {
                words(shipped::is_whole(paths, &manifest.name, source)).to_owned()
            }
            (None, Some(Source::Manual(_)) | None) => "to be brought by hand".to_owned(),
        };
        println!(
            "{:<20} {state}; {}; {}",
            manifest.name, manifest.title, manifest.licence
        );
    }
    Ok(())
}

fn words(there: bool) -> &'static str {
    if there { "there" } else { "not fetched yet" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with one data set that is brought by hand, and a cache.
    fn repository(dir: &std::path::Path) -> Paths {
        let paths = Paths {
            root: dir.join("repository"),
            cache: dir.join("cache"),
        };
        std::fs::create_dir_all(paths.manifests().join("backbones")).expect("folders");
        let text = "name = 'birds'\ntitle = 'calls'\nlicence = 'CC BY-NC 4.0'\n\
                    [source]\nkind = 'manual'\nwhere = 'birds.example.org'\n\
                    layout = 'calls/*.wav'\n";
        std::fs::write(paths.manifests().join("birds.toml"), text).expect("manifest");
        paths
    }

    fn args(names: &[&str]) -> DataArgs {
        DataArgs {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            path: Vec::new(),
            list: false,
        }
    }

    #[test]
    fn what_is_brought_by_hand_says_what_to_download_and_to_run() {
        let dir = tempfile::tempdir().expect("tempdir");
        let error = command(&repository(dir.path()), &args(&["birds"])).expect_err("not there");
        for part in [
            "birds.example.org",
            "calls/*.wav",
            "CC BY-NC 4.0",
            "cargo xtask data --path birds=FOLDER",
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn without_names_it_is_left_out_with_one_line_until_its_path_is_known() {
        let dir = tempfile::tempdir().expect("tempdir");
        let paths = repository(dir.path());
        command(&paths, &args(&[])).expect("nothing to fetch");
        let manifests = known(&paths).expect("manifests");
        assert!(is_missing_by_hand(&paths, &manifests[0]));
        assert!(!is_needed(&paths, &manifests[0]));
        let line = skipped(&[&manifests[0]]).expect("a line");
        assert!(line.contains("birds") && !line.contains('\n'), "{line}");
        assert_eq!(skipped(&[]), None);

        let sounds = dir.path().join("sounds");
        std::fs::create_dir(&sounds).expect("folder");
        std::fs::write(sounds.join("a.wav"), "x").expect("file");
        let mut with_path = args(&["birds"]);
        with_path.path.push(("birds".to_owned(), sounds.clone()));
        command(&paths, &with_path).expect("recorded and used");
        assert!(!is_missing_by_hand(&paths, &manifests[0]));
        assert!(is_needed(&paths, &manifests[0]));
        std::fs::remove_dir_all(&sounds).expect("removed");
        let error = command(&paths, &args(&[])).expect_err("a path that went away");
        assert!(error.to_string().contains("--path birds="), "{error}");
    }

    /// Calls with two kinds of labels; their packages cannot be had.
    fn with_shared_folder(dir: &std::path::Path) -> Paths {
        let paths = repository(dir);
        let sha = "0".repeat(64);
        let head = "title = 't'\nlicence = 'l'\n[source]\n";
        let calls = format!(
            "name = 'calls'\n{head}kind = 'debian'\nfiles = 1\n[[source.package]]\nname = 'c'\n\
             version = '1'\npool = 'p'\nsize = 1\nroot = 'r'\nsha256 = '{sha}'\n\
             contents = '{sha}'\n"
        );
        let callers = format!("name = 'callers'\n{head}kind = 'same-as'\ndata-set = 'calls'\n");
        for (name, text) in [("calls", calls), ("callers", callers)] {
            let file = paths.manifests().join(format!("{name}.toml"));
            std::fs::write(file, text).expect("manifest");
        }
        paths
    }

    /// A folder with one recording.
    fn recordings(folder: PathBuf) -> PathBuf {
        std::fs::create_dir_all(&folder).expect("folder");
        std::fs::write(folder.join("a.wav"), "x").expect("file");
        folder
    }

    #[test]
    fn other_labels_of_the_same_recordings_follow_their_folder() {
        let dir = tempfile::tempdir().expect("tempdir");
        let paths = with_shared_folder(dir.path());
        for place in ["first", "second"] {
            let shared = recordings(dir.path().join(place));
            pointer::write(&paths, "calls", &shared).expect("recorded");
            // A folder that was shared before is not one of its own.
            pointer::write(&paths, "callers", std::path::Path::new("")).expect("forgotten");
            for _ in 0..2 {
                command(&paths, &args(&["callers"])).expect("fetched");
                assert_eq!(
                    pointer::read(&paths, "callers"),
                    Some(shared.canonicalize().expect("there"))
                );
            }
        }
        let own = recordings(dir.path().join("own"));
        pointer::write(&paths, "callers", &own).expect("recorded");
        command(&paths, &args(&["callers"])).expect("used");
        assert_eq!(
            pointer::read(&paths, "callers"),
            Some(own.canonicalize().expect("there"))
        );
    }

    #[test]
    fn without_names_only_what_the_comparison_needs_is_fetched() {
        let dir = tempfile::tempdir().expect("tempdir");
        let paths = with_shared_folder(dir.path());
        let known = known(&paths).expect("manifests");
        assert!(known.iter().all(|manifest| !is_needed(&paths, manifest)));
        command(&paths, &args(&[])).expect("nothing to fetch");
        let all: Vec<&Manifest> = known.iter().collect();
        let line = unasked(&all).expect("a line");
        assert!(line.contains("calls") && line.contains("callers"), "{line}");
        assert_eq!(unasked(&[]), None);
        assert!(bench::needs("mandarin-tone") && bench::needs("prompt-language"));
        assert!(bench::needs(bench::BACKBONE) && !bench::needs("drums"));
    }
}
