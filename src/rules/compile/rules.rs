//! Rules: what they give, their terms, and what must be known already.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::{Compiler, STRENGTH_MAX, facets};
use crate::message::Zone;
use crate::rules::lexicon::Style;
use crate::rules::model::{Fields, Rule, Use, When, ZONES_DEFAULT, Zones};
use crate::rules::raw::{self, Text};
use crate::rules::{DECISIVE, Facet};

/// Words that `near` looks across when the rule does not say.
const WITHIN_DEFAULT: usize = 6;
/// Most words that `within` may say.
const WITHIN_MAX: i64 = 50;

impl Compiler {
    pub(super) fn rules(&mut self, files: &[(String, raw::File)]) {
        let mut ids = BTreeMap::new();
        for (file, content) in files {
            for (at, rule) in content.rules.iter().enumerate() {
                self.enter(file, &content.rules, at);
                let rule = rule.get_ref();
                let before = self.faults.len();
                let fresh = self.id(file, &rule.id, "regelen", &mut ids);
                let checked = self.rule(file, rule);
                match checked {
                    Some(checked) if fresh && self.faults.len() == before && !self.misshapen => {
                        self.rules.push(checked);
                        self.places.push((file.clone(), rule.id.span()));
                    }
                    _ => self.leave_out(rule),
                }
            }
        }
        self.misshapen = false;
    }

    /// What a rule that cannot be used would have given.
    fn leave_out(&mut self, rule: &raw::Rule) {
        let given = facets(rule.give.get_ref());
        let [(facet, value)] = given.as_slice() else {
            self.unread.extend(Facet::ORDER.map(|facet| (facet, None)));
            return;
        };
        let word = value.get_ref();
        let known = match facet.values() {
            Some(values) => values.contains(&word.as_str()),
            None => self.directory.by_id.contains_key(word),
        };
        self.unread.insert((*facet, known.then(|| word.clone())));
    }

    fn rule(&mut self, file: &str, rule: &raw::Rule) -> Option<Rule> {
        let index = self.rules.len();
        let given = facets(rule.give.get_ref());
        let [(facet, value)] = given.as_slice() else {
            self.lack(
                file,
                rule.give.span(),
                "give må ha akkurat én avgjørelse",
                "for eksempel give = { type = \"avvik\" }",
            );
            return None;
        };
        let (facet, value) = (*facet, *value);
        self.known(file, value, facet);
        let strength = self.strength(file, rule);
        let any = self.terms(file, "any", rule.any.as_ref(), index);
        let all = self.terms(file, "all", rule.all.as_ref(), index);
        let near = self.terms(file, "near", rule.near.as_ref(), index);
        let near_any = self.near_any(file, rule, index);
        let none = self.terms(file, "none", rule.none.as_ref(), index);
        let regex = self.regexes(file, rule.regex.as_ref(), index);
        let has = |list: &Option<Spanned<Vec<Text>>>| list.is_some();
        if !(has(&rule.any)
            || has(&rule.all)
            || has(&rule.near)
            || rule.near_any.is_some()
            || has(&rule.regex)
            || rule.when.is_some()
            || rule.marks.is_some())
        {
            let help = "skriv minst én av any, all, near, near_any, regex, marks eller when";
            self.lack(
                file,
                rule.id.span(),
                format!("regelen «{}» har ingen vilkår", rule.id.get_ref()),
                help,
            );
        }
        let within = self.within(file, rule);
        let mut when = rule
            .when
            .as_ref()
            .map(|when| self.when(file, when, facet))
            .unwrap_or_default();
        if let Some(list) = &rule.marks {
            if when.marks.is_some() || list.get_ref().is_empty() {
                self.lack(
                    file,
                    list.span(),
                    "marks er tom eller står både her og i when",
                    "skriv merkene ett sted",
                );
            }
            when.marks = Some(list.get_ref().clone());
        }
        let (zones, fields) = self.zones_and_fields(file, rule);
        Some(Rule {
            id: rule.id.get_ref().clone(),
            facet,
            value: value.get_ref().clone(),
            strength,
            any,
            all,
            near,
            near_any,
            within,
            none,
            regex,
            zones,
            zones_named: rule.zones.is_some() || rule.fields.is_some(),
            fields,
            when,
            negatable: rule.negatable.unwrap_or(matches!(
                facet,
                Facet::Type | Facet::Category | Facet::Severity
            )),
            once: rule.once.unwrap_or(true),
            fallback: rule.fallback,
        })
    }

