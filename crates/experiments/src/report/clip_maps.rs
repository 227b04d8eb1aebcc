//! Where in an example clip each expert counts: maps over frequency and time.

use super::draw::picture::{COLOURS, Picture};
use super::draw::{Anchor, Drawing, Ink, fitted};
use super::expert_maps::WIDTH;
use super::experts::{ExpertSummary, short_name};
use super::format::percent;
use crate::record::{ClipLayerUse, ClipUse, LayerUse};

/// Layers that are shown of each clip.
const LAYERS: usize = 6;
/// Clips that are shown.
const CLIPS: usize = 4;
const LEFT: f64 = 128.0;
const RIGHT: f64 = 92.0;

/// The maps of one row; `None` where no clip was recorded.
pub fn clips(used: &ExpertSummary, title: &str, label: &str) -> Option<Drawing> {
    let clips: Vec<&ClipUse> = used
        .shown
        .clips
        .iter()
        .filter(|clip| whole(clip))
        .take(CLIPS)
        .collect();
    if clips.is_empty() {
        return None;
    }
    let blocks: Vec<Block> = clips.iter().map(|clip| Block::new(clip)).collect();
    let height = 78.0 + blocks.iter().map(Block::height).sum::<f64>();
    let description = format!("{title}, {label}: share of each expert over frequency and time");
    let mut drawing = Drawing::new(WIDTH, height, &description);
    drawing.heading((14.0, 24.0), 15.0, &fitted(title, 15.0, WIDTH - 28.0));
    let label = fitted(label, 13.0, WIDTH - 28.0);
    drawing.text((14.0, 46.0), 13.0, Ink::Text, Anchor::Start, &label);
    legend(&mut drawing);
    let mut top = 66.0;
    for block in blocks {
        let class = used.run.class_names.get(block.clip.class);
        block.draw(
            &mut drawing,
            top,
            class.map_or("", String::as_str),
            &used.shown.layers,
        );
        top += block.height();
    }
    Some(drawing)
}

/// Whether the maps have the sizes they state.
fn whole(clip: &ClipUse) -> bool {
    let patches = clip.frequency_patches * clip.time_patches;
    let mut maps = clip.layers.iter().flat_map(|layer| &layer.experts);
    let some = clip.layers.iter().any(|layer| !layer.experts.is_empty());
    patches > 0 && some && maps.all(|map| map.len() == patches)
}

fn legend(drawing: &mut Drawing) {
    let mut bar = Picture::new(usize::from(COLOURS), 1);
    for column in 0..usize::from(COLOURS) {
        bar.set(column, 0, column as f64 / f64::from(COLOURS - 1));
    }
    let right = WIDTH - 24.0;
    drawing.picture((right - 150.0, 34.0), (150.0, 10.0), bar);
    let note = "lowest to highest share of the layer";
    drawing.text((right - 158.0, 43.0), 12.0, Ink::Soft, Anchor::End, note);
}

/// The maps of one clip: layers below each other, experts side by side.
struct Block<'a> {
    clip: &'a ClipUse,
    layers: Vec<&'a ClipLayerUse>,
    experts: usize,
    line: f64,
}

impl<'a> Block<'a> {
    fn new(clip: &'a ClipUse) -> Self {
        let all: Vec<&ClipLayerUse> = clip.layers.iter().collect();
        let layers = evenly(&all, LAYERS);
        let counts = layers.iter().map(|layer| layer.experts.len());
        let experts = counts.max().unwrap_or(1).max(1);
        let patch = (WIDTH - LEFT - RIGHT) / (experts * (clip.time_patches + 1)) as f64;
        // Patches are square where that is neither too high nor too low.
        let line = (patch * clip.frequency_patches as f64).clamp(22.0, 58.0);
        Self {
            clip,
            layers,
            experts,
            line,
        }
    }

    fn height(&self) -> f64 {
        (self.line + 8.0) * self.layers.len() as f64 + 62.0
    }

