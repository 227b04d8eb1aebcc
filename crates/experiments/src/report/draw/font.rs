//! The letters of the drawings: Roboto, of which a subset is compiled in, so
//! that pixels are the same on every machine.
//!
//! SVG texts are set by whoever shows them; their widths are close to these.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId};

static REGULAR: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(include_bytes!("../assets/Roboto-Regular-subset.ttf"), 0).ok());
static BOLD: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(include_bytes!("../assets/Roboto-Medium-subset.ttf"), 0).ok());

/// Width of a letter that the font lacks, in units of the font size.
const USUAL: f64 = 0.6;

/// Fonts of readers may be a little wider.
const ROOM: f64 = 1.14;

/// The font of plain or bold text; `None` never happens with the fonts that
/// are compiled in.
pub fn face(bold: bool) -> Option<&'static Face<'static>> {
    if bold {
        BOLD.as_ref()
    } else {
        REGULAR.as_ref()
    }
}

/// Glyph of a letter: the font's empty box where it lacks one.
pub fn glyph(face: &Face, letter: char) -> GlyphId {
    face.glyph_index(letter).unwrap_or(GlyphId(0))
}

/// Width of a letter in units of the font size.
pub fn advance(face: &Face, letter: char) -> f64 {
    let units = f64::from(face.units_per_em().max(1));
    let width = face.glyph_hor_advance(glyph(face, letter));
    width.map_or(USUAL, |width| f64::from(width) / units)
}

/// Approximate width of `text` at `size` pixels.
pub fn text_width(text: &str, size: f64) -> f64 {
    let width = |letter| face(false).map_or(USUAL, |face| advance(face, letter));
    text.chars().map(width).sum::<f64>() * size * ROOM
}

/// `text` cut with an ellipsis so that it fits into `width`.
pub fn fitted(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut cut = text.to_owned();
    while cut.pop().is_some() && cut.chars().count() > 1 {
        let short = format!("{}…", cut.trim_end());
        if text_width(&short, size) <= width {
            return short;
        }
    }
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fonts_hold_every_letter_that_the_report_writes() {
        for bold in [false, true] {
            let face = face(bold).expect("a font");
            let letters = (' '..='~').chain("–…±×−·µäéß≤²".chars());
            for letter in letters {
                assert!(face.glyph_index(letter).is_some(), "{letter:?}");
            }
        }
    }

    #[test]
    fn text_is_cut_to_the_width_it_has() {
        assert_eq!(fitted("short", 12.0, 100.0), "short");
        let cut = fitted("a label that is much too long", 12.0, 80.0);
        assert!(cut.ends_with('…') && cut.starts_with("a label"));
        assert!(text_width(&cut, 12.0) <= 80.0);
        assert_eq!(fitted("any", 12.0, 0.0), "a…");
    }
}
