//! Work done ahead by other threads, handed over in order.
//!
//! Item i is made by worker i mod W and travels through that worker's own
//! bounded queue, so that the order, and with it every bit, is the same for any
//! number of workers, and no more than the queues hold is made ahead.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

/// A worker that panicked.
#[derive(Debug, Error)]
#[error(
    "the preparation of item {item} panicked; please report this with the message printed above"
)]
pub struct WorkerPanicked {
    /// Which item it was to make.
    pub item: usize,
}

/// Items in order, each waited for where it is not ready.
pub struct Ahead<'a, T> {
    first: usize,
    next: Range<usize>,
    source: Source<'a, T>,
    waited: Duration,
}

enum Source<'a, T> {
    Here(&'a (dyn Fn(usize) -> T + Sync)),
    Workers(Vec<Receiver<Option<T>>>),
}

/// Calls `consume` with the items `make(i)` for i in `items`, made by `workers`
/// threads that are at most `queue` items ahead in all (at least one each);
/// with 0 workers each item is made when it is asked for. `make` must be a
/// function of i alone. When `consume` returns, whatever it left is dropped and
/// all threads end after the item they are making.
pub fn ahead<T: Send, R>(
    items: Range<usize>,
    workers: usize,
    queue: usize,
    make: &(dyn Fn(usize) -> T + Sync),
    consume: impl FnOnce(&mut Ahead<T>) -> R,
) -> R {
    let workers = workers.min(items.len());
    if workers == 0 {
        return consume(&mut Ahead {
            first: items.start,
            next: items,
            source: Source::Here(make),
            waited: Duration::ZERO,
        });
    }
    thread::scope(|scope| {
        let mut receivers = Vec::with_capacity(workers);
        for worker in 0..workers {
            let (sender, receiver) = sync_channel(queue.div_ceil(workers).max(1));
            receivers.push(receiver);
            let own = items.clone().skip(worker).step_by(workers);
            scope.spawn(move || {
                for item in own {
                    // A panic must reach the consumer as an error, not hang it.
                    let made = catch_unwind(AssertUnwindSafe(|| make(item))).ok();
                    let panicked = made.is_none();
                    if sender.send(made).is_err() || panicked {
                        return; // nobody waits any more
                    }
                }
            });
        }
        // The queues are dropped with this value, before the scope waits for
        // the threads: one that waits for room then ends.
        let mut ahead = Ahead {
            first: items.start,
            next: items,
            source: Source::Workers(receivers),
            waited: Duration::ZERO,
        };
        consume(&mut ahead)
    })
}

impl<T> Ahead<'_, T> {
    /// The next item; nothing after the last.
    ///
    /// # Errors
    /// When the worker that was to make it panicked.
    pub fn wait(&mut self) -> Result<Option<T>, WorkerPanicked> {
        let Some(item) = self.next.next() else {
            return Ok(None);
        };
        let start = Instant::now();
        let made = match &self.source {
            Source::Here(make) => Some(make(item)),
            Source::Workers(receivers) => {
                let turn = (item - self.first) % receivers.len();
                receivers[turn].recv().ok().flatten()
            }
        };
        self.waited += start.elapsed();
        made.map(Some).ok_or(WorkerPanicked { item })
    }

    /// How long [`wait`](Self::wait) has taken in all: the time that the
    /// consumer waited for items, or made them itself.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

#[cfg(test)]
mod tests;
