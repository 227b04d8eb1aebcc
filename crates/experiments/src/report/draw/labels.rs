//! Placing the labels of points so that they do not cover each other.

/// A rectangle in pixels, y downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Box2 {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl Box2 {
    /// A rectangle from its edges.
    pub fn new(left: f64, top: f64, right: f64, bottom: f64) -> Self {
        Self {
            left,
            top,
            right,
            bottom,
        }
    }

    /// A rectangle of half size `dx`, `dy` around a point.
    pub fn around((x, y): (f64, f64), dx: f64, dy: f64) -> Self {
        Self::new(x - dx, y - dy, x + dx, y + dy)
    }

    /// The same with a margin all around.
    pub fn grown(&self, by: f64) -> Self {
        Self::new(
            self.left - by,
            self.top - by,
            self.right + by,
            self.bottom + by,
        )
    }

    /// Area shared with `other`.
    pub fn overlap(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    fn area(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    fn nearest(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (
            x.clamp(self.left, self.right),
            y.clamp(self.top, self.bottom),
        )
    }

    fn distance(&self, point: (f64, f64)) -> f64 {
        let near = self.nearest(point);
        (near.0 - point.0).hypot(near.1 - point.1)
    }

    /// Where a line from `point` to the label should end; `None` when the label
    /// is so near that no line is needed.
    pub fn leader(&self, point: (f64, f64)) -> Option<(f64, f64)> {
        (self.distance(point) > 13.0).then(|| self.nearest(point))
    }
}

/// A box for each label of size `sizes[i]` near `points[i]`, inside `area`,
/// away from each other and from `obstacles`, each with the cost of covering a
/// square pixel of it, as far as there is room.
pub fn place(
    points: &[(f64, f64)],
    sizes: &[(f64, f64)],
    obstacles: &[(Box2, f64)],
    area: Box2,
) -> Vec<Box2> {
    let mut boxes: Vec<Option<Box2>> = vec![None; points.len()];
    // Labels placed early do not know of the later ones: go round again.
    for _ in 0..4 {
        for i in 0..points.len() {
            let others: Vec<Box2> = boxes
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .filter_map(|(_, b)| *b)
                .collect();
            let cost = |b: &Box2| cost(b, points[i], &others, obstacles, &area);
            boxes[i] = candidates(points[i], sizes[i])
                .into_iter()
                .min_by(|a, b| cost(a).total_cmp(&cost(b)));
        }
    }
    boxes.into_iter().flatten().collect()
}

fn cost(
    label: &Box2,
    point: (f64, f64),
    others: &[Box2],
    obstacles: &[(Box2, f64)],
    area: &Box2,
) -> f64 {
    let outside = label.area() - label.overlap(area);
    let on_labels: f64 = others.iter().map(|other| label.overlap(other)).sum();
    let covered = |(mark, price): &(Box2, f64)| price * label.overlap(mark);
    let on_marks: f64 = obstacles.iter().map(covered).sum();
    20.0 * outside + 8.0 * on_labels + on_marks + label.distance(point)
}

fn candidates((x, y): (f64, f64), (width, height): (f64, f64)) -> Vec<Box2> {
    let mut boxes = Vec::new();
    for gap in [8.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0] {
        let (dx, dy) = (gap + width / 2.0, gap + height / 2.0);
        for (across, down) in [
            (1.0, 0.0),
            (-1.0, 0.0),
            (0.0, -1.0),
            (0.0, 1.0),
            (1.0, -1.0),
            (1.0, 1.0),
            (-1.0, -1.0),
            (-1.0, 1.0),
            (0.5, -1.0),
            (0.5, 1.0),
            (-0.5, -1.0),
            (-0.5, 1.0),
            (1.0, -0.5),
            (1.0, 0.5),
            (-1.0, -0.5),
            (-1.0, 0.5),
        ] {
            let centre = (x + across * dx, y + down * dy);
            boxes.push(Box2::around(centre, width / 2.0, height / 2.0));
        }
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_cluster_do_not_overlap_and_stay_inside() {
        let points: Vec<(f64, f64)> = (0..6)
            .map(|i| (300.0 + 9.0 * f64::from(i % 3), 200.0 + 7.0 * f64::from(i)))
            .collect();
        let sizes = vec![(90.0, 15.0); points.len()];
        let mark = |p: &(f64, f64)| (Box2::around(*p, 6.0, 6.0), 3.0);
        let marks: Vec<_> = points.iter().map(mark).collect();
        let area = Box2::new(60.0, 40.0, 620.0, 400.0);
        let boxes = place(&points, &sizes, &marks, area);
        for (i, a) in boxes.iter().enumerate() {
            assert!((a.overlap(&area) - a.area()).abs() < 1e-6);
            for b in &boxes[i + 1..] {
                assert!(a.overlap(b) < 1.0, "{a:?} covers {b:?}");
            }
        }
    }

    #[test]
    fn a_label_beside_its_point_needs_no_line() {
        let boxes = place(
            &[(100.0, 100.0)],
            &[(50.0, 15.0)],
            &[],
            Box2::new(0.0, 0.0, 400.0, 400.0),
        );
        assert_eq!(boxes[0].leader((100.0, 100.0)), None);
        assert!(boxes[0].left > 100.0);
    }
}
