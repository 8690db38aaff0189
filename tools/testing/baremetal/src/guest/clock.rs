// SPDX-License-Identifier: GPL-2.0

//! Time, by the processor's time stamp counter.

use core::arch::x86_64::_rdtsc;
use core::hint;

use crate::error::Error;
use crate::port;

/// Frequency of the programmable interval timer, in Hz.
const TIMER_HZ: u64 = 1_193_182;
/// What the counter is compared with: 20 ms of the timer.
const TIMER_TICKS: u16 = 23_864;
const TIMER_CHANNEL_2: u16 = 0x42;
const TIMER_COMMAND: u16 = 0x43;
/// Gate and output of the timer's channel 2.
const TIMER_GATE: u16 = 0x61;
const GATE_ON: u8 = 0x01;
const SPEAKER_ON: u8 = 0x02;
const OUTPUT_HIGH: u8 = 0x20;
/// How often the timer is asked before it counts as stopped: 20 ms take a few thousand times.
const MAX_POLLS: u32 = 50_000_000;

/// A clock that has been compared with the timer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    ticks_per_ms: u64,
}

/// A moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(u64);

impl Clock {
    /// Compares the counter with the timer.
    pub(crate) fn new() -> Result<Self, Error> {
        let gate = port::read_u8(TIMER_GATE) & !(GATE_ON | SPEAKER_ON);
        port::write_u8(TIMER_GATE, gate);
        // Channel 2, both bytes, mode 0: the output goes high when the count is over.
        port::write_u8(TIMER_COMMAND, 0xb0);
        let [low, high] = TIMER_TICKS.to_le_bytes();
        port::write_u8(TIMER_CHANNEL_2, low);
        port::write_u8(TIMER_CHANNEL_2, high);
        port::write_u8(TIMER_GATE, gate | GATE_ON);
        let start = Moment::now();
        for _ in 0..MAX_POLLS {
            if port::read_u8(TIMER_GATE) & OUTPUT_HIGH != 0 {
                let ticks = Moment::now().0.wrapping_sub(start.0);
                let ticks_per_ms = ticks * TIMER_HZ / u64::from(TIMER_TICKS) / 1000;
                return Ok(Self {
                    ticks_per_ms: ticks_per_ms.max(1),
                });
            }
            hint::spin_loop();
        }
        Err(Error::Timeout("the interval timer"))
    }

    /// Returns the time since a moment, in microseconds.
    pub(crate) fn us_since(&self, moment: Moment) -> u64 {
        Moment::now()
            .0
            .saturating_sub(moment.0)
            .saturating_mul(1000)
            / self.ticks_per_ms
    }

    /// Returns the moment so many milliseconds from now.
    pub(crate) fn after_ms(&self, ms: u64) -> Moment {
        self.after_us(ms.saturating_mul(1000))
    }

    /// Returns the moment so many microseconds from now.
    pub(crate) fn after_us(&self, us: u64) -> Moment {
        let ticks = us.saturating_mul(self.ticks_per_ms) / 1000;
        Moment(Moment::now().0.saturating_add(ticks))
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    ///
    /// After `limit_ms`, that `what` took too long.
    pub(crate) fn wait(
        &self,
        what: &'static str,
        limit_ms: u64,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let deadline = self.after_ms(limit_ms);
        while !ready() {
            if deadline.is_over() {
                return Err(Error::Timeout(what));
            }
            hint::spin_loop();
        }
        Ok(())
    }
}

impl Moment {
    /// Returns the present moment.
    pub(crate) fn now() -> Self {
        // SAFETY: Every 64-bit processor has the counter, and nothing forbids its use.
        Self(unsafe { _rdtsc() })
    }

    /// Returns whether it is in the past.
    pub(crate) fn is_over(self) -> bool {
        Self::now().0 >= self.0
    }
}
