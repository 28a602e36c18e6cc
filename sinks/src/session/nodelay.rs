//! Small packets at once.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on (<https://github.com/launchbadge/sqlx/issues/4335>, mended after 0.9.0): the last
//! bytes of a COPY are held back until the server acknowledges what came before, which it puts off for 40 ms. That is
//! ten times what the transaction takes. sqlx lends nobody its socket, so this looks for it among the descriptors of the
//! process: each one whose peer has the server's port is duplicated, and the option set by way of the duplicate. On any
//! connection to a database it does no harm. To be removed with the first sqlx that does it.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpStream,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockaddrLike, SockaddrStorage, getpeername, sendmsg,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use sqlx::postgres::PgConnectOptions;
use tracing::warn;

/// Sets the option on this process's connections to the server: true if one was found, or needs none.
pub(crate) async fn set(options: &PgConnectOptions) -> bool {
    let unix_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
    if unix_socket {
        return true;
    }
    let port = options.get_port();
    let done = tokio::task::spawn_blocking(move || set_for_port(port)).await;
    match done.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
        Ok(connections) if connections > 0 => true,
        Ok(_) => {
            warn!(
                port,
                "no socket was found to set TCP_NODELAY on: rows are written by INSERT, which is slower"
            );
            false
        }
        Err(error) => {
            warn!(port, %error, "TCP_NODELAY cannot be set: rows are written by INSERT, which is slower");
            false
        }
    }
}

fn set_for_port(port: u16) -> io::Result<usize> {
    let mut connections = 0;
    for entry in fs::read_dir("/dev/fd")? {
        let name = entry?.file_name();
        let descriptor = name.to_str().and_then(|name| name.parse::<RawFd>().ok());
        let Some(descriptor) = descriptor.filter(|descriptor| is_connected(*descriptor)) else {
            continue;
        };
        // It may have been closed, and its number given to another, since it was looked at.
        let Ok(duplicate) = duplicate(descriptor) else { continue };
        let stream = TcpStream::from(duplicate);
        if stream.peer_addr().is_ok_and(|peer| peer.port() == port) {
            stream.set_nodelay(true)?;
            connections += 1;
        }
    }
    Ok(connections)
}

/// Whether the descriptor is a connection over IP. Its port is asked of the duplicate.
fn is_connected(descriptor: RawFd) -> bool {
    getpeername::<SockaddrStorage>(descriptor)
        .is_ok_and(|peer| matches!(peer.family(), Some(AddressFamily::Inet | AddressFamily::Inet6)))
}

/// Another descriptor of the same connection: passed through a pair of sockets, which needs no promise that the number
/// is (still) open.
fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    let (here, there) = UnixStream::pair()?;
    let payload = [IoSlice::new(b"x")];
    let rights = [descriptor];
    let message = [ControlMessage::ScmRights(&rights)];
    sendmsg::<SockaddrStorage>(here.as_raw_fd(), &payload, &message, MsgFlags::empty(), None)?;

    let mut byte = [0; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut received = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&there, &mut [IoSliceMut::new(&mut byte)], &mut received, RecvFlags::CMSG_CLOEXEC)?;
    let duplicates = received.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    duplicates.flatten().next().ok_or_else(|| io::Error::other("the duplicate did not arrive"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_that_belongs_to_somebody_else_is_found_by_its_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(set_for_port(port).expect("looked"), 0);
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        assert!(!stream.nodelay().expect("asked"));
        assert_eq!(set_for_port(port).expect("set"), 1);
        assert!(stream.nodelay().expect("asked"));
        drop(stream);
        assert_eq!(set_for_port(port).expect("looked"), 0, "no duplicate is left open");
    }

    #[test]
    fn a_number_that_is_no_open_descriptor_is_refused() {
        assert!(duplicate(1_000_000).is_err());
        assert!(!is_connected(1_000_000));
    }
}
