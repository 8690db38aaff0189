// SPDX-License-Identifier: GPL-2.0

//! Special messages: one line of text that the host sends to a part of the kernel.
//!
//! A message is `PREFIX TEXT` and has a sender. Who takes the messages of a prefix implements
//! [`Handler`] and keeps a [`Registration`]. Who has a way to the host calls [`deliver`] and gives
//! the answer back. z/VM's Linux guests have the same between `cmm` and the `*MSG` service of IUCV;
//! there nobody learns whether a message has been carried out.
//!
//! There is no transport here: see `drivers/virtio/smsg`.

use crate::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
};

/// How many bytes the name of a sender has at most.
pub const MAX_SENDER_BYTES: usize = 8;

/// What separates words.
const BLANKS: [char; 2] = [' ', '\t'];

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Who sent it: one to [`MAX_SENDER_BYTES`] characters, as the transport says.
    pub sender: &'a str,
    /// What comes behind the prefix, without blanks around it.
    pub text: &'a str,
}

impl<'a> Message<'a> {
    /// Returns the words of the text, which blanks or tabs separate.
    pub fn words(&self) -> impl Iterator<Item = &'a str> {
        self.text.split(BLANKS).filter(|word| !word.is_empty())
    }

    /// Refuses the message, with [`EPERM`], unless `allowed` is its sender or is empty, which
    /// allows all senders. Upper and lower case are the same.
    pub fn require_sender(&self, allowed: &[u8]) -> Result<(), Refusal> {
        if allowed.is_empty() || allowed.eq_ignore_ascii_case(self.sender.as_bytes()) {
            return Ok(());
        }
        Err(Refusal::new(
            EPERM,
            "the guest takes no orders from this sender",
        ))
    }
}

/// Why a message was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of the failure.
    pub error: Error,
    /// What it was in this case, in words for the sender; it may be empty. One line of ASCII.
    pub reason: &'static str,
}

impl Refusal {
    /// Describes a failure.
    pub const fn new(error: Error, reason: &'static str) -> Self {
        Self { error, reason }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(error, "")
    }
}

/// Takes the messages of one prefix.
pub trait Handler: Send + Sync {
    /// Carries a message out, or says why not.
    ///
    /// Called in a thread of the kernel, for one message at a time; it may sleep. It must not drop
    /// the [`Registration`] that it was called for.
    fn receive(&self, message: &Message<'_>) -> Result<(), Refusal>;
}

/// A handler and its prefix. Without a handler it is no longer registered.
#[pin_data]
struct Entry {
    prefix: &'static str,
    #[pin]
    handler: Mutex<Option<Arc<dyn Handler>>>,
}

/// All that is registered.
type Bus = Mutex<KVec<Arc<Entry>>>;

static BUS: SetOnce<Arc<Bus>> = SetOnce::new();

/// Returns the bus, which is made when it is needed first.
fn bus() -> Result<&'static Bus> {
    loop {
        if let Some(bus) = BUS.as_ref() {
            return Ok(bus);
        }
        // Another thread may do the same; only one of the two gets in.
        BUS.populate(Arc::pin_init(
            new_mutex!(KVec::new(), "smsg::BUS"),
            GFP_KERNEL,
        )?);
    }
}

/// A handler that is registered, until this is dropped.
///
/// Dropping it waits for the message that is being carried out; afterwards the handler is not
/// called again.
///
/// # Examples
///
/// ```
/// use kernel::{
///     prelude::*,
///     smsg::{deliver, Handler, Message, Refusal, Registration},
///     sync::{
///         atomic::{Atomic, Relaxed},
///         Arc,
///     },
/// };
///
/// struct Lamp(Atomic<bool>);
///
/// impl Handler for Lamp {
///     fn receive(&self, message: &Message<'_>) -> Result<(), Refusal> {
///         message.require_sender(b"OPERATOR")?;
///         match message.text {
///             "ON" => self.0.store(true, Relaxed),
///             _ => return Err(Refusal::new(EINVAL, "a lamp knows only ON")),
///         }
///         Ok(())
///     }
/// }
///
/// let lamp = Arc::new(Lamp(Atomic::new(false)), GFP_KERNEL)?;
/// let registration = Registration::new("DOCLAMP", lamp.clone())?;
/// assert_eq!(Registration::new("doclamp", lamp.clone()).err(), Some(EEXIST));
///
/// let refused = |sender, text| deliver(sender, text).err().map(|refusal| refusal.error);
/// assert_eq!(refused("ROOT", "DOCLAMP ON"), Some(EPERM));
/// assert_eq!(refused("OPERATOR", "DOCLAMP OFF"), Some(EINVAL));
/// assert!(!lamp.0.load(Relaxed));
/// assert_eq!(refused("operator", " doclamp\tON "), None);
/// assert!(lamp.0.load(Relaxed));
///
/// drop(registration);
/// assert_eq!(refused("OPERATOR", "DOCLAMP ON"), Some(ENXIO));
/// # Ok::<(), Error>(())
/// ```
pub struct Registration(Arc<Entry>);

impl Registration {
    /// Registers a handler for the messages whose first word is `prefix`, in upper or lower case.
    ///
    /// Returns [`EINVAL`] for a prefix that is not one word of letters and digits, [`EEXIST`] if
    /// there is a handler for it, [`ENOMEM`] if there is no memory.
    pub fn new(prefix: &'static str, handler: Arc<dyn Handler>) -> Result<Self> {
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(EINVAL);
        }
        let entry = Arc::pin_init(
            pin_init!(Entry {
                prefix,
                handler <- new_mutex!(Some(handler), "smsg::Entry::handler"),
            }),
            GFP_KERNEL,
        )?;
        let mut entries = bus()?.lock();

        if find(&entries, prefix).is_some() {
            return Err(EEXIST);
        }
        entries.push(entry.clone(), GFP_KERNEL)?;
        Ok(Self(entry))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(bus) = BUS.as_ref() {
            bus.lock().retain(|entry| !Arc::ptr_eq(entry, &self.0));
        }
        // Who has found the entry before may be calling the handler, and has locked it then.
        let handler = self.0.handler.lock().take();
        drop(handler);
    }
}

/// Finds who takes the messages of a prefix.
fn find(entries: &[Arc<Entry>], prefix: &str) -> Option<Arc<Entry>> {
    entries
        .iter()
        .find(|entry| entry.prefix.eq_ignore_ascii_case(prefix))
        .cloned()
}

/// Has a message carried out. Sleeps until that is done.
///
/// # Errors
///
/// [`ENXIO`] if nobody takes messages of its prefix; [`ENOMEM`]; and what the [`Handler`] says.
pub fn deliver(sender: &str, text: &str) -> Result<(), Refusal> {
    const NOBODY: Refusal = Refusal::new(ENXIO, "no driver of the guest takes such messages");

    let text = text.trim_matches(BLANKS);
    let (prefix, text) = text.split_once(BLANKS).unwrap_or((text, ""));
    let message = Message {
        sender,
        text: text.trim_start_matches(BLANKS),
    };
    let entry = find(&bus()?.lock(), prefix).ok_or(NOBODY)?;
    let handler = entry.handler.lock();

    handler.as_ref().ok_or(NOBODY)?.receive(&message)
}
