use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

fn collect(items: Range<usize>, workers: usize, queue: usize) -> Vec<usize> {
    let make = |item: usize| {
        // Later items are often ready first.
        thread::sleep(Duration::from_micros((item * 7919 % 13) as u64 * 20));
        item * item
    };
    ahead(items, workers, queue, &make, |ahead| {
        std::iter::from_fn(|| ahead.wait().unwrap()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_does_not_depend_on_workers_and_queue(
        start in 0usize..50, count in 0usize..40, workers in 0usize..6, queue in 0usize..9,
    ) {
        let items = start..start + count;
        let expected: Vec<usize> = items.clone().map(|item| item * item).collect();
        prop_assert_eq!(collect(items, workers, queue), expected);
    }
}

#[test]
fn no_more_is_made_ahead_than_the_queues_hold() {
    let made = AtomicUsize::new(0);
    let make = |_| made.fetch_add(1, Ordering::SeqCst);
    ahead(0..1000, 2, 6, &make, |ahead| {
        ahead.wait().unwrap();
        thread::sleep(Duration::from_millis(30));
    });
    // One taken, three in each queue, one more in the hands of each worker.
    let made = made.load(Ordering::SeqCst);
    assert!((7..=9).contains(&made), "{made} were made");
}

#[test]
fn threads_end_when_the_consumer_stops_early() {
    struct Alive<'a>(&'a AtomicUsize);
    impl Drop for Alive<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let alive = AtomicUsize::new(0);
    let make = |_| {
        alive.fetch_add(1, Ordering::SeqCst);
        Alive(&alive)
    };
    // `ahead` returns only once all its threads have ended.
    ahead(0..1000, 4, 8, &make, |ahead| drop(ahead.wait().unwrap()));
    assert_eq!(alive.load(Ordering::SeqCst), 0, "items or threads are left");
}

#[test]
fn a_panic_of_a_worker_is_an_error_at_its_item() {
    let make = |item: usize| {
        assert!(item != 5, "made to panic by the test");
        item
    };
    let error = ahead(0..20, 3, 3, &make, |ahead| {
        loop {
            if let Err(error) = ahead.wait() {
                return error;
            }
        }
    });
    assert_eq!(error.item, 5);
}

#[test]
fn waiting_is_measured() {
    let slow = |_| thread::sleep(Duration::from_millis(20));
    let waited = ahead(0..2, 0, 1, &slow, |ahead| {
        while ahead.wait().unwrap().is_some() {}
        ahead.waited()
    });
    assert!(waited >= Duration::from_millis(40), "{waited:?}");
}
