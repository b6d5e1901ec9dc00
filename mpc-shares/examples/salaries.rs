//! The average of salaries that nobody shows: each is split among three parties, who add their shares.

use mpc_shares::{ArithmeticShares, Prg, Seed, ShareError};

/// Prints what each party holds, and the average.
pub fn main() -> Result<(), ShareError> {
    let mut generator = Prg::new(Seed::from_system()?);
    let salaries = [3_100u64, 2_900, 4_300];

    // Each employee splits the own salary; party i gets the i-th share of each.
    let mut sums: Option<Vec<ArithmeticShares<u64>>> = None;
    for salary in salaries {
        let shares = ArithmeticShares::split(&[1], &[salary], 3, &mut generator)?;
        match &mut sums {
            None => sums = Some(shares),
            Some(sums) => sums.iter_mut().zip(&shares).try_for_each(|(sum, share)| sum.add(share))?,
        }
    }
    let sums = sums.unwrap_or_default();
    for (party, share) in sums.iter().enumerate() {
        println!("party {party} holds {:#018x}, which looks random", share.elements()[0]);
    }
    let total = ArithmeticShares::reconstruct(&sums)?[0];
    println!("the average is {}", total / salaries.len() as u64);
    assert_eq!(total, salaries.iter().sum::<u64>());
    Ok(())
}
