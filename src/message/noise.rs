//! Lines that no person wrote for this mail: disclaimers, «Sendt fra min iPhone», warnings about external senders.
//!
//! Cut narrowly. A report about a letter that came to the wrong receiver uses the words of a disclaimer, so a paragraph
//! goes only when it speaks of this mail *and* of secrecy or receiver *and* tells the reader what to do.

use super::zones::begins_as;
use crate::expression::Expression;
use std::sync::LazyLock;

/// A disclaimer shows what it is in so many lines.
const DISCLAIMER_LINES_MAX: usize = 15;

/// The text of these lines without noise, trimmed.
pub(crate) fn remove(lines: &[&str]) -> String {
    let mut kept: Vec<&str> = Vec::with_capacity(lines.len());
    for paragraph in lines.split_inclusive(|line| line.trim().is_empty()) {
        let (end, filled) = match paragraph.split_last() {
            Some((end, filled)) if end.trim().is_empty() => (Some(*end), filled),
            _ => (None, paragraph),
        };
        clean_paragraph(filled, &mut kept);
        kept.extend(end);
    }
    // A signature mark or a rule that has nothing below it any more.
    while let Some(last) = kept.last() {
        let last = last.trim();
        if last.is_empty() || last == "--" || is_ornament(last) {
            kept.pop();
        } else {
            break;
        }
    }
    let text = kept.join("\n");
    match text.trim_start_matches(['\n', '\r']).trim_end() {
        trimmed if trimmed.len() < text.len() => trimmed.to_owned(),
        _ => text,
    }
}

/// Appends the lines of a paragraph without disclaimer and device lines.
fn clean_paragraph<'a>(lines: &[&'a str], kept: &mut Vec<&'a str>) {
    for (index, line) in lines.iter().enumerate() {
        let bare = line.trim();
        // Few lines are noise: a look at the first letters tells for most of them.
        if !may_be_noise(bare) {
            kept.push(line);
            continue;
        }
        if STARTS.is_match(bare) {
            let rest = lines.iter().skip(index).take(DISCLAIMER_LINES_MAX);
            let rest: Vec<&str> = rest.map(|line| line.trim()).collect();
            if is_disclaimer(&rest.join(" ")) {
                break;
            }
        }
        if !DEVICE.is_match(bare) && !BANNER.is_match(bare) {
            kept.push(line);
        }
    }
}

fn is_disclaimer(text: &str) -> bool {
    SECRECY.is_match(text) && INSTRUCTION.is_match(text)
}

fn is_ornament(line: &str) -> bool {
    line.chars().count() >= 3
        && line
            .chars()
            .all(|c| matches!(c, '_' | '-' | '*' | '=' | '─' | '~'))
}

/// How the lines begin that [`STARTS`], [`DEVICE`] or [`BANNER`] matches, by their first letter.
const fn beginnings(first: u8) -> &'static [&'static str] {
    match first {
        b'*' | b'_' | b'(' | b'[' | 0x80.. => &[""],
        b'a' => &["advarsel", "ansvarsfra"],
        b'c' => &["caution", "confidentiality", "consider the"],
        b'd' => &[
            "denne e",
            "denne m",
            "dette e",
            "dette m",
            "dersom du",
            "disclaimer",
            "do not click",
            "du får",
        ],
        b'e' => &["ekstern", "er du", "external"],
        b'f' => &["få outlook"],
        b'g' => &["get outlook"],
        b'h' => &["har du", "hent outlook", "hvis du"],
        b'i' => &[
            "if you",
            "ikke klikk",
            "ikkje klikk",
            "informasjonen i",
            "innhaldet i",
            "innholdet i",
        ],
        b'k' => &["konfidensialitet"],
        b'l' => &["last ned"],
        b'm' => &["merk"],
        b'n' => &["nb"],
        b'o' => &["obs", "om du", "opplysningene i", "opplysningane i"],
        b'p' => &["please consider"],
        b's' => &[
            "send ", "sendt ", "sent ", "skickat ", "skrevet ", "skrive ", "spar ",
        ],
        b't' => &[
            "ta hensyn",
            "taushetsplikt",
            "tenk ",
            "the content",
            "the information",
            "this ",
        ],
        b'v' => &["ver merksam", "viss du", "vær oppmerksom"],
        b'w' => &["warning"],
        b'y' => &["you don"],
        _ => &[],
    }
}

/// Whether a line may be noise, as far as its first letters tell.
fn may_be_noise(line: &str) -> bool {
    let first = line.bytes().next().unwrap_or_default();
    begins_as(line, beginnings(first.to_ascii_lowercase()))
}

