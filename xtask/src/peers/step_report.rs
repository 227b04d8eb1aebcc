//! What `bench-peers step` measured, as a table.

use super::machine::Machine;
use super::spread::Spread;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

/// Everything that was measured, as written to the file.
#[derive(Debug, Serialize)]
pub struct StepReport {
    pub machine: Machine,
    pub versions: Value,
    pub threads: usize,
    /// `cpu`, `cuda` or `cuda:INDEX`.
    pub device: String,
    pub rounds: usize,
    pub seconds_per_turn: f64,
    /// GFLOP/s of products [4720, 768] x [768, 3072] in f32 and bf16, packed,
    /// measured once a round.
    pub product_rates: Vec<Vec<f32>>,
    pub rows: Vec<Row>,
}

/// One size and mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Work {
    pub frames: u32,
    pub batch: u32,
    pub mode: String,
}

/// One program on it.
#[derive(Debug, Serialize)]
pub struct Row {
    pub work: Work,
    pub program: &'static str,
    pub clips_per_second: Spread,
    /// The peer's time over this program's, round by round.
    pub ratio: Spread,
    pub peak_bytes: Option<u64>,
}

impl Work {
    /// GFLOP of the matrix products that one clip needs on AST-Base. Training
    /// adds the gradients of activations: as many again in the frozen maps,
    /// twice as many in attention.
    pub fn gigaflop(&self) -> f64 {
        const D: f64 = 768.0;
        const BLOCKS: f64 = 12.0;
        let columns = f64::from((self.frames - 16) / 10 + 1);
        let tokens = 12.0 * columns + 2.0;
        let maps = BLOCKS * tokens * 12.0 * D * D;
        let attention = BLOCKS * 2.0 * tokens * tokens * D;
        let (maps_share, attention_share) = match self.mode.as_str() {
            "train" => (2.0, 3.0),
            _ => (1.0, 1.0),
        };
        let patches = (tokens - 2.0) * 256.0 * D;
        2.0 * (maps_share * maps + attention_share * attention + patches) / 1e9
    }
}

impl StepReport {
    /// The report in Markdown.
    pub fn table(&self) -> String {
        let mut text = format!(
            "Soft-MoA (Pfeiffer, MHSA, RR 128, N 7, P 1) on AST-Base, {}, {} threads; median \
             [least–greatest] of {} rounds in turns.\n\n\
             | frames | batch | work | program | clips/s | times the peer | peak memory | of the peer | of its product rate |\n\
             |---|---|---|---|---|---|---|---|---|\n",
            self.device, self.threads, self.rounds
        );
        for row in &self.rows {
            let (memory, memory_share) = self.memory(row);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.2} | {:.2} | {memory} | {memory_share} | {:.0} % |",
                row.work.frames,
                row.work.batch,
                row.work.mode,
                row.program,
                row.clips_per_second,
                row.ratio,
                100.0 * self.share_of_peak(row)
            );
        }
        let [f32, bf16] = [0, 1].map(|index| self.rate(index));
        let _ = write!(
            text,
            "\nProducts [4720, 768] x [768, 3072] in the same run: {f32:.0} GFLOP/s in f32, \
             {bf16:.0} in bf16 with packed weights.\nMachine: {}\nVersions: {}\n",
            self.machine, self.versions
        );
        text
    }

    /// GFLOP/s of the products alone.
    fn rate(&self, index: usize) -> Spread {
        let rates = self.product_rates.iter().filter_map(|both| both.get(index));
        Spread::of(rates.map(|&rate| f64::from(rate)))
    }

    fn share_of_peak(&self, row: &Row) -> f64 {
        let index = usize::from(row.program.ends_with("bf16"));
        row.clips_per_second.median * row.work.gigaflop() / self.rate(index).median.max(1e-9)
    }

    /// Peak memory, and as a share of the peer's on the same work. What a
    /// program holds of a GPU's memory is not known here.
    fn memory(&self, row: &Row) -> (String, String) {
        if self.device != "cpu" {
            return ("-".into(), "-".into());
        }
        let same = |other: &&Row| other.work == row.work;
        let peer = self.rows.iter().find(same).and_then(|row| row.peak_bytes);
        match (row.peak_bytes, peer) {
            (Some(bytes), Some(peer)) => (
                format!("{} MB", bytes / 1_000_000),
                format!("{:.2}", bytes as f64 / peak(peer)),
            ),
            _ => ("?".into(), "?".into()),
        }
    }
}

fn peak(bytes: u64) -> f64 {
    bytes.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(mode: &str) -> Work {
        Work {
            frames: 500,
            batch: 8,
            mode: mode.to_owned(),
        }
    }

    fn row(program: &'static str, rate: f64, ratio: f64, peak: u64) -> Row {
        Row {
            work: work("evaluate"),
            program,
            clips_per_second: Spread::of([rate]),
            ratio: Spread::of([ratio]),
            peak_bytes: Some(peak),
        }
    }

    #[test]
    fn the_products_of_a_clip_are_counted_from_the_shapes() {
        // 590 tokens: 12 blocks of 12 D² per token, and 2 L² D.
        let evaluation = 2.0
            * (12.0 * 590.0 * 12.0 * 768.0f64.powi(2)
                + 12.0 * 2.0 * 590.0f64.powi(2) * 768.0
                + 588.0 * 256.0 * 768.0)
            / 1e9;
        assert!((work("evaluate").gigaflop() - evaluation).abs() < 1e-9);
        let train = work("train").gigaflop();
        assert!(train > 2.0 * evaluation && train < 3.0 * evaluation);
    }

    #[test]
    fn the_table_compares_with_the_peer_and_with_the_products_alone() {
        let report = StepReport {
            machine: Machine::this(),
            versions: Value::Null,
            threads: 2,
            device: "cpu".into(),
            rounds: 1,
            seconds_per_turn: 1.0,
            product_rates: vec![vec![400.0, 2000.0]],
            rows: vec![
                row("transformers, f32", 1.0, 1.0, 4_000_000_000),
                row("ours, bf16", 8.0, 8.0, 1_000_000_000),
            ],
        };
        let text = report.table();
        let share = 100.0 * 8.0 * work("evaluate").gigaflop() / 2000.0;
        let expected = format!("| 8.00 [8.00–8.00] | 1000 MB | 0.25 | {share:.0} % |");
        assert!(text.contains(&expected), "{expected} is not in\n{text}");
    }
}
