//! The features of all clips: each clip's own frames, in memory or in a mapped
//! file, padded when they are read.

use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::error::DataError;

/// How features are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureFormat {
    /// 4 bytes a value, exactly what the front end gives. The default.
    #[default]
    F32,
    /// 2 bytes a value, rounded to the nearest half-precision number: values
    /// between -2 and 2 move by at most 2^-11, about 0.0005.
    F16,
}

impl FeatureFormat {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// Whether this is the default, for fields that are written only where
    /// they say something.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The bytes of `values`, little-endian.
    ///
    /// # Errors
    /// A value that half precision cannot hold.
    pub(super) fn encode(self, values: &[f32]) -> Result<Vec<u8>, String> {
        match self {
            Self::F32 => Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Self::F16 => {
                let mut rounded = vec![f16::ZERO; values.len()];
                rounded.convert_from_f32_slice(values);
                match rounded.iter().position(|x| !x.is_finite()) {
                    None => Ok(rounded.iter().flat_map(|x| x.to_le_bytes()).collect()),
                    Some(position) => Err(format!(
                        "has a feature of {:e}, which f16 cannot hold; store the features as f32",
                        values[position]
                    )),
                }
            }
        }
    }

    /// The values of `bytes`, as many as fit into `values`.
    fn decode(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Self::F32 => {
                for (value, four) in values.iter_mut().zip(bytes.chunks_exact(4)) {
                    *value = f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                }
            }
            Self::F16 => {
                let halves = bytes.chunks_exact(2);
                let halves: Vec<f16> = halves.map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
                halves.convert_to_f32_slice(values);
            }
        }
    }
}

/// What the features of every clip have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FeatureShape {
    /// Frames per clip once padded.
    pub(super) max_length: usize,
    /// Mel bins F.
    pub(super) bins: usize,
    /// Value of padded cells.
    pub(super) padding: f32,
    /// How values are stored.
    pub(super) format: FeatureFormat,
}

/// The features of a data set, to be read by any number of threads.
///
/// Stored are the frames a clip has, at most `max_length`; what is missing to
/// `max_length` is filled in when a clip is read, with the value that a frame
/// of zeros has after normalisation. In f32 that gives the same bits as
/// [`audio_frontend::Extractor::extract`].
#[derive(Debug)]
pub struct Features {
    shape: FeatureShape,
    bytes: Bytes,
    /// Byte at which the values begin.
    start: usize,
    /// Frames before each clip, and all of them at the end.
    before: Vec<usize>,
}

impl Features {
    /// Takes the frames of each clip and the bytes that hold their values from
    /// `start` on; `None` where there are too few bytes.
    pub(super) fn new(
        shape: FeatureShape,
        frames: &[u32],
        bytes: Bytes,
        start: usize,
    ) -> Option<Self> {
        let mut before = Vec::with_capacity(frames.len() + 1);
        let mut sum = 0usize;
        before.push(sum);
        for &count in frames {
            sum = sum.checked_add(count as usize)?;
            before.push(sum);
        }
        let size = sum.checked_mul(shape.bins)?;
        let size = size.checked_mul(shape.format.bytes())?;
        let fits = start.checked_add(size)? <= bytes.len();
        let short = frames
            .iter()
            .all(|&frames| frames as usize <= shape.max_length);
        (fits && short).then_some(Self {
            shape,
            bytes,
            start,
            before,
        })
    }

    /// Number of clips.
    pub fn clips(&self) -> usize {
        self.before.len() - 1
    }

    /// Frames per clip, padding included.
    pub fn max_length(&self) -> usize {
        self.shape.max_length
    }

    /// Mel bins F.
    pub fn bins(&self) -> usize {
        self.shape.bins
    }

    /// How the values are stored.
    pub fn format(&self) -> FeatureFormat {
        self.shape.format
    }

    /// Whether the values lie in a mapped file rather than in memory.
    pub fn is_mapped(&self) -> bool {
        self.bytes.is_mapped()
    }

    /// Frames of the clip `index` that are no padding, at most `max_length`.
    ///
    /// # Panics
    /// As a slice does, when there is no such clip.
    pub fn frames(&self, index: usize) -> usize {
        self.before[index + 1] - self.before[index]
    }

