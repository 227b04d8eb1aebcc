//! What each kind of tensor does to the weights.

use std::collections::BTreeMap;

use ast_model::Checkpoint;
use tch::{Kind, Tensor};

use crate::AdapterError;

/// Backbone weights that are being changed by a method's tensors.
pub(super) struct Weights<'a> {
    backbone: &'a Checkpoint,
    own: BTreeMap<&'a str, &'a Tensor>,
    /// New values by canonical name.
    pub changed: BTreeMap<String, Tensor>,
}

impl<'a> Weights<'a> {
    /// Starts with the backbone's tensors that were trained themselves.
    pub fn new(backbone: &'a Checkpoint, trained: &'a [(String, Tensor)]) -> Self {
        let mut weights = Weights {
            backbone,
            own: BTreeMap::new(),
            changed: BTreeMap::new(),
        };
        for (name, tensor) in trained {
            if backbone.tensors().contains_key(name) {
                let value = tensor.detach().to_device(tch::Device::Cpu).copy();
                weights.changed.insert(name.clone(), value);
            } else {
                weights.own.insert(name, tensor);
            }
        }
        weights
    }

    /// One of the method's tensors in f64, if there is one of that name.
    fn own(&self, name: &str) -> Result<Option<Tensor>, AdapterError> {
        let found = self.own.get(name).map(|tensor| tensor.detach());
        let wide = found.map(|tensor| {
            let tensor = tensor.f_to_device(tch::Device::Cpu)?;
            tensor.f_to_kind(Kind::Double)
        });
        Ok(wide.transpose()?)
    }

    /// A weight as it is so far, in f64.
    fn weight(&self, name: &str) -> Result<Tensor, AdapterError> {
        let stored = self.changed.get(name);
        let stored = stored.or_else(|| self.backbone.tensors().get(name));
        let Some(stored) = stored else {
            return Err(ast_model::AstError::MissingTensor {
                name: name.to_owned(),
                blocks: self.backbone.config.num_hidden_layers,
            }
            .into());
        };
        Ok(stored.f_to_kind(Kind::Double)?)
    }

    fn set(&mut self, name: String, value: &Tensor) -> Result<(), AdapterError> {
        self.changed.insert(name, value.f_to_kind(Kind::Float)?);
        Ok(())
    }

    /// Stems of the method's tensors whose names end in `ending`.
    fn stems(&self, ending: &str) -> Vec<String> {
        let names = self.own.keys().filter_map(|name| name.strip_suffix(ending));
        names.map(str::to_owned).collect()
    }

    /// W ← W + s U D; with magnitudes W ← m ∘ (W + s U D) / ‖W + s U D‖, one
    /// norm a row.
    pub fn fold_lora(&mut self, scale: f64) -> Result<(), AdapterError> {
        for module in self.stems(".lora_up") {
            let name = format!("{module}.weight");
            let factors = [
                self.own(&format!("{module}.lora_up"))?,
                self.own(&format!("{module}.lora_down"))?,
            ];
            let [Some(up), Some(down)] = factors else {
                continue;
            };
            let mut sum = self.weight(&name)? + up.f_matmul(&down)? * scale;
            if let Some(magnitude) = self.own(&format!("{module}.dora_magnitude"))? {
                let over_inputs: &[i64] = &[1];
                let norms = sum.f_norm_scalaropt_dim(2.0, over_inputs, true)?;
                // As the method itself: a row of zeros stays one.
                let norms = norms.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
                sum = sum * magnitude.unsqueeze(1) / norms;
            }
            self.set(name, &sum)?;
        }
        Ok(())
    }

    /// For y = γ ∘ (W x + b) + β: W ← γ ∘ W row by row, b ← γ ∘ b + β. A
    /// LayerNorm's factor and summand follow the same rule.
    pub fn fold_ssf(&mut self) -> Result<(), AdapterError> {
        for module in self.stems(".ssf_scale") {
            let factors = [
                self.own(&format!("{module}.ssf_scale"))?,
                self.own(&format!("{module}.ssf_shift"))?,
            ];
            let [Some(scale), Some(shift)] = factors else {
                continue;
            };
            let (weight, bias) = (format!("{module}.weight"), format!("{module}.bias"));
            let old = self.weight(&weight)?;
            let mut rows = vec![1; old.dim()];
            if let Some(first) = rows.first_mut() {
                *first = -1;
            }
            let scaled = old * scale.f_view(rows.as_slice())?;
            let moved = self.weight(&bias)? * &scale + &shift;
            self.set(weight, &scaled)?;
            self.set(bias, &moved)?;
        }
        Ok(())
    }
}
