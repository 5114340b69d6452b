//! `linjevei cases`: the samhandlingsavdeling's work from a terminal.

use super::case_form::Form;
use super::{ConfigPath, Failure, classify, logging, setup, show};
use crate::case::person::{DISMISS_REASONS, HANDOVER_WAYS, Order};
use crate::case::{Actor, Case, CaseNumber, Event, State, names, undo};
use crate::message::identity_numbers::mask;
use crate::message::{self, Reading, Zone};
use crate::rules::Evidence;
use crate::store::CaseFilter;
use crate::worker::Engine;
use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List cases; without options the open ones
    List(List),
    /// Show one case: facets, mail, history and evidence
    Show(Show),
    /// The history of a case
    History {
        /// Case number, SAK-2026-000123
        case: CaseNumber,
    },
    /// Open a case for a report that came on paper or by telephone
    New(New),
    /// Give a case to another party, or correct its type, category or severity
    Reroute(Reroute),
    /// Send a case that waits for approval
    Approve(OnCase),
    /// Say that a case which must be sent securely has reached the party
    HandedOver(HandedOver),
    /// Say that the final answer came in another way than by a trusted mail
    Answer(OnCase),
    /// Close a case
    Close(OnCase),
    /// Dismiss what does not belong here; the number stays
    Dismiss(Dismiss),
    /// Open a closed, answered, registered or dismissed case again
    Reopen(OnCase),
    /// Make a case of its own: of a message that joined this case by mistake, or a second number for a report about two matters
    Split(Split),
    /// Say that two cases have to do with each other
    Link(Link),
    /// Put a case into another: its messages move there, its number stays and leads there
    Merge(Merge),
    /// Write a note in the history
    Note(OnCase),
}

#[derive(Debug, ClapArgs)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are switches of a command line"
)]
struct List {
    /// Only this state: received, triage, approval, secure-handover, sent, answered, closed, registered, dismissed
    #[arg(long, value_parser = state)]
    state: Option<State>,
    /// Only cases of this responsible party
    #[arg(long)]
    party: Option<String>,
    /// Only cases that this kommune (or other party) reported or must answer
    #[arg(long, value_name = "PARTY")]
    kommune: Option<String>,
    /// Only open cases past their due date
    #[arg(long)]
    overdue: bool,
    /// Only cases that you were the last person to decide on
    #[arg(long)]
    mine: bool,
    /// Only cases that a person should look at
    #[arg(long)]
    attention: bool,
    /// Also closed, registered and dismissed cases
    #[arg(long)]
    all: bool,
    /// In which order
    #[arg(long, value_enum, default_value_t = SortBy::Number)]
    sort: SortBy,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// Print CSV (RFC 4180) with a heading
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Debug, ClapArgs)]
struct Show {
    /// Case number, SAK-2026-000123
    case: CaseNumber,
    /// Also the text of the report, identity numbers masked; the history notes who looked
    #[arg(long)]
    show_content: bool,
}

/// Who decides and why; every change asks for it.
#[derive(Debug, ClapArgs)]
pub(super) struct Why {
    /// Why; stands in the history for ever, so no names of patients
    #[arg(long)]
    pub(super) reason: String,
    /// On whose behalf you decide
    #[arg(long, value_name = "NAME", default_value = "")]
    on_behalf_of: String,
}

impl Why {
    pub(super) fn actor(&self) -> Actor {
        Actor::Person {
            user: user(),
            on_behalf_of: self.on_behalf_of.clone(),
        }
    }
}

/// Orders of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SortBy {
    /// By case number
    Number,
    /// By due date, those without one last
    Due,
    /// By day of receipt
    Received,
    /// By state, in the order of a case's life
    State,
    /// By responsible party
    Party,
}

#[derive(Debug, ClapArgs)]
struct Split {
    /// Case number, SAK-2026-000123
    case: CaseNumber,
    /// The message that becomes a case of its own («cases show» lists them); without it the report gets a second number
    #[arg(long, value_name = "NUMBER")]
    message: Option<i64>,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, ClapArgs)]
struct Link {
    /// Case number, SAK-2026-000123
    case: CaseNumber,
    /// The other case
    other: CaseNumber,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, ClapArgs)]
struct Merge {
    /// The case that goes into the other
    case: CaseNumber,
    /// The case that stays
    #[arg(long)]
    into: CaseNumber,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, ClapArgs)]
struct OnCase {
    /// Case number, SAK-2026-000123
    case: CaseNumber,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, ClapArgs)]
struct New {
    /// avvik, forbedring, faktura, orientering, ros
    #[arg(long = "type", default_value = "avvik")]
    kind: String,
    /// Responsible party
    #[arg(long)]
    party: String,
    /// Day of receipt, YYYY-MM-DD; today when not given
    #[arg(long)]
    received: Option<jiff::civil::Date>,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, ClapArgs)]
