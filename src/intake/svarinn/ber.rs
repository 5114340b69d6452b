//! Just enough BER (X.690) to read CMS and certificates: definite and indefinite lengths, strings in pieces.
//!
//! Bounded: nothing is copied but strings in pieces, and nothing is followed deeper than [`DEPTH_MAX`]. A whole ASN.1
//! library was measured and left out: it costs more build time than everything else here together, for six types.

use std::borrow::Cow;

/// Levels within levels; CMS has about ten.
const DEPTH_MAX: usize = 24;

pub(super) const INTEGER: Tag = Tag::universal(2);
pub(super) const BIT_STRING: Tag = Tag::universal(3);
pub(super) const OCTET_STRING: Tag = Tag::universal(4);
pub(super) const OID: Tag = Tag::universal(6);
pub(super) const SEQUENCE: Tag = Tag::universal(16);
pub(super) const SET: Tag = Tag::universal(17);
pub(super) const UTC_TIME: Tag = Tag::universal(23);
pub(super) const GENERALIZED_TIME: Tag = Tag::universal(24);

/// Class and number of a value; whether it is made of others stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    class: u8,
    number: u8,
}

impl Tag {
    const fn universal(number: u8) -> Self {
        Self { class: 0, number }
    }

    const fn of(first: u8) -> Self {
        Self {
            class: first >> 6,
            number: first & 0x1f,
        }
    }

    /// `[number]`.
    pub(super) const fn context(number: u8) -> Self {
        Self { class: 2, number }
    }
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BerError {
    /// They end before the value does.
    #[error("it ends too early")]
    Truncated,
    /// They are something else.
    #[error("it is not what it should be")]
    Unexpected,
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) tag: Tag,
    constructed: bool,
    /// What stands in it, without the mark that ends an indefinite length.
    content: &'a [u8],
    /// All of it.
    pub(super) whole: &'a [u8],
}

impl<'a> Value<'a> {
    /// The value that the bytes begin with, and the rest.
    pub(super) fn read(input: &'a [u8]) -> Result<(Self, &'a [u8]), BerError> {
        read_at(input, 0)
    }

    /// The same when it must have this tag.
    pub(super) fn expect(input: &'a [u8], tag: Tag) -> Result<(Self, &'a [u8]), BerError> {
        // Looked at first: something else altogether need not be as long as it would say.
        let first = input.first().ok_or(BerError::Truncated)?;
        if Tag::of(*first) != tag {
            return Err(BerError::Unexpected);
        }
        Self::read(input)
    }

    /// The values in it.
    pub(super) fn parts(&self) -> Result<Parts<'a>, BerError> {
        if self.constructed {
            Ok(Parts { rest: self.content })
        } else {
            Err(BerError::Unexpected)
        }
    }

    /// The bytes of a value that is not made of others (INTEGER, OBJECT IDENTIFIER, times).
    pub(super) fn bytes(&self) -> Result<&'a [u8], BerError> {
        if self.constructed {
            Err(BerError::Unexpected)
        } else {
            Ok(self.content)
        }
    }

    /// The bytes of a string, put together when it comes in pieces.
    pub(super) fn octets(&self) -> Result<Cow<'a, [u8]>, BerError> {
        if !self.constructed {
            return Ok(Cow::Borrowed(self.content));
        }
        let mut whole = Vec::with_capacity(self.content.len());
        collect(self.content, &mut whole, 0)?;
        Ok(Cow::Owned(whole))
    }
}

fn collect(mut content: &[u8], whole: &mut Vec<u8>, depth: usize) -> Result<(), BerError> {
    if depth > DEPTH_MAX {
        return Err(BerError::Unexpected);
    }
    while !content.is_empty() {
        let (piece, rest) = Value::expect(content, OCTET_STRING)?;
        if piece.constructed {
            collect(piece.content, whole, depth.saturating_add(1))?;
        } else {
            whole.extend_from_slice(piece.content);
        }
        content = rest;
    }
    Ok(())
}

/// The values in a value, in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The next one, which must have this tag.
    pub(super) fn expect(&mut self, tag: Tag) -> Result<Value<'a>, BerError> {
        let (value, rest) = Value::expect(self.rest, tag)?;
        self.rest = rest;
        Ok(value)
    }

    /// The next one, if it has this tag.
    pub(super) fn optional(&mut self, tag: Tag) -> Result<Option<Value<'a>>, BerError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (value, rest) = Value::read(self.rest)?;
        if value.tag != tag {
            return Ok(None);
        }
        self.rest = rest;
        Ok(Some(value))
    }

    /// The next one, whatever it is.
    pub(super) fn any(&mut self) -> Result<Option<Value<'a>>, BerError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (value, rest) = Value::read(self.rest)?;
        self.rest = rest;
        Ok(Some(value))
    }
}

