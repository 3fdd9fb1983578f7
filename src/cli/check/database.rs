//! Checks of the database: a session that receives what another session notifies.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{
    super::database::{
        DatabaseError, PRIMARY, SERVER_LOG, Session, State, identifier, literal, remedy, text,
    },
    Finding, Report,
};
use crate::{
    config::Config,
    event::ChannelName,
    source::conninfo::{ConnInfo, Target, TargetSessionAttrs},
};

/// Limits of queue usage: above the first the gateway is not ready; the second warns early.
const TOO_FULL: f64 = 0.25;
const FULL: f64 = 0.05;

/// Timeout for the first look at the queue: after 8 GB of backlog it takes some 15 s.
const LOOK: Duration = Duration::from_secs(60);

/// Sessions that may hold up the queue: in an open transaction, or with a client that does not
/// read.
const STALLERS: &str = "SELECT pid FROM pg_catalog.pg_stat_activity \
    WHERE pid <> pg_catalog.pg_backend_pid() \
    AND (state LIKE 'idle in transaction%' OR wait_event = 'ClientWrite') \
    ORDER BY xact_start NULLS LAST LIMIT 3";

pub(super) async fn examine(config: &Config, report: &mut Report) {
    let targets = match config.database.targets() {
        Ok(targets) => targets,
        Err(error) => {
            let error = DatabaseError::from(error);
            return report.add(Finding::fail("database", &error, error.remedy()));
        }
    };
    let Some((target, session, state)) = choose(&config.database, &targets, report).await else {
        return;
    };
    report.add(encoding(&state));
    let usable = match queue(&session).await {
        Ok(finding) => {
            report.add(finding);
            second_session(target, session, &state, config.source.heartbeat_timeout).await
        }
        Err(error) => Err(error),
    };
    report.add(usable.unwrap_or_else(|error| Finding::fail("database", &error, error.remedy())));
}

/// Findings for a host that the gateway would not use.
struct PassedOver {
    /// If another host is used.
    beside_one: Finding,
    /// If none is.
    alone: Finding,
}

impl PassedOver {
    fn new(says: String, remedy: &str) -> Self {
        Self {
            beside_one: Finding::warn("database", &says, remedy),
            alone: Finding::fail("database", says, remedy),
        }
    }

    /// A list of all hosts with a demand that only a primary meets expects standbys to be skipped.
    fn by_state(target: &Target, state: &State, wants: TargetSessionAttrs) -> Option<Self> {
        let (says, remedy) = unwanted(wants, state)?;
        let passed_over = Self::new(format!("{target} {says}"), remedy);
        let wants_primary = [TargetSessionAttrs::ReadWrite, TargetSessionAttrs::Primary];
        Some(if state.is_standby && wants_primary.contains(&wants) {
            let says = format!("{target} is a standby, passed over");
            let beside_one = Finding::ok("database", says);
            Self {
                beside_one,
                ..passed_over
            }
        } else {
            passed_over
        })
    }
}

/// Returns the host that the gateway would use. Hosts passed over are failures only if there is
/// none.
async fn choose<'a>(
    database: &ConnInfo,
    targets: &'a [Target],
    report: &mut Report,
) -> Option<(&'a Target, Session, State)> {
    let wants = database.target_session_attrs();
    let mut passed_over = Vec::new();
    for target in targets {
        let session = match Session::open(target).await {
            Ok(session) => session,
            Err(error) => {
                passed_over.push(PassedOver::new(error.to_string(), remedy(&error)));
                if error.ends_search() {
                    break;
                }
                continue;
            }
        };
        match session.state().await {
            Ok(state) => match PassedOver::by_state(target, &state, wants) {
                None => {
                    for host in passed_over {
                        report.add(host.beside_one);
                    }
                    report.add(Finding::ok("database", described(target, &state)));
                    return Some((target, session, state));
                }
                Some(host) => passed_over.push(host),
            },
            Err(error) => {
                passed_over.push(PassedOver::new(format!("{target}: {error}"), SERVER_LOG));
            }
        }
    }
    for host in passed_over {
        report.add(host.alone);
    }
    None
}

fn described(target: &Target, state: &State) -> String {
    let State { version, user, .. } = state;
    format!("{target} as {user}: a primary, PostgreSQL {version}")
}