struct Reroute {
    /// Case number, SAK-2026-000123
    case: CaseNumber,
    /// New responsible party
    #[arg(long, value_name = "PARTY")]
    to: Option<String>,
    /// New type
    #[arg(long = "type")]
    kind: Option<String>,
    /// New category
    #[arg(long)]
    category: Option<String>,
    /// New severity
    #[arg(long)]
    severity: Option<String>,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, ClapArgs)]
struct HandedOver {
    /// Case number, SAK-2026-000123
    case: CaseNumber,
    /// How it reached the party
    #[arg(long, value_parser = HANDOVER_WAYS)]
    by: String,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, ClapArgs)]
struct Dismiss {
    /// Case number, SAK-2026-000123
    case: CaseNumber,
    /// Why it does not belong here
    #[arg(long, value_parser = DISMISS_REASONS)]
    because: String,
    #[command(flatten)]
    why: Why,
}

fn state(id: &str) -> Result<State, String> {
    State::from_id(id)
        .ok_or_else(|| format!("use one of: {}", State::ALL.map(State::id).join(", ")))
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let config = setup::config(&args.config.config)?;
    setup::runtime()?.block_on(async {
        let engine = setup::engine(&config).await?;
        let (order, case, why) = match args.command {
            Command::List(list) => return self::list(&engine, &list, args.json).await,
            Command::Show(show) => return self::show(&engine, &show, args.json).await,
            Command::History { case } => return history(&engine, case, args.json).await,
            Command::New(new) => return self::new(&engine, &new, args.json).await,
            Command::Reroute(Reroute {
                case,
                to,
                kind,
                category,
                severity,
                why,
            }) => {
                if to.is_none() && kind.is_none() && category.is_none() && severity.is_none() {
                    return Err(Failure::not_done(
                        "nothing to change: give --to, --type, --category or --severity",
                    ));
                }
                (
                    Order::Reroute {
                        destination: to,
                        kind,
                        category,
                        severity,
                    },
                    case,
                    why,
                )
            }
            Command::Approve(OnCase { case, why }) => (Order::Approve, case, why),
            Command::HandedOver(HandedOver { case, by, why }) => {
                (Order::HandedOver { by }, case, why)
            }
            Command::Answer(OnCase { case, why }) => (Order::Answer, case, why),
            Command::Close(OnCase { case, why }) => (Order::Close, case, why),
            Command::Dismiss(Dismiss { case, because, why }) => {
                (Order::Dismiss { because }, case, why)
            }
            Command::Reopen(OnCase { case, why }) => (Order::Reopen, case, why),
            Command::Note(OnCase { case, why }) => (Order::Note, case, why),
            Command::Split(Split { case, message, why }) => {
                let new = engine
                    .split(case, message, &why.actor(), &why.reason)
                    .await?;
                print_changed(&new, args.json);
                return Ok(ExitCode::SUCCESS);
            }
            Command::Link(Link { case, other, why }) => {
                let linked = engine.link(case, other, &why.actor(), &why.reason).await?;
                print_changed(&linked, args.json);
                return Ok(ExitCode::SUCCESS);
            }
            Command::Merge(Merge { case, into, why }) => {
                let merged = engine.merge(case, into, &why.actor(), &why.reason).await?;
                print_changed(&merged, args.json);
                return Ok(ExitCode::SUCCESS);
            }
        };
        let changed = engine
            .carry_out(case, &order, &why.actor(), &why.reason)
            .await?;
        print_changed(&changed, args.json);
        Ok(ExitCode::SUCCESS)
    })
}

/// The operating system's user; `USER` only names it for people, it is no proof.
pub(super) fn user() -> String {
    std::env::var("SUDO_USER")
        .or_else(|_| std::env::var("USER"))
        .unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()))
}

pub(super) fn print_changed(case: &Case, as_json: bool) {
    if as_json {
        println!("{}", show::case_json(case, show::today()));
    } else {
        println!(
            "{}: {}, {}",
            case.number,
            case.state.navn(),
            show::or_dash(&case.destination)
        );
    }
}

async fn new(engine: &Engine, new: &New, as_json: bool) -> Result<ExitCode, Failure> {
    let received_at_ms = new.received.map_or_else(
        || engine.clock.now_ms(),
        |day| crate::calendar::oslo_at(day, 12),
    );
    let case = engine
        .new_case(
            &new.kind,
            &new.party,
            &new.why.actor(),
            &new.why.reason,
            received_at_ms,
        )
        .await?;
    print_changed(&case, as_json);
    Ok(ExitCode::SUCCESS)
}

