//! The kinds of configuration errors, for programs.

use std::fmt;

use serde::Serialize;

/// What kind of error it is: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// There is no such file.
    FileMissing,
    /// The file is there and cannot be read.
    FileUnreadable,
    /// The file is larger than [`CONFIG_BYTES_MAX`](super::CONFIG_BYTES_MAX).
    FileTooLarge,
    /// The file is not UTF-8.
    NotUtf8,
    /// The text is not TOML.
    Syntax,
    /// The file is written in a format this program does not know.
    UnknownFormat,
    /// A key that means nothing there.
    UnknownKey,
    /// A value of the wrong type.
    BadType,
    /// A value of the right type that cannot be used.
    BadValue,
    /// A number out of its range.
    OutOfRange,
    /// A name that breaks the rules of names.
    BadName,
    /// An address that cannot be read or used there.
    BadAddress,
    /// A role that is needed but not described, or described but not in the program.
    UnknownRole,
    /// Two servers with one id, or a server with the id of a service.
    DuplicateId,
    /// Two servers or roles that want the same address.
    DuplicateAddress,
    /// Roles that need each other in a circle.
    NeedsCycle,
    /// Two keys that exclude each other.
    Conflict,
    /// A value that must be given and is not.
    Missing,
    /// More of something than an ensemble may have.
    TooMany,
}

impl ErrorCode {
    /// The code as text, such as `unknown-key`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FileMissing => "file-missing",
            Self::FileUnreadable => "file-unreadable",
            Self::FileTooLarge => "file-too-large",
            Self::NotUtf8 => "not-utf8",
            Self::Syntax => "syntax",
            Self::UnknownFormat => "unknown-format",
            Self::UnknownKey => "unknown-key",
            Self::BadType => "bad-type",
            Self::BadValue => "bad-value",
            Self::OutOfRange => "out-of-range",
            Self::BadName => "bad-name",
            Self::BadAddress => "bad-address",
            Self::UnknownRole => "unknown-role",
            Self::DuplicateId => "duplicate-id",
            Self::DuplicateAddress => "duplicate-address",
            Self::NeedsCycle => "needs-cycle",
            Self::Conflict => "conflict",
            Self::Missing => "missing",
            Self::TooMany => "too-many",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
