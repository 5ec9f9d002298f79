//! Those who talk to a supervisor: bounded in number and in what they may say, and never waited for.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::Uid,
};

use super::protocol::{MAX_LINE, Reply, Request};
use crate::proc::ProcId;

/// Most connections; one more is turned away.
const MOST: usize = 64;

/// The listening socket and its connections.
pub(crate) struct Peers {
    listener: UnixListener,
    peers: Vec<Peer>,
    /// Numbers the connections, for replies.
    next: u64,
}

struct Peer {
    number: u64,
    stream: UnixStream,
    said: Vec<u8>,
    gone: bool,
}

impl Peers {
    /// Takes connections from `listener`.
    pub(crate) fn new(listener: UnixListener) -> io::Result<Peers> {
        listener.set_nonblocking(true)?;
        Ok(Peers { listener, peers: Vec::new(), next: 0 })
    }

    /// What to poll for reading.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let peers = self.peers.iter().map(|peer| peer.stream.as_fd());
        std::iter::once(self.listener.as_fd()).chain(peers)
    }

    /// What was asked since the last look, and by whom.
    pub(crate) fn requests(&mut self) -> Vec<(u64, Request)> {
        self.accept();
        let mut asked = Vec::new();
        for peer in &mut self.peers {
            peer.read();
            while let Some(line) = peer.line() {
                match serde_json::from_slice(&line) {
                    Ok(request) => asked.push((peer.number, request)),
                    Err(_) => peer.gone = true,
                }
            }
        }
        self.peers.retain(|peer| !peer.gone);
        asked
    }

    /// Answers; a peer that does not take the answer at once is dropped.
    pub(crate) fn reply(&mut self, number: u64, id: &ProcId, error: Option<String>) {
        let Some(at) = self.peers.iter().position(|peer| peer.number == number) else { return };
        let reply = Reply { id: id.clone(), error };
        let mut line = serde_json::to_vec(&reply).unwrap_or_default();
        line.push(b'\n');
        if !matches!(self.peers[at].stream.write(&line), Ok(n) if n == line.len()) {
            self.peers.swap_remove(at);
        }
    }

    fn accept(&mut self) {
        // Bounded, so that a peer in a loop cannot hold us here.
        for _ in 0..MOST {
            let Ok((stream, _)) = self.listener.accept() else { return };
            let trusted = getsockopt(&stream, PeerCredentials)
                .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == Uid::effective().as_raw());
            if trusted && self.peers.len() < MOST && stream.set_nonblocking(true).is_ok() {
                self.peers.push(Peer { number: self.next, stream, said: Vec::new(), gone: false });
                self.next += 1;
            }
        }
    }
}

impl Peer {
    fn read(&mut self) {
        let mut buffer = [0; MAX_LINE];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.gone = true,
            Ok(n) => self.said.extend_from_slice(&buffer[..n]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.gone = true,
        }
        let complete = self.said.contains(&b'\n');
        self.gone |= !complete && self.said.len() > MAX_LINE;
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.said.iter().position(|b| *b == b'\n')?;
        let line = self.said[..end].to_vec();
        self.said.drain(..=end);
        Some(line)
    }
}
