// SPDX-License-Identifier: GPL-2.0

//! What systemd is told: that the service is ready, and that it is alive.
//!
//! The protocol is that of sd_notify(3): lines in a datagram to the socket in `NOTIFY_SOCKET`. Without
//! that nobody is told anything.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// Finds the manager that the environment names.
    ///
    /// # Errors
    ///
    /// When it names something that cannot be one.
    pub(crate) fn from_environment() -> io::Result<Self> {
        Self::to(env::var_os("NOTIFY_SOCKET").as_deref())
    }

    /// A path, or a name behind `@`.
    fn to(name: Option<&OsStr>) -> io::Result<Self> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(Self { socket: None });
        };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not stop us.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some((socket, address)),
        })
    }

    /// Says that guests are being managed, and how that goes.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// Says how it goes.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", line(status)));
    }

    /// Says that there is progress.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Says that this is the end.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// A message that is lost is followed by others, or by the watchdog.
    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

fn line(text: &str) -> String {
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer.get(..length).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn messages_reach_the_socket_of_the_manager() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(Some(path.as_os_str())).unwrap();
        notifier.ready("a\nb");
        assert_eq!(receive(&socket), "READY=1\nSTATUS=a b");
        notifier.alive();
        assert_eq!(receive(&socket), "WATCHDOG=1");
        drop(socket);
        // Nobody listens any more.
        notifier.stopping();
    }

    #[test]
    fn a_manager_can_have_an_abstract_name() {
        let name = format!("onecopy-vmrm-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::to(Some(OsStr::new(&format!("@{name}")))).unwrap();
        notifier.status("calm");
        assert_eq!(receive(&socket), "STATUS=calm");
    }

    #[test]
    fn without_a_manager_nobody_is_told() {
        for name in [None, Some(OsStr::new(""))] {
            let notifier = Notifier::to(name).unwrap();
            assert!(notifier.socket.is_none());
            notifier.ready("");
        }
    }
}
