//! Messages by hand: as a file, as text, and as a sequence of frames on a screen.
//!
//! ```text
//! file    the binary message of Carried, at most 1 MiB
//! text    feiqian:offline:<base64url of the file>                          where it fits a QR code
//! frames  feiqian:frame:<number>/<count>:<checksum>:<base64url of a part>  shown one after the other, in any order
//! ```
//!
//! The checksum is the first 8 bytes of `D("offline-cash/frames"; file)` in hexadecimal. It guards against mixing frames of
//! two messages, not against an adversary: every message is checked by itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feiqian_crypto::Transcript;
use feiqian_wire::codec::{self, Limit};
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::pay::Payment;
use crate::request::SignedRequest;
use crate::transfer::{Nonce, OfferCommitment, OfferOpening, Transfer};

/// The longest message as one text, in characters.
pub const MAX_URI: usize = 1500;

/// Bytes of the file in one frame.
pub const FRAME_BYTES: usize = 600;

/// The most frames of one message: 1 MiB.
pub const MAX_FRAMES: usize = Limit::Large.bytes().div_ceil(FRAME_BYTES);

/// The longest frame, in characters.
pub const MAX_FRAME: usize = 900;

const TEXT: &str = "feiqian:offline:";
const FRAME: &str = "feiqian:frame:";

/// What is carried by hand.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Carried {
    /// Payee to payer: pay this.
    Request(SignedRequest),
    /// Payer to payee.
    Payment(Payment),
    /// Payee to payer: an offer will follow.
    Commitment(OfferCommitment),
    /// Payer to payee: open it.
    Nonce(Nonce),
    /// Payee to payer: the offer.
    Opening(OfferOpening),
    /// Payer to payee.
    Transfer(Transfer),
}

impl Carried {
    /// As the bytes of a file.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] above 1 MiB.
    pub fn to_file(&self) -> Result<Vec<u8>, Rejection> {
        codec::encode(self).map_err(|_| Rejection::LimitExceeded("1 MiB in one message"))
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// [`Rejection::Malformed`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, Rejection> {
        codec::decode(bytes, Limit::Large).map_err(|_| Rejection::Malformed("not an offline message"))
    }

    /// As text that fits a QR code.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] above [`MAX_URI`] characters: carry a file, or [frames](Self::to_frames).
    pub fn to_uri(&self) -> Result<String, Rejection> {
        let uri = format!("{TEXT}{}", URL_SAFE_NO_PAD.encode(self.to_file()?));
        if uri.len() > MAX_URI {
            return Err(Rejection::LimitExceeded("1,500 characters as one text"));
        }
        Ok(uri)
    }

    /// From text.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] saying what is wrong with it.
    pub fn from_uri(uri: &str) -> Result<Self, Rejection> {
        let uri = uri.trim();
        if uri.len() > MAX_URI {
            return Err(Rejection::Malformed("longer than 1,500 characters"));
        }
        let text =
            uri.strip_prefix(TEXT).ok_or(Rejection::Malformed("does not start with feiqian:offline:"))?;
        Self::from_file(&decode(text)?)
    }

    /// As frames, each to be shown as a QR code, over and over.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] above 1 MiB.
    pub fn to_frames(&self) -> Result<Vec<String>, Rejection> {
        let file = self.to_file()?;
        let (count, checksum) = (file.len().div_ceil(FRAME_BYTES), checksum(&file));
        let frame = |(number, part): (usize, &[u8])| {
            format!("{FRAME}{number}/{count}:{checksum}:{}", URL_SAFE_NO_PAD.encode(part))
        };
        Ok((1..).zip(file.chunks(FRAME_BYTES)).map(frame).collect())
    }
}

fn decode(text: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Rejection::Malformed("not base64url text"))
}

fn checksum(file: &[u8]) -> String {
    let digest = Transcript::new("offline-cash/frames").bytes(file).into_digest();
    digest.to_string().chars().take(16).collect()
}

/// A frame as it was read.
struct Frame<'a> {
    number: usize,
    count: usize,
    checksum: &'a str,
    part: Vec<u8>,
}

impl<'a> Frame<'a> {
    fn read(text: &'a str) -> Result<Self, Rejection> {
        const WHAT: Rejection = Rejection::Malformed("not a frame");
        let text = text.trim();
        if text.len() > MAX_FRAME {
            return Err(WHAT);
        }
        let mut fields = text.strip_prefix(FRAME).ok_or(WHAT)?.split(':');
        let (Some(place), Some(checksum), Some(part), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(WHAT);
        };
        let (number, count) = place.split_once('/').ok_or(WHAT)?;
        let (number, count) = (canonical(number).ok_or(WHAT)?, canonical(count).ok_or(WHAT)?);
        let hex = checksum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if count > MAX_FRAMES || number < 1 || number > count || checksum.len() != 16 || !hex {
            return Err(WHAT);
        }
        let part = decode(part)?;
        let full = part.len() == FRAME_BYTES || (number == count && (1..FRAME_BYTES).contains(&part.len()));
        if full { Ok(Self { number, count, checksum, part }) } else { Err(WHAT) }
    }
}

/// A number without sign or leading zero.
fn canonical(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number: &usize| number.to_string() == text)
}

/// Collects the frames of one message, in any order and as often as they are seen.
#[derive(Debug, Default)]
pub struct Collector {
    checksum: String,
    parts: Vec<Option<Vec<u8>>>,
}

/// How far a [`Collector`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many frames of so many are here.
    Waiting {
        /// Frames seen.
        seen: usize,
        /// Frames in all.
        count: usize,
    },
    /// All frames are here: the message.
    Complete(Box<Carried>),
}

impl Collector {
    /// With no frame yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the camera saw. Frames of another message than the first one's are refused and change nothing.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] for what is no frame of the message, or when the whole does not fit its checksum: the
    /// collector is then empty again.
    pub fn add(&mut self, text: &str) -> Result<Progress, Rejection> {
        let Frame { number, count, checksum: sum, part } = Frame::read(text)?;
        if self.parts.is_empty() {
            self.parts = vec![None; count];
            sum.clone_into(&mut self.checksum);
        }
        if self.parts.len() != count || self.checksum != sum {
            return Err(Rejection::Malformed("a frame of another message"));
        }
        if let Some(slot) = self.parts.get_mut(number.saturating_sub(1)) {
            *slot = Some(part);
        }
        let seen = self.parts.iter().flatten().count();
        if seen < count {
            return Ok(Progress::Waiting { seen, count });
        }
        let file: Vec<u8> = core::mem::take(&mut self.parts).into_iter().flatten().flatten().collect();
        if checksum(&file) != self.checksum {
            return Err(Rejection::Malformed("the frames do not fit together"));
        }
        Carried::from_file(&file).map(|carried| Progress::Complete(Box::new(carried)))
    }
}
