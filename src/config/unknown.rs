//! A name that no setting has, and the one that may be meant.

use strsim::damerau_levenshtein;

use super::{Mistake, origin_of_setting::SettingOrigin, settings::variable};

/// So many letters may be wrong, missing, too many or in the wrong order where a name is still known
/// again: any two settings differ by three at the least.
const SLIPS: usize = 2;

/// `name` stands at `place`, and is not among the `known`.
pub(super) fn unknown(
    place: &SettingOrigin,
    name: &str,
    known: impl Iterator<Item = &'static str>,
) -> Mistake {
    let Some(near) = nearest(name, known) else {
        return Mistake::new(place, "there is no such setting")
            .at(place)
            .with_remedy("take it out: `pgfan serve --help` tells of all there are");
    };
    let (near, equals) = match place {
        SettingOrigin::Variable(_) => (variable(near), "="),
        _ => (near.to_owned(), " = "),
    };
    let rule = format!("there is no such setting, but `{near}`");
    Mistake::new(place, rule)
        .at(place)
        .with_remedy(format!("write {near}{equals}…"))
}

fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let meant = name.to_lowercase().replace('_', "-");
    // Of a short name two letters are nearly all.
    let slips = |known: &str| SLIPS.min(known.len() / 3);
    // What is much longer is none, and would take long to compare.
    let alike = known.filter(|known| known.len().abs_diff(meant.len()) <= slips(known));
    let distances = alike.map(|known| (damerau_levenshtein(known, &meant), known));
    let near = distances.filter(|(distance, known)| *distance <= slips(known));
    near.min().map(|(_, known)| known)
}
