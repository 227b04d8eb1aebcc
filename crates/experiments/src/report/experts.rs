//! How the experts of a row were used, over its runs.

use serde::Serialize;

use super::summary::{Row, estimate};
use crate::record::{ExpertUse, LayerUse, RunRecord};
use crate::statistics::{self, Estimate};

/// Expert use of a row.
///
/// Numbers that do not depend on which expert is which are means over the runs.
/// The shares of the single experts are those of one run: expert 1 of one seed
/// has nothing to do with expert 1 of another, and a mean would look even
/// whatever the runs did.
#[derive(Debug, Clone)]
pub struct ExpertSummary<'a> {
    /// The run whose shares and maps are shown: lowest fold, then lowest seed.
    pub run: &'a RunRecord,
    /// What it recorded.
    pub shown: &'a ExpertUse,
    /// Over all runs, one for each layer of `shown`.
    pub layers: Vec<LayerSummary>,
}

/// Balance of one mixture over the runs.
#[derive(Debug, Clone, Serialize)]
pub struct LayerSummary {
    /// Name of the mixture.
    pub name: String,
    /// Entropy of the shares divided by ln N.
    pub entropy: Estimate,
    /// Largest share divided by the mean share.
    pub max_over_mean: Estimate,
    /// Coefficient of variation of the shares.
    pub variation: Estimate,
    /// Share of assignments or tokens that went to no expert, where the router
    /// can drop any.
    pub dropped: Option<Estimate>,
}

impl<'a> ExpertSummary<'a> {
    /// Summarises a row; `None` where no run recorded the use of experts.
    pub fn of(row: &Row<'a>) -> Option<Self> {
        let recorded: Vec<(&'a RunRecord, &'a ExpertUse)> = row
            .members
            .iter()
            .filter_map(|run| Some((*run, run.expert_use.as_ref()?)))
            .filter(|(_, used)| used.layers.iter().any(|layer| !layer.usage.is_empty()))
            .collect();
        let (run, shown) = *recorded.first()?;
        let layer = |(i, layer): (usize, &LayerUse)| {
            // A run with other layers has other settings; it is left out here.
            let same: Vec<&LayerUse> = recorded
                .iter()
                .filter_map(|(_, used)| used.layers.get(i))
                .filter(|other| other.name == layer.name)
                .collect();
            layer_summary(layer, &same)
        };
        let layers = shown.layers.iter().enumerate().map(layer).collect();
        Some(Self { run, shown, layers })
    }

    /// Largest number of experts N of a layer.
    pub fn experts(&self) -> usize {
        let layers = self.shown.layers.iter();
        layers.map(|layer| layer.usage.len()).max().unwrap_or(0)
    }

    /// Mean over the layers of a figure's mean.
    pub fn mean(&self, figure: fn(&LayerSummary) -> f64) -> f64 {
        let values: Vec<f64> = self.layers.iter().map(figure).collect();
        let finite: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        statistics::mean(&finite).unwrap_or(f64::NAN)
    }

    /// The layer with the lowest entropy.
    pub fn most_uneven(&self) -> Option<&LayerSummary> {
        let layers = self.layers.iter();
        let finite = layers.filter(|layer| layer.entropy.mean.is_finite());
        finite.min_by(|a, b| a.entropy.mean.total_cmp(&b.entropy.mean))
    }
}

fn layer_summary(layer: &LayerUse, runs: &[&LayerUse]) -> LayerSummary {
    let over = |figure: fn(&LayerUse) -> f64| {
        let values: Vec<f64> = runs.iter().map(|run| figure(run)).collect();
        estimate(&values)
    };
    let dropped: Vec<f64> = runs.iter().filter_map(|run| run.dropped).collect();
    LayerSummary {
        name: layer.name.clone(),
        entropy: over(|layer| layer.entropy),
        max_over_mean: over(|layer| layer.max_over_mean),
        variation: over(|layer| layer.variation),
        dropped: Estimate::of(&dropped),
    }
}

/// A layer in few letters: `block 3, FFN`.
pub fn short_name(layer: &LayerUse) -> String {
    let last = layer.name.rsplit('.').next().unwrap_or_default();
    let place = match last.rsplit('_').next() {
        Some("mhsa") => ", MHSA",
        Some("ffn") => ", FFN",
        _ => "",
    };
    format!("block {}{place}", layer.block + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{expert_use, run};
    use crate::report::summary;

    #[test]
    fn balance_is_a_mean_over_runs_and_shares_are_those_of_one_run() {
        let mut runs: Vec<RunRecord> = (0..2)
            .map(|seed| run("t", "soft-moa", 0, seed, 0.5))
            .collect();
        runs[0].expert_use = Some(expert_use(&[0.7, 0.3]));
        runs[1].expert_use = Some(expert_use(&[0.3, 0.7]));
        let ordered = summary::in_order(&runs, &[]);
        let tasks = summary::summarise(&ordered, &[]);
        let summary = ExpertSummary::of(&tasks[0].rows[0]).unwrap();
        assert_eq!(summary.shown.layers[0].usage, [0.7, 0.3]);
        assert_eq!(summary.experts(), 2);
        // Not 1, which is what the mean shares of 0.5 would give.
        assert!((summary.layers[0].max_over_mean.mean - 1.4).abs() < 1e-12);
        assert_eq!(summary.layers[0].max_over_mean.n, 2);
        let uneven = summary.most_uneven().unwrap();
        assert_eq!(uneven.name, "encoder.layer.0.moa_mhsa");
        assert_eq!(short_name(&summary.shown.layers[1]), "block 2, FFN");
    }

    #[test]
    fn a_row_without_experts_has_no_summary() {
        let runs = [run("t", "linear", 0, 0, 0.5)];
        let ordered = summary::in_order(&runs, &[]);
        let tasks = summary::summarise(&ordered, &[]);
        assert!(ExpertSummary::of(&tasks[0].rows[0]).is_none());
    }
}
