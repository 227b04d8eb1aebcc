//! Colours by what they stand for.
//!
//! Every shape of an SVG carries its colour on white as a presentation
//! attribute and a CSS class beside it. Alone, the attribute counts; in the
//! report the style sheet's rule for the class wins.

use super::marks::number;
use crate::report::order::Style;

/// What a shape or text stands for, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ink {
    /// Main text.
    Text,
    /// Secondary text.
    Soft,
    /// Grid lines.
    Grid,
    /// Axes and leader lines.
    Axis,
    /// A method.
    Method(Style),
    /// A level of a map, 0 to [`LEVELS`] - 1.
    Level(u8),
    /// Text on a tile of that level.
    OnLevel(u8),
}

/// Number of levels of [`Ink::Level`].
pub const LEVELS: u8 = 9;

/// The levels on white and on dark paper: the lowest is close to the paper.
const HEAT: [(&str, &str); LEVELS as usize] = [
    ("#f3f5f8", "#1b222c"),
    ("#dce8f3", "#1c3040"),
    ("#c3daed", "#1e4056"),
    ("#a3c8e4", "#20516e"),
    ("#7db1d8", "#246387"),
    ("#5596c8", "#2a739c"),
    ("#2f78b0", "#4a9bca"),
    ("#155f9e", "#74bae2"),
    ("#08447c", "#abdaf5"),
];

/// Letters on the lower and on the upper levels, on white and on dark paper.
const ON_HEAT: [(&str, &str); 2] = [("#1f2328", "#eef2f6"), ("#ffffff", "#0b0f14")];

/// The first level that counts as an upper one.
const UPPER: u8 = 6;

impl Ink {
    /// Its colour on white paper, `#rrggbb`.
    pub fn colour(self) -> &'static str {
        match self {
            Self::Text => "#1f2328",
            Self::Soft => "#57606a",
            Self::Grid => "#e3e7eb",
            Self::Axis => "#8c959f",
            Self::Method(style) => style.on_white(),
            Self::Level(level) => HEAT[usize::from(level.min(LEVELS - 1))].0,
            Self::OnLevel(level) => ON_HEAT[usize::from(level >= UPPER)].0,
        }
    }

    fn class(self, use_: char) -> String {
        match self {
            Self::Text => format!("{use_}-text"),
            Self::Soft => format!("{use_}-soft"),
            Self::Grid => format!("{use_}-grid"),
            Self::Axis => format!("{use_}-axis"),
            Self::Method(style) => format!("{use_}{}", style.colour),
            Self::Level(level) => format!("{use_}-h{}", level.min(LEVELS - 1)),
            Self::OnLevel(level) => format!("{use_}-on{}", u8::from(level >= UPPER)),
        }
    }

    /// Attributes of a filled shape.
    pub fn fill(self) -> String {
        format!("class=\"{}\" fill=\"{}\"", self.class('f'), self.colour())
    }

    /// Attributes of a filled shape with a rim of paper.
    pub fn rimmed(self) -> String {
        let class = self.class('f');
        format!("class=\"{class} rim\" fill=\"{}\"", self.colour())
    }

    /// Attributes of a line.
    pub fn stroke(self, width: f64) -> String {
        format!(
            "class=\"{}\" stroke=\"{}\" stroke-width=\"{}\" fill=\"none\"",
            self.class('s'),
            self.colour(),
            number(width)
        )
    }
}

/// The level of a value from 0 to 1; only what is 0 gets the lowest.
pub fn level(share: f64) -> u8 {
    if share.is_nan() || share <= 0.0 {
        return 0;
    }
    let upper = f64::from(LEVELS - 1);
    (share.min(1.0) * upper).ceil().clamp(1.0, upper) as u8
}

/// Rules for the levels on light or on dark paper.
pub fn level_rules(dark: bool) -> String {
    let pick = |(light, on_dark): (&'static str, &'static str)| if dark { on_dark } else { light };
    let levels = HEAT.iter().enumerate();
    let levels = levels.map(|(i, c)| format!(".f-h{i}{{fill:{}}}\n", pick(*c)));
    let letters = ON_HEAT.iter().enumerate();
    let letters = letters.map(|(i, c)| format!(".f-on{i}{{fill:{}}}\n", pick(*c)));
    levels.chain(letters).collect()
}

/// Red, green and blue of `#rrggbb`; black where it is none.
pub fn rgb(colour: &str) -> [u8; 3] {
    let part = |at: usize| {
        let digits = colour.get(at..at + 2).unwrap_or_default();
        u8::from_str_radix(digits, 16).unwrap_or(0)
    };
    [part(1), part(3), part(5)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nothing_has_the_lowest_level_and_everything_the_highest() {
        assert_eq!(level(0.0), 0);
        assert_eq!(level(f64::NAN), 0);
        assert_eq!(level(1e-9), 1);
        assert_eq!(level(0.5), 4);
        assert_eq!(level(1.0), LEVELS - 1);
        assert_eq!(level(7.0), LEVELS - 1);
    }

    /// Relative luminance and contrast as WCAG 2.1 defines them.
    fn luminance(colour: &str) -> f64 {
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            match v <= 0.040_45 {
                true => v / 12.92,
                false => ((v + 0.055) / 1.055).powf(2.4),
            }
        };
        let [r, g, b] = rgb(colour);
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    #[test]
    fn letters_stand_out_from_every_tile_on_light_and_dark_paper() {
        for (i, (light, dark)) in HEAT.into_iter().enumerate() {
            let letters = ON_HEAT[usize::from(i as u8 >= UPPER)];
            for (tile, letter) in [(light, letters.0), (dark, letters.1)] {
                let (a, b) = (luminance(tile), luminance(letter));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 4.5, "{letter} on {tile}: {contrast:.2}");
            }
        }
    }
}
