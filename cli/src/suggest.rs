//! What the user may have meant by a name that is not there.

/// Names shown at most.
const SHOWN: usize = 8;
/// Likeness from which a name counts as meant.
const ALIKE: f64 = 0.8;

/// The end of a sentence about an unknown name: the names most like it, or those that there are.
pub fn instead<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let mut alike: Vec<(f64, &str)> =
        known.iter().map(|k| (likeness(name, k), *k)).filter(|(l, _)| *l >= ALIKE).collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    if !alike.is_empty() {
        let best: Vec<String> = alike.iter().take(3).map(|(_, k)| format!("`{k}`")).collect();
        return format!("; did you mean {}?", best.join(" or "));
    }
    if known.is_empty() {
        return "; it has none".to_owned();
    }
    let shown: Vec<String> = known.iter().take(SHOWN).map(|k| format!("`{k}`")).collect();
    let more = known.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; it has {}{rest}", shown.join(", "))
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::instead;

    #[test]
    fn the_nearest_name_first() {
        assert_eq!(instead("firewal", ["firewall", "udp"]), "; did you mean `firewall`?");
    }

    #[test]
    fn all_names_if_none_is_near() {
        assert_eq!(instead("x", ["firewall", "udp"]), "; it has `firewall`, `udp`");
        assert_eq!(instead("x", []), "; it has none");
    }
}
