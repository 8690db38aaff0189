// SPDX-License-Identifier: GPL-2.0

//! `onecopy top`

use std::io;
use std::io::IsTerminal;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use onecopy_machine::Interrupt;
use onecopy_observe::screen;
use onecopy_observe::screen::Next;
use onecopy_observe::screen::View;
use onecopy_observe::Collector;
use onecopy_observe::Recorder;
use onecopy_observe::Sample;
use ratatui::crossterm::event;
use ratatui::crossterm::event::Event;
use ratatui::crossterm::event::KeyEventKind;
use ratatui::DefaultTerminal;

use crate::boot;
use crate::cli::TopArgs;
use crate::outcome::Seen;

/// How often signals and samples are looked for.
const TICK: Duration = Duration::from_millis(50);

/// The distance of the two samples of which one is shown: processors are known by their difference.
const ONCE: Duration = Duration::from_millis(250);

/// Takes samples, and records them if that was asked for.
struct Sampler {
    collector: Collector,
    recorder: Option<Recorder>,
}

pub(super) fn run(args: &TopArgs, collector: Collector, json: bool) -> anyhow::Result<Seen> {
    let recorder = args.record.as_deref().map(Recorder::open).transpose()?;
    let mut sampler = Sampler {
        collector,
        recorder,
    };
    let mut view = View {
        sort: args.sort,
        filter: args.filter.clone(),
        interactive: !args.once,
        ..View::default()
    };
    if json {
        return Ok(Seen::Json(sampler.take()?));
    }
    if args.once {
        view.sample = sampler.collector.sample()?;
        thread::sleep(ONCE);
        view.update(sampler.take()?);
        return Ok(Seen::Once(Box::new(view)));
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!("There is no terminal to show this on; --once needs none");
    }
    let interrupt = boot::watch_signals()?;
    let samples = sampler.repeat(args.interval)?;
    // This restores the terminal also when we panic.
    let mut terminal = ratatui::try_init().context("Cannot use the terminal")?;
    let shown = show(&mut terminal, view, &samples, &interrupt);
    ratatui::try_restore().context("Cannot restore the terminal")?;
    shown?;
    Ok(Seen::Nothing)
}

impl Sampler {
    fn take(&mut self) -> anyhow::Result<Sample> {
        let sample = self.collector.sample()?;
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&sample)?;
        }
        Ok(sample)
    }

    /// Takes samples in the background, so that keys need not wait for guests that hang.
    fn repeat(mut self, interval: Duration) -> io::Result<Receiver<anyhow::Result<Sample>>> {
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name("samples".to_owned())
            .spawn(move || {
                // Nobody listens any more when the terminal has been left.
                while sender.send(self.take()).is_ok() {
                    thread::sleep(interval);
                }
            })?;
        Ok(receiver)
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    mut view: View,
    samples: &Receiver<anyhow::Result<Sample>>,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let mut is_new = false;
    // Nothing is drawn before something is known.
    let mut is_known = false;
    while interrupt.signal().is_none() {
        while let Ok(sample) = samples.try_recv() {
            if is_known {
                view.update(sample?);
            } else {
                view.sample = sample?;
            }
            (is_new, is_known) = (true, true);
        }
        if is_new {
            terminal.draw(|frame| screen::draw(&view, frame.area(), frame.buffer_mut()))?;
        }
        is_new = false;
        if !event::poll(TICK)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match view.press(key) {
                Next::Quit => break,
                Next::Draw => is_new = is_known,
            },
            Event::Resize(..) => is_new = is_known,
            _ => {}
        }
    }
    Ok(())
}
