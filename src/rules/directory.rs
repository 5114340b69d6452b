//! The directory of parties: who belongs to whom, and which addresses are our own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{Party, PartyKind};

/// Domains where anybody can have an address; they never belong to a party.
pub(super) const PUBLIC_DOMAINS: [&str; 14] = [
    "gmail.com",
    "googlemail.com",
    "hotmail.com",
    "hotmail.no",
    "outlook.com",
    "live.com",
    "live.no",
    "msn.com",
    "yahoo.com",
    "yahoo.no",
    "icloud.com",
    "me.com",
    "online.no",
    "proton.me",
];

/// Whether anybody can have an address in the domain.
pub fn is_public_domain(domain: &str) -> bool {
    PUBLIC_DOMAINS
        .iter()
        .any(|public| public.eq_ignore_ascii_case(domain))
}

/// A sender with a person behind it («eDialog»).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portal {
    /// Stable ASCII id.
    pub id: String,
    /// Name as it stands in the display name.
    pub name: String,
    /// Addresses that it sends from, in lower case.
    pub addresses: Vec<String>,
    /// Domains that only it sends from, in lower case.
    pub domains: Vec<String>,
    /// Whether its Reply-To reaches the person behind it.
    pub use_reply_to: bool,
    pub(super) sender_labels: Vec<String>,
    pub(super) title_labels: Vec<String>,
    pub(super) drop_labels: Vec<String>,
    pub(super) boilerplate: Vec<String>,
    pub(super) footer: Vec<String>,
}

impl Portal {
    /// Whether it sends from this address: a listed one, or one in a domain of its own.
    pub(super) fn sends_from(&self, address: &str) -> bool {
        let (address, domain) = (plain(address), domain(address));
        self.addresses.iter().any(|known| *known == address)
            || domain.is_some_and(|domain| self.domains.iter().any(|known| *known == domain))
    }
}

/// The parties and the own organisation.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    pub(super) parties: Vec<Party>,
    pub(super) by_id: BTreeMap<String, usize>,
    pub(super) by_address: BTreeMap<String, usize>,
    pub(super) by_domain: BTreeMap<String, BTreeSet<usize>>,
    pub(super) own_addresses: BTreeSet<String>,
    pub(super) own_domains: BTreeSet<String>,
    pub(super) message_id_domains: BTreeSet<String>,
    pub(super) portals: Vec<Portal>,
}

/// An address as it is compared: lower case, without a +tag.
pub(super) fn plain(address: &str) -> Cow<'_, str> {
    let lower = lower(address.trim());
    let parts = lower.rsplit_once('@');
    match parts.and_then(|(local, domain)| Some((local.split_once('+')?.0, domain))) {
        Some((before, domain)) => Cow::Owned(format!("{before}@{domain}")),
        None => lower,
    }
}

fn domain(address: &str) -> Option<Cow<'_, str>> {
    let (_, domain) = address.trim().rsplit_once('@')?;
    Some(lower(domain))
}

/// The text in lower case, as most addresses are.
fn lower(text: &str) -> Cow<'_, str> {
    let is_lower = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if text.bytes().all(is_lower) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

impl Directory {
    /// The party with that id.
    pub fn party(&self, id: &str) -> Option<&Party> {
        self.by_id
            .get(id)
            .and_then(|index| self.parties.get(*index))
    }

    /// All parties, in the order of their ids.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        self.by_id
            .values()
            .filter_map(|index| self.parties.get(*index))
    }

    /// The portals.
    pub fn portals(&self) -> &[Portal] {
        &self.portals
    }

    /// The portal that sends from this address.
    pub fn portal_of(&self, address: &str) -> Option<&Portal> {
        self.portals
            .iter()
            .find(|portal| portal.sends_from(address))
    }

    /// The party that an address belongs to: by its being listed (a +tag and letter case ignored), or by a domain that
    /// exactly one party lists. Domains that several parties list tell nothing.
    pub fn party_of_address(&self, address: &str) -> Option<&Party> {
        self.index_of_address(address)
            .and_then(|index| self.parties.get(index))
    }

    pub(super) fn index_of_address(&self, address: &str) -> Option<usize> {
        if let Some(index) = self.by_address.get(&*plain(address)) {
            return Some(*index);
        }
        let owners = self.by_domain.get(&*domain(address)?)?;
        match owners.iter().collect::<Vec<_>>().as_slice() {
            [one] => Some(**one),
            _ => None,
        }
    }

    /// What the parties that list the address or its domain are, when they are all the same.
    pub(super) fn kind_of_address(&self, address: &str) -> Option<PartyKind> {
        if let Some(party) = self.party_of_address(address) {
            return Some(party.kind);
        }
        let owners = self.by_domain.get(&*domain(address)?)?;
        let mut kinds = owners
            .iter()
            .filter_map(|index| self.parties.get(*index))
            .map(|party| party.kind);
        let first = kinds.next()?;
        kinds.all(|kind| kind == first).then_some(first)
    }

    /// Whether the address belongs to the party, as in [`Directory::party_of_address`].
    pub fn belongs(&self, address: &str, party_id: &str) -> bool {
        self.party_of_address(address)
            .is_some_and(|party| party.id == party_id)
    }

    /// Whether this installation sends from or watches the address; a +tag and letter case are ignored.
    pub fn is_own(&self, address: &str) -> bool {
        self.own_addresses.contains(&*plain(address))
    }

    /// Whether the address is one of the own organisation: [`Directory::is_own`], or in one of its domains.
    pub fn is_own_organisation(&self, address: &str) -> bool {
        self.is_own(address)
            || domain(address).is_some_and(|domain| self.own_domains.contains(&*domain))
    }

    /// Whether a Message-ID (without angle brackets) has a right-hand side that we use.
    pub(super) fn is_own_message_id(&self, id: &str) -> bool {
        domain(id).is_some_and(|domain| self.message_id_domains.contains(&*domain))
    }

    /// The samhandlingsavdeling, the place for doubt.
    pub fn samhandling(&self) -> Option<&Party> {
        self.parties()
            .find(|party| party.kind == PartyKind::Samhandling)
    }
}
