//! A set of strings as a tree of their letters: who follows a text along it takes one step for each letter, however many
//! strings there are, and leaves it where no string goes on.

/// The tree. A string is known by its place in the list that the tree was made of.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

/// A place in the tree: what has been read so far is the beginning of a string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place(u32);

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// A bit for each symbol with which a string goes on.
    next: u64,
    /// The node of the lowest of these symbols; those of the others follow it.
    first: u32,
    /// The string that ends here, counted from 1; 0 for none.
    string: u32,
}

/// Bytes that are one symbol: those that rules are written in. Every other byte is two, of four bits each.
const COMMON: u8 = 29;

/// The symbol of a common byte.
#[inline]
pub(super) const fn common(byte: u8) -> Option<u8> {
    match byte {
        b' ' => Some(0),
        b'0' => Some(1),
        b'_' => Some(2),
        b'a'..=b'z' => Some(byte.wrapping_sub(b'a').wrapping_add(3)),
        _ => None,
    }
}

/// The symbols of another byte: there are 29 common ones and 2 × 16 of these, fewer than the bits of a [`Node`].
const fn rare(byte: u8) -> [u8; 2] {
    [
        (byte >> 4).wrapping_add(COMMON),
        (byte & 15).wrapping_add(COMMON).wrapping_add(16),
    ]
}

const fn bit(symbol: u8) -> u64 {
    1 << (symbol & 63)
}

impl Trie {
    /// Of different strings, none of them empty.
    pub(super) fn new<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut rows: Vec<(Vec<u8>, u32)> = strings
            .zip(1..)
            .map(|(string, number)| (symbols(string), number))
            .collect();
        rows.sort_unstable();
        let mut nodes = vec![Node::default()];
        // The rows that have come to a node, and how many symbols they have in common. Deep before wide, so that the nodes
        // of the end of a string, which it shares with no other, are neighbours and come into the processor together.
        let mut open = vec![(0_usize, rows.as_slice(), 0_usize)];
        while let Some((at, rows, depth)) = open.pop() {
            let mut node = Node {
                first: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
                ..Node::default()
            };
            for rows in rows.chunk_by(|a, b| a.0.get(depth) == b.0.get(depth)) {
                let Some((row, number)) = rows.first() else {
                    continue;
                };
                match row.get(depth) {
                    Some(symbol) => {
                        node.next |= bit(*symbol);
                        open.push((nodes.len(), rows, depth.saturating_add(1)));
                        nodes.push(Node::default());
                    }
                    None => node.string = *number,
                }
            }
            if let Some(slot) = nodes.get_mut(at) {
                *slot = node;
            }
        }
        nodes.shrink_to_fit();
        Self { nodes }
    }

    /// The string that is the same as this one.
    pub(super) fn find(&self, string: &[u8]) -> Option<u32> {
        let mut bytes = string.iter();
        let end = bytes.try_fold(Place::default(), |place, byte| self.step(place, *byte))?;
        self.string(end)
    }

    /// Where a string goes on with the byte.
    #[inline]
    pub(super) fn step(&self, place: Place, byte: u8) -> Option<Place> {
        if let Some(symbol) = common(byte) {
            return self.next(place, symbol);
        }
        let [high, low] = rare(byte);
        self.next(self.next(place, high)?, low)
    }

    /// The string that ends there.
    #[inline]
    pub(super) fn string(&self, place: Place) -> Option<u32> {
        self.node(place)?.string.checked_sub(1)
    }

    #[inline]
    fn node(&self, place: Place) -> Option<&Node> {
        self.nodes.get(usize::try_from(place.0).ok()?)
    }

    /// Where a string goes on with the symbol of a [`common`] byte.
    #[inline]
    pub(super) fn next(&self, place: Place, symbol: u8) -> Option<Place> {
        let node = self.node(place)?;
        let bit = bit(symbol);
        if node.next & bit == 0 {
            return None;
        }
        let before = (node.next & bit.wrapping_sub(1)).count_ones();
        Some(Place(node.first.saturating_add(before)))
    }
}

fn symbols(string: &[u8]) -> Vec<u8> {
    let mut symbols = Vec::with_capacity(string.len());
    for byte in string {
        match common(*byte) {
            Some(symbol) => symbols.push(symbol),
            None => symbols.extend(rare(*byte)),
        }
    }
    symbols
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each string leads to itself, and nothing else leads to one.
        #[test]
        fn a_string_is_found_where_it_ends(
            strings in proptest::collection::btree_set("[a-cæ0-2 \u{4e00}]{1,5}", 0..40),
            text in "[a-cæ0-2 \u{4e00}]{0,8}",
        ) {
            let strings: Vec<String> = strings.into_iter().collect();
            let trie = Trie::new(strings.iter().map(String::as_bytes));
            for start in 0..text.len() {
                let mut place = Some(Place::default());
                for end in start..text.len() {
                    place = place.and_then(|place| trie.step(place, text.as_bytes()[end]));
                    let read = &text.as_bytes()[start..=end];
                    let expected = strings.iter().position(|string| string.as_bytes() == read);
                    let found = place.and_then(|place| trie.string(place));
                    prop_assert_eq!(found.map(|found| found as usize), expected);
                    let is_start = strings.iter().any(|string| string.as_bytes().starts_with(read));
                    prop_assert!(place.is_some() || !is_start);
                }
            }
        }

        #[test]
        fn all_bytes_are_told_apart(bytes in proptest::collection::btree_set(any::<u8>(), 0..60)) {
            let strings: Vec<[u8; 1]> = bytes.iter().map(|byte| [*byte]).collect();
            let trie = Trie::new(strings.iter().map(<[u8; 1]>::as_slice));
            for byte in 0..=u8::MAX {
                let found = trie.step(Place::default(), byte).and_then(|place| trie.string(place));
                let expected = strings.iter().position(|string| *string == [byte]);
                prop_assert_eq!(found.map(|found| found as usize), expected);
            }
        }
    }
}
