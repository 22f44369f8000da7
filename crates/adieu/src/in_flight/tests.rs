//! Work in flight under threads that begin, hand over and end it at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::InFlight;

/// Work hands over to work that belongs to it, again and again and from thread to thread; whoever looks meanwhile must
/// never believe that nothing is in flight.
#[test]
fn a_relay_of_nested_work_is_never_overlooked() {
    let in_flight = InFlight::new();
    let counter = in_flight.counter("relay");
    let first = in_flight.guard("the first").expect("open");
    in_flight.close();
    let over = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(AtomicUsize::new(0));
    let looker = {
        let (in_flight, over, looks) = (in_flight.clone(), over.clone(), looks.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let empty = in_flight.is_empty();
                // Over is said before the last piece of work ends.
                assert!(!empty || over.load(Ordering::SeqCst), "work in flight was overlooked");
                looks.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let mut baton = counter.nested_token();
    drop(first);
    while looks.load(Ordering::SeqCst) < 2_000 {
        // A thread of its own counts in a part of its own.
        let next = std::thread::spawn(move || counter.nested_token()).join().expect("it counts");
        drop(std::mem::replace(&mut baton, next));
        assert!(!looker.is_finished(), "the looker has fallen");
    }
    over.store(true, Ordering::SeqCst);
    drop(baton);
    looker.join().expect("nothing was overlooked");
    assert!(in_flight.is_empty());
}

/// Work begins on more threads than have parts of their own while the gate closes: all of it is either refused or
/// waited for.
#[test]
fn whoever_comes_as_the_gate_closes_is_refused_or_waited_for() {
    const THREADS: usize = 20;
    for round in 0..40 {
        let in_flight = InFlight::new();
        let counter = in_flight.counter("work");
        let drained = Arc::new(AtomicBool::new(false));
        let begun = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (drained, begun) = (drained.clone(), begun.clone());
                std::thread::spawn(move || {
                    while let Ok(entered) = counter.token() {
                        let _begun = begun.fetch_add(1, Ordering::Relaxed);
                        std::hint::spin_loop();
                        assert!(!drained.load(Ordering::SeqCst), "work was overlooked");
                        drop(entered);
                    }
                })
            })
            .collect();
        while begun.load(Ordering::Relaxed) < THREADS * (round % 5 + 1) {
            std::thread::yield_now();
        }
        in_flight.close();
        let waiting = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        waiting.block_on(in_flight.drained());
        drained.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.join().expect("nothing was overlooked");
        }
        assert_eq!(counter.begun(), counter.ended());
    }
}

#[test]
fn parts_go_from_thread_to_thread_and_count_on() {
    let in_flight = InFlight::new();
    let counter = in_flight.counter("short lives");
    let kept: Vec<_> = (0..200)
        .map(|_| {
            let enter = move || (counter.token().expect("open"), drop(counter.token().expect("open")));
            std::thread::spawn(enter).join().expect("it counts").0
        })
        .collect();
    assert_eq!((in_flight.count(), counter.begun()), (200, 400));
    drop(kept);
    assert_eq!((in_flight.count(), counter.ended()), (0, 400));
}
