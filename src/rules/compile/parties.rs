//! Parties and portals: their addresses, domains, and names.

use std::collections::BTreeMap;

use super::{Compiler, STRENGTH_MAX, line_key};
use crate::rules::directory::{PUBLIC_DOMAINS, Portal, plain};
use crate::rules::lexicon::Style;
use crate::rules::model::{Entry, Use};
use crate::rules::raw;
use crate::rules::{Party, PartyKind};

/// Lines of a portal that say how, not what; replaced by `drop_labels`.
const DROP_LABELS: [&str; 4] = ["Til", "Mottatt", "Antall vedlegg", "Melding"];

impl Compiler {
    pub(super) fn parties(&mut self, files: &[(String, raw::File)]) {
        let general = files.iter().find_map(|(file, content)| {
            let table = content.directory_strengths.as_ref()?;
            Some((file, table))
        });
        let mut defaults: BTreeMap<Entry, i64> = [
            (Entry::Aliases, 6),
            (Entry::Units, 6),
            (Entry::Words, 2),
            (Entry::Places, 3),
            (Entry::Postcodes, 2),
        ]
        .into();
        if let Some((file, table)) = general {
            self.override_strengths(file, table.get_ref(), &mut defaults);
        }
        let mut ids = BTreeMap::new();
        let mut claimed: BTreeMap<String, String> = BTreeMap::new();
        for (file, content) in files {
            for party in &content.parties {
                if self.id(file, &party.id, "parten", &mut ids) {
                    self.party(file, party, &defaults, &mut claimed);
                }
            }
        }
    }

    fn override_strengths(
        &mut self,
        file: &str,
        table: &raw::DirectoryStrengths,
        into: &mut BTreeMap<Entry, i64>,
    ) {
        let all = [
            (Entry::Aliases, &table.aliases),
            (Entry::Units, &table.units),
            (Entry::Words, &table.words),
            (Entry::Places, &table.places),
            (Entry::Postcodes, &table.postcodes),
        ];
        for (entry, number) in all {
            if let Some(number) = number {
                into.insert(
                    entry,
                    self.ranged(file, number, 0..=STRENGTH_MAX, "styrken"),
                );
            }
        }
    }

    fn party(
        &mut self,
        file: &str,
        party: &raw::Party,
        defaults: &BTreeMap<Entry, i64>,
        claimed: &mut BTreeMap<String, String>,
    ) {
        let index = self.directory.parties.len();
        let id = party.id.get_ref().clone();
        let mut strengths = defaults.clone();
        self.override_strengths(file, &party.strengths, &mut strengths);
        let addresses = self.party_addresses(file, party, index, claimed);
        let domains = self.party_domains(file, party, index);
        self.term(
            file,
            &party.name,
            Style::Name,
            Use::Party(index, Entry::Aliases),
        );
        for (entry, texts, style) in [
            (Entry::Aliases, &party.aliases, Style::Name),
            (Entry::Units, &party.units, Style::Name),
            (Entry::Words, &party.words, Style::Rule),
            (Entry::Places, &party.places, Style::Name),
            (Entry::Postcodes, &party.postcodes, Style::Name),
        ] {
            for text in texts {
                self.term(file, text, style, Use::Party(index, entry));
            }
        }
        self.strengths.push(strengths);
        self.directory.by_id.insert(id.clone(), index);
        self.directory.parties.push(Party {
            id,
            name: party.name.get_ref().clone(),
            kind: party.kind,
            send_to: party
                .send_to
                .iter()
                .map(|text| text.get_ref().clone())
                .collect(),
            addresses,
            domains,
            secure: party.secure,
            approval: party.approval,
            language: party.language,
        });
    }

    fn party_addresses(
        &mut self,
        file: &str,
        party: &raw::Party,
        index: usize,
        claimed: &mut BTreeMap<String, String>,
    ) -> Vec<String> {
        let mut addresses: Vec<String> = Vec::new();
        for text in party.send_to.iter().chain(&party.addresses) {
            if !self.address(file, text) {
                continue;
            }
            let address = plain(text.get_ref()).into_owned();
            if addresses.contains(&address) {
                continue;
            }
            if self.directory.own_addresses.contains(&address)
                && party.kind != PartyKind::Samhandling
            {
                let help = "sakene ville gått i ring; skriv partens egen adresse";
                self.fault(
                    file,
                    text.span(),
                    format!("«{}» er en av våre egne adresser i [own]", text.get_ref()),
                    help,
                );
                continue;
            }
            if let Some(other) = claimed.get(&address) {
                let help =
                    format!("den står også hos «{other}»; en adresse kan bare høre til én part");
                self.fault(
                    file,
                    text.span(),
                    format!("«{}» er brukt av to parter", text.get_ref()),
                    help,
                );
                continue;
            }
            claimed.insert(address.clone(), party.id.get_ref().clone());
            self.directory.by_address.insert(address.clone(), index);
            addresses.push(address);
        }
        addresses
    }

    /// The domains that a party or a portal lists, in lower case, without those that cannot be meant.
    fn domains(&mut self, file: &str, texts: &[raw::Text]) -> Vec<String> {
        let mut domains: Vec<String> = Vec::new();
        for text in texts {
            let domain = text.get_ref().trim().to_lowercase();
            if domain.is_empty() || domain.contains(['@', ' ', '*']) || domain.starts_with('.') {
                self.fault(
                    file,
                    text.span(),
                    format!("«{domain}» er ikke noe domene"),
                    "skriv det som står etter @",
                );
            } else if PUBLIC_DOMAINS.contains(&domain.as_str()) {
                self.fault(
                    file,
                    text.span(),
                    format!("«{domain}» er et åpent domene"),
                    "skriv hele adressen under addresses",
                );
            } else if domains.contains(&domain) {
                self.fault(
                    file,
                    text.span(),
                    format!("domenet «{domain}» står to ganger"),
                    "behold én",
                );
            } else {
                domains.push(domain);
            }
        }
        domains
    }

    fn party_domains(&mut self, file: &str, party: &raw::Party, index: usize) -> Vec<String> {
        let domains = self.domains(file, &party.domains);
        for domain in &domains {
            self.directory
                .by_domain
                .entry(domain.clone())
                .or_default()
                .insert(index);
        }
        domains
    }

    pub(super) fn portals(&mut self, files: &[(String, raw::File)]) {
        let mut ids = BTreeMap::new();
        for (file, content) in files {
            for portal in &content.portals {
                self.id(file, &portal.id, "portalen", &mut ids);
                let mut addresses = Vec::new();
                for text in &portal.addresses {
                    if self.address(file, text) {
                        addresses.push(plain(text.get_ref()).into_owned());
                    }
                }
                let domains = self.domains(file, &portal.domains);
                let fold =
                    |texts: &[String]| texts.iter().map(|text| line_key(text)).collect::<Vec<_>>();
                let drop: Vec<String> = DROP_LABELS
                    .iter()
                    .map(|label| (*label).to_owned())
                    .collect();
                self.directory.portals.push(Portal {
                    id: portal.id.get_ref().clone(),
                    name: portal.name.clone(),
                    addresses,
                    domains,
                    use_reply_to: portal.use_reply_to,
                    sender_labels: fold(&portal.sender_labels),
                    title_labels: fold(&portal.title_labels),
                    drop_labels: fold(portal.drop_labels.as_deref().unwrap_or(&drop)),
                    boilerplate: fold(&portal.boilerplate),
                    footer: fold(&portal.footer),
                });
            }
        }
    }
}
