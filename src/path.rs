//! Addresses as text: `actor://system/path`, checked when they are read, while compiling for a
//! literal.

use std::fmt;

/// Names an actor by text: `actor://SYSTEM/NAME`.
///
/// `SYSTEM` is the system's name ([`System::name`](crate::System::name)), or `system` for whichever
/// system resolves it: 1 or more of `A-Z a-z 0-9 - _ .`. `NAME` is the name that the actor is
/// registered under: 1 to 255 bytes without spaces and control characters, in parts that `/`
/// separates, none of them empty.
///
/// It is text that is known to be well formed, and no more: [`System::resolve`] looks for the actor.
///
/// [`System::resolve`]: crate::System::resolve
///
/// # Examples
///
/// ```
/// use mainspring::{ActorPath, PathError, actor_path};
///
/// const BACKEND: ActorPath = actor_path!("actor://system/backend/main");
/// assert_eq!((BACKEND.system(), BACKEND.name()), ("system", "backend/main"));
/// assert_eq!(BACKEND.to_string(), "actor://system/backend/main");
/// assert_eq!(ActorPath::parse("actor://system"), Err(PathError::NoName));
/// assert_eq!(ActorPath::parse("actor://system/a//b"), Err(PathError::EmptyPart { at: 17 }));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorPath<'a> {
    system: &'a str,
    name: &'a str,
}

/// Why a text is no [`ActorPath`]. Positions are bytes from the text's begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with `actor://`.
    NoScheme,
    /// Nothing stands between `actor://` and the next `/`.
    NoSystem,
    /// There is no `/` with a name behind it after the system.
    NoName,
    /// A part of the name is empty.
    EmptyPart {
        /// Where it would begin.
        at: usize,
    },
    /// This character is not allowed there.
    Character {
        /// Where it is.
        at: usize,
    },
    /// The name has more than 255 bytes.
    TooLong {
        /// How many it has.
        bytes: usize,
    },
}

impl PathError {
    /// What was expected.
    pub const fn message(&self) -> &'static str {
        match self {
            Self::NoScheme => "an actor's path begins with `actor://`",
            Self::NoSystem => "a system's name was expected after `actor://`",
            Self::NoName => "`/` and an actor's name were expected after the system's name",
            Self::EmptyPart { .. } => "a part of the name is empty",
            Self::Character { .. } => {
                "this character is not allowed: a system's name has A-Z a-z 0-9 - _ . and an \
                 actor's name no spaces and control characters"
            }
            Self::TooLong { .. } => "an actor's name has at most 255 bytes",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        match self {
            Self::EmptyPart { at } | Self::Character { at } => write!(f, ", at byte {at}"),
            Self::TooLong { bytes } => write!(f, ", not {bytes}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for PathError {}

const SCHEME: &str = "actor://";
/// The longest name of an actor, in bytes.
const NAME_BYTES_MAX: usize = 255;

impl<'a> ActorPath<'a> {
    /// Reads `text`; in a constant too, see [`actor_path!`](crate::actor_path).
    ///
    /// # Errors
    ///
    /// [`PathError`], of the first thing that is wrong.
    pub const fn parse(text: &'a str) -> Result<Self, PathError> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < SCHEME.len() {
            if at >= bytes.len() || bytes[at] != SCHEME.as_bytes()[at] {
                return Err(PathError::NoScheme);
            }
            at += 1;
        }
        while at < bytes.len() && bytes[at] != b'/' {
            if !(bytes[at].is_ascii_alphanumeric() || matches!(bytes[at], b'-' | b'_' | b'.')) {
                return Err(PathError::Character { at });
            }
            at += 1;
        }
        if at == SCHEME.len() {
            return Err(PathError::NoSystem);
        }
        if at + 1 >= bytes.len() {
            return Err(PathError::NoName);
        }
        let slash = at;
        while at < bytes.len() {
            match bytes[at] {
                b'/' if at + 1 == bytes.len() || bytes[at + 1] == b'/' => {
                    return Err(PathError::EmptyPart { at: at + 1 });
                }
                b' ' => return Err(PathError::Character { at }),
                byte if byte.is_ascii_control() => return Err(PathError::Character { at }),
                _ => at += 1,
            }
        }
        let (front, name) = text.split_at(slash + 1);
        if name.len() > NAME_BYTES_MAX {
            return Err(PathError::TooLong { bytes: name.len() });
        }
        let (_, system) = front.split_at(SCHEME.len());
        let (system, _) = system.split_at(system.len() - 1);
        Ok(Self { system, name })
    }

    /// The system's name, or `system` for whichever it is.
    pub const fn system(&self) -> &'a str {
        self.system
    }

    /// The actor's name.
    pub const fn name(&self) -> &'a str {
        self.name
    }
}

impl fmt::Display for ActorPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.system, self.name)
    }
}

impl fmt::Debug for ActorPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An [`ActorPath`] of a literal; one that is not well formed does not compile.
///
/// ```compile_fail,E0080
/// let _ = mainspring::actor_path!("actor:/system/backend");
/// ```
#[macro_export]
macro_rules! actor_path {
    ($text:expr) => {
        const {
            match $crate::ActorPath::parse($text) {
                Ok(path) => path,
                Err(error) => panic!("{}", error.message()),
            }
        }
    };
}
