//! Any sequence of steps of several processes, beside a model of the store.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// A step of one who uses a store.
#[derive(Clone, Debug)]
enum Step {
    Claim(u32),
    ClaimAny,
    Burn(u32),
    BurnUntil(u32),
    Confirm(u32),
    HoldAndDrop(u32),
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    let index = 0u32..9;
    prop_oneof![
        index.clone().prop_map(Step::Claim),
        Just(Step::ClaimAny),
        index.clone().prop_map(Step::Burn),
        (0u32..5).prop_map(Step::BurnUntil),
        index.clone().prop_map(Step::Confirm),
        index.prop_map(Step::HoldAndDrop),
        Just(Step::Reopen),
    ]
}

/// The places that are ready, used, known to be used by all, and burnt.
#[derive(Default)]
struct Model([BTreeSet<u32>; 4]);

impl Model {
    fn take(&mut self, index: u32, burnt: bool) -> bool {
        let is_ready = self.0[0].remove(&index);
        is_ready && self.0[if burnt { 3 } else { 1 }].insert(index)
    }

    fn usage(&self) -> (u32, u32, Option<u32>, Option<u32>, Option<u32>) {
        let [_, used, done, burnt] = &self.0;
        let gone = used.iter().chain(burnt).max().copied();
        (used.len() as u32, burnt.len() as u32, used.last().copied(), gone, done.last().copied())
    }
}

pub(super) fn any_sequence_of_steps_agrees_with_a_model(medium: &dyn Medium) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(medium.cases()) });
    let ran = runner.run(&prop::collection::vec(any_step(), 0..24), |steps| {
        let mut store = medium.open();
        let id = prepare(&*store, 8);
        let mut model = Model::default();
        model.0[0].extend(0..8);
        for step in steps {
            match step {
                Step::Claim(index) => prop_assert_eq!(claim(&*store, id, index).is_ok(), model.take(index, false)),
                Step::ClaimAny => {
                    let next = model.0[0].first().copied();
                    let held = store.hold_any(id).unwrap();
                    prop_assert_eq!(held.as_ref().map(Hold::index), next);
                    held.map(|hold| read_all(hold.claim().unwrap()));
                    next.map(|index| model.take(index, false));
                }
                Step::Burn(index) => {
                    let burnt = store.hold(id, index).is_ok_and(|held| held.unwrap().burn().is_ok());
                    prop_assert_eq!(burnt, model.take(index, true));
                }
                Step::BurnUntil(until) => {
                    let expected = (0..=until).filter(|&index| model.take(index, true)).count();
                    prop_assert_eq!(store.burn(id, until).unwrap(), expected as u32);
                }
                Step::Confirm(index) => {
                    store.confirm(id, index).unwrap();
                    if model.0[1].contains(&index) {
                        model.0[2].insert(index);
                    }
                }
                Step::HoldAndDrop(index) => prop_assert_eq!(store.hold(id, index).is_ok(), model.0[0].contains(&index)),
                Step::Reopen => {
                    // A batch that is used up is removed when its store is opened next.
                    if model.0[0].is_empty() {
                        break;
                    }
                    store = medium.open();
                }
            }
            let Usage { used, burnt, high, gone, confirmed, .. } = store.usage(id).unwrap();
            prop_assert_eq!((used, burnt, high, gone, confirmed), model.usage());
            prop_assert_eq!(store.ready(id).unwrap(), model.0[0].iter().copied().collect::<Vec<_>>());
        }
        store.remove(id).unwrap();
        Ok(())
    });
    ran.unwrap();
}
