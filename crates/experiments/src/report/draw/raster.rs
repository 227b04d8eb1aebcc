//! Drawings as PNG: the shapes of the SVG, filled by tiny-skia, with letters
//! from the font that is compiled in.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash,
    Transform,
};

use super::ink::rgb;
use super::letters;
use super::marks::{Outline, outline};
use super::picture::Picture;
use super::{Drawing, Ink, Shape, Text};
use crate::report::files::ReportError;
use crate::report::order::Style;

/// Pixels per unit of a drawing: sharp on today's screens.
const SCALE: f64 = 2.0;

/// The picture on white paper, two pixels per unit.
///
/// # Errors
/// [`ReportError::Layout`] for a drawing without a size or too large for the
/// memory.
pub fn png(drawing: &Drawing) -> Result<Vec<u8>, ReportError> {
    let side = |units: f64| (units * SCALE).round().clamp(0.0, 32_000.0) as u32;
    let (width, height) = (side(drawing.width), side(drawing.height));
    let failed = |reason: String| ReportError::Layout {
        what: "a plot as PNG",
        reason,
    };
    let mut pixmap = Pixmap::new(width, height)
        .ok_or_else(|| failed(format!("{width} × {height} pixels cannot be held")))?;
    pixmap.fill(Color::WHITE);
    let mut canvas = Canvas {
        pixmap,
        scale: Transform::from_scale(SCALE as f32, SCALE as f32),
    };
    for shape in &drawing.shapes {
        canvas.draw(shape);
    }
    encode(&canvas.pixmap).map_err(|error| failed(error.to_string()))
}

/// The paper is opaque, so the alpha channel is left out.
fn encode(pixmap: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let opaque: Vec<u8> = pixmap
        .data()
        .chunks_exact(4)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixmap.width(), pixmap.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Default);
    encoder.set_filter(png::FilterType::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&opaque)?;
    writer.finish()?;
    Ok(bytes)
}

struct Canvas {
    pixmap: Pixmap,
    scale: Transform,
}

impl Canvas {
    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Line {
                points,
                ink,
                width,
                opacity,
                dashed,
            } => {
                let dashes = dashed.then_some([5.0, 4.0]);
                let paint = paint(*ink, *opacity);
                self.stroke(lines(points, false), &paint, *width, dashes);
            }
            Shape::Area {
                points,
                ink,
                opacity,
            } => self.fill(lines(points, true), &paint(*ink, *opacity), self.scale),
            Shape::Tiles { corners, size, ink } => {
                let paint = Paint {
                    anti_alias: false,
                    ..paint(*ink, 1.0)
                };
                for at in corners {
                    self.rectangle(*at, *size, &paint);
                }
            }
            Shape::Dot {
                centre,
                radius,
                ink,
                opacity,
            } => self.fill(circle(*centre, *radius), &paint(*ink, *opacity), self.scale),
            Shape::Marker {
                centre,
                style,
                radius,
                ..
            } => self.marker(*centre, *style, *radius),
            Shape::Text(text) => self.text(text),
            Shape::Picture { at, size, picture } => self.picture(*at, *size, picture),
        }
    }

    fn fill(&mut self, path: Option<Path>, paint: &Paint, transform: Transform) {
        if let Some(path) = path {
            self.pixmap
                .fill_path(&path, paint, FillRule::Winding, transform, None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, paint: &Paint, width: f64, dashes: Option<[f32; 2]>) {
        let stroke = Stroke {
            width: width as f32,
            line_join: LineJoin::Round,
            line_cap: LineCap::Butt,
            dash: dashes.and_then(|dashes| StrokeDash::new(dashes.to_vec(), 0.0)),
            ..Stroke::default()
        };
        if let Some(path) = path {
            self.pixmap
                .stroke_path(&path, paint, &stroke, self.scale, None);
        }
    }

    fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), paint: &Paint) {
        // Without a transformation there is a short way for rectangles, and maps
        // have thousands.
        let [x, y, width, height] = [x, y, width, height].map(|v| (v * SCALE) as f32);
        if let Some(rect) = Rect::from_xywh(x, y, width, height) {
            self.pixmap
                .fill_rect(rect, paint, Transform::identity(), None);
        }
    }

    fn marker(&mut self, centre: (f64, f64), style: Style, radius: f64) {
        let ink = paint(Ink::Method(style), 1.0);
        let path = match outline(centre, style.marker, radius) {
            Outline::Circle => circle(centre, radius),
            Outline::Corners(corners) => lines(&corners, true),
            Outline::Strokes(strokes) => {
                for stroke in strokes {
                    self.stroke(lines(&stroke, false), &ink, 2.6, None);
                }
                return;
            }
        };
        self.fill(path.clone(), &ink, self.scale);

        self.stroke(path, &white(), 1.0, None);
    }

    fn text(&mut self, text: &Text) {
        let Some(path) = letters::path(text) else {
            return;
        };
        // Fonts count upwards.
        let size = text.size as f32;
        let transform = Transform::from_scale(size, -size)
            .post_concat(Transform::from_rotate(text.turn as f32))
            .post_translate(text.at.0 as f32, text.at.1 as f32)
            .post_concat(self.scale);
        if text.halo {
            let stroke = Stroke {
                width: 3.0 / size,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            self.pixmap
                .stroke_path(&path, &white(), &stroke, transform, None);
        }
        self.fill(Some(path), &paint(text.ink, 1.0), transform);
    }

    fn picture(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), picture: &Picture) {
        let across = width / picture.columns().max(1) as f64;
        let down = height / picture.rows().max(1) as f64;
        for row in 0..picture.rows() {
            for column in 0..picture.columns() {
                let Some([r, g, b]) = picture.colour(column, row) else {
                    continue;
                };
                let mut paint = Paint::default();
                paint.set_color_rgba8(r, g, b, 255);
                paint.anti_alias = false;
                let at = (x + column as f64 * across, y + row as f64 * down);
                self.rectangle(at, (across, down), &paint);
            }
        }
    }
}

