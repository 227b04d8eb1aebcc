//! The frames that windows are cut from.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Slice};

/// A queue of rows in one array of fixed size.
pub(super) struct Rows {
    rows: Array2<f32>,
    first: usize,
    len: usize,
}

impl Rows {
    /// Room for at most `most` rows of `bins` columns at a time.
    pub(super) fn new(most: usize, bins: usize) -> Self {
        // Twice the room: rows move to the front only when as many have been
        // dropped, so each is moved once on average.
        Self {
            rows: Array2::zeros((2 * most, bins)),
            first: 0,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The first `count` rows.
    pub(super) fn front(&self, count: usize) -> ArrayView2<'_, f32> {
        let range = self.first..self.first + count.min(self.len);
        self.rows.slice_axis(Axis(0), Slice::from(range))
    }

    /// Appends `count` rows and gives them to be filled.
    pub(super) fn append(&mut self, count: usize) -> ArrayViewMut2<'_, f32> {
        if self.first + self.len + count > self.rows.nrows() {
            self.move_to_front();
        }
        let start = self.first + self.len;
        self.len += count;
        self.rows
            .slice_axis_mut(Axis(0), Slice::from(start..start + count))
    }

    /// Drops the first `count` rows, or all if there are fewer; how many.
    pub(super) fn drop_front(&mut self, count: usize) -> usize {
        let dropped = count.min(self.len);
        self.first += dropped;
        self.len -= dropped;
        dropped
    }

    pub(super) fn clear(&mut self) {
        self.first = 0;
        self.len = 0;
    }

    /// No more than half the array is in use, and it lies past the middle when
    /// room is short, so source and target do not overlap.
    fn move_to_front(&mut self) {
        let (mut front, back) = self.rows.view_mut().split_at(Axis(0), self.first);
        front
            .slice_axis_mut(Axis(0), Slice::from(..self.len))
            .assign(&back.slice_axis(Axis(0), Slice::from(..self.len)));
        self.first = 0;
    }
}
