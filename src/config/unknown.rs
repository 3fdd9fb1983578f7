//! Unknown names of settings, and the known ones that may be meant.

use strsim::damerau_levenshtein;

use super::{Mistake, origin_of_setting::SettingOrigin, settings::variable};

/// Limit of the letters that may be wrong, missing, surplus or swapped in a recognized name: any
/// two settings differ by at least three.
const SLIPS: usize = 2;

/// `name` was given at `place`, and is not among the `known`.
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
    // In a short name two letters are nearly all of it.
    let slips = |known: &str| SLIPS.min(known.len() / 3);
    // A name much longer cannot match, and takes long to compare.
    let alike = known.filter(|known| known.len().abs_diff(meant.len()) <= slips(known));
    let distances = alike.map(|known| (damerau_levenshtein(known, &meant), known));
    let near = distances.filter(|(distance, known)| *distance <= slips(known));
    near.min().map(|(_, known)| known)
}
