//! Losses that are still being computed.

use std::collections::VecDeque;

use tch::{Device, Kind, TchError, Tensor};

/// What a step has computed and nobody has looked at.
struct Step {
    /// Mean loss of the batch, and the norm of its gradient where it was clipped:
    /// scalars in f64.
    figures: Vec<Tensor>,
    clips: usize,
}

/// Losses of the last steps. Reading a number from a GPU waits until everything
/// before it is computed; one step later it is there without waiting, while the
/// next is already in the queue.
pub(super) struct Unread {
    steps: VecDeque<Step>,
    /// Steps that may stay unread.
    behind: usize,
}

/// A step that was looked at.
pub(super) struct Read {
    /// Mean loss of the batch.
    pub loss: f64,
    /// Clips of the batch.
    pub clips: usize,
    /// The first figure that is no number, if there is one.
    pub broken: Option<f64>,
}

impl Unread {
    pub fn on(device: Device) -> Self {
        Unread {
            steps: VecDeque::new(),
            behind: usize::from(device.is_cuda()),
        }
    }

    /// Puts the figures of a step in line.
    pub fn push(&mut self, loss: Tensor, norm: Option<Tensor>, clips: usize) {
        let figures = std::iter::once(loss).chain(norm).collect();
        self.steps.push_back(Step { figures, clips });
    }

    /// The oldest step that has to be read now; with `all` every one has.
    pub fn next(&mut self, all: bool) -> Result<Option<Read>, TchError> {
        if self.steps.len() <= if all { 0 } else { self.behind } {
            return Ok(None);
        }
        let Some(Step { figures, clips }) = self.steps.pop_front() else {
            return Ok(None);
        };
        let mut values = Vec::with_capacity(figures.len());
        for figure in &figures {
            values.push(figure.f_to_kind(Kind::Double)?.f_double_value(&[])?);
        }
        Ok(Some(Read {
            loss: values.first().copied().unwrap_or(0.0),
            clips,
            broken: values.into_iter().find(|value| !value.is_finite()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(unread: &mut Unread, loss: f64, norm: Option<f64>) {
        unread.push(Tensor::from(loss), norm.map(Tensor::from), 4);
    }

    #[test]
    fn on_a_cpu_every_step_is_read_at_once() {
        let mut unread = Unread::on(Device::Cpu);
        step(&mut unread, 1.5, None);
        let read = unread.next(false).unwrap().unwrap();
        assert_eq!((read.loss, read.clips, read.broken), (1.5, 4, None));
        assert!(unread.next(true).unwrap().is_none());
    }

    #[test]
    fn one_step_may_stay_unread_until_all_are_asked_for() {
        let mut unread = Unread::on(Device::Cpu);
        unread.behind = 1;
        step(&mut unread, 1.0, None);
        assert!(unread.next(false).unwrap().is_none());
        step(&mut unread, 2.0, Some(f64::INFINITY));
        assert_eq!(unread.next(false).unwrap().unwrap().loss, 1.0);
        assert!(unread.next(false).unwrap().is_none());
        let last = unread.next(true).unwrap().unwrap();
        assert_eq!((last.loss, last.broken), (2.0, Some(f64::INFINITY)));
    }
}