fn paint(ink: Ink, opacity: f64) -> Paint<'static> {
    let [r, g, b] = rgb(ink.colour());
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, (opacity.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint.anti_alias = true;
    paint
}

fn white() -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(Color::WHITE);
    paint.anti_alias = true;
    paint
}

fn lines(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    builder.move_to(first.0 as f32, first.1 as f32);
    for (x, y) in rest {
        builder.line_to(*x as f32, *y as f32);
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

fn circle((x, y): (f64, f64), radius: f64) -> Option<Path> {
    PathBuilder::from_circle(x as f32, y as f32, radius as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::draw::{Anchor, Ink};

    fn pixels(drawing: &Drawing) -> (usize, Vec<u8>) {
        let bytes = png(drawing).unwrap();
        let mut reader = png::Decoder::new(bytes.as_slice()).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut pixels).unwrap();
        (reader.info().width as usize, pixels)
    }

    fn at((width, pixels): &(usize, Vec<u8>), x: usize, y: usize) -> [u8; 3] {
        let start = 3 * (y * width + x);
        [pixels[start], pixels[start + 1], pixels[start + 2]]
    }

    #[test]
    fn shapes_have_their_colours_at_two_pixels_a_unit() {
        let mut drawing = Drawing::new(20.0, 10.0, "two tiles and a line");
        drawing.tiles(vec![(2.0, 2.0), (8.0, 2.0)], (4.0, 4.0), Ink::Level(8));
        drawing.line((0.0, 8.0), (20.0, 8.0), Ink::Axis, 1.0);
        let pixels = pixels(&drawing);
        assert_eq!(pixels.0, 40);
        assert_eq!(at(&pixels, 0, 0), [255, 255, 255]);
        assert_eq!(at(&pixels, 6, 6), rgb(Ink::Level(8).colour()));
        assert_eq!(at(&pixels, 14, 6), [255, 255, 255]);
        assert_eq!(at(&pixels, 18, 6), rgb(Ink::Level(8).colour()));
        assert_eq!(at(&pixels, 20, 16), rgb(Ink::Axis.colour()));
    }

    #[test]
    fn letters_stand_where_their_anchor_says() {
        let dark = |pixels: &(usize, Vec<u8>), columns: std::ops::Range<usize>| {
            let cells = columns.flat_map(|x| (0..40).map(move |y| (x, y)));
            cells.filter(|(x, y)| at(pixels, *x, *y)[0] < 128).count()
        };
        let drawn = |anchor| {
            let mut drawing = Drawing::new(100.0, 20.0, "a word");
            drawing.text((50.0, 15.0), 14.0, Ink::Text, anchor, "HHH");
            pixels(&drawing)
        };
        let (start, end) = (drawn(Anchor::Start), drawn(Anchor::End));
        assert_eq!(dark(&start, 0..100), 0);
        assert!(dark(&start, 100..200) > 100);
        assert_eq!(dark(&end, 101..200), 0);
        assert!(dark(&end, 0..100) > 100);
    }

    #[test]
    fn a_drawing_without_a_size_is_an_error() {
        let error = png(&Drawing::new(0.0, 10.0, "")).unwrap_err();
        assert!(error.to_string().contains("0 × 20"), "{error}");
    }
}
