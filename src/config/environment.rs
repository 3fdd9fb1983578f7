//! The environment; no other module reads it.

use std::collections::{BTreeSet, HashSet};

use super::{
    Mistake,
    origin_of_setting::SettingOrigin,
    settings::{PREFIX, SETTINGS, variable},
    unknown::unknown,
};

/// Reads a variable; a function, so that tests have an environment of their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The real environment. A value that is not UTF-8 is converted with replacement characters, so it
/// is refused where it is used and not treated as unset. One line end is removed, as in files: a
/// Kubernetes Secret made from the output of `echo` has one. Nothing else is: a password may end in
/// a blank.
#[allow(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn environment(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?;
    Some(without_line_end(&value.to_string_lossy()).to_owned())
}

/// Removes one line end, of Unix or of Windows.
pub(super) fn without_line_end(text: &str) -> &str {
    let line = text.strip_suffix('\n');
    line.map_or(text, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// Variables with pgfan's prefix that no setting reads, sorted: they would hide a typing error in a
/// name. Only a warning, since the environment may have variables of another program.
#[allow(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn unknown_variables() -> Vec<Mistake> {
    let all = std::env::vars_os();
    let texts = all.map(|(name, value)| [name, value].map(|text| text.to_string_lossy().into()));
    unknown_among(texts)
}

/// Variables beside the settings: the settings file, and those of the commands that are clients of
/// a gateway.
const OTHERS: [&str; 3] = ["config", "url", "token"];

/// Takes names and values. An empty variable counts as unset.
fn unknown_among(variables: impl Iterator<Item = [String; 2]>) -> Vec<Mistake> {
    let settings = SETTINGS.iter().map(|setting| setting.name);
    let names: Vec<_> = settings.chain(OTHERS).collect();
    let known: HashSet<_> = names.iter().map(|name| variable(name)).collect();
    let is_stranger = |[name, value]: &[String; 2]| {
        let is_ours = known.contains(name) || is_of_kubernetes(name, value);
        name.starts_with(PREFIX) && !value.is_empty() && !is_ours
    };
    let strangers: BTreeSet<_> = variables
        .filter(is_stranger)
        .map(|[name, _]| name)
        .collect();
    let mistake = |name: String| {
        let rest = name[PREFIX.len()..].to_owned();
        unknown(&SettingOrigin::Variable(name), &rest, names.iter().copied())
    };
    strangers.into_iter().map(mistake).collect()
}

/// Variables that Kubernetes sets in each container, for Services whose name begins with pgfan:
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let words: Vec<_> = name.split('_').collect();
    match words[..] {
        [.., "SERVICE", "HOST" | "PORT"] => true,
        [.., "PORT", port, "TCP" | "UDP" | "SCTP"]
        | [
            ..,
            "PORT",
            port,
            "TCP" | "UDP" | "SCTP",
            "PROTO" | "PORT" | "ADDR",
        ] => port.parse::<u16>().is_ok(),
        // tcp://10.0.0.1:8000; a port that is meant as the setting is a number.
        [.., "PORT"] => value.contains("://"),
        _ => words.windows(2).any(|pair| pair == ["SERVICE", "PORT"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Vec<String> {
        let texts = variables
            .iter()
            .map(|(name, value)| [name, value].map(|text| text.to_string()));
        let mistakes = unknown_among(texts).into_iter();
        mistakes
            .map(|mistake| format!("{mistake}: {}", mistake.remedy()))
            .collect()
    }

    #[test]
    fn a_variable_with_a_slip_is_known_again() {
        for (name, near) in [
            ("PGFAN_LISTEM", "PGFAN_LISTEN"),
            ("PGFAN_listen", "PGFAN_LISTEN"),
            ("PGFAN_HISTROY_EVENTS", "PGFAN_HISTORY_EVENTS"),
            ("PGFAN_DATABASEURL", "PGFAN_DATABASE_URL"),
            ("PGFAN_CONFIF", "PGFAN_CONFIG"),
            ("PGFAN_URI", "PGFAN_URL"),
        ] {
            let rule = format!("{name}: there is no such setting, but `{near}`: write {near}=…");
            assert_eq!(said(&[(name, "s3cret")]), [rule]);
        }
        for name in ["PGFAN_", "PGFAN_PASSWORD", "PGFAN_KEY", "PGFAN_ÄÖ"] {
            let rule = format!("{name}: there is no such setting: take it out: ");
            let said = said(&[(name, "s3cret")]).concat();
            assert!(
                said.starts_with(&rule) && !said.contains("s3cret"),
                "{said}"
            );
        }
    }

    #[test]
    fn one_line_end_is_cut_and_nothing_else() {
        for (text, left) in [
            ("", ""),
            ("\n", ""),
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a \n", "a "),
            (" a\t", " a\t"),
            ("a\r", "a\r"),
            ("a\nb\n", "a\nb"),
        ] {
            assert_eq!(without_line_end(text), left, "{text:?}");
        }
    }

    #[test]
    fn all_of_them_are_told_and_nothing_else_is() {
        let names = ["PGFAN_LISTEN", "PGFAN_CONFIG", "PGFAN_URL", "PGFAN_TOKEN"];
        let others = ["PGHOST", "PGFANLISTEN", "pgfan_listen", "MY_PGFAN_LISTEM"];
        let known = [&names[..], &others].concat();
        let known: Vec<_> = known.iter().map(|name| (*name, "x")).collect();
        let unset = [("PGFAN_LISTEM", "")];
        let [first, second] = ["PGFAN_B", "PGFAN_A"].map(|name| (name, "x"));
        let said = said(&[&[first], &known[..], &unset, &[second]].concat());
        let names: Vec<_> = said.iter().map(|said| &said[..8]).collect();
        assert_eq!(names, ["PGFAN_A:", "PGFAN_B:"]);
    }

    #[test]
    fn what_kubernetes_sets_is_no_slip() {
        let of_kubernetes = [
            ("PGFAN_SERVICE_HOST", "10.0.0.1"),
            ("PGFAN_SERVICE_PORT", "8000"),
            ("PGFAN_SERVICE_PORT_HTTP_ADMIN", "8000"),
            ("PGFAN_PORT", "tcp://10.0.0.1:8000"),
            ("PGFAN_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
            ("PGFAN_PORT_8000_TCP_PROTO", "tcp"),
            ("PGFAN_PORT_8000_TCP_PORT", "8000"),
            ("PGFAN_PORT_53_UDP_ADDR", "10.0.0.1"),
            ("PGFAN_PORT_1_SCTP", "sctp://10.0.0.1:1"),
            ("PGFAN_ADMIN_SERVICE_HOST", "10.0.0.2"),
            ("PGFAN_ADMIN_PORT_9000_TCP_ADDR", "10.0.0.2"),
        ];
        assert_eq!(said(&of_kubernetes), [""; 0]);
        for name in [
            "PGFAN_PORT",
            "PGFAN_HOST",
            "PGFAN_PORT_HTTP_TCP",
            "PGFAN_SERVICE",
        ] {
            assert_eq!(said(&[(name, "8000")]).len(), 1, "{name}");
        }
    }
}
