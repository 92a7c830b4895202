//! Passphrases: from the terminal, unseen, or from an open file descriptor. Never from arguments or the
//! environment, which other processes can read.

use std::fs::File;
use std::io::{ErrorKind, Read};

use odeon_auth::Passphrase;
use odeon_auth::keys::PASSPHRASE_BYTES_MAX;

use crate::error::CliError;

/// Where passphrases come from.
pub(crate) enum Passphrases {
    /// Somebody types them.
    Terminal,
    /// A line each.
    Lines(Box<dyn Read>),
}

impl Passphrases {
    /// From this descriptor, or from the terminal.
    pub(crate) fn from(fd: Option<u32>) -> Result<Self, CliError> {
        match fd {
            None => Ok(Self::Terminal),
            Some(0) => Ok(Self::Lines(Box::new(std::io::stdin().lock()))),
            Some(fd) => {
                let file = File::open(format!("/proc/self/fd/{fd}")).map_err(|e| {
                    CliError::usage(format!("the file descriptor {fd} cannot be read: {e}"))
                        .help("open it in the shell, as in `--passphrase-fd 3 3<FILE`")
                })?;
                Ok(Self::Lines(Box::new(file)))
            }
        }
    }

    /// The passphrase of something that exists.
    pub(crate) fn ask_known(&mut self, whose: &str) -> Result<Passphrase, CliError> {
        let text = match self {
            Self::Lines(lines) => line(lines, whose)?,
            Self::Terminal => ask(&format!("Passphrase of {whose}: "))?,
        };
        checked(text, whose)
    }

    /// A passphrase for something new; typed twice.
    pub(crate) fn ask_new(&mut self, whose: &str) -> Result<Passphrase, CliError> {
        let text = match self {
            Self::Lines(lines) => line(lines, whose)?,
            Self::Terminal => {
                let first = ask(&format!("New passphrase of {whose}: "))?;
                let second = ask("The same again: ")?;
                if *first != *second {
                    return Err(CliError::failed(
                        "passphrase",
                        "the two passphrases differ; nothing was made",
                    ));
                }
                first
            }
        };
        checked(text, whose)
    }
}

type Secret = zeroize::Zeroizing<String>;

fn checked(text: Secret, whose: &str) -> Result<Passphrase, CliError> {
    Passphrase::new(text)
        .map_err(|e| CliError::failed("passphrase", format!("the passphrase of {whose}: {e}")))
}

fn ask(prompt: &str) -> Result<Secret, CliError> {
    rpassword::prompt_password(prompt).map(Secret::new).map_err(|e| {
        CliError::failed("passphrase", format!("the terminal cannot be asked for a passphrase: {e}"))
            .help("without a terminal, say `--passphrase-fd N`")
    })
}

/// Reads one line and nothing beyond it: the next one may be another's.
fn line(from: &mut dyn Read, whose: &str) -> Result<Secret, CliError> {
    // Room for all of it at once, so that no copy stays behind.
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX + 1));
    let mut byte = [0];
    loop {
        match from.read(&mut byte) {
            Ok(0) if bytes.is_empty() => {
                let message = format!("there is no line with the passphrase of {whose}");
                return Err(CliError::failed("passphrase", message).help("see --help for their order"));
            }
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if bytes.len() > PASSPHRASE_BYTES_MAX => break,
            Ok(_) => bytes.push(byte[0]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(CliError::of("passphrase", &e)),
        }
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| CliError::failed("passphrase", format!("the passphrase of {whose} is not UTF-8")))?;
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str) -> Passphrases {
        Passphrases::Lines(Box::new(text.as_bytes()))
    }

    #[test]
    fn each_passphrase_is_one_line() {
        let mut two = lines("the first one\r\nthe second");
        two.ask_new("the root").expect("the first");
        two.ask_known("the subordinate").expect("the second");
        let error = two.ask_known("a third").expect_err("no more").to_string();
        assert!(error.contains("no line with the passphrase of a third"), "{error}");
    }

    #[test]
    fn a_short_or_endless_line_is_refused() {
        let error = lines("short\n").ask_new("the root").expect_err("too short").to_string();
        assert!(error.contains("at least 8 characters"), "{error}");
        let endless = Box::leak("a".repeat(2 * PASSPHRASE_BYTES_MAX).into_boxed_str());
        let error = lines(endless).ask_new("the root").expect_err("too long").to_string();
        assert!(error.contains("at most 1024 bytes"), "{error}");
        let error = Passphrases::from(Some(4_000)).err().expect("not open").to_string();
        assert!(error.contains("3<FILE"), "{error}");
    }
}
