//! Runs each target on its corpus and on random mutations of it: a fuzzer that
//! needs only this crate's tests.

use std::{fs, path::Path};

use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::TestRunner,
};

use super::*;

/// Mutated inputs per target; `PROPTEST_CASES` for more.
const CASES: u32 = 2000;

/// Inputs of a target that uses a socket: some milliseconds each.
const CONNECTIONS: u32 = 200;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let files = fs::read_dir(corpus.join(name)).expect("a corpus");
    let mut inputs: Vec<_> = files
        .map(|file| fs::read(file.expect("a file").path()).expect("an input"))
        .collect();
    inputs.sort();
    inputs
}

/// A mutation of an input, at a random position.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index, Index),
    /// Continues with another input from there.
    Splice(Index, Vec<u8>, Index),
    /// Repeats a part.
    Repeat(Index, Index, usize),
}

fn mutation(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Mutation> {
    let place = any::<Index>;
    prop_oneof![
        (place(), 1..=255u8).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        (place(), proptest::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (place(), place()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        (place(), select(corpus), place())
            .prop_map(|(at, other, from)| Mutation::Splice(at, other, from)),
        (place(), place(), 1..40usize)
            .prop_map(|(from, to, times)| Mutation::Repeat(from, to, times)),
    ]
}

impl Mutation {
    fn apply(&self, mut input: Vec<u8>) -> Vec<u8> {
        let end = input.len() + 1;
        let range = |a: &Index, b: &Index| {
            let (a, b) = (a.index(end), b.index(end));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Flip(at, bits) => {
                let at = at.index(end);
                input.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
            }
            Self::Insert(at, bytes) => {
                let at = at.index(end);
                input.splice(at..at, bytes.iter().copied());
            }
            Self::Cut(from, to) => drop(input.drain(range(from, to))),
            Self::Splice(at, other, from) => {
                input.truncate(at.index(end));
                input.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
            Self::Repeat(from, to, times) => {
                let part = input[range(from, to)].repeat(*times);
                let at = to.index(end);
                input.splice(at..at, part);
            }
        }
        input
    }
}

fn inputs(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let mutations = proptest::collection::vec(mutation(corpus.clone()), 1..6);
    (select(corpus), mutations).prop_map(|(input, mutations)| {
        let mutate = |input, mutation: &Mutation| mutation.apply(input);
        mutations.iter().fold(input, mutate)
    })
}

#[test]
fn nothing_that_is_sent_breaks_what_reads_it() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 3, "{name}");
        corpus.iter().for_each(|input| target(input));
        let cases = if *name == "connection" {
            CONNECTIONS
        } else {
            CASES
        };
        let mut runner = TestRunner::new(ProptestConfig {
            cases: ProptestConfig::default().cases.max(cases),
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let run = runner.run(&inputs(corpus), |input| {
            target(&input);
            Ok(())
        });
        run.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

/// A corpus without a target would hide that the target was removed.
#[test]
fn each_corpus_has_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for folder in fs::read_dir(corpus).expect("the corpora") {
        let name = folder.expect("a folder").file_name();
        let name = name.to_str().expect("UTF-8");
        assert!(target(name).is_some(), "{name}");
    }
}
