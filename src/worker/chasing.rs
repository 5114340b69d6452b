//! The passing of time: reminders that are due and cases that close by silence.

use super::{Engine, WorkError};
use crate::calendar;
use crate::case::{Case, Change, chase};
use crate::store::StoreError;
use tracing::info;

const DAY_MS: i64 = 86_400_000;

impl Engine {
    /// What would happen at `now_ms`, without doing it.
    ///
    /// # Errors
    /// [`WorkError`] when the store fails.
    pub async fn due_changes(&self, now_ms: i64) -> Result<Vec<Change>, WorkError> {
        // One day less than the silence, since whole days in Europe/Oslo decide.
        let days = i64::from(self.policy.close_after_days.saturating_sub(1));
        let answered_before = now_ms.saturating_sub(days.saturating_mul(DAY_MS));
        let cases = self
            .store
            .chaseable(calendar::oslo_day(now_ms), answered_before)
            .await?;
        let rules = self.rulebook.current().rules;
        let dead = self.store.dead_addresses().await?;
        let change = |case: &Case| {
            chase::due_change(
                case,
                &self.calendar,
                rules.directory(),
                &dead,
                &self.policy,
                now_ms,
            )
        };
        Ok(cases.iter().filter_map(change).collect())
    }

    /// Does what is due now: queues reminders, closes silent cases. Returns the changed cases.
    ///
    /// # Errors
    /// [`WorkError`] when the store fails; what was done stays done, the rest is done at the next call.
    pub async fn chase(&self) -> Result<Vec<Case>, WorkError> {
        let now_ms = self.clock.now_ms();
        let mut changed = Vec::new();
        let in_force = self.rulebook.current();
        for change in self.due_changes(now_ms).await? {
            match self
                .store
                .apply(change, &self.compositor(&in_force, None, now_ms))
                .await
            {
                Ok(case) => {
                    info!(case.id = %case.number, case.state = case.state.id(), case.reminder = case.reminder.id(), "time changed a case");
                    changed.push(case);
                }
                // Answered or moved a moment ago: it is looked at again next time.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(changed)
    }
}
