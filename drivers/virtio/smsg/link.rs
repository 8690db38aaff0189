// SPDX-License-Identifier: GPL-2.0

//! The two queues of a port, and the thread between them.

use crate::{
    lines::Lines,
    protocol::{
        Answer,
        Request,
        MAX_ANSWER_BYTES, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    smsg,
    sync::{
        Arc,
        Completion,
        Mutex, //
    },
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
    virtio::{
        self,
        AnyQueue,
        Handler,
        RequestOf,
        Virtqueue, //
    },
    workqueue::OwnedQueue, //
};

/// How many bytes the device can put into one buffer.
const BUFFER_BYTES: usize = 512;

/// How many buffers the device has.
const BUFFERS: usize = 8;

/// How long the thread sleeps when there is nothing to do. A message wakes it.
const IDLE_MS: Msecs = 60_000;

/// The handler of the receive queue: the device fills buffers.
struct Receive(Arc<Completion>);

impl Handler for Receive {
    type Out = ();
    type In = [u8; BUFFER_BYTES];
    type Payload = ();

    fn used(&self, _queue: &Virtqueue<Self>) {
        self.0.complete_all();
    }
}

/// The handler of the transmit queue: one answer per request, as long as its payload says.
struct Transmit;

impl Handler for Transmit {
    type Out = [u8; MAX_ANSWER_BYTES];
    type In = ();
    type Payload = usize;

    fn output_bytes(payload: &usize) -> usize {
        *payload
    }

    /// The buffers are freed when there is another answer.
    fn used(&self, _queue: &Virtqueue<Self>) {}
}

/// What the thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Take messages.
    Run,
    /// Leave the queues alone.
    Pause,
    /// End.
    Stop,
}

/// What changes. It is locked while a message is carried out.
struct State {
    phase: Phase,
    lines: Lines,
}

/// A port.
#[pin_data]
pub(crate) struct Link {
    /// There is something to do for the thread.
    bell: Arc<Completion>,
    receive: Arc<Virtqueue<Receive>>,
    transmit: Arc<Virtqueue<Transmit>>,
    #[pin]
    state: Mutex<State>,
}

impl Link {
    /// Makes a port that no device knows yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let bell = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let handler = Receive(bell.clone());
        let receive = Arc::pin_init(Virtqueue::new(c"receive", handler), GFP_KERNEL)?;
        let transmit = Arc::pin_init(Virtqueue::new(c"transmit", Transmit), GFP_KERNEL)?;
        let state = State {
            phase: Phase::Run,
            lines: Lines::new(),
        };

        Arc::pin_init(
            pin_init!(Self {
                bell,
                receive,
                transmit,
                state <- new_mutex!(state, "smsg::Link::state"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the queues in the order of the virtio specification.
    pub(crate) fn queues(&self) -> Result<KVec<Arc<dyn AnyQueue>>> {
        let mut queues: KVec<Arc<dyn AnyQueue>> = KVec::with_capacity(2, GFP_KERNEL)?;

        queues.push(self.receive.clone(), GFP_KERNEL)?;
        queues.push(self.transmit.clone(), GFP_KERNEL)?;
        Ok(queues)
    }

    /// Gives the device buffers that it has lost, or has not had yet, and takes messages. What came
    /// of a line before is forgotten.
    pub(crate) fn start(&self) -> Result {
        let mut state = self.state.lock();

        for _ in 0..BUFFERS {
            let buffer = virtio::Request::new((), (), GFP_KERNEL)?;
            self.receive.add(buffer).map_err(|(error, _)| error)?;
        }
        self.receive.kick()?;
        state.lines = Lines::new();
        if state.phase == Phase::Pause {
            state.phase = Phase::Run;
        }
        Ok(())
    }

    /// Leaves the queues alone, after the message that is being carried out.
    pub(crate) fn pause(&self) {
        self.enter(Phase::Pause);
    }

    /// Ends the thread, after the message that is being carried out.
    fn stop(&self) {
        self.enter(Phase::Stop);
        self.bell.complete_all();
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state.lock();

        if state.phase != Phase::Stop {
            state.phase = phase;
        }
    }

    /// Takes messages until it is stopped.
    fn run(&self) {
        let timeout = msecs_to_jiffies(IDLE_MS);

        loop {
            self.bell.reinit();
            while self.receive_next() {}
            if self.state.lock().phase == Phase::Stop {
                return;
            }
            // Whether the time is over or somebody woke us up: look again.
            let _ = self.bell.wait_for_completion_interruptible_timeout(timeout);
        }
    }

    /// Carries out what is in the next buffer of the device, and returns whether there was one.
    /// Between two of them whoever wants the thread to pause or to stop gets the lock.
    fn receive_next(&self) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Run {
            return false;
        }
        let Some((buffer, len)) = self.receive.pop() else {
            return false;
        };
        let piece = buffer.input().get(..len).unwrap_or_default();

        state.lines.take(piece, |line| {
            if let Some(request) = Request::parse(line) {
                self.answer(&request);
            }
        });
        self.give_back(buffer);
        true
    }

    /// The device, if it is still there, may fill the buffer again.
    fn give_back(&self, buffer: RequestOf<Receive>) {
        if self.receive.add(buffer).is_ok() {
            let _ = self.receive.kick();
        }
    }

    /// Has a message carried out, and says how it went. An answer that cannot be sent is lost: the
    /// host does not wait for ever.
    fn answer(&self, request: &Request<'_>) {
        let outcome = request
            .message
            .and_then(|(sender, text)| smsg::deliver(sender, text));
        let (bytes, len) = Answer::new(request.id, outcome).into_parts();

        while self.transmit.pop().is_some() {}
        let sent = virtio::Request::new(bytes, len, GFP_KERNEL)
            .and_then(|answer| self.transmit.add(answer).map_err(|(error, _)| error))
            .and_then(|()| self.transmit.kick());
        if let Err(error) = sent {
            pr_warn!("an answer to the host is lost: {error:?}\n");
        }
    }
}

/// The thread of a port. Dropping it waits for its end.
pub(crate) struct RunningLink {
    pub(crate) link: Arc<Link>,
    _queue: OwnedQueue,
}

impl RunningLink {
    /// Starts the thread; [`Link::start`] lets messages come.
    pub(crate) fn new(link: Arc<Link>) -> Result<Self> {
        let queue = OwnedQueue::new(c"smsg")?;
        let thread = link.clone();

        queue.try_spawn(GFP_KERNEL, move || thread.run())?;
        Ok(Self {
            link,
            _queue: queue,
        })
    }

    /// Takes no more messages, for ever.
    pub(crate) fn stop(&self) {
        self.link.stop();
    }
}

impl Drop for RunningLink {
    fn drop(&mut self) {
        self.stop();
    }
}
