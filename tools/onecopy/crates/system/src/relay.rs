// SPDX-License-Identifier: GPL-2.0

//! The console of a guest for other processes: what it says goes to all who are connected, and
//! what any of them sends goes to the guest.

use std::fs;
use std::fs::Permissions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use onecopy_machine::Console;
use rustix::net::shutdown;
use rustix::net::Shutdown;

/// How long somebody may leave output unread before he is disconnected: the guest waits.
const WRITE_TIMEOUT: Duration = Duration::from_millis(200);

/// A socket for the console of a guest; it is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    listener: UnixListener,
    clients: Clients,
}

/// Those who are connected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clients {
    connected: Arc<Mutex<Connected>>,
}

#[derive(Debug, Default)]
struct Connected {
    streams: Vec<UnixStream>,
    /// The console has ended: nobody is connected any more.
    ended: bool,
}

impl Relay {
    /// Listens on a socket that only we can connect to.
    pub(crate) fn listen(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            clients: Clients::default(),
        })
    }

    /// Returns what has to get the console's output.
    pub(crate) fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// Takes connections in the background, and sends to the console what comes from them.
    pub(crate) fn serve(&self, console: Console) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        let clients = self.clients();
        thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || {
                // Accepting fails when the relay is dropped.
                while let Ok((stream, _)) = listener.accept() {
                    // Who cannot be served finds his connection closed.
                    let _ = clients.add(stream, console.clone());
                }
            })?;
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Wakes the thread that accepts; fails only if there was none.
        let _ = shutdown(&self.listener, Shutdown::Both);
        self.clients.end();
    }
}

impl Clients {
    /// Nothing can be half done when a thread panics that has the lock.
    fn lock(&self) -> MutexGuard<'_, Connected> {
        self.connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Disconnects all, and who comes later: a console that says nothing more looks like a silent guest.
    pub(crate) fn end(&self) {
        let mut connected = self.lock();
        connected.ended = true;
        for stream in connected.streams.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn add(&self, stream: UnixStream, console: Console) -> io::Result<()> {
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let input = stream.try_clone()?;
        {
            let mut connected = self.lock();
            if connected.ended {
                return Ok(());
            }
            connected.streams.push(stream);
        }
        thread::Builder::new()
            .name("relay-input".to_owned())
            .spawn(move || forward(input, &console))?;
        Ok(())
    }
}

impl Write for Clients {
    /// Sends output to all, and disconnects those who do not take it.
    fn write(&mut self, said: &[u8]) -> io::Result<usize> {
        self.lock().streams.retain_mut(|stream| {
            let sent = stream.write_all(said);
            if sent.is_err() {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
            sent.is_ok()
        });
        Ok(said.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends what comes to the console, until either ends.
fn forward(mut input: UnixStream, console: &Console) {
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = input.read(&mut chunk) {
        let sent = chunk.get(..count).map(|bytes| console.send(bytes));
        if !matches!(sent, Some(Ok(()))) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_goes_to_all_and_those_who_left_are_forgotten() {
        let mut clients = Clients::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (gone, peer) = UnixStream::pair().unwrap();
        clients.lock().streams.extend([ours, gone]);
        drop(peer);
        clients.write_all(b"hello").unwrap();
        let mut said = [0; 5];
        theirs.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"hello");
        assert_eq!(clients.lock().streams.len(), 1);
    }

    #[test]
    fn who_does_not_read_is_disconnected() {
        let mut clients = Clients::default();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_write_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        clients.lock().streams.push(ours);
        clients.write_all(&vec![0; 4 << 20]).unwrap();
        assert_eq!(clients.lock().streams.len(), 0);
    }

    #[test]
    fn the_socket_is_ours_alone_and_closed_with_the_relay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        let relay = Relay::listen(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut stream = UnixStream::connect(&path).unwrap();
        let (accepted, _) = relay.listener.accept().unwrap();
        relay.clients.lock().streams.push(accepted);
        drop(relay);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}
