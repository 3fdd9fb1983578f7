//! Every keyword of libpq (up to PostgreSQL 18), its environment variable, and its handling here.
//!
//! Source: <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS> and
//! <https://www.postgresql.org/docs/current/libpq-envars.html>. `PGDATESTYLE`, `PGTZ` and `PGGEQO`
//! are left out: they change how SQL reads dates and plans joins, and no such statement is sent.

/// A connection keyword.
#[derive(Debug)]
pub(super) struct Keyword {
    pub(super) name: &'static str,
    pub(super) variable: Option<&'static str>,
    pub(super) handling: Handling,
}

/// Handling of a keyword's value.
#[derive(Debug)]
pub(super) enum Handling {
    /// Read by the module that needs it.
    Honoured,
    /// Without effect, and without a loss of security.
    Ignored,
    /// Only these values and the empty one are accepted; any other would promise unsupported
    /// behaviour, for this reason.
    Only(&'static [&'static str], &'static str),
}

/// The keyword of this name, exactly as written: libpq's keywords are lower case.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

const NO_GSSAPI: &str = "GSSAPI is not supported";
const NO_REVOCATION: &str = "revocation lists are not supported";
const NO_SCRAM_KEYS: &str = "SCRAM keys are not supported, give the password";

pub(super) const KEYWORDS: &[Keyword] = &[
    honoured("host", Some("PGHOST")),
    honoured("hostaddr", Some("PGHOSTADDR")),
    honoured("port", Some("PGPORT")),
    honoured("dbname", Some("PGDATABASE")),
    honoured("user", Some("PGUSER")),
    honoured("password", Some("PGPASSWORD")),
    honoured("passfile", Some("PGPASSFILE")),
    honoured("service", Some("PGSERVICE")),
    honoured("servicefile", Some("PGSERVICEFILE")),
    honoured("channel_binding", Some("PGCHANNELBINDING")),
    honoured("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    honoured("client_encoding", Some("PGCLIENTENCODING")),
    honoured("options", Some("PGOPTIONS")),
    honoured("application_name", Some("PGAPPNAME")),
    honoured("fallback_application_name", None),
    honoured("keepalives", None),
    honoured("keepalives_idle", None),
    honoured("keepalives_interval", None),
    honoured("keepalives_count", None),
    honoured("tcp_user_timeout", None),
    honoured("sslmode", Some("PGSSLMODE")),
    honoured("sslnegotiation", Some("PGSSLNEGOTIATION")),
    honoured("sslcert", Some("PGSSLCERT")),
    honoured("sslkey", Some("PGSSLKEY")),
    honoured("sslrootcert", Some("PGSSLROOTCERT")),
    honoured("sslsni", Some("PGSSLSNI")),
    honoured("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    honoured("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION")),
    honoured("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    honoured("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    only(
        "sslcertmode",
        Some("PGSSLCERTMODE"),
        &["disable", "allow"],
        "a certificate cannot be forced on the server",
    ),
    // Ignoring one of these would leave the operator less secure than requested.
    only("sslcrl", Some("PGSSLCRL"), &[], NO_REVOCATION),
    only("sslcrldir", Some("PGSSLCRLDIR"), &[], NO_REVOCATION),
    only(
        "requirepeer",
        Some("PGREQUIREPEER"),
        &[],
        "the owner of a socket cannot be checked",
    ),
    only(
        "require_auth",
        Some("PGREQUIREAUTH"),
        &[],
        "is not supported; channel_binding=require demands SCRAM over TLS",
    ),
    only(
        "gssencmode",
        Some("PGGSSENCMODE"),
        &["disable", "prefer"],
        NO_GSSAPI,
    ),
    // These would change the session in a way that the source does not support.
    only(
        "replication",
        None,
        &["false", "off", "no", "0"],
        "a replication session cannot LISTEN",
    ),
    only(
        "min_protocol_version",
        Some("PGMINPROTOCOLVERSION"),
        &["3.0"],
        "only protocol 3.0 is spoken",
    ),
    only("scram_client_key", None, &[], NO_SCRAM_KEYS),
    only("scram_server_key", None, &[], NO_SCRAM_KEYS),
    // Protocol version 3.0 satisfies every upper bound.
    ignored("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    // GSSAPI is not supported: a server that requires it is refused, so its details do not matter.
    ignored("krbsrvname", Some("PGKRBSRVNAME")),
    ignored("gsslib", Some("PGGSSLIB")),
    ignored("gssdelegation", Some("PGGSSDELEGATION")),
    // TLS is never compressed: modern libpq ignores this one too.
    ignored("sslcompression", Some("PGSSLCOMPRESSION")),
    // Only for an encrypted key, which is refused when it is read.
    ignored("sslpassword", None),
    // Writes session secrets to a file, for debugging; not writing them is the secure choice.
    ignored("sslkeylogfile", None),
    // OAuth is not supported: a server that requires it is refused.
    ignored("oauth_issuer", None),
    ignored("oauth_client_id", None),
    ignored("oauth_client_secret", None),
    ignored("oauth_scope", None),
];

const fn honoured(name: &'static str, variable: Option<&'static str>) -> Keyword {
    Keyword {
        name,
        variable,
        handling: Handling::Honoured,
    }
}

const fn ignored(name: &'static str, variable: Option<&'static str>) -> Keyword {
    Keyword {
        name,
        variable,
        handling: Handling::Ignored,
    }
}

const fn only(
    name: &'static str,
    variable: Option<&'static str>,
    values: &'static [&'static str],
    reason: &'static str,
) -> Keyword {
    Keyword {
        name,
        variable,
        handling: Handling::Only(values, reason),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keywords_and_variables_are_listed_once() {
        let names: BTreeSet<_> = KEYWORDS.iter().map(|keyword| keyword.name).collect();
        let variables: Vec<_> = KEYWORDS
            .iter()
            .filter_map(|keyword| keyword.variable)
            .collect();
        assert_eq!(names.len(), KEYWORDS.len());
        assert_eq!(
            variables.iter().collect::<BTreeSet<_>>().len(),
            variables.len()
        );
    }

    #[test]
    fn keywords_are_case_sensitive() {
        assert!(find("sslmode").is_some());
        assert!(find("SSLMode").is_none());
    }
}
