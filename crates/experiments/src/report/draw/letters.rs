//! A line of text as the outlines of its letters.

use tiny_skia::{Path, PathBuilder};
use ttf_parser::OutlineBuilder;

use super::font::Glyph;
use super::{Anchor, Text};

/// The outlines around the text's own point, in units of the font size and
/// upwards; `None` for text without ink.
pub fn path(text: &Text) -> Option<Path> {
    let glyphs: Vec<Glyph> = text
        .text
        .chars()
        .filter_map(|letter| Glyph::of(letter, text.bold))
        .collect();
    let width: f64 = glyphs.iter().map(|glyph| glyph.advance()).sum();
    let mut pen = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -width / 2.0,
        Anchor::End => -width,
    };
    let mut letters = Letters {
        path: PathBuilder::new(),
        shift: 0.0,
        scale: 1.0,
    };
    for glyph in glyphs {
        letters.shift = pen as f32;
        letters.scale = (1.0 / glyph.units()) as f32;
        glyph.face.outline_glyph(glyph.id, &mut letters);
        pen += glyph.advance();
    }
    letters.path.finish()
}

/// Outlines of glyphs one after the other.
struct Letters {
    path: PathBuilder,
    shift: f32,
    scale: f32,
}

impl Letters {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.shift + x * self.scale, y * self.scale)
    }
}

impl OutlineBuilder for Letters {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2)) = (self.at(x1, y1), self.at(x2, y2));
        let (x, y) = self.at(x, y);
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
