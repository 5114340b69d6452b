-- Times are Unix milliseconds UTC, days are ISO dates in Europe/Oslo. 0 and '' stand for «none»: columns are NOT NULL.

CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One row a delivery: what stands at a position of a source. Raw bytes are in message_chunk.
CREATE TABLE message (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    source           TEXT    NOT NULL,
    mailbox          TEXT    NOT NULL,
    uid_validity     INTEGER NOT NULL,
    position_key     TEXT    NOT NULL,
    content_hash     TEXT    NOT NULL,
    size_bytes       INTEGER NOT NULL,
    internal_date_ms INTEGER NOT NULL,
    first_seen_at_ms INTEGER NOT NULL,
    received_at_ms   INTEGER NOT NULL DEFAULT 0,
    sender_domain    TEXT    NOT NULL DEFAULT '',
    attempts         INTEGER NOT NULL DEFAULT 0,
    claimed_until_ms INTEGER NOT NULL DEFAULT 0,
    claimed_by       TEXT    NOT NULL DEFAULT '',
    outcome          TEXT    NOT NULL CHECK (outcome IN ('pending', 'opened', 'joined', 'duplicate', 'left-alone')),
    reason           TEXT    NOT NULL DEFAULT '',
    case_id          INTEGER NOT NULL DEFAULT 0,
    duplicate_of     INTEGER NOT NULL DEFAULT 0,
    settled_at_ms    INTEGER NOT NULL DEFAULT 0,
    treated          INTEGER NOT NULL DEFAULT 0,
    content_deleted_at_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source, mailbox, uid_validity, position_key)
) STRICT;
CREATE UNIQUE INDEX message_original ON message (content_hash) WHERE outcome <> 'duplicate';
CREATE INDEX message_pending ON message (attempts, id) WHERE outcome = 'pending';
CREATE INDEX message_untreated ON message (source, id) WHERE treated = 0 AND outcome IN ('opened', 'joined', 'duplicate');
CREATE INDEX message_left_alone ON message (content_deleted_at_ms, settled_at_ms) WHERE outcome = 'left-alone';
CREATE INDEX message_account ON message (source, outcome);
CREATE INDEX message_duplicate ON message (duplicate_of) WHERE duplicate_of <> 0;
CREATE INDEX message_case ON message (case_id) WHERE case_id <> 0;

CREATE TABLE message_chunk (
    message_id INTEGER NOT NULL REFERENCES message (id),
    seq        INTEGER NOT NULL,
    bytes      BLOB    NOT NULL,
    PRIMARY KEY (message_id, seq)
) STRICT;

-- What was read in the attachments of a message that is in a case, as JSON: content, like the message itself.
CREATE TABLE message_text (
    message_id INTEGER NOT NULL REFERENCES message (id),
    position   INTEGER NOT NULL,
    extracted  TEXT    NOT NULL,
    PRIMARY KEY (message_id, position)
) STRICT;

-- Message-IDs (RFC 5322) by which later mail can refer to a case: those of the messages in it.
CREATE TABLE thread_id (
    rfc_message_id TEXT    NOT NULL,
    case_id        INTEGER NOT NULL,
    message_id     INTEGER NOT NULL REFERENCES message (id),
    PRIMARY KEY (rfc_message_id, message_id)
) STRICT;

-- References of their own that senders gave in the messages of a case («vår sak 24/1187»): later mail may cite nothing else.
-- In small letters, like the address.
CREATE TABLE case_reference (
    reference  TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    party      TEXT    NOT NULL,
    case_id    INTEGER NOT NULL,
    message_id INTEGER NOT NULL REFERENCES message (id),
    PRIMARY KEY (reference, message_id)
) STRICT;

-- Every rule set that decided anything, whole, so that a decision can be replayed.
CREATE TABLE ruleset (
    hash             TEXT    NOT NULL PRIMARY KEY,
    engine_version   TEXT    NOT NULL,
    first_used_at_ms INTEGER NOT NULL,
    files            TEXT    NOT NULL
) STRICT;

CREATE TABLE verdict (
    message_id INTEGER NOT NULL PRIMARY KEY REFERENCES message (id),
    ruleset    TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    verdict    TEXT    NOT NULL
) STRICT;

-- What an earlier rule set said of a message that a person had decided on anew.
CREATE TABLE earlier_verdict (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id INTEGER NOT NULL REFERENCES message (id),
    ruleset    TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    verdict    TEXT    NOT NULL
) STRICT;

