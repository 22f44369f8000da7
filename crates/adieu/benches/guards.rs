//! What it costs to be counted as in flight: entering and leaving, beside what people count with today.
//!
//! Run by `cargo xtask bench guards`, which makes a table of it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adieu::App;
use divan::{Bencher, black_box};
use hyper_util::server::graceful::GracefulShutdown;
use tokio_util::task::TaskTracker;

const THREADS: [usize; 2] = [1, 2];

/// So many in a row that two threads are really at it at the same time.
const SAMPLE: u32 = 200_000;

fn main() {
    divan::main();
}

#[divan::bench(threads = THREADS, sample_size = SAMPLE)]
fn adieu_token(bencher: Bencher<'_, '_>) {
    let app = App::new("bench");
    let requests = app.control().in_flight().counter("requests");
    bencher.bench(|| requests.token().map(drop));
}

#[divan::bench(threads = THREADS, sample_size = SAMPLE)]
fn adieu_named_guard(bencher: Bencher<'_, '_>) {
    let app = App::new("bench");
    let control = app.control();
    bencher.bench(|| control.in_flight().guard("a request").map(drop));
}

#[divan::bench(threads = THREADS, sample_size = SAMPLE)]
fn arc_clone_and_drop(bencher: Bencher<'_, '_>) {
    let all = Arc::new(());
    bencher.bench(|| drop(black_box(Arc::clone(&all))));
}

#[divan::bench(threads = THREADS, sample_size = SAMPLE)]
fn atomic_counter(bencher: Bencher<'_, '_>) {
    let count = AtomicUsize::new(0);
    bencher.bench(|| {
        count.fetch_add(1, Ordering::SeqCst);
        black_box(&count).fetch_sub(1, Ordering::SeqCst);
    });
}

#[divan::bench(threads = THREADS, sample_size = SAMPLE)]
fn thread_local_counter(bencher: Bencher<'_, '_>) {
    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }
    bencher.bench(|| {
        COUNT.with(|count| count.set(black_box(count.get() + 1)));
        COUNT.with(|count| count.set(black_box(count.get() - 1)));
    });
}

#[divan::bench(threads = THREADS, sample_size = SAMPLE)]
fn tokio_util_task_tracker_token(bencher: Bencher<'_, '_>) {
    let tracker = TaskTracker::new();
    bencher.bench(|| drop(black_box(tracker.token())));
}

#[divan::bench(threads = THREADS, sample_size = SAMPLE)]
fn hyper_util_watcher(bencher: Bencher<'_, '_>) {
    let graceful = GracefulShutdown::new();
    bencher.bench(|| drop(black_box(graceful.watcher())));
}