/// Why the gateway would not use the host, and the remedy.
fn unwanted(wants: TargetSessionAttrs, state: &State) -> Option<(&'static str, &'static str)> {
    const WANTS: &str =
        "leave target_session_attrs at any or read-write: only a primary can LISTEN";
    match wants {
        _ if state.is_standby => Some(("is a standby, which cannot LISTEN (25006)", PRIMARY)),
        TargetSessionAttrs::ReadWrite if state.is_read_only => Some((
            "is read-only, which target_session_attrs does not want",
            "set default_transaction_read_only = off for the role and the database",
        )),
        TargetSessionAttrs::ReadOnly if !state.is_read_only => {
            Some(("is not read-only, as target_session_attrs wants it", WANTS))
        }
        TargetSessionAttrs::Standby => Some((
            "is a primary, which target_session_attrs does not want",
            WANTS,
        )),
        _ => None,
    }
}

fn encoding(state: &State) -> Finding {
    match state.encoding.as_str() {
        "SQL_ASCII" => Finding::warn(
            "encoding",
            "SQL_ASCII: notifying what is not UTF-8 ends the session, and costs every reader a gap",
            "notify ASCII alone, or move to a database with an encoding: \
             CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, pg_dump and pg_restore",
        ),
        "UTF8" => Finding::ok("encoding", "UTF8"),
        other => Finding::ok("encoding", format!("{other}, and UTF-8 for the readers")),
    }
}

/// Runs before anything is notified: reading frees a queue that was full.
async fn queue(session: &Session) -> Result<Finding, DatabaseError> {
    let sql = "SELECT pg_catalog.pg_notification_queue_usage()";
    let rows = session.rows_within(LOOK, sql).await?;
    let usage = rows.first().and_then(|row| text(row, 0)?.parse().ok());
    let usage: f64 = usage.ok_or(DatabaseError::Strange)?;
    let says = format!("{:.1} % of the notification queue are used", usage * 100.0);
    if usage <= FULL {
        return Ok(Finding::ok("queue", says));
    }
    let rows = session.rows(STALLERS).await?;
    let pids: Vec<_> = rows.iter().filter_map(|row| text(row, 0)).collect();
    let suspects = match pids.is_empty() {
        true => String::new(),
        false => format!(", perhaps {}", pids.join(" or ")),
    };
    let remedy = format!(
        "end the session that listens and does not read{suspects}: SELECT \
         pg_terminate_backend(pid); when the queue is full every commit that notifies fails"
    );
    Ok(match usage > TOO_FULL {
        true => Finding::fail("queue", says, remedy),
        false => Finding::warn("queue", says, remedy),
    })
}

const POOLER: &str = "connect to PostgreSQL itself, past the pooler, or to a database of it \
    with pool_mode=session, and by a name that leads to one server: LISTEN needs a session of \
    its own, and hears one server";

/// Notifies on another session; the first one must receive it.
async fn second_session(
    target: &Target,
    listening: Session,
    state: &State,
    limit: Duration,
) -> Result<Finding, DatabaseError> {
    let second = match Session::open(target).await {
        Ok(second) => second,
        Err(error) => {
            let says = format!("no auxiliary session, to publish and to probe: {error}");
            return Ok(Finding::fail("probe", says, remedy(&error)));
        }
    };
    if second.state().await?.backend == state.backend {
        let says = "two sessions are one: there is a pooler in transaction or statement mode \
                    in between";
        return Ok(Finding::fail("probe", says, POOLER));
    }
    probe(listening, &second, limit).await
}

async fn probe(
    mut listening: Session,
    second: &Session,
    limit: Duration,
) -> Result<Finding, DatabaseError> {
    let prefix = ChannelName::RESERVED_PREFIX;
    let channel = format!("{prefix}check:{:016x}", fastrand::u64(..));
    let listen = format!("LISTEN {}", identifier(&channel));
    listening.rows(&listen).await?;
    let begun = Instant::now();
    let notify = format!("SELECT pg_catalog.pg_notify({}, '')", literal(&channel));
    if let Err(error) = second.rows(&notify).await {
        let says = format!("a notification could not be committed: {error}");
        let remedy = "see what the server says; a full queue is freed by ending who does not read";
        return Ok(Finding::fail("probe", says, remedy));
    }
    let arrival = async {
        while let Some(notification) = listening.notifications.recv().await {
            if notification.channel() == channel {
                return true;
            }
        }
        false
    };
    let arrived = timeout(limit, arrival).await == Ok(true);
    let took = begun.elapsed();
    // A pooler would keep the LISTEN for the next client of the session.
    let unlisten = format!("UNLISTEN {}", identifier(&channel));
    let _ = listening.rows(&unlisten).await;
    Ok(if arrived {
        Finding::ok(
            "probe",
            format!("what another session notified arrived in {took:.1?}"),
        )
    } else {
        let says = format!(
            "LISTEN was accepted, but what another session notified did not arrive in {limit:?}: \
             is there a pooler in transaction or statement mode in between, or does one name \
             lead to several servers?"
        );
        Finding::fail("probe", says, POOLER)
    })
}