CREATE TABLE case_counter (
    year INTEGER NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;

CREATE TABLE cases (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    year                INTEGER NOT NULL,
    count               INTEGER NOT NULL,
    version             INTEGER NOT NULL,
    state               TEXT    NOT NULL,
    kind                TEXT    NOT NULL,
    direction           TEXT    NOT NULL,
    destination         TEXT    NOT NULL,
    copies              TEXT    NOT NULL,
    category            TEXT    NOT NULL,
    severity            TEXT    NOT NULL,
    reporter_address    TEXT    NOT NULL,
    reporter_source     TEXT    NOT NULL,
    reporter_party      TEXT    NOT NULL,
    reporter_message_id TEXT    NOT NULL,
    language            TEXT    NOT NULL,
    reference           TEXT    NOT NULL,
    received_at_ms      INTEGER NOT NULL,
    received_day        TEXT    NOT NULL,
    due_day             TEXT    NOT NULL,
    created_at_ms       INTEGER NOT NULL,
    sent_at_ms          INTEGER NOT NULL,
    answered_at_ms      INTEGER NOT NULL,
    closed_at_ms        INTEGER NOT NULL,
    acknowledgement     TEXT    NOT NULL,
    told_party          TEXT    NOT NULL,
    reminder            TEXT    NOT NULL,
    attention           INTEGER NOT NULL,
    message_id          INTEGER NOT NULL,
    merged_into         TEXT    NOT NULL DEFAULT '',
    duplicate_of        TEXT    NOT NULL DEFAULT '',
    content_deleted_at_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (year, count)
) STRICT;
CREATE INDEX cases_to_remind ON cases (due_day) WHERE state = 'sent' AND reminder = 'allowed';
CREATE INDEX cases_to_close ON cases (answered_at_ms) WHERE state = 'answered';
CREATE INDEX cases_open ON cases (state, due_day) WHERE state NOT IN ('closed', 'registered', 'dismissed');
CREATE INDEX cases_attention ON cases (attention, year, count) WHERE attention = 1;
CREATE INDEX cases_unacknowledged ON cases (created_at_ms) WHERE acknowledgement <> 'queued';
CREATE INDEX cases_without_address ON cases (answered_at_ms) WHERE acknowledgement = 'no-address';

-- Append-only.
CREATE TABLE case_event (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id      INTEGER NOT NULL REFERENCES cases (id),
    at_ms        INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    on_behalf_of TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    data         TEXT    NOT NULL
) STRICT;
CREATE INDEX case_event_case ON case_event (case_id, id);
CREATE TRIGGER case_event_no_update BEFORE UPDATE ON case_event BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER case_event_no_delete BEFORE DELETE ON case_event BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;

-- What the form of a report says, with the day and the place of the event: content, like the report. The first word stays.
CREATE TABLE case_field (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id    INTEGER NOT NULL REFERENCES cases (id),
    name       TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    message_id INTEGER NOT NULL REFERENCES message (id),
    UNIQUE (case_id, name)
) STRICT;

-- One row a mail. The bytes are fixed when the row is written; every attempt sends them. Mail about many cases (the digest,
-- the status of a party) has case_id 0, and the day as yyyymmdd for seq.
CREATE TABLE outbox (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id             INTEGER NOT NULL,
    kind                TEXT    NOT NULL,
    party               TEXT    NOT NULL,
    seq                 INTEGER NOT NULL,
    rfc_message_id      TEXT    NOT NULL UNIQUE,
    replaced_message_id TEXT    NOT NULL DEFAULT '',
    envelope_from       TEXT    NOT NULL,
    created_at_ms       INTEGER NOT NULL,
    state               TEXT    NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'failed', 'held', 'bounced')),
    -- Why it is held, where that is not told by something else: 'dead-address'.
    hold_reason         TEXT    NOT NULL DEFAULT '',
    attempts            INTEGER NOT NULL DEFAULT 0,
    unknown_outcomes    INTEGER NOT NULL DEFAULT 0,
    next_attempt_at_ms  INTEGER NOT NULL,
    claimed_at_ms       INTEGER NOT NULL DEFAULT 0,
    lease_until_ms      INTEGER NOT NULL DEFAULT 0,
    sent_at_ms          INTEGER NOT NULL DEFAULT 0,
    UNIQUE (case_id, party, kind, seq)
) STRICT;
CREATE INDEX outbox_due ON outbox (next_attempt_at_ms) WHERE state = 'queued';
CREATE INDEX outbox_sending ON outbox (lease_until_ms) WHERE state = 'sending';
CREATE INDEX outbox_undelivered ON outbox (state, id) WHERE state NOT IN ('queued', 'sending', 'sent');
CREATE INDEX outbox_replaced ON outbox (replaced_message_id) WHERE replaced_message_id <> '';

