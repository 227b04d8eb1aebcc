//! Drawings as plain data: shapes that become SVG text ([`svg`]) or pixels
//! ([`raster`]), from the same numbers.

pub mod axis;
mod font;
pub mod ink;
pub mod labels;
mod letters;
pub mod marks;
pub mod picture;
pub mod raster;
pub mod svg;

pub use font::{fitted, text_width};
pub use ink::Ink;
use picture::Picture;

use super::order::Style;

/// Where the given point lies on a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// At its beginning.
    Start,
    /// At its middle.
    Middle,
    /// At its end.
    End,
}

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// A point of the baseline.
    pub at: (f64, f64),
    /// Font size in pixels.
    pub size: f64,
    /// Colour.
    pub ink: Ink,
    /// Where `at` lies.
    pub anchor: Anchor,
    /// Whether it is a heading.
    pub bold: bool,
    /// Whether it has a margin of paper around its letters.
    pub halo: bool,
    /// Turn around `at` in degrees, clockwise.
    pub turn: f64,
    /// The words.
    pub text: String,
}

/// One thing that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A line through points.
    Line {
        /// At least two.
        points: Vec<(f64, f64)>,
        /// Colour.
        ink: Ink,
        /// Width in pixels.
        width: f64,
        /// 0 to 1.
        opacity: f64,
        /// Whether it is dashed.
        dashed: bool,
    },
    /// A filled polygon.
    Area {
        /// Its corners.
        points: Vec<(f64, f64)>,
        /// Colour.
        ink: Ink,
        /// 0 to 1.
        opacity: f64,
    },
    /// Equal rectangles of one colour.
    Tiles {
        /// Left upper corners.
        corners: Vec<(f64, f64)>,
        /// Width and height of each.
        size: (f64, f64),
        /// Colour.
        ink: Ink,
    },
    /// A small disc.
    Dot {
        /// Its centre.
        centre: (f64, f64),
        /// Its radius.
        radius: f64,
        /// Colour.
        ink: Ink,
        /// 0 to 1.
        opacity: f64,
    },
    /// A method's marker.
    Marker {
        /// Its centre.
        centre: (f64, f64),
        /// Colour and form.
        style: Style,
        /// About its radius.
        radius: f64,
        /// What the pointer shows; may be empty.
        tooltip: String,
    },
    /// Text.
    Text(Text),
    /// A matrix of colours.
    Picture {
        /// Left upper corner.
        at: (f64, f64),
        /// Width and height.
        size: (f64, f64),
        /// The colours.
        picture: Picture,
    },
}

/// A drawing on white paper.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// Read to those who do not see it.
    pub description: String,
    /// From the lowest to the uppermost.
    pub shapes: Vec<Shape>,
}

impl Drawing {
    /// Empty paper of `width` × `height` pixels; `description` is read to
    /// those who do not see it.
    pub fn new(width: f64, height: f64, description: &str) -> Self {
        Self {
            width,
            height,
            description: description.to_owned(),
            shapes: Vec::new(),
        }
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        self.path(&[from, to], ink, width, 1.0, false);
    }

    /// A dashed straight line.
    pub fn dashed(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        self.path(&[from, to], ink, width, 1.0, true);
    }

    /// A line through `points`, `opacity` from 0 to 1.
    pub fn polyline(&mut self, points: &[(f64, f64)], ink: Ink, width: f64, opacity: f64) {
        self.path(points, ink, width, opacity, false);
    }

    fn path(&mut self, points: &[(f64, f64)], ink: Ink, width: f64, opacity: f64, dashed: bool) {
        if points.len() >= 2 {
            self.shapes.push(Shape::Line {
                points: points.to_vec(),
                ink,
                width,
                opacity,
                dashed,
            });
        }
    }

    /// A filled polygon, `opacity` from 0 to 1.
    pub fn area(&mut self, points: &[(f64, f64)], ink: Ink, opacity: f64) {
        self.shapes.push(Shape::Area {
            points: points.to_vec(),
            ink,
            opacity,
        });
    }

    /// Equal rectangles of one colour at their left upper corners.
    pub fn tiles(&mut self, corners: Vec<(f64, f64)>, size: (f64, f64), ink: Ink) {
        if !corners.is_empty() {
            self.shapes.push(Shape::Tiles { corners, size, ink });
        }
    }

    /// A small translucent disc, for single runs behind a mean.
    pub fn dot(&mut self, centre: (f64, f64), radius: f64, ink: Ink, opacity: f64) {
        self.shapes.push(Shape::Dot {
            centre,
            radius,
            ink,
            opacity,
        });
    }

    /// A method's marker with `tooltip`.
    pub fn marker(&mut self, centre: (f64, f64), style: Style, radius: f64, tooltip: &str) {
        self.shapes.push(Shape::Marker {
            centre,
            style,
            radius,
            tooltip: tooltip.to_owned(),
        });
    }

    /// A matrix of colours in the rectangle from `at` of `size`.
    pub fn picture(&mut self, at: (f64, f64), size: (f64, f64), picture: Picture) {
        self.shapes.push(Shape::Picture { at, size, picture });
    }

    /// A line of text of `size` pixels whose baseline is at `y`.
    pub fn text(&mut self, at: (f64, f64), size: f64, ink: Ink, anchor: Anchor, text: &str) {
        self.shapes.push(Shape::Text(Text {
            at,
            size,
            ink,
            anchor,
            bold: false,
            halo: false,
            turn: 0.0,
            text: text.to_owned(),
        }));
    }

    /// Text turned by `degrees` clockwise around `at`.
    pub fn turned(&mut self, at: (f64, f64), size: f64, anchor: Anchor, degrees: f64, text: &str) {
        self.text(at, size, Ink::Soft, anchor, text);
        if let Some(Shape::Text(text)) = self.shapes.last_mut() {
            text.turn = degrees;
        }
    }

    /// A bold line of text.
    pub fn heading(&mut self, at: (f64, f64), size: f64, text: &str) {
        self.text(at, size, Ink::Text, Anchor::Start, text);
        if let Some(Shape::Text(text)) = self.shapes.last_mut() {
            text.bold = true;
        }
    }

    /// Text with a margin of paper around its letters, legible over lines.
    pub fn text_on_lines(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str) {
        self.text(at, size, Ink::Text, anchor, text);
        if let Some(Shape::Text(text)) = self.shapes.last_mut() {
            text.halo = true;
        }
    }
}
