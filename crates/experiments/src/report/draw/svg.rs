//! Drawings as SVG that look right on their own on white paper and, inside the
//! HTML report, follow its light or dark colours (see [`Ink`](super::Ink)).

use super::marks::{marker_path, number, points_path};
use super::{Anchor, Drawing, Ink, Shape, Text};
use crate::report::escape::escape_html;
use crate::report::order::{Marker, Style};

/// The document.
pub fn svg(drawing: &Drawing) -> String {
    let (width, height) = (number(drawing.width), number(drawing.height));
    let label = escape_html(&drawing.description);
    let body: String = drawing.shapes.iter().map(|s| element(s) + "\n").collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{label}\" \
         viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', \
         Arial, sans-serif\">\n\
         <rect class=\"f-paper\" width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         {body}</svg>\n"
    )
}

fn element(shape: &Shape) -> String {
    match shape {
        Shape::Line {
            points,
            ink,
            width,
            opacity,
            dashed,
        } => {
            let dashes = if *dashed {
                " stroke-dasharray=\"5 4\""
            } else {
                ""
            };
            format!(
                "<path d=\"{}\" {}{dashes}{} stroke-linejoin=\"round\"/>",
                points_path(points),
                ink.stroke(*width),
                seen_through(*opacity)
            )
        }
        Shape::Area {
            points,
            ink,
            opacity,
        } => format!(
            "<path d=\"{}Z\" {}{}/>",
            points_path(points),
            ink.fill(),
            seen_through(*opacity)
        ),
        Shape::Tiles { corners, size, ink } => tiles(corners, *size, *ink),
        Shape::Dot {
            centre,
            radius,
            ink,
            opacity,
        } => format!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{} {}/>",
            number(centre.0),
            number(centre.1),
            number(*radius),
            seen_through(*opacity),
            ink.fill()
        ),
        Shape::Marker {
            centre,
            style,
            radius,
            tooltip,
        } => marker(*centre, *style, *radius, tooltip),
        Shape::Text(text) => words(text),
        Shape::Picture { at, size, picture } => format!(
            "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"{}\"/>",
            number(at.0),
            number(at.1),
            number(size.0),
            number(size.1),
            picture.data_address()
        ),
    }
}

fn seen_through(opacity: f64) -> String {
    match opacity >= 1.0 {
        true => String::new(),
        false => format!(" opacity=\"{}\"", number(opacity)),
    }
}

/// One path for all rectangles: a map of thousands stays small.
fn tiles(corners: &[(f64, f64)], (width, height): (f64, f64), ink: Ink) -> String {
    let (width, height) = (number(width), number(height));
    let tile = |(x, y): &(f64, f64)| {
        let (x, y) = (number(*x), number(*y));
        format!("M{x} {y}h{width}v{height}h-{width}z")
    };
    let path: String = corners.iter().map(tile).collect();
    format!("<path d=\"{path}\" {}/>", ink.fill())
}

fn marker(centre: (f64, f64), style: Style, radius: f64, tooltip: &str) -> String {
    let path = marker_path(centre, style.marker, radius);
    let ink = Ink::Method(style);
    let paint = match style.marker {
        Marker::Plus | Marker::Cross => ink.stroke(2.6),
        // A rim of paper keeps markers apart that lie on each other.
        _ => format!("{} stroke=\"#ffffff\" stroke-width=\"1\"", ink.rimmed()),
    };
    let title = match tooltip {
        "" => String::new(),
        _ => format!("<title>{}</title>", escape_html(tooltip)),
    };
    format!("<g>{title}<path d=\"{path}\" {paint}/></g>")
}

fn words(text: &Text) -> String {
    let anchor = match text.anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let (x, y) = (number(text.at.0), number(text.at.1));
    let mut more = String::new();
    if text.bold {
        more.push_str(" font-weight=\"600\"");
    }
    if text.halo {
        more.push_str(
            " stroke=\"#ffffff\" stroke-width=\"3\" stroke-linejoin=\"round\" \
             paint-order=\"stroke\"",
        );
    }
    if text.turn != 0.0 {
        more.push_str(&format!(
            " transform=\"rotate({} {x} {y})\"",
            number(text.turn)
        ));
    }
    format!(
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" text-anchor=\"{anchor}\" {}{more}>{}</text>",
        number(text.size),
        text.ink.fill(),
        escape_html(&text.text)
    )
}