/// Speaks of this mail itself.
static STARTS: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?ix)^[\s*_«(]*(?:
            (?:denne|dette|dette\ er\ en)\ (?:e-?post(?:en|melding(?:en|a)?)?|melding(?:en|a)?|meldinga|mailen?)\b
            |(?:innholdet|informasjonen|opplysningene|opplysningane|innhaldet)\ i\ (?:denne|dette)\ (?:e-?post|melding|mail)
            |(?:har|er|dersom|hvis|om|viss)\ du\ (?:har\ |ikke\ )?(?:mottatt|fått|motteke|rett|riktig).{0,40}(?:e-?post|melding|mail)
            |(?:konfidensialitet|ansvarsfraskrivelse|taushetsplikt|disclaimer|confidentiality)(?:s(?:erklæring|merknad))?\b\s*(?:notice|:|$)
            |this\ (?:e-?mail|message|communication|transmission)\b
            |the\ (?:information|contents?)\ (?:contained\ )?(?:in|of)\ this\ (?:e-?mail|message)
            |if\ you\ (?:have\ received|are\ not\ the)
        )",
    )
});

static SECRECY: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?ix)\b(?:konfidensiel|fortrolig|taushets\w|teieplikt|tiltenkt|tilsikta|adressat|kun\ (?:ment|beregnet)|berre\ meint|rette?\ (?:mottaker|vedkommende)|feilaktig|ved\ en\ feil|ved\ ein\ feil|confidential|privileged|intended\ (?:recipient|only|solely|for)|in\ error)",
    )
});

static INSTRUCTION: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?ix)\b(?:
            (?:dersom|hvis|om|viss|har|er)\ du\ (?:ikke|ikkje|har|er|feilaktig|ved|mottatt|fått|motteke)
            |ber\ (?:vi|vi\ om|om)\b.{0,80}(?:slette|varsle|melde|kontakte)
            |(?:ber\ vi|vennligst|ver\ venleg|venligst).{0,80}(?:slett|varsl|kontakt|informer|gi\ beskjed|returner)
            |if\ you\ (?:are\ not|have\ received|received)
            |please\ (?:notify|delete|inform|contact)
        )",
    )
});

/// What telephones and programs add below.
static DEVICE: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?ix)^(?:
            (?:sendt|send|sent|skickat|skrevet|skrive)\ (?:fra|frå|from|via|med|with)\ (?:min\ |mi\ |my\ |mitt\ )?(?:iphone|ipad|android\w*|samsung|galaxy|mobil\w*|telefon\w*|huawei|oneplus|sony|nokia|nettbrett\w*|outlook|e-?post\ (?:for|til)\ windows|mail\ for\ windows|yahoo|gmail|proton\ ?mail|blackberry|phone|mobile|apple|jottacloud|telia|telenor)\b.{0,80}
            |(?:få|hent|last\ ned|get)\ outlook\ (?:for|til)\ (?:ios|android|mac|windows)\b.{0,80}
            |(?:tenk\ på|tenk|spar|ta\ hensyn\ til)\ (?:på\ )?miljø\w*\b.{0,120}
            |(?:please\ )?consider\ the\ environment\b.{0,120}
        )$",
    )
});

