//! The choices of the installation that decide how cases are treated.

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
        }
    }
}
