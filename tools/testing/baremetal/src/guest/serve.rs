// SPDX-License-Identifier: GPL-2.0

//! Serving the balloon: giving memory back and taking it back as the host asks.

use core::hint;

use onecopy_baremetal::options::Options;
use onecopy_baremetal::target;
use onecopy_baremetal::target::Action;
use onecopy_baremetal::PAGE_BYTES;

use crate::balloon::Balloon;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::error::Error;
use crate::ram::Ram;
use crate::say;

/// Time between two looks at the target, in microseconds. A look is an exit to the host, and under
/// TCG it takes the lock that the host needs in order to change the target.
const LOOK_US: u64 = 50;

/// A change of the balloon's size that is going on.
#[derive(Debug, Clone, Copy)]
struct Change {
    began: Moment,
    from_pages: u64,
    kicks: u64,
}

/// A balloon that is being served.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    balloon: &'a mut Balloon,
    ram: &'a Ram,
    clock: Clock,
    options: Options,
    actual_pages: u64,
    change: Option<Change>,
}

impl<'a> Server<'a> {
    /// Starts with an empty balloon.
    pub(crate) fn new(
        balloon: &'a mut Balloon,
        ram: &'a Ram,
        clock: Clock,
        options: Options,
    ) -> Self {
        Self {
            balloon,
            ram,
            clock,
            options,
            actual_pages: 0,
            change: None,
        }
    }

    /// Serves until the time is over. The host usually ends the machine before that.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let end = self.clock.after_ms(self.options.limit_s * 1000);
        self.balloon.set_actual_pages(0)?;
        say!("serving {} bytes", self.ram.pool().pages() * PAGE_BYTES);
        while !end.is_over() {
            self.step()?;
        }
        say!("done");
        Ok(())
    }

    /// Looks at the target once and does what fits in the queue at once. Looking again between
    /// batches lets the host change its mind.
    fn step(&mut self) -> Result<(), Error> {
        let target_pages = self.balloon.target_pages()?;
        let action = target::plan(target_pages, self.actual_pages, self.ram.pool().pages());
        if action != Action::Rest && self.change.is_none() {
            self.change = Some(Change {
                began: Moment::now(),
                from_pages: self.actual_pages,
                kicks: self.balloon.kicks(),
            });
        }
        match action {
            Action::Rest => self.rest(),
            Action::Release { to_pages } => self.release(to_pages)?,
            Action::TakeBack { to_pages } => self.take_back(to_pages)?,
        }
        Ok(())
    }

    fn release(&mut self, to_pages: u64) -> Result<(), Error> {
        self.actual_pages = self
            .balloon
            .release(self.ram, self.actual_pages..to_pages)?;
        self.balloon.set_actual_pages(self.actual_pages)
    }

    fn take_back(&mut self, to_pages: u64) -> Result<(), Error> {
        let pages = to_pages..self.actual_pages;
        self.balloon.take_back(self.ram, pages.clone())?;
        self.actual_pages = to_pages;
        self.balloon.set_actual_pages(to_pages)?;
        self.settle();
        if self.options.retouch {
            let bytes = (pages.end - pages.start) * PAGE_BYTES;
            self.ram.touch(pages)?;
            say!("touched {bytes}");
        }
        Ok(())
    }

    /// Waits a little before the next look.
    fn rest(&mut self) {
        self.settle();
        let next = self.clock.after_us(LOOK_US);
        while !next.is_over() {
            hint::spin_loop();
        }
    }

    /// Says what was done, after the device knows of it.
    fn settle(&mut self) {
        if let Some(change) = self.change.take() {
            say!(
                "settled from_pages={} actual_pages={} kicks={} us={}",
                change.from_pages,
                self.actual_pages,
                self.balloon.kicks() - change.kicks,
                self.clock.us_since(change.began),
            );
        }
    }
}