/// What a mail gateway writes on top of mail from outside.
static BANNER: LazyLock<Expression> = LazyLock::new(|| {
    Expression::constant(
        r"(?ix)^(?:
            \[?(?:ekstern|external)(?:\ (?:e-?post|avsender|e-?mail|sender))?\]?:?
            |(?:advarsel|obs!?|nb!?|merk|vær\ oppmerksom(?:\ på)?|ver\ merksam(?:\ på)?|caution|warning|external\ email)\b[:!,]?.{0,60}(?:e-?post|epost|melding|mail|message).{0,40}(?:ekstern\w*|utenfor|utanfrå|external|outside).{0,160}
            |(?:ikke\ klikk|do\ not\ click|ikkje\ klikk).{0,40}(?:lenker|links|lenkjer).{0,160}
            |du\ får\ ikke\ ofte\ e-?post\ fra\ .{0,200}
            |you\ don'?t\ often\ get\ email\ from\ .{0,200}
        )$",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(text: &str) -> String {
        let lines: Vec<&str> = text.split('\n').collect();
        remove(&lines)
    }

    #[test]
    fn disclaimers_go() {
        let own = "Vi mottok epikrisen for sent.\n\nMvh Kari";
        for disclaimer in [
            "Denne e-posten kan inneholde taushetsbelagte opplysninger. Dersom du ikke er rett mottaker,\nber vi deg slette den.",
            "Denne meldingen er kun ment for adressaten. Har du mottatt den ved en feil, vennligst gi beskjed til avsender og slett meldingen.",
            "Har du mottatt denne e-posten ved en feil, ber vi om at du sletter den og varsler avsenderen. Innholdet er konfidensielt.",
            "This e-mail is confidential. If you are not the intended recipient, please delete it.",
            "Informasjonen i denne e-posten er fortrolig. Hvis du har mottatt den feilaktig, slett den.",
            "Sendt fra min iPhone",
            "Sendt fra Outlook for iOS",
            "Få Outlook for Android <https://aka.ms/x>",
            "Tenk på miljøet før du skriver ut denne e-posten",
        ] {
            assert_eq!(
                removed(&format!("{own}\n\n{disclaimer}")),
                own,
                "{disclaimer}"
            );
            assert_eq!(
                removed(&format!("{own}\n-- \n{disclaimer}\n")),
                own,
                "{disclaimer}"
            );
            assert_eq!(
                removed(&format!("{own}\n{disclaimer}\n")),
                own,
                "{disclaimer}"
            );
        }
    }

    #[test]
    fn the_first_letters_rule_out_no_noise() {
        for line in [
            "Denne e-posten",
            "*Denne mailen",
            "«Dette er en e-post",
            "DETTE MELDINGEN er",
            "Innholdet i denne e-posten",
            "(Informasjonen i dette mail",
            "Opplysningene i denne meldingen",
            "Opplysningane i denne meldinga",
            "Innhaldet i denne e-posten",
            "Har du mottatt denne e-posten",
            "Er du ikke rett mottaker av denne e-posten",
            "Er du riktig mottaker av e-posten",
            "Dersom du har mottatt e-posten",
            "Hvis du fått meldingen",
            "Om du har fått mail",
            "Viss du motteke meldinga",
            "Konfidensialitetserklæring: x",
            "Ansvarsfraskrivelse",
            "_Taushetsplikt:",
            "Disclaimer",
            "Confidentiality notice",
            "This email is",
            "The information contained in this e-mail",
            "The contents of this message",
            "If you have received",
            "If you are not the",
            "Sendt fra min iPhone",
            "Send frå mobilen",
            "Sent from my Samsung",
            "\u{17f}ent from my Samsung",
            "Skickat via min iPhone",
            "S\u{212a}revet med mobil",
            "Skrive via Outlook",
            "Få Outlook for iOS",
            "Hent Outlook for Android",
            "Last ned Outlook for Mac",
            "Get Outlook for iOS",
            "Tenk på miljøet",
            "Tenk miljø",
            "Spar miljøet",
            "Ta hensyn til miljøet",
            "Please consider the environment",
            "Consider the environment",
            "[EKSTERN E-POST]",
            "Ekstern avsender:",
            "External",
            "Advarsel: e-post fra ekstern avsender",
            "Obs! Melding utenfra: external",
            "NB! E-posten er ekstern",
            "Merk: e-post utenfor",
            "Vær oppmerksom på e-post utenfor",
            "VÆR OPPMERKSOM: e-post utenfor",
            "Ver merksam: e-post utanfrå",
            "Caution: this mail is external",
            "Warning: message from outside",
            "Ikke klikk på lenker",
            "Do not click links",
            "Ikkje klikk på lenkjer",
            "Du får ikke ofte e-post fra x",
            "You don't often get email from x",
        ] {
            let all = [&STARTS, &DEVICE, &BANNER];
            assert!(all.iter().any(|one| one.is_match(line)), "{line}");
            assert!(may_be_noise(line), "{line}");
        }
    }

    #[test]
    fn banners_go() {
        for banner in [
            "[EKSTERN E-POST]",
            "ADVARSEL: Denne e-posten er sendt fra en ekstern avsender.",
            "CAUTION: This email originated from outside the organization.",
        ] {
            assert_eq!(removed(&format!("{banner}\n\nHei\n")), "Hei");
        }
    }

    #[test]
    fn reports_about_wrong_receivers_stay() {
        for report in [
            "Vi mottok ved en feil epikrise med taushetsbelagte opplysninger. Vi har slettet den og varslet avdelingen.",
            "Denne meldingen kom til feil lege. Pasienten er ikke vår.",
            "Dersom du har spørsmål om meldingen, ring oss. Sendt fra sengepost 4 uten medisinliste.",
            "Sendt fra Kalnes kl. 14 uten epikrise.",
            "Denne e-posten gjelder en fortrolig henvendelse fra pasienten om utskrivingen.",
            "Obs: melding om utskrivning kom ikke.",
        ] {
            assert_eq!(removed(report), report);
        }
    }
}
