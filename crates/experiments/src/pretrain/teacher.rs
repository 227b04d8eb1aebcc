//! A frozen backbone that a smaller one learns from.

use ast_model::{AstError, AstModel, BindOptions, Checkpoint, Positions, init};
use tch::{Device, Kind, TchError, Tensor, no_grad};

/// Tokens of the teacher are compared after a LayerNorm without factor and
/// summand, so that no channel outweighs the others.
const EPSILON: f64 = 1e-6;

/// The teacher and the trained linear map [D → D'] from the student's tokens to
/// its width.
pub(super) struct Teacher {
    model: AstModel,
    trained: Vec<(String, Tensor)>,
}

impl Teacher {
    /// A teacher for inputs and patches of the student's.
    pub fn new(
        checkpoint: &Checkpoint,
        student: &ast_model::AstConfig,
        positions: Positions,
        seed: u64,
        device: Device,
    ) -> Result<Self, AstError> {
        let strides = [student.frequency_stride, student.time_stride];
        let fitted = checkpoint.with_grid(student.max_length, strides, positions)?;
        let options = BindOptions {
            device,
            ..BindOptions::frozen()
        };
        let model = AstModel::bind(&fitted, &options)?;
        let width = fitted.config.hidden_size;
        let leaf = |name: &str, shape: &[i64], sigma: f64| -> Result<(String, Tensor), TchError> {
            let value = init::normal(seed, name, shape, sigma).to_device(device);
            Ok((name.to_owned(), value.f_set_requires_grad(true)?))
        };
        let sigma = 1.0 / (student.hidden_size as f64).sqrt();
        let trained = vec![
            leaf("distil.weight", &[width, student.hidden_size], sigma)?,
            leaf("distil.bias", &[width], 0.0)?,
        ];
        Ok(Teacher { model, trained })
    }

    pub fn trained(&self) -> &[(String, Tensor)] {
        &self.trained
    }

    /// Mean squared difference of all tokens.
    ///
    /// # Shapes
    /// `features` [B, T, F], `tokens` [B, L, D]
    pub fn loss(&self, features: &Tensor, tokens: &Tensor) -> Result<Tensor, AstError> {
        let wanted = no_grad(|| self.model.forward_plain(features))?;
        let width = wanted.size()[2];
        let none = None::<&Tensor>;
        let wanted = wanted.f_layer_norm([width], none, none, EPSILON, false)?;
        let told = tokens.f_linear(&self.trained[0].1, Some(&self.trained[1].1))?;
        Ok(told.f_sub(&wanted)?.f_square()?.f_mean(Kind::Float)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ast_model::AstConfig;

    #[test]
    fn a_student_that_says_what_the_teacher_says_has_no_loss() {
        let shape = AstConfig {
            num_hidden_layers: 1,
            max_length: 32,
            ..AstConfig::tiny()
        };
        let checkpoint = Checkpoint::random(&shape, 1).unwrap();
        let teacher = Teacher::new(&checkpoint, &shape, Positions::Crop, 1, Device::Cpu).unwrap();
        no_grad(|| {
            let eye = Tensor::eye(192, (Kind::Float, Device::Cpu));
            teacher.trained[0].1.shallow_clone().copy_(&eye);
        });
        let features = init::normal(2, "features", &[2, 32, 128], 1.0);
        let tokens = teacher.model.forward_plain(&features).unwrap();
        let none = None::<&Tensor>;
        let normed = tokens.layer_norm([192], none, none, EPSILON, false);
        let loss = teacher.loss(&features, &normed).unwrap();
        assert!(loss.double_value(&[]) < 1e-12);
        let other = teacher.loss(&features, &(normed + 1.0)).unwrap();
        assert!((other.double_value(&[]) - 1.0).abs() < 1e-5);
    }
}