fn read_at(input: &[u8], depth: usize) -> Result<(Value<'_>, &[u8]), BerError> {
    if depth > DEPTH_MAX {
        return Err(BerError::Unexpected);
    }
    let (&first, after_tag) = input.split_first().ok_or(BerError::Truncated)?;
    let tag = Tag::of(first);
    if tag.number == 0x1f {
        // Numbers above 30 do not occur here.
        return Err(BerError::Unexpected);
    }
    let constructed = first & 0x20 != 0;
    let (&length, after) = after_tag.split_first().ok_or(BerError::Truncated)?;
    if length == 0x80 {
        if !constructed {
            return Err(BerError::Unexpected);
        }
        return indefinite(input, after, tag, depth);
    }
    let (length, after) = if length & 0x80 == 0 {
        (usize::from(length), after)
    } else {
        let count = usize::from(length & 0x7f);
        if count > 8 {
            return Err(BerError::Unexpected);
        }
        let (digits, after) = after.split_at_checked(count).ok_or(BerError::Truncated)?;
        let value = digits
            .iter()
            .fold(0_u64, |value, digit| (value << 8) | u64::from(*digit));
        (
            usize::try_from(value).map_err(|_| BerError::Truncated)?,
            after,
        )
    };
    let (content, rest) = after.split_at_checked(length).ok_or(BerError::Truncated)?;
    let value = Value {
        tag,
        constructed,
        content,
        whole: until(input, rest),
    };
    Ok((value, rest))
}

fn indefinite<'a>(
    input: &'a [u8],
    content: &'a [u8],
    tag: Tag,
    depth: usize,
) -> Result<(Value<'a>, &'a [u8]), BerError> {
    let mut rest = content;
    loop {
        if let Some(after) = rest.strip_prefix(&[0, 0]) {
            let value = Value {
                tag,
                constructed: true,
                content: until(content, rest),
                whole: until(input, after),
            };
            return Ok((value, after));
        }
        rest = read_at(rest, depth.saturating_add(1))?.1;
    }
}

/// The beginning of `input` up to its ending `rest`.
fn until<'a>(input: &'a [u8], rest: &[u8]) -> &'a [u8] {
    let length = input.len().saturating_sub(rest.len());
    input.get(..length).unwrap_or(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definite_and_indefinite_lengths_say_the_same() {
        let definite = [0x30, 7, 2, 1, 5, 4, 2, b'h', b'i'];
        let pieces = [
            0x30, 0x80, 2, 1, 5, 0x24, 0x80, 4, 1, b'h', 0x24, 3, 4, 1, b'i', 0, 0, 0, 0, 99,
        ];
        for (input, rest) in [(&definite[..], &[][..]), (&pieces[..], &[99][..])] {
            let (value, after) = Value::expect(input, SEQUENCE).unwrap();
            assert_eq!(after, rest);
            assert_eq!(value.whole.len(), input.len() - rest.len());
            let mut parts = value.parts().unwrap();
            assert_eq!(parts.optional(OID).unwrap(), None);
            assert_eq!(parts.expect(INTEGER).unwrap().bytes().unwrap(), [5]);
            let text = parts.expect(OCTET_STRING).unwrap();
            assert_eq!(text.octets().unwrap().as_ref(), b"hi");
            assert!(parts.any().unwrap().is_none());
        }
    }

    #[test]
    fn what_is_cut_or_hostile_is_an_error_and_no_more() {
        let pieces = [0x30, 0x80, 2, 1, 5, 0x24, 0x80, 4, 1, b'h', 0, 0, 0, 0];
        for end in 0..pieces.len() {
            assert_eq!(
                Value::read(&pieces[..end]).unwrap_err(),
                BerError::Truncated
            );
        }
        for hostile in [
            &[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1][..],
            &[0x3f, 0x81, 0x81, 1],
            &[0x04, 0x80, 0, 0],
        ] {
            assert_eq!(Value::read(hostile).unwrap_err(), BerError::Unexpected);
        }
        assert_eq!(
            Value::read(&[0x04, 0x88, 255, 255, 255, 255, 255, 255, 255, 255]).unwrap_err(),
            BerError::Truncated
        );
        let deep = [0x30, 0x80].repeat(100_000);
        assert_eq!(Value::read(&deep).unwrap_err(), BerError::Unexpected);
    }
}
