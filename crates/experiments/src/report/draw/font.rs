//! The letters of the drawings: subsets of Roboto and, for the Mandarin phonetic
//! signs in file names of one of the tasks, Droid Sans Fallback. They are
//! compiled in, so that pixels are the same on every machine.
//!
//! SVG texts are set by whoever shows them; their widths are close to these.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId};

static REGULAR: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(include_bytes!("../assets/Roboto-Regular-subset.ttf"), 0).ok());
static BOLD: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(include_bytes!("../assets/Roboto-Medium-subset.ttf"), 0).ok());
static PHONETIC: LazyLock<Option<Face<'static>>> = LazyLock::new(|| {
    let bytes = include_bytes!("../assets/DroidSansFallback-bopomofo-subset.ttf");
    Face::parse(bytes, 0).ok()
});

/// Width of a letter without a font, in units of the font size.
const USUAL: f64 = 0.6;

/// Fonts of readers may be wider.
const ROOM: f64 = 1.14;

/// A letter of one of the fonts.
#[derive(Clone, Copy)]
pub struct Glyph {
    /// Its font.
    pub face: &'static Face<'static>,
    /// Its place there.
    pub id: GlyphId,
}

impl Glyph {
    /// The letter in plain or bold type: an empty box where no font has it.
    /// `None` never happens with the fonts that are compiled in.
    pub fn of(letter: char, bold: bool) -> Option<Self> {
        let main = if bold {
            BOLD.as_ref()
        } else {
            REGULAR.as_ref()
        }?;
        let found = [Some(main), PHONETIC.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|face| Some((face, face.glyph_index(letter)?)));
        let (face, id) = found.unwrap_or((main, GlyphId(0)));
        Some(Self { face, id })
    }

    /// Units of its font that make up the font size.
    pub fn units(self) -> f64 {
        f64::from(self.face.units_per_em().max(1))
    }

    /// Its width in units of the font size.
    pub fn advance(self) -> f64 {
        let width = self.face.glyph_hor_advance(self.id);
        width.map_or(USUAL, |width| f64::from(width) / self.units())
    }
}

/// Approximate width of `text` at `size` pixels.
pub fn text_width(text: &str, size: f64) -> f64 {
    let width = |letter| Glyph::of(letter, false).map_or(USUAL, Glyph::advance);
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
            let letters = (' '..='~').chain("–…±×−·µäéß≤²ㄅㄧㄠㄢ".chars());
            for letter in letters {
                let glyph = Glyph::of(letter, bold).expect("a font");
                assert_ne!(glyph.id, GlyphId(0), "{letter:?}");
            }
            assert_eq!(
                Glyph::of('漢', bold).map(|glyph| glyph.id),
                Some(GlyphId(0))
            );
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
