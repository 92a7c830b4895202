//! Who is taken in: how links begin, what is proven on them, and which of a peer's links carries its messages.

use std::sync::Arc;

use odeon_actor::Peer;
use odeon_auth::Side as ProofSide;
use odeon_core::{Epoch, ServerId};
use odeon_wire::RefuseCode;

use super::Server;
use crate::link::Link;
use crate::peers::{Standing, Unwelcome};
use crate::secure::{Channel, revoked};

impl Server {
    pub(crate) fn nonce(&self) -> [u8; 32] {
        let mut nonce = [0; 32];
        self.0.world.rng.fill(&mut nonce);
        nonce
    }

    pub(crate) fn wire_config(&self) -> odeon_wire::Config {
        let mut config = odeon_wire::Config::new(self.id().clone(), self.epoch());
        config.frame_bytes_max = self.0.limits.frame_bytes_max;
        config.outbound_bytes_max = self.0.limits.outbound_bytes_max;
        config.handshake_timeout = self.0.limits.handshake_timeout;
        config.idle_after = self.0.limits.link_idle_after;
        config
    }

    /// This server's proof over a channel; none before the channel itself has proven anything.
    pub(crate) fn prove(
        &self,
        channel: &Channel,
        side: odeon_wire::Side,
        transcript: &odeon_wire::Transcript,
    ) -> Option<[u8; 32]> {
        let key = channel.proof_key(&self.0.cookie)?;
        Some(odeon_auth::prove(key, proof_side(side), &digest(transcript)).0)
    }

    pub(crate) fn verify(
        &self,
        channel: &Channel,
        side: odeon_wire::Side,
        transcript: &odeon_wire::Transcript,
        mac: [u8; 32],
    ) -> bool {
        let proof = odeon_auth::Proof(mac);
        channel
            .proof_key(&self.0.cookie)
            .is_some_and(|key| odeon_auth::verify(key, proof_side(side), &digest(transcript), &proof))
    }

    /// Whether a peer that has proven itself is welcome.
    pub(crate) fn check(&self, link: &Link, peer: &ServerId, epoch: Epoch) -> Result<(), Unwelcome> {
        self.check_certificate(&link.channel)?;
        // All that it has shown, and not under the lock: files may have been loaded anew during its handshake.
        if let Some(why) = self.revoked(link) {
            return Err((RefuseCode::Authentication, why));
        }
        let peers = self.peers();
        self.check_not_stopping()?;
        peers.check(peer, epoch, link.standing(), self.limits())
    }

    /// Takes in a link whose peer has proven itself; links that it replaces are closed.
    pub(crate) fn admit(&self, link: &Arc<Link>, peer: &Arc<Peer>) -> Result<(), Unwelcome> {
        let replaced = {
            // Looked at under the lock: a link taken in is seen by the shutdown, which closes it.
            let mut peers = self.peers();
            self.check_not_stopping()?;
            // Also under the lock: a reload looks for the links that are in the table after it has the new list.
            self.check_certificate(&link.channel)?;
            peers.admit(link, peer, self.limits())?
        };
        // All that it has shown once more, now that a reload would find the link: one since the check did not.
        let revoked = self.revoked(link);
        if revoked.is_none() {
            let waiters = self.peers().linked(&peer.server);
            for waiter in waiters {
                // Each may have given up.
                let _ = waiter.send(Ok(Arc::clone(link)));
            }
        }
        for link in replaced {
            link.supersede();
            let is_older = link.peer().is_some_and(|theirs| theirs.epoch < peer.epoch);
            link.close_superseded(match is_older {
                true => "a newer incarnation has connected",
                false => "the peer of this name has shown a certificate",
            });
        }
        match revoked {
            None => Ok(()),
            Some(why) => {
                link.supersede();
                Err((RefuseCode::Authentication, why))
            }
        }
    }

    /// The peer's first message has come over `link`: what it sent over others is not delivered any more.
    pub(crate) fn carries(&self, link: &Arc<Link>) {
        let left = self.peers().carries(link);
        for link in left {
            link.close_superseded("the peer sends over another link by now");
        }
    }

    /// What has been revoked of all that a peer has shown.
    fn revoked(&self, link: &Link) -> Option<String> {
        revoked(self.tls()?, link.channel.secured()?)
    }

    fn check_not_stopping(&self) -> Result<(), Unwelcome> {
        if *self.0.stopping.borrow() {
            return Err((RefuseCode::Busy, "the server is stopping".to_owned()));
        }
        Ok(())
    }

    /// Whether the peer's certificate still counts. TLS has checked it, but the hello may come much later than that.
    fn check_certificate(&self, channel: &Channel) -> Result<(), Unwelcome> {
        let (Some(context), Some(certificate)) = (self.tls(), channel.certificate()) else { return Ok(()) };
        let is_revoked = context.is_revoked(certificate);
        let revoked = is_revoked.then(|| format!("the certificate {} is revoked", certificate.serial));
        match revoked.or_else(|| self.expired(certificate)) {
            Some(why) => Err((RefuseCode::Authentication, why)),
            None => Ok(()),
        }
    }

    pub(crate) fn link_over(&self, link: &Arc<Link>) {
        self.peers().remove(link);
        self.grants().close(link.number);
        self.0.links.send_modify(|links| *links -= 1);
    }
}

impl Link {
    /// What it stands on that the peer is who it says, once it has proven itself.
    pub(crate) fn standing(&self) -> Standing {
        if self.channel.certificate().is_some() {
            return Standing::Certificate;
        }
        let is_us = self.server.authority().believes(self.credentials);
        if is_us { Standing::SameUser } else { Standing::Cookie }
    }
}

const fn proof_side(side: odeon_wire::Side) -> ProofSide {
    match side {
        odeon_wire::Side::Dialler => ProofSide::Dialler,
        odeon_wire::Side::Listener => ProofSide::Listener,
    }
}

fn digest(transcript: &odeon_wire::Transcript) -> [u8; 32] {
    odeon_auth::transcript(&transcript.dialler_hello, &transcript.listener_hello)
}
