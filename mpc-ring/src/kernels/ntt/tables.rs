//! The powers of roots of X^N + 1, in the order in which the passes read them.

const fn multiply(left: u64, right: u64, prime: u64) -> u64 {
    (left as u128 * right as u128 % prime as u128) as u64
}

/// `base` to the power `exponent`.
pub(super) const fn power(mut base: u64, mut exponent: u64, prime: u64) -> u64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply(result, base, prime);
        }
        base = multiply(base, base, prime);
        exponent >>= 1;
    }
    result
}

/// The test of Miller and Rabin with the first twelve primes, which is exact for every number of 64 bits (Sorenson, Webster,
/// "Strong pseudoprimes to twelve prime bases", 2015).
pub(super) const fn is_prime(number: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    let twos = (number - 1).trailing_zeros();
    let mut i = 0;
    while i < BASES.len() {
        let mut x = power(BASES[i], (number - 1) >> twos, number);
        let mut passed = x == 1 || x == number - 1;
        let mut squarings = 1;
        while squarings < twos {
            x = multiply(x, x, number);
            passed |= x == number - 1;
            squarings += 1;
        }
        if !passed {
            return false;
        }
        i += 1;
    }
    true
}

/// A root of X^n + 1: of order 2n. The smallest base that gives one is taken, so that all machines have the same.
pub(super) const fn root(prime: u64, n: u64) -> u64 {
    let mut base = 2;
    loop {
        let root = power(base, (prime - 1) / (2 * n), prime);
        if power(root, n, prime) == prime - 1 {
            return root;
        }
        base += 1;
    }
}

/// The representative between −p/2 and p/2.
const fn balanced(value: u64, prime: u64) -> i64 {
    if value > prime / 2 { value as i64 - prime as i64 } else { value as i64 }
}

/// The factors of all stages but the tail's in bit-reversed order, stage after stage; then those of the last three stages for
/// each 64 coefficients: 8, 16 and 32, with the factors that one vector takes side by side.
pub(super) const fn powers<const N: usize>(root: u64, prime: u64) -> [i64; N] {
    let mut reversed = [0; N];
    let (mut exponent, mut value) = (0, 1);
    while exponent < N {
        let place = exponent.reverse_bits() >> (usize::BITS - N.trailing_zeros());
        reversed[place] = balanced(value, prime);
        value = multiply(value, root, prime);
        exponent += 1;
    }
    let mut ordered = [0; N];
    let mut place = 0;
    while place < N {
        ordered[place] = reversed[source(place, N)];
        place += 1;
    }
    ordered
}

/// Which bit-reversed factor stands at a place of the table.
const fn source(place: usize, n: usize) -> usize {
    if place < n / 8 {
        return place;
    }
    let (block, rest) = ((place - n / 8) / 56, (place - n / 8) % 56);
    // A stage of the tail has `wide` factors for each 8 coefficients; eight lanes take theirs at once.
    let (wide, rest) = if rest < 8 {
        (1, rest)
    } else if rest < 24 {
        (2, rest - 8)
    } else {
        (4, rest - 24)
    };
    let (factor, lane) = (rest / 8, rest % 8);
    wide * (n / 8 + 8 * block + lane) + factor
}

/// The factors of the last stage of the inverse, which divides by n: that of the sums and that of the differences.
pub(super) const fn last_factors(inverse_root: u64, n: u64, prime: u64) -> [i64; 2] {
    let scale = power(n, prime - 2, prime);
    let factor = power(inverse_root, n / 2, prime);
    [balanced(scale, prime), balanced(multiply(scale, factor, prime), prime)]
}