async fn list(engine: &Engine, list: &List, as_json: bool) -> Result<ExitCode, Failure> {
    let today = show::today();
    let rules = engine.rulebook.current().rules;
    let unknown = |party: &&str| rules.directory().party(party).is_none();
    let named = [list.party.as_deref(), list.kommune.as_deref()];
    if let Some(party) = named.into_iter().flatten().find(unknown) {
        let known: Vec<&str> = rules
            .directory()
            .parties()
            .map(|party| party.id.as_str())
            .collect();
        return Err(Failure::not_done(format!(
            "«{party}» is no party; use one of: {}",
            known.join(", ")
        )));
    }
    let filter = CaseFilter {
        state: list.state,
        party: list.party.clone(),
        concerns: list.kommune.clone(),
        handled_by: list.mine.then(user),
        overdue_on: list.overdue.then_some(today),
        attention: list.attention,
        all: list.all,
        limit: 0,
    };
    let mut cases = engine.store.cases(&filter).await?;
    sort(&mut cases, list.sort);
    if list.reverse {
        cases.reverse();
    }
    if list.csv {
        print!("{}", show::csv(&cases, today));
    } else if as_json {
        for case in &cases {
            println!("{}", show::case_json(case, today));
        }
    } else if cases.is_empty() {
        println!("No such cases.");
    } else {
        show::styled_table(
            &show::CASE_HEADING,
            &cases
                .iter()
                .map(|case| (show::case_style(case, today), show::case_row(case, today)))
                .collect::<Vec<_>>(),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The store gives them by number, which decides where the order asked for does not.
fn sort(cases: &mut [Case], order: SortBy) {
    match order {
        SortBy::Number => {}
        SortBy::Due => cases.sort_by_key(|case| (case.due_day.is_none(), case.due_day)),
        SortBy::Received => cases.sort_by_key(|case| case.received_day),
        SortBy::State => cases.sort_by_key(|case| case.state),
        SortBy::Party => cases.sort_by(|a, b| a.destination.cmp(&b.destination)),
    }
}

async fn find(engine: &Engine, number: CaseNumber) -> Result<Case, Failure> {
    engine
        .store
        .case(number)
        .await?
        .ok_or_else(|| Failure::not_done(format!("there is no case {number}")))
}

async fn history(engine: &Engine, number: CaseNumber, as_json: bool) -> Result<ExitCode, Failure> {
    let case = find(engine, number).await?;
    let events = engine.store.history(case.id).await?;
    if as_json {
        for event in &events {
            println!("{}", event_json(event));
        }
    } else {
        print_history(&events);
    }
    Ok(ExitCode::SUCCESS)
}

fn event_json(event: &Event) -> serde_json::Value {
    json!({
        "at": show::moment(event.at_ms), "event": event.kind.id(), "state": event.state.id(), "who": event.actor.to_string(),
        "reason": mask(&event.reason), "data": event.data,
    })
}

fn print_history(events: &[Event]) {
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|event| {
            let details: Vec<String> = event
                .data
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(key, value)| {
                    !value.is_null() && value.as_str() != Some("") && *key != "ruleset"
                })
                .map(|(key, value)| {
                    format!(
                        "{key}={}",
                        value
                            .as_str()
                            .map_or_else(|| value.to_string(), str::to_owned)
                    )
                })
                .collect();
            vec![
                show::moment(event.at_ms),
                event.kind.navn().to_owned(),
                event.state.navn().to_owned(),
                event.actor.to_string(),
                [mask(&event.reason).as_str(), &details.join(" ")]
                    .join(" ")
                    .trim()
                    .to_owned(),
            ]
        })
        .collect();
    show::table(&["Tid", "Hendelse", "Status", "Hvem", "Hva"], &rows);
}

async fn show(engine: &Engine, args: &Show, as_json: bool) -> Result<ExitCode, Failure> {
    let case = find(engine, args.case).await?;
    let content = if args.show_content {
        content(engine, &case).await?
    } else {
        None
    };
    let form = Form::of(engine, case.id, content.is_some()).await?;
    let events = engine.store.history(case.id).await?;
    let verdict = engine
        .store
        .verdict(case.message_id)
        .await?
        .and_then(|json| serde_json::from_str::<crate::rules::Verdict>(&json).ok());
    if as_json {
        let mut value = show::case_json(&case, show::today());
        if let Some(object) = value.as_object_mut() {
            object.insert(
                "history".to_owned(),
                events.iter().map(event_json).collect(),
            );
            object.insert(
                "because".to_owned(),
                json!(verdict.as_ref().map(|verdict| &verdict.because)),
            );
            form.add_to(object);
            object.insert("content".to_owned(), json!(content));
            let messages = engine.store.case_messages(case.id).await?;
            object.insert("messages".to_owned(), json!(messages));
            object.insert("related".to_owned(), json!(undo::related(&events)));
        }
        println!("{value}");
        return Ok(ExitCode::SUCCESS);
    }
    let line = |name: &str, value: &str| println!("{name:<16} {}", show::or_dash(value));
    anstream::println!(
        "{}{}{:#}  {}",
        show::FINE.bold(),
        case.number,
        show::FINE.bold(),
        case.state.navn()
    );
    let rules = engine.rulebook.current().rules;
    let party = rules
        .directory()
        .party(&case.destination)
        .map_or(case.destination.as_str(), |party| party.name.as_str());
    line("Part", party);
    line("Kopi til", &case.copies.join(", "));
    line("Type", names::type_name(&case.kind));
    line("Retning", names::facet_name(&case.direction));
    line("Kategori", names::facet_name(&case.category));
    line("Alvorlighet", names::facet_name(&case.severity));
    line("Hendelsesdag", form.day.as_deref().unwrap_or_default());
    if let Some(place) = form.place() {
        line("Hendelsessted", place);
    }
    line("Mottatt", &show::moment(case.received_at_ms));
    line(
        "Svarfrist",
        &case.due_day.map(|day| day.to_string()).unwrap_or_default(),
    );
    let messages = engine.store.case_messages(case.id).await?;
    for (name, value) in relations(&case, &events, &messages) {
        line(name, &value);
    }
    if case.attention {
        anstream::println!(
            "{}Noe i saken må ses på av et menneske.{:#}",
            show::ALERT,
            show::ALERT
        );
    }
    println!();
    print_history(&events);
    if let Some(verdict) = verdict {
        println!();
        print_evidence(&verdict.because);
    }
    form.print();
    if let Some(content) = content {
        println!("\n{content}");
    }
    Ok(ExitCode::SUCCESS)
}

fn print_evidence(because: &[Evidence]) {
    let rows: Vec<Vec<String>> = because
        .iter()
        .map(|evidence| {
            let strength = if evidence.strength >= crate::rules::DECISIVE {
                "avgjør".to_owned()
            } else {
                evidence.strength.to_string()
            };
            vec![
                evidence.value.clone(),
                strength,
                evidence.rule.clone(),
                show::term(&evidence.term),
                classify::place(evidence),
            ]
        })
        .collect();
    show::table(
        &["Taler for", "Styrke", "Regel", "Ord i regelen", "Sted"],
        &rows,
    );
}

/// What a case has to do with other cases, and the messages in it.
fn relations(case: &Case, events: &[Event], messages: &[i64]) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(original) = case.duplicate_of {
        lines.push(("Mulig dublett av", original.to_string()));
    }
    if let Some(into) = case.merged_into {
        lines.push(("Slått sammen med", into.to_string()));
    }
    let related = undo::related(events);
    if !related.is_empty() {
        lines.push(("Se også", related.join(", ")));
    }
    let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
    lines.push(("Meldinger", messages.join(", ")));
    lines
}