    /// Writes the features of the clip `index` to `values`, padded.
    ///
    /// # Shapes
    /// `values` is [max_length, F], row-major.
    ///
    /// # Panics
    /// As a slice does, when there is no such clip or `values` is shorter.
    pub fn read(&self, index: usize, values: &mut [f32]) {
        let FeatureShape { bins, padding, .. } = self.shape;
        let size = self.shape.max_length * bins;
        let (own, rest) = values[..size].split_at_mut(self.frames(index) * bins);
        let row = bins * self.shape.format.bytes();
        let start = self.start + self.before[index] * row;
        let end = self.start + self.before[index + 1] * row;
        let decode = |bytes: &[u8]| self.shape.format.decode(bytes, own);
        self.bytes.with(start..end, decode);
        rest.fill(padding);
    }

    /// The features of the clip `index`, padded.
    ///
    /// # Shapes
    /// [max_length, F], row-major.
    ///
    /// # Panics
    /// As a slice does, when there is no such clip.
    pub fn clip(&self, index: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.shape.max_length * self.shape.bins];
        self.read(index, &mut values);
        values
    }
}

/// Memory for features, refused instead of ending the program where it does
/// not suffice.
pub(super) fn reserve(
    bytes: &mut Vec<u8>,
    more: usize,
    clips: usize,
    shape: FeatureShape,
) -> Result<(), DataError> {
    bytes.try_reserve(more).map_err(|_| DataError::TooLarge {
        clips,
        max_length: shape.max_length,
        bins: shape.bins,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: FeatureShape = FeatureShape {
        max_length: 4,
        bins: 2,
        padding: 0.25,
        format: FeatureFormat::F32,
    };

    #[test]
    fn features_that_cannot_fit_are_refused_and_not_allocated() {
        let shape = FeatureShape {
            max_length: 1024,
            bins: 128,
            ..SHAPE
        };
        let mut bytes = Vec::new();
        for more in [usize::MAX / 8, isize::MAX as usize + 1] {
            let error = reserve(&mut bytes, more, 7, shape).expect_err("too large");
            let text = error.to_string();
            assert!(
                text.contains("max_length") && text.contains("128 bins"),
                "{text}"
            );
        }
        assert_eq!(bytes.capacity(), 0);
    }

    #[test]
    fn own_frames_come_back_and_the_rest_is_padding() {
        let values: Vec<f32> = (0..10).map(|value| value as f32 / 3.0).collect();
        let mut bytes = vec![9; 3];
        bytes.extend(SHAPE.format.encode(&values).expect("bytes"));
        let features = Features::new(SHAPE, &[1, 4, 0], Bytes::Memory(bytes), 3).expect("fits");
        assert_eq!(features.clips(), 3);
        assert_eq!(
            features.clip(0),
            [&values[..2], &[0.25; 6][..]].concat(),
            "one frame, three of padding"
        );
        assert_eq!(features.clip(1), values[2..]);
        assert_eq!(features.clip(2), [0.25; 8]);
    }

    #[test]
    fn too_few_bytes_and_clips_that_are_too_long_are_refused() {
        let bytes = |length| Bytes::Memory(vec![0; length]);
        assert!(Features::new(SHAPE, &[2, 1], bytes(24), 0).is_some());
        assert!(Features::new(SHAPE, &[2, 1], bytes(23), 0).is_none());
        assert!(Features::new(SHAPE, &[2, 1], bytes(24), 1).is_none());
        assert!(Features::new(SHAPE, &[5], bytes(100), 0).is_none());
    }

    #[test]
    fn what_half_precision_cannot_hold_is_refused() {
        let error = FeatureFormat::F16.encode(&[1.0, 1e6]).expect_err("large");
        assert!(error.contains("1e6") && error.contains("as f32"), "{error}");
    }

    proptest! {
        #[test]
        fn f32_keeps_every_bit_and_f16_moves_values_by_at_most_a_rounding(
            values in prop::collection::vec(-2.0f32..2.0, 0..70),
        ) {
            let mut read = vec![0.0; values.len()];
            let bytes = FeatureFormat::F32.encode(&values).expect("bytes");
            FeatureFormat::F32.decode(&bytes, &mut read);
            prop_assert_eq!(&read, &values);
            let bytes = FeatureFormat::F16.encode(&values).expect("bytes");
            prop_assert_eq!(bytes.len(), 2 * values.len());
            FeatureFormat::F16.decode(&bytes, &mut read);
            for (x, y) in read.iter().zip(&values) {
                prop_assert!((x - y).abs() <= 1.0 / 2048.0, "{} and {}", x, y);
            }
        }
    }
}