    /// Where the rule reads.
    fn zones_and_fields(&mut self, file: &str, rule: &raw::Rule) -> (Zones, Fields) {
        let mut zones = Zones::of(&ZONES_DEFAULT);
        if let Some(list) = &rule.zones {
            zones = Zones::of(list.get_ref());
            if list.get_ref().is_empty() {
                let help = "ta den bort, eller nevn minst én sone";
                self.lack(file, list.span(), "zones er tom", help);
            }
        }
        let Some(list) = &rule.fields else {
            return (zones, Fields::default());
        };
        if list.get_ref().is_empty() {
            let help = "ta den bort, eller nevn minst ett felt";
            self.lack(file, list.span(), "fields er tom", help);
        }
        if rule.zones.is_some() {
            self.fault(
                file,
                list.span(),
                "fields og zones utelukker hverandre",
                "ta bort zones: en regel med fields leser bare de feltene",
            );
        }
        let reads = rule.any.is_some()
            || rule.all.is_some()
            || rule.near.is_some()
            || rule.near_any.is_some()
            || rule.none.is_some()
            || rule.regex.is_some();
        if !reads {
            self.lack(
                file,
                list.span(),
                "fields sier hvor ord skal stå, og regelen har ingen",
                "skriv any, all, near, near_any, none eller regex",
            );
        }
        (Zones::of(&[Zone::Field]), Fields::of(list.get_ref()))
    }

    /// The lists of `near_any`.
    fn near_any(&mut self, file: &str, rule: &raw::Rule, index: usize) -> Vec<Vec<u32>> {
        let Some(lists) = &rule.near_any else {
            return Vec::new();
        };
        let singles = rule.near.as_ref().map_or(0, |list| list.get_ref().len());
        if lists.get_ref().len().saturating_add(singles) < 2 {
            self.lack(
                file,
                lists.span(),
                "near_any trenger minst to lister",
                "for eksempel near_any = [[\"epikrise\"], [\"mangler\", \"ikke mottatt\"]]; bruk any når det er én",
            );
        }
        lists
            .get_ref()
            .iter()
            .map(|list| self.terms(file, "en liste i near_any", Some(list), index))
            .collect()
    }

    /// How far `near` and `near_any` look.
    fn within(&mut self, file: &str, rule: &raw::Rule) -> usize {
        if let Some(list) = &rule.near
            && rule.near_any.is_none()
            && list.get_ref().len() == 1
        {
            self.lack(
                file,
                list.span(),
                "near trenger minst to uttrykk",
                "bruk any når det er ett",
            );
        }
        let near = rule.near.is_some() || rule.near_any.is_some();
        match &rule.within {
            Some(number) if !near => {
                self.lack(
                    file,
                    number.span(),
                    "within gjelder bare sammen med near og near_any",
                    "ta det bort, eller bruk near",
                );
                WITHIN_DEFAULT
            }
            Some(number) => {
                let number = self.ranged(file, number, 1..=WITHIN_MAX, "within");
                usize::try_from(number).unwrap_or(WITHIN_DEFAULT)
            }
            None => WITHIN_DEFAULT,
        }
    }