CREATE TABLE outbox_recipient (
    outbox_id INTEGER NOT NULL REFERENCES outbox (id),
    position  INTEGER NOT NULL,
    address   TEXT    NOT NULL,
    state     TEXT    NOT NULL CHECK (state IN ('waiting', 'accepted', 'refused', 'bounced')),
    code      INTEGER NOT NULL DEFAULT 0,
    enhanced  TEXT    NOT NULL DEFAULT '',
    at_ms     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (outbox_id, position)
) STRICT;
CREATE INDEX outbox_recipient_address ON outbox_recipient (lower(address));

-- Addresses, in small letters, from which mail came back because they take none. Nothing is sent there until a person says that
-- it works again.
CREATE TABLE dead_address (
    address   TEXT    NOT NULL PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    status    TEXT    NOT NULL,
    outbox_id INTEGER NOT NULL REFERENCES outbox (id)
) STRICT;

CREATE TABLE outbox_chunk (
    outbox_id INTEGER NOT NULL REFERENCES outbox (id),
    seq       INTEGER NOT NULL,
    bytes     BLOB    NOT NULL,
    PRIMARY KEY (outbox_id, seq)
) STRICT;

-- By what a later report is known as possibly the same: keyed hashes, no words. Rows of old reports are removed.
CREATE TABLE case_likeness (
    case_id        INTEGER NOT NULL PRIMARY KEY REFERENCES cases (id),
    office         TEXT    NOT NULL,
    received_at_ms INTEGER NOT NULL,
    shingles       BLOB    NOT NULL,
    numbers        BLOB    NOT NULL
) STRICT;
CREATE INDEX case_likeness_office ON case_likeness (office, received_at_ms);
CREATE INDEX case_likeness_age ON case_likeness (received_at_ms);

CREATE TABLE case_file (
    sha256  TEXT    NOT NULL,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    PRIMARY KEY (sha256, case_id)
) STRICT;

-- Which days the mails about many cases are done for, sent or with nothing to say: what makes them once a day and once a week.
CREATE TABLE report_day (
    kind  TEXT    NOT NULL,
    party TEXT    NOT NULL,
    day   TEXT    NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, party, day)
) STRICT;

CREATE TABLE source_cursor (
    source        TEXT    NOT NULL PRIMARY KEY,
    uid_validity  INTEGER NOT NULL,
    last_uid      INTEGER NOT NULL,
    checked_at_ms INTEGER NOT NULL,
    gone          INTEGER NOT NULL DEFAULT 0,
    seen          INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What lies at a source and could not be read there. A row goes when it has been stored, or lies there no more.
CREATE TABLE unreadable (
    source       TEXT    NOT NULL,
    mailbox      TEXT    NOT NULL,
    uid_validity INTEGER NOT NULL,
    position_key TEXT    NOT NULL,
    first_at_ms  INTEGER NOT NULL,
    last_at_ms   INTEGER NOT NULL,
    why          TEXT    NOT NULL,
    PRIMARY KEY (source, mailbox, uid_validity, position_key)
) STRICT;

-- What people did at a source by hand. Append-only.
CREATE TABLE source_event (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    source       TEXT    NOT NULL,
    position_key TEXT    NOT NULL,
    at_ms        INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    on_behalf_of TEXT    NOT NULL,
    reason       TEXT    NOT NULL
) STRICT;
CREATE TRIGGER source_event_no_update BEFORE UPDATE ON source_event BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER source_event_no_delete BEFORE DELETE ON source_event BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;

-- The last reconciliation of each source.
CREATE TABLE reconciliation (
    source      TEXT    NOT NULL PRIMARY KEY,
    at_ms       INTEGER NOT NULL,
    differences INTEGER NOT NULL,
    report      TEXT    NOT NULL
) STRICT;

-- Which worker watches which source, until when by the database's clock; empty where one worker alone has the database.
CREATE TABLE source_lease (
    source   TEXT    NOT NULL PRIMARY KEY,
    node     TEXT    NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;

-- The workers that share the database, with the rules that each has in force and since when.
CREATE TABLE node (
    node           TEXT    NOT NULL PRIMARY KEY,
    seen_ms        INTEGER NOT NULL,
    ruleset        TEXT    NOT NULL,
    ruleset_at_ms  INTEGER NOT NULL
) STRICT;
