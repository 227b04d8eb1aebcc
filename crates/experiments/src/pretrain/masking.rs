//! Which patches of a clip the encoder sees.

use ast_model::{Context, Extension, HookError, SPECIAL_TOKENS, init};
use rand::seq::index::sample;
use tch::{Device, TchError, Tensor};

/// Visible and hidden patches of every clip of a batch, drawn clip by clip.
#[derive(Debug)]
pub(super) struct Masks {
    /// Indices of the patches that the encoder sees, ascending, [B, K].
    pub visible: Tensor,
    /// Indices of all others, ascending, [B, P - K].
    pub hidden: Tensor,
}

impl Masks {
    /// Hides `share` of the patches of each clip, at least one, and leaves at
    /// least one. `name(clip)` names the draw of a clip: the same seed and name
    /// give the same patches.
    pub fn draw(
        seed: u64,
        clips: i64,
        patches: i64,
        share: f64,
        name: &dyn Fn(i64) -> String,
    ) -> Result<Self, TchError> {
        let hidden = ((share * patches as f64).round() as i64).clamp(1, patches - 1);
        let kept = (patches - hidden) as usize;
        let (mut visible, mut others) = (Vec::new(), Vec::new());
        for clip in 0..clips {
            let mut generator = init::generator(seed, &name(clip));
            let mut seen = vec![false; patches as usize];
            for index in sample(&mut generator, patches as usize, kept) {
                seen[index] = true;
            }
            for (index, seen) in seen.into_iter().enumerate() {
                let list = if seen { &mut visible } else { &mut others };
                list.push(index as i64);
            }
        }
        Ok(Masks {
            visible: Tensor::f_from_slice(&visible)?.f_reshape([clips, -1])?,
            hidden: Tensor::f_from_slice(&others)?.f_reshape([clips, -1])?,
        })
    }

    /// The same on another device.
    pub fn to(self, device: Device) -> Self {
        Masks {
            visible: self.visible.to_device(device),
            hidden: self.hidden.to_device(device),
        }
    }
}

/// Those of `values` [B, P, D] that `indices` [B, K] name: [B, K, D].
pub(super) fn pick(values: &Tensor, indices: &Tensor) -> Result<Tensor, TchError> {
    let width = values.size()[2];
    let indices = indices.f_unsqueeze(-1)?.f_expand([-1, -1, width], false)?;
    values.f_gather(1, &indices, false)
}

/// Lets the encoder see the visible patches only, with their positions.
pub(super) struct Visible<'a>(pub &'a Masks);

impl Extension for Visible<'_> {
    fn tokens(&self, _context: &Context, tokens: Tensor) -> Result<Tensor, HookError> {
        let patches = tokens.size()[1] - SPECIAL_TOKENS;
        let special = tokens.f_narrow(1, 0, SPECIAL_TOKENS)?;
        let all = tokens.f_narrow(1, SPECIAL_TOKENS, patches)?;
        Ok(Tensor::f_cat(&[special, pick(&all, &self.0.visible)?], 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draw(seed: u64, clips: i64, patches: i64, share: f64) -> Masks {
        Masks::draw(seed, clips, patches, share, &|clip| format!("clip {clip}")).unwrap()
    }

    fn rows(tensor: &Tensor) -> Vec<Vec<i64>> {
        Vec::<Vec<i64>>::try_from(tensor).unwrap()
    }

    proptest! {
        #[test]
        fn every_patch_is_either_visible_or_hidden(
            seed: u64, clips in 1i64..4, patches in 2i64..60, share in 0.0f64..1.0,
        ) {
            let masks = draw(seed, clips, patches, share);
            let hidden = rows(&masks.hidden);
            for (mut seen, hidden) in rows(&masks.visible).into_iter().zip(hidden) {
                prop_assert!(!seen.is_empty() && !hidden.is_empty());
                prop_assert!(seen.is_sorted() && hidden.is_sorted());
                seen.extend(hidden);
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..patches).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn clips_and_seeds_have_patches_of_their_own() {
        let masks = draw(3, 2, 40, 0.75);
        assert_eq!(masks.hidden.size(), [2, 30]);
        let [a, b] = [0, 1].map(|clip| rows(&masks.visible)[clip].clone());
        assert_ne!(a, b);
        assert_eq!(masks.visible, draw(3, 2, 40, 0.75).visible);
        assert_ne!(masks.visible, draw(4, 2, 40, 0.75).visible);
    }
}
