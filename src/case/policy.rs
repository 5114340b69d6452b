//! The choices of the installation that decide how cases are treated.

use jiff::civil::Weekday;

/// Settings that the case logic needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Reports older than this when taken in are never acknowledged or reminded, in milliseconds.
    pub acknowledge_max_age_ms: i64,
    /// Severity `betydelig` waits for a person's approval.
    pub serious_needs_approval: bool,
    /// Acknowledgements an address may get within an hour; more are held for a person.
    pub acknowledgements_per_hour: u32,
    /// An answered case is closed after so many days of silence.
    pub close_after_days: u32,
    /// Hour in Europe/Oslo at which reminders go out.
    pub reminder_hour: i8,
    /// Server whose `Authentication-Results` count.
    pub authserv_id: Option<String>,
    /// Told at once of a report of serious harm, by its number alone; `None` tells nobody.
    pub duty_address: Option<String>,
    /// The mails about many cases.
    pub reports: Reports,
}

/// The digest to the samhandlingsavdeling and the weekly status to parties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// The digest is sent.
    pub digest: bool,
    /// Where it goes; `None` means to the party `samhandling` of the directory.
    pub to: Option<String>,
    /// Hour in Europe/Oslo from which a day's mails go out.
    pub hour: i8,
    /// From this day of the week the weekly parts are due.
    pub weekday: Weekday,
    /// Parties get a weekly mail with the numbers and due dates of their open cases.
    pub party_status: bool,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            digest: true,
            to: None,
            hour: 7,
            weekday: Weekday::Monday,
            party_status: false,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            acknowledge_max_age_ms: 7 * 86_400_000,
            serious_needs_approval: true,
            acknowledgements_per_hour: 20,
            close_after_days: 30,
            reminder_hour: 8,
            authserv_id: None,
            duty_address: None,
            reports: Reports::default(),
        }
    }
}
