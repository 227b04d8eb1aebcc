//! A run as it goes on: bars on a terminal, plain lines elsewhere.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};

use experiments::finetune::Watcher;
use experiments::signals;
use experiments::training::{Control, EpochMetrics, Event, Progress};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::output::say;

/// What the user sees of a run.
pub struct Live {
    terminal: bool,
    epochs: usize,
    /// Training clips of an epoch.
    clips: usize,
    now: Mutex<Now>,
}

struct Now {
    /// The bar in use.
    bar: ProgressBar,
    /// Accuracy of the last validation.
    accuracy: Option<f64>,
    /// Quarters of the features that were told, without a terminal.
    quarters: usize,
    /// Whether the wish to stop was confirmed.
    stopping: bool,
}

impl Live {
    /// For a run of so many epochs of so many clips.
    pub fn new(epochs: usize, clips: usize) -> Self {
        Live {
            terminal: io::stderr().is_terminal(),
            epochs,
            clips,
            now: Mutex::new(Now {
                bar: ProgressBar::hidden(),
                accuracy: None,
                quarters: 0,
                stopping: false,
            }),
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.now().bar.finish_and_clear();
    }

    /// Another thread that panicked leaves it whole.
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the bar of that name, made anew unless it is the one in use.
    fn show(&self, what: &str, done: usize, total: usize, message: String) {
        if !self.terminal {
            return;
        }
        let mut now = self.now();
        if now.bar.prefix() != what {
            now.bar.finish_and_clear();
            let fresh = ProgressBar::new(total as u64).with_position(done as u64);
            now.bar = fresh.with_prefix(what.to_owned()).with_style(style());
            // The bar takes note of where it starts, and then forgets how fast
            // it came there: after a resume that was not in this moment.
            now.bar.tick();
            now.bar.reset_eta();
        }
        now.bar.set_message(message);
        now.bar.set_position(done as u64);
    }

    fn step(&self, progress: &Progress) {
        let Progress {
            epoch,
            clips,
            total,
            loss,
        } = progress;
        let accuracy = self.now().accuracy.map_or(String::new(), |accuracy| {
            format!(" accuracy {:.1} %", 100.0 * accuracy)
        });
        // Until the first batch of the validation is done.
        let phase = match clips % self.clips.max(1) {
            0 => " validating",
            _ => "",
        };
        let message = format!(
            "epoch {}/{} loss {loss:.3}{accuracy}{phase}",
            epoch + 1,
            self.epochs
        );
        self.show("training", *clips, *total, message);
    }

    fn epoch(&self, last: &EpochMetrics) {
        self.now().accuracy = Some(last.validation_accuracy);
        let precision = last
            .validation_mean_average_precision
            .map_or(String::new(), |mean| format!("  mAP {mean:.3}"));
        self.note(&format!(
            "epoch {}/{}  loss {:.4}  validation loss {:.4}  accuracy {:.1} %{precision}  {:.0} clips/s",
            last.epoch + 1,
            self.epochs,
            last.train_loss,
            last.validation_loss,
            100.0 * last.validation_accuracy,
            last.clips_per_second
        ));
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix} {wide_bar} {msg} {rate} left {eta}";
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
        let _ = write!(text, "{:.0} clips/s", state.per_sec());
    })
}

impl Watcher for Live {
    fn note(&self, text: &str) {
        self.now().bar.suspend(|| say(text));
    }

    fn features(&self, done: usize, total: usize) {
        self.show("features", done, total, String::new());
        if self.terminal || total == 0 {
            return;
        }
        let quarters = 4 * done / total;
        let mut now = self.now();
        if quarters > now.quarters {
            now.quarters = quarters;
            say(format_args!(
                "features {} % of {total} clips",
                25 * quarters
            ));
        }
    }

    fn testing(&self, done: usize, total: usize) {
        self.show("testing", done, total, String::new());
    }

    fn stops(&self) -> bool {
        let stops = signals::requested().is_some();
        if stops {
            let mut now = self.now();
            if !now.stopping {
                now.stopping = true;
                now.bar
                    .suspend(|| say("stopping; Ctrl-C once more to stop at once"));
            }
        }
        stops
    }

    fn training(&self, event: &Event) -> Control {
        match event {
            Event::Step(progress) => self.step(progress),
            Event::Epoch(epochs) => {
                if let Some(last) = epochs.last() {
                    self.epoch(last);
                }
            }
            Event::Resumed {
                epochs,
                steps,
                other_threads,
                skipped,
            } => {
                let (done, steps) = (epochs.len(), *steps);
                self.now().accuracy = epochs.last().map(|last| last.validation_accuracy);
                self.note(&format!("going on after {done} epochs and {steps} steps"));
                if *other_threads {
                    self.note(
                        "the number of threads differs from before: sums may round differently",
                    );
                }
                for skipped in skipped.iter() {
                    self.note(skipped);
                }
            }
            Event::Validation { done, total } => {
                let message = format!("validating, {done} of {total} clips");
                self.now().bar.set_message(message);
            }
            Event::Frozen { done, total } => {
                self.show("frozen part", *done, *total, String::new());
            }
            _ => {}
        }
        if self.stops() {
            return Control::Stop;
        }
        Control::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run on a terminal that shows nothing.
    fn live() -> Live {
        Live {
            terminal: true,
            ..Live::new(3, 10)
        }
    }

    fn step(epoch: usize, clips: usize) -> Progress {
        Progress {
            epoch,
            clips,
            total: 30,
            loss: 0.5,
        }
    }

    #[test]
    fn the_bar_tells_loss_and_accuracy_and_when_it_validates() {
        let live = live();
        live.step(&step(0, 5));
        assert_eq!(live.now().bar.message(), "epoch 1/3 loss 0.500");
        live.step(&step(0, 10));
        assert!(live.now().bar.message().ends_with(" validating"));
        live.now().accuracy = Some(0.875);
        live.step(&step(1, 15));
        let bar = live.now().bar.clone();
        assert_eq!(bar.message(), "epoch 2/3 loss 0.500 accuracy 87.5 %");
        assert_eq!((bar.position(), bar.length()), (15, Some(30)));
        live.testing(1, 4);
        assert_eq!(live.now().bar.prefix(), "testing");
    }

    #[test]
    fn a_bar_that_starts_after_a_resume_does_not_count_what_was_there() {
        let live = live();
        live.step(&step(2, 25));
        let bar = live.now().bar.clone();
        assert_eq!(bar.position(), 25);
        // Of 25 clips in the first instant the rate would be in the thousands.
        assert!(bar.per_sec() < 1.0, "{}", bar.per_sec());
    }
}