    fn strength(&mut self, file: &str, rule: &raw::Rule) -> i64 {
        if rule.fallback && rule.decisive {
            let help =
                "en regel som bare gjelder når ingenting annet gjør det, trenger bare en styrke";
            self.fault(
                file,
                rule.id.span(),
                "fallback og decisive utelukker hverandre",
                help,
            );
        }
        match (&rule.strength, rule.decisive) {
            (None, true) => DECISIVE,
            (Some(number), true) => {
                self.fault(
                    file,
                    number.span(),
                    "decisive og strength utelukker hverandre",
                    "behold én av dem",
                );
                DECISIVE
            }
            (None, false) => {
                let help = "skriv strength = 1 til 20, eller decisive = true";
                self.lack(
                    file,
                    rule.id.span(),
                    format!("regelen «{}» har ingen styrke", rule.id.get_ref()),
                    help,
                );
                0
            }
            (Some(number), false) => {
                let value = *number.get_ref();
                if value == 0 || value.abs() > STRENGTH_MAX {
                    let help = "skriv et tall fra 1 til 20, eller fra -20 til -1 for det motsatte";
                    self.fault(file, number.span(), format!("styrken er {value}"), help);
                }
                value
            }
        }
    }

    fn terms(
        &mut self,
        file: &str,
        key: &str,
        list: Option<&Spanned<Vec<Text>>>,
        rule: usize,
    ) -> Vec<u32> {
        let Some(list) = list else { return Vec::new() };
        if list.get_ref().is_empty() {
            self.lack(
                file,
                list.span(),
                format!("{key} er tom"),
                "ta den bort, eller skriv minst ett uttrykk",
            );
        }
        let numbers: BTreeSet<u32> = list
            .get_ref()
            .iter()
            .filter_map(|text| self.term(file, text, Style::Rule, Use::Rule(rule)))
            .collect();
        numbers.into_iter().collect()
    }

    fn when(&mut self, file: &str, when: &Spanned<raw::When>, given: Facet) -> When {
        let table = when.get_ref();
        let lists = [
            (Facet::Robot, &table.robot),
            (Facet::Type, &table.r#type),
            (Facet::Direction, &table.direction),
            (Facet::Destination, &table.destination),
            (Facet::Category, &table.category),
            (Facet::Severity, &table.severity),
        ];
        let order = |facet: Facet| Facet::ORDER.iter().position(|known| *known == facet);
        let mut values = Vec::new();
        for (facet, list) in lists {
            let Some(list) = list else { continue };
            if order(facet) >= order(given) {
                let message = format!(
                    "{} er ikke avgjort ennå når {} skal avgjøres",
                    facet.id(),
                    given.id()
                );
                let names: Vec<&str> = Facet::ORDER.iter().map(|facet| facet.id()).collect();
                self.fault(
                    file,
                    when.span(),
                    message,
                    format!("rekkefølgen er {}", names.join(", ")),
                );
            }
            for value in list {
                self.known(file, value, facet);
            }
            values.push((
                facet,
                list.iter().map(|value| value.get_ref().clone()).collect(),
            ));
        }
        if table.destination_kind.is_some() && order(Facet::Destination) >= order(given) {
            let message = format!(
                "destination er ikke avgjort ennå når {} skal avgjøres",
                given.id()
            );
            self.fault(file, when.span(), message, "");
        }
        let nothing = values.is_empty()
            && table.destination_kind.is_none()
            && table.sender.is_none()
            && table.thread.is_none()
            && table.case_token.is_none()
            && table.cites_own.is_none()
            && table.marks.is_none()
            && table.party_in_to.is_none()
            && table.attachments.is_none();
        if nothing {
            self.lack(
                file,
                when.span(),
                "when er tom",
                "ta den bort, eller skriv et vilkår",
            );
        }
        if let Some(certain) = &table.certain
            && values.is_empty()
            && table.destination_kind.is_none()
        {
            self.lack(
                file,
                certain.span(),
                "certain gjelder avgjørelser, og when nevner ingen",
                "skriv for eksempel type = [\"avvik\"] ved siden av, eller ta det bort",
            );
        }
        When {
            certain: table
                .certain
                .as_ref()
                .is_some_and(|certain| *certain.get_ref()),
            values,
            destination_kind: table.destination_kind.clone(),
            sender: table.sender.clone(),
            thread: table.thread,
            case_token: table.case_token,
            cites_own: table.cites_own,
            marks: table.marks.clone(),
            party_in_to: table.party_in_to,
            attachments: table.attachments,
        }
    }
}
