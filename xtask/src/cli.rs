//! The flags of every command.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt;
use std::path::PathBuf;

/// `cargo xtask`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Repository chores.", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One chore.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Get libtorch into the cache folder (the other commands do it by themselves).
    Libtorch(LibtorchArgs),
    /// Get the data sets described in `datasets/`.
    Data(DataArgs),
    /// Run the comparison: libtorch, build, data, every method, tables and plots.
    BenchAll(BenchArgs),
    /// Compare with other software on the same work in the same minute.
    BenchPeers(PeersArgs),
    /// Compare with golden numbers of other programs, file by file.
    Parity(ParityArgs),
    /// Run every check: format, lints, tests and the smoke profile.
    Test(TestArgs),
    /// Check the repository's own rules (part of `test`).
    Tidy,
}

/// Flags of `libtorch`.
#[derive(Debug, Args)]
pub struct LibtorchArgs {
    /// The build for NVIDIA GPUs instead of the one for the processor alone
    /// (several GB).
    #[arg(long)]
    pub cuda: bool,
    /// Use the wheels in this folder instead of downloading them.
    #[arg(long, value_name = "DIR")]
    pub wheels: Option<PathBuf>,
}

/// Flags of `data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Data sets or backbones by name; what `bench-all` needs when left out.
    pub names: Vec<String>,
    /// Use a data set that is already on disk; an empty DIR forgets the path.
    #[arg(long, value_name = "NAME=DIR", value_parser = parse_named_path)]
    pub path: Vec<(String, PathBuf)>,
    /// List what is known and what is already there.
    #[arg(long)]
    pub list: bool,
}

/// Flags of `bench-all`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// How much to run.
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    pub profile: Profile,
    /// After `--`: passed on to `soft-moa bench`.
    #[arg(last = true)]
    pub extra: Vec<String>,
}

/// Flags of `bench-peers`.
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// What to compare.
    #[arg(value_enum)]
    pub topic: Topic,
    /// How many times both sides take their turns.
    #[arg(long, default_value_t = 5, value_parser = parse_rounds)]
    pub rounds: usize,
    /// Length of one turn of one side; work that takes longer is done once.
    #[arg(long, default_value_t = 1.0, value_parser = parse_seconds)]
    pub seconds: f64,
    /// Threads of each side; `fbank` always uses one. All cores when left out.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Where `step` computes: cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// The peer's Python for `step`, instead of the environment in the cache;
    /// needed for CUDA, where that environment has no support.
    #[arg(long, value_name = "PROGRAM")]
    pub python: Option<std::path::PathBuf>,
}

/// What `bench-peers` compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Topic {
    /// The audio front end, with torchaudio and transformers.
    Fbank,
    /// Adapters and merged checkpoints written here, loaded by peft and
    /// transformers: equal logits.
    Peft,
    /// Training and evaluation of Soft-MoA, with the AST of transformers.
    Step,
}

/// Flags of `parity`.
#[derive(Debug, Args)]
pub struct ParityArgs {
    /// Folder with frontend/ and models/.
    #[arg(long, value_name = "DIR")]
    pub golden: PathBuf,
    /// Where the models compute: cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

/// Flags of `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Leave out the smoke profile.
    #[arg(long)]
    pub no_smoke: bool,
}

/// How much of the comparison to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// A minute or two: does the whole road work?
    Smoke,
    /// At most 20 minutes on two cores: a first honest table.
    Quick,
    /// The data sets and the checkpoint of the paper.
    Paper,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Paper => "paper",
        })
    }
}

fn parse_rounds(text: &str) -> Result<usize, String> {
    let rounds = text
        .parse()
        .ok()
        .filter(|rounds| (1..=1000).contains(rounds));
    rounds.ok_or_else(|| "expected 1 to 1000".to_owned())
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|s| (0.01..=600.0).contains(s));
    seconds.ok_or_else(|| "expected 0.01 to 600".to_owned())
}

fn parse_named_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, dir)) if !name.is_empty() => Ok((name.to_owned(), PathBuf::from(dir))),
        _ => Err("expected NAME=DIR, for example mandarin-tone=/data/tones".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn named_path_splits_at_the_first_equals_sign() {
        let (name, dir) = parse_named_path("tones=/a=b").expect("valid");
        assert_eq!((name.as_str(), dir), ("tones", PathBuf::from("/a=b")));
        assert!(parse_named_path("no-sign").is_err());
        assert!(parse_named_path("=dir").is_err());
    }

    #[test]
    fn measuring_never_or_for_no_time_is_refused() {
        let parse =
            |flag, value| Cli::try_parse_from(["xtask", "bench-peers", "fbank", flag, value]);
        assert!(parse("--rounds", "0").is_err() && parse("--rounds", "7").is_ok());
        for seconds in ["0", "-1", "NaN", "inf"] {
            assert!(parse("--seconds", seconds).is_err(), "{seconds}");
        }
        assert!(parse("--seconds", "0.5").is_ok());
    }

    #[test]
    fn flags_after_two_dashes_are_passed_on() {
        let line = [
            "xtask",
            "bench-all",
            "--profile",
            "smoke",
            "--",
            "--device",
            "cuda",
        ];
        let Command::BenchAll(args) = Cli::parse_from(line).command else {
            panic!("parsed as another command");
        };
        assert_eq!(args.profile, Profile::Smoke);
        assert_eq!(args.extra, ["--device", "cuda"]);
    }
}
