//! How long phases took, from what all parties noted.
//!
//! A party may wait online for one that still draws correlations, so a party's own clock does not tell the phases apart.
//! The critical path counts, step by step. Preprocessing lasts from the moment the last party has ended the step
//! before until the last party begins this one online, and online from then until the last party has ended it. The two
//! add up to the whole time, which begins when the last party has loaded the model or ended the inference before.
//!
//! Where all correlations are drawn ahead, preprocessing lasts until the last party begins the first step online, and
//! all that follows is online.

use super::arguments::PreprocessingMode;
use super::collect::RunRecord;
use super::event::StepRecord;

/// A step's share of the critical path in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTime {
    /// Until the last party began it online.
    pub preprocessing: u64,
    /// From then until the last party ended it.
    pub online: u64,
}

/// When the last party had loaded the model.
pub fn loaded_at(run: &RunRecord) -> u64 {
    run.parties.iter().map(|party| party.loaded.at).max().unwrap_or(run.started)
}

/// The times of each step, by inference.
pub fn step_times(run: &RunRecord, mode: PreprocessingMode) -> Vec<Vec<StepTime>> {
    let inferences = run.parties.iter().map(|party| party.inferences.len()).min().unwrap_or(0);
    let mut previous_end = loaded_at(run);
    let one = |inference: usize| {
        let parties: Vec<_> = run.parties.iter().map(|party| &party.inferences[inference].steps[..]).collect();
        times(&parties, mode, &mut previous_end)
    };
    (0..inferences).map(one).collect()
}

/// The times of one inference's steps, given what each party noted; `previous_end` moves to the end of the last.
fn times(parties: &[&[StepRecord]], mode: PreprocessingMode, previous_end: &mut u64) -> Vec<StepTime> {
    let steps = parties.iter().map(|steps| steps.len()).min().unwrap_or(0);
    let mut one = |step: usize| {
        let latest = |time: fn(&StepRecord) -> u64| parties.iter().map(|steps| time(&steps[step])).max().unwrap_or(0);
        let is_drawn = mode == PreprocessingMode::Streamed || step == 0;
        let begin = if is_drawn { latest(|record| record.begin).max(*previous_end) } else { *previous_end };
        let end = latest(|record| record.end).max(begin);
        let time = StepTime { preprocessing: begin - *previous_end, online: end - begin };
        *previous_end = end;
        time
    };
    (0..steps).map(&mut one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(begin: u64, end: u64) -> StepRecord {
        StepRecord { begin, end, ..StepRecord::default() }
    }

    #[test]
    fn waiting_for_correlations_is_preprocessing() {
        // Party 0 begins its first step at 10 and waits for party 1, which draws correlations until 50.
        let (first, second) = ([record(10, 60), record(61, 75)], [record(50, 58), record(70, 74)]);
        let mut end = 5;
        let streamed = times(&[&first, &second], PreprocessingMode::Streamed, &mut end);
        let expected = [(45, 10), (10, 5)].map(|(preprocessing, online)| StepTime { preprocessing, online });
        assert_eq!((streamed.as_slice(), end), (&expected[..], 75));
    }

    #[test]
    fn ahead_all_after_the_first_begin_is_online() {
        let (first, second) = ([record(10, 60), record(61, 75)], [record(50, 58), record(70, 74)]);
        let mut end = 5;
        let ahead = times(&[&first, &second], PreprocessingMode::Ahead, &mut end);
        let expected = [(45, 10), (0, 15)].map(|(preprocessing, online)| StepTime { preprocessing, online });
        assert_eq!(ahead, expected);
    }
}