/// What the sender wrote, then each attachment under its name, with its text or why there is none.
fn written(message: &message::Message) -> String {
    let mut parts = vec![message::report_text(message)];
    for attachment in &message.attachments {
        let texts: Vec<&str> = message
            .zone(Zone::Attachment)
            .filter(|text| text.label == attachment.name)
            .map(|text| text.text.as_str())
            .collect();
        let said = match attachment.reading {
            Reading::Unread(reason) => format!("(kunne ikke leses: {})", reason.navn()),
            Reading::Taken | Reading::Pending => texts.join("\n\n"),
        };
        parts.push(
            format!("Vedlegg: {}\n{said}", attachment.name)
                .trim_end()
                .to_owned(),
        );
    }
    let names: Vec<&str> = message
        .attachments
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    for inner in message.zone(Zone::Attachment) {
        if !names.contains(&inner.label.as_str()) {
            parts.push(format!(
                "Vedlegg i vedlegg: {}\n{}",
                inner.label, inner.text
            ));
        }
    }
    parts.join("\n\n")
}

/// The report's text, identity numbers masked; that it was shown stands in the history before it is.
async fn content(engine: &Engine, case: &Case) -> Result<Option<String>, Failure> {
    let Some(raw) = engine.store.raw(case.message_id).await? else {
        return Ok(None);
    };
    let actor = Actor::Person {
        user: user(),
        on_behalf_of: String::new(),
    };
    engine
        .note_shown(case.number, &actor, json!({ "message": case.message_id }))
        .await?;
    let known = engine.store.attachment_texts(case.message_id).await?;
    let (extractor, limits) = (Arc::clone(&engine.extractor), engine.limits.clone());
    let opened =
        tokio::task::spawn_blocking(move || extractor.open_again(&raw, &limits, &known)).await;
    let text = match opened {
        Ok(Ok(opened)) => written(&opened.message),
        Ok(Err(error)) => format!("({error})"),
        Err(_) => return Err(Failure::software("a background task ended by surprise")),
    };
    Ok(Some(mask(&text)))
}
