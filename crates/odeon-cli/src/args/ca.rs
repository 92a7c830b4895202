//! The arguments of `ca`.

use clap::{Args, Subcommand};
use odeon_auth::KeyKind;
use odeon_core::Capability;

/// `ca`.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Make the ensemble's authorities, and the console's certificate with `admin`
    #[command(after_help = PASSPHRASES_OF_SETUP)]
    Setup(Setup),
    /// Issue a server's certificate with a new key
    #[command(after_help = PASSPHRASE)]
    Cert(Cert),
    /// Renew certificates: the same names and key, for longer
    #[command(after_help = PASSPHRASE)]
    Renew(Renew),
    /// Revoke certificates; servers refuse them once they have loaded the new list
    #[command(after_help = PASSPHRASE)]
    Revoke {
        /// The server, or the serial number of one certificate
        target: String,
        /// Bring the new list to every known server as well, as `ca publish` does
        #[arg(long)]
        publish: bool,
        #[command(flatten)]
        passphrase: PassphraseFd,
    },
    /// Bring the revocation list of this home to every known server
    ///
    /// To those in the registry and those that odeon.toml knows. They check who has signed it, keep it and close the
    /// links of those that it revokes. It takes no passphrase and no right: the list is signed.
    Publish,
    /// Show what has been issued, or one certificate, revocation list, package or grant
    View {
        /// The server, or a file [default: everything that is in force]
        target: Option<String>,
    },
}

const PASSPHRASES_OF_SETUP: &str = "\
Both authorities' keys are kept under passphrases, which are asked for on the
terminal, twice each. From a file descriptor they are read one line each: first
the root's, then the subordinate's. There is no other way to give them.";

const PASSPHRASE: &str = "\
The subordinate's passphrase is asked for on the terminal. From a file
descriptor it is read as one line. There is no other way to give it.";

/// Where passphrases come from.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PassphraseFd {
    /// Read passphrases from this open file descriptor instead of the terminal
    #[arg(long = "passphrase-fd", value_name = "N")]
    pub(crate) fd: Option<u32>,
}

/// Who stands behind a certificate.
#[derive(Debug, Clone, Args)]
pub(crate) struct SubjectArgs {
    /// Two letters [default: UN, or as the authority's]
    #[arg(long)]
    pub(crate) country: Option<String>,
    /// Who stands behind it [default: Odeon, or as the authority's]
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// Where that is [default: Internet, or as the authority's]
    #[arg(long)]
    pub(crate) location: Option<String>,
}

/// `ca setup`.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
    /// What the authorities are called, as in `NAME Root CA` [default: the organization]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How many days the root is valid; the subordinate at most half of that [default: 3650]
    #[arg(long)]
    pub(crate) days: Option<u32>,
    /// The kind of the keys: ed25519 or p256
    #[arg(long, default_value_t)]
    pub(crate) key: KeyKind,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFd,
}

/// `ca cert`.
#[derive(Debug, Args)]
pub(crate) struct Cert {
    /// The server
    pub(crate) server: String,
    /// What it may do, such as admin, shutdown or watch:cart/public
    #[arg(value_name = "CAPABILITY")]
    pub(crate) capabilities: Vec<Capability>,
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
    /// How many days it is valid
    #[arg(long, default_value_t = odeon_auth::ca::SERVER_DAYS)]
    pub(crate) days: u32,
    /// The kind of its key: ed25519 or p256
    #[arg(long, default_value_t)]
    pub(crate) key: KeyKind,
    /// Replace the certificate and the key that are there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFd,
}

/// `ca renew`.
#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// The servers
    #[arg(required_unless_present = "all", value_name = "SERVER")]
    pub(crate) servers: Vec<String>,
    /// Every server with a certificate in force, whose files are in this home
    #[arg(long, conflicts_with = "servers")]
    pub(crate) all: bool,
    /// How many days they are valid, from now
    #[arg(long, default_value_t = odeon_auth::ca::SERVER_DAYS)]
    pub(crate) days: u32,
    /// Make new keys as well, of this kind: ed25519 or p256
    #[arg(long, value_name = "KEY")]
    pub(crate) new_key: Option<KeyKind>,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFd,
}
