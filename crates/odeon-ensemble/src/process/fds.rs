//! Descriptors on the move: over a unix socket, and into a process that starts.
//!
//! No state. What arrives is close-on-exec; only what is passed on deliberately loses that flag.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::spec::LISTEN_MAX;

const RIGHTS_BYTES: usize = rustix::cmsg_space!(ScmRights(LISTEN_MAX));

/// Sends `bytes` with `fds` attached; answers how many bytes were taken (the descriptors go with the first).
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if fds.len() > LISTEN_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors in one message"));
    }
    let mut space = [MaybeUninit::uninit(); RIGHTS_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives into `bytes`, and what descriptors come along into `fds`, each close-on-exec.
pub(crate) fn receive(socket: impl AsFd, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); RIGHTS_BYTES];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if got.flags.contains(ReturnFlags::CTRUNC) || fds.len() > LISTEN_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "more descriptors than one message may carry",
        ));
    }
    Ok(got.bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pass(count: usize) -> io::Result<usize> {
        let (here, there) = UnixStream::pair().expect("socket pair");
        let fds = vec![here.as_fd(); count];
        send(&here, b"x", &fds)?;
        let mut received = Vec::new();
        receive(&there, &mut [0; 8], &mut received)?;
        Ok(received.len())
    }

    #[test]
    fn descriptors_pass_up_to_the_limit() {
        assert_eq!(pass(0).expect("none"), 0);
        assert_eq!(pass(LISTEN_MAX).expect("the limit"), LISTEN_MAX);
        assert!(pass(LISTEN_MAX + 1).is_err());
    }
}
