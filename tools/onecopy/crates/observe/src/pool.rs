// SPDX-License-Identifier: GPL-2.0

//! Work on many things at once, of which some may never end.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// How many things are worked on at once: nearly all of the time is spent waiting for others.
pub(crate) const WORKERS: usize = 64;

/// Works on all jobs, and returns the results in their order: nothing for a job that has not ended
/// within `timeout`. Its thread is left to itself.
///
/// # Errors
///
/// When no thread can be started.
pub(crate) fn map<J, R>(
    jobs: Vec<J>,
    timeout: Duration,
    work: impl Fn(J) -> R + Send + Sync + 'static,
) -> io::Result<Vec<Option<R>>>
where
    J: Send + 'static,
    R: Send + 'static,
{
    let start = Instant::now();
    let count = jobs.len();
    let queue: VecDeque<_> = jobs.into_iter().enumerate().collect();
    let queue = Arc::new(Mutex::new(queue));
    let work = Arc::new(work);
    let (sender, receiver) = mpsc::channel();
    for number in 0..count.min(WORKERS) {
        let (queue, work, sender) = (Arc::clone(&queue), Arc::clone(&work), sender.clone());
        let next = move || {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.pop_front()
        };
        let worker = thread::Builder::new().spawn(move || {
            while let Some((index, job)) = next() {
                if sender.send((index, work(job))).is_err() {
                    break;
                }
            }
        });
        match worker {
            Err(error) if number == 0 => return Err(error),
            // Those that there are do it all.
            Err(_) => break,
            Ok(_) => {}
        }
    }
    drop(sender);
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    // When all are done the channel is closed.
    while let Ok((index, result)) = receiver.recv_timeout(timeout.saturating_sub(start.elapsed())) {
        if let Some(place) = results.get_mut(index) {
            *place = Some(result);
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_all_there() {
        let jobs: Vec<u64> = (0..500).collect();
        let results = map(jobs, Duration::from_secs(60), |job| job * 2).unwrap();
        let expected: Vec<_> = (0..500).map(|job| Some(job * 2)).collect();
        assert_eq!(results, expected);
        assert_eq!(map(Vec::new(), Duration::ZERO, |(): ()| ()).unwrap(), []);
    }

    #[test]
    fn what_never_ends_does_not_stop_the_others() {
        let (_sender, receiver) = mpsc::channel::<()>();
        let receiver = Mutex::new(receiver);
        let results = map(vec![1, 2, 3], Duration::from_millis(500), move |job| {
            if job == 2 {
                let _ = receiver.lock().map(|receiver| receiver.recv());
            }
            job
        });
        assert_eq!(results.unwrap(), [Some(1), None, Some(3)]);
    }
}
