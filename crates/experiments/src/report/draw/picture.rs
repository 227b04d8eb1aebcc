//! Matrices of colours, for maps of so many cells that a shape for each would
//! be too much.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Number of colours beside the transparent one.
pub const COLOURS: u8 = 63;

/// From low to high, dark to light, legible on light and on dark paper.
const ANCHORS: [[u8; 3]; 5] = [
    [38, 28, 84],
    [38, 92, 140],
    [43, 155, 140],
    [142, 206, 92],
    [250, 230, 85],
];

/// A matrix of palette indices: 0 is transparent, 1 to [`COLOURS`] go from low
/// to high.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    columns: usize,
    rows: usize,
    indices: Vec<u8>,
}

impl Picture {
    /// A transparent picture.
    pub fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            indices: vec![0; columns * rows],
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Sets a cell to `share`, 0 to 1; what lies outside is left alone.
    pub fn set(&mut self, column: usize, row: usize, share: f64) {
        if column >= self.columns || row >= self.rows || share.is_nan() {
            return;
        }
        let step = (share.clamp(0.0, 1.0) * f64::from(COLOURS - 1)).round();
        self.indices[row * self.columns + column] = 1 + step as u8;
    }

    /// Colour of a cell; `None` where it is transparent.
    pub fn colour(&self, column: usize, row: usize) -> Option<[u8; 3]> {
        let index = *self.indices.get(row * self.columns + column)?;
        (index > 0 && column < self.columns).then(|| colour(index))
    }

    /// The picture as an address that holds its content.
    pub fn data_address(&self) -> String {
        // Encoding into memory fails only for empty pictures, which show nothing.
        let png = self.png().unwrap_or_default();
        format!("data:image/png;base64,{}", STANDARD.encode(png))
    }

    fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let (width, height) = (self.columns as u32, self.rows as u32);
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        let most = self.indices.iter().copied().max().unwrap_or(0);
        let palette: Vec<u8> = (0..=most).flat_map(colour).collect();
        encoder.set_palette(palette);
        encoder.set_trns(vec![0u8]);
        encoder.set_compression(png::Compression::Best);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.indices)?;
        writer.finish()?;
        Ok(bytes)
    }
}

/// Red, green and blue of a palette index.
pub fn colour(index: u8) -> [u8; 3] {
    let steps = (ANCHORS.len() - 1) as f64;
    let place = f64::from(index.max(1) - 1) / f64::from(COLOURS - 1) * steps;
    let low = (place.floor() as usize).min(ANCHORS.len() - 2);
    let part = (place - low as f64).min(1.0);
    let mix = |i: usize| {
        let (a, b) = (f64::from(ANCHORS[low][i]), f64::from(ANCHORS[low + 1][i]));
        (a + part * (b - a)).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_ends_at_its_first_and_last_colour() {
        assert_eq!(colour(1), ANCHORS[0]);
        assert_eq!(colour(COLOURS), ANCHORS[4]);
    }

    #[test]
    fn a_picture_read_back_has_the_colours_that_were_set() {
        let mut picture = Picture::new(3, 2);
        picture.set(0, 0, 0.0);
        picture.set(2, 1, 1.0);
        picture.set(3, 0, 1.0);
        picture.set(0, 2, 1.0);
        let png = picture.png().unwrap();
        let mut decoder = png::Decoder::new(png.as_slice());
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut pixels).unwrap();
        let [r, g, b] = ANCHORS[0];
        assert_eq!(pixels[..8], [r, g, b, 255, r, g, b, 0]);
        let [r, g, b] = ANCHORS[4];
        assert_eq!(pixels[20..], [r, g, b, 255]);
        assert_eq!(picture.colour(1, 1), None);
        assert_eq!(picture.colour(2, 1), Some(ANCHORS[4]));
    }
}
