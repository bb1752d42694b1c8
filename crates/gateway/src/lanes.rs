//! Threads that each run their own sessions. A session's sockets, timers and tasks stay on one thread, so that a statement
//! wakes nobody else: handing work between threads would cost more than the work.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::serve::THREAD_STACK;

/// A session from its first byte to its end.
pub(crate) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The threads.
pub(crate) struct Lanes {
    jobs: Vec<UnboundedSender<Job>>,
    next: AtomicUsize,
}

impl Lanes {
    /// Starts a thread for every two processors: the others are for the load that comes with them, of clients, targets and
    /// the disk. Sessions that share a thread also share its wake-ups and the writes of their records, so fewer threads do
    /// more until they are busy.
    ///
    /// # Errors
    /// The system gives no thread or no poll.
    pub(crate) fn start() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2));
        let mut jobs = Vec::with_capacity(count);
        for index in 0..count {
            let (sender, receiver) = unbounded_channel();
            // Long statements are understood on threads of its own, by the same recursive code.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .thread_stack_size(THREAD_STACK)
                .enable_all()
                .build()?;
            // It ends when its sender is dropped and its sessions have ended.
            std::thread::Builder::new()
                .name(format!("sessions-{index}"))
                .stack_size(THREAD_STACK)
                .spawn(move || runtime.block_on(run(receiver)))?;
            jobs.push(sender);
        }
        Ok(Self { jobs, next: AtomicUsize::new(0) })
    }

    /// Runs a session on the next thread; what is returned resolves when it has ended.
    pub(crate) fn run(&self, job: Job) -> impl Future<Output = ()> + use<> {
        let (done, ended) = oneshot::channel::<()>();
        let job = Box::pin(async move {
            job.await;
            drop(done);
        });
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.jobs.len().max(1);
        if let Some(lane) = self.jobs.get(index) {
            // The thread is there as long as this is.
            let _ = lane.send(job);
        }
        async move {
            let _ = ended.await;
        }
    }
}

thread_local! {
    /// How many sessions this thread runs.
    static SESSIONS: Cell<usize> = const { Cell::new(0) };
}

/// Whether the session that runs now has its thread to itself: then nobody comes to share a write with it.
pub(crate) fn is_alone() -> bool {
    SESSIONS.get() == 1
}

async fn run(mut jobs: UnboundedReceiver<Job>) {
    let mut sessions = tokio::task::JoinSet::new();
    loop {
        SESSIONS.set(sessions.len());
        tokio::select! {
            biased;
            Some(_) = sessions.join_next() => (),
            job = jobs.recv() => match job {
                Some(job) => drop(sessions.spawn(job)),
                None => break,
            },
        }
    }
    while sessions.join_next().await.is_some() {}
}
