//! A line of text as the outlines of its letters.

use tiny_skia::{Path, PathBuilder};
use ttf_parser::OutlineBuilder;

use super::font::{advance, face, glyph};
use super::{Anchor, Text};

/// The outlines around the text's own point, in units of the font and upwards,
/// and how many units make up the font size; `None` for text without ink.
pub fn path(text: &Text) -> Option<(Path, f32)> {
    let face = face(text.bold)?;
    let width: f64 = text.text.chars().map(|c| advance(face, c)).sum();
    let mut pen = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -width / 2.0,
        Anchor::End => -width,
    };
    let units = f32::from(face.units_per_em().max(1));
    let mut letters = Letters {
        path: PathBuilder::new(),
        shift: 0.0,
    };
    for letter in text.text.chars() {
        letters.shift = pen as f32 * units;
        face.outline_glyph(glyph(face, letter), &mut letters);
        pen += advance(face, letter);
    }
    Some((letters.path.finish()?, units))
}

/// Outlines of glyphs one after the other, in units of the font.
struct Letters {
    path: PathBuilder,
    shift: f32,
}

impl OutlineBuilder for Letters {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(x + self.shift, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(x + self.shift, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(x1 + self.shift, y1, x + self.shift, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let s = self.shift;
        self.path.cubic_to(x1 + s, y1, x2 + s, y2, x + s, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
