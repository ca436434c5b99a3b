//! The README's promises that its own example (a documentation test of the crate) can't check: its links lead somewhere, and the
//! files that its commands name are there.

mod common;

use std::path::Path;

#[test]
fn what_it_names_is_there() {
    let text = std::fs::read_to_string(common::root().join("README.md")).expect("README.md");
    let links = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split(')').next());
    let commands = text.split_whitespace().filter(|word| word.starts_with("examples/") && word.contains('.'));
    let local: Vec<&str> = links.chain(commands).filter(|link| !link.contains("://")).collect();
    assert!(local.len() >= 5, "{local:?}");
    let missing: Vec<&&str> = local.iter().filter(|link| !common::root().join(Path::new(link)).exists()).collect();
    assert!(missing.is_empty(), "the README names what is not there: {missing:?}");
}