    fn draw(&self, drawing: &mut Drawing, top: f64, class: &str, layers: &[LayerUse]) {
        let clip = self.clip;
        let name = format!("{}: {class}", clip.clip);
        let name = fitted(&name, 13.0, WIDTH - 28.0);
        drawing.text((14.0, top + 22.0), 13.0, Ink::Text, Anchor::Start, &name);
        let wide = (WIDTH - LEFT - RIGHT) / self.experts as f64;
        let gap = wide / (clip.time_patches + 1) as f64;
        let first = top + 52.0;
        for expert in 0..self.experts {
            let at = (LEFT + wide * (expert as f64 + 0.5) - gap / 2.0, first - 8.0);
            let name = match expert {
                0 => "expert 1".to_owned(),
                _ => (expert + 1).to_string(),
            };
            drawing.text(at, 11.5, Ink::Soft, Anchor::Middle, &name);
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let y = first + (self.line + 8.0) * i as f64;
            let found = layers.iter().find(|known| known.name == layer.name);
            let name = found.map_or_else(|| layer.name.clone(), short_name);
            let at = (LEFT - 10.0, y + self.line / 2.0 + 4.0);
            let name = fitted(&name, 12.0, LEFT - 20.0);
            drawing.text(at, 12.0, Ink::Text, Anchor::End, &name);
            let (picture, low, high) = self.picture(layer);
            drawing.picture((LEFT, y), (WIDTH - LEFT - RIGHT, self.line), picture);
            let range = format!("{}–{} %", percent(low), percent(high));
            let at = (WIDTH - RIGHT + 4.0, y + self.line / 2.0 + 4.0);
            drawing.text(at, 11.0, Ink::Soft, Anchor::Start, &range);
        }
    }

    /// The maps of a layer side by side, a patch apart, the lowest frequencies
    /// below; and the lowest and highest share in them.
    fn picture(&self, layer: &ClipLayerUse) -> (Picture, f64, f64) {
        let (rows, columns) = (self.clip.frequency_patches, self.clip.time_patches);
        let shares = || {
            layer
                .experts
                .iter()
                .flatten()
                .map(|share| f64::from(*share))
        };
        let shares = || shares().filter(|share| share.is_finite());
        let low = shares().fold(f64::INFINITY, f64::min);
        let high = shares().fold(f64::NEG_INFINITY, f64::max);
        let mut picture = Picture::new(self.experts * (columns + 1), rows);
        for (expert, map) in layer.experts.iter().enumerate() {
            for (patch, share) in map.iter().enumerate() {
                let (frequency, time) = (patch / columns, patch % columns);
                let value = match high > low {
                    true => (f64::from(*share) - low) / (high - low),
                    false => 0.5,
                };
                let column = expert * (columns + 1) + time;
                picture.set(column, rows - 1 - frequency, value);
            }
        }
        (picture, low, high)
    }
}

/// At most `most` of the items, the first and the last among them.
fn evenly<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    if items.len() <= most {
        return items.to_vec();
    }
    let last = items.len() - 1;
    let place = |i: usize| (i * last + (most - 1) / 2) / (most - 1);
    (0..most).map(|i| items[place(i)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::expert_use;

    #[test]
    fn the_lowest_frequencies_are_at_the_bottom_and_experts_a_patch_apart() {
        let used = expert_use(&[0.5, 0.5]);
        let mut clip = used.clips[0].clone();
        (clip.frequency_patches, clip.time_patches) = (2, 3);
        clip.layers.truncate(1);
        clip.layers[0].experts = vec![
            vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ];
        assert!(whole(&clip));
        let block = Block::new(&clip);
        let (picture, low, high) = block.picture(&clip.layers[0]);
        assert_eq!((picture.columns(), picture.rows()), (8, 2));
        assert_eq!((low, high), (0.0, 1.0));
        let strongest = picture.colour(0, 1);
        assert_ne!(strongest, picture.colour(0, 0));
        assert_eq!(picture.colour(6, 0), strongest);
        assert_eq!(picture.colour(3, 0), None);
        clip.layers[0].experts[0].pop();
        assert!(!whole(&clip));
    }

    #[test]
    fn few_layers_of_many_are_spread_over_all_of_them() {
        let items: Vec<usize> = (0..24).collect();
        let chosen = evenly(&items, 6);
        assert_eq!((chosen[0], chosen[5], chosen.len()), (0, 23, 6));
        assert_eq!(evenly(&items[..3], 6), [0, 1, 2]);
    }
}
