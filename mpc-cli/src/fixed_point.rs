//! A fixed point that does not fit, and the flag for one that does.

use mpc_nn::{MAX_COMPARISON_BITS, PlanError};

/// Why there is no plan, with the flag to type.
pub fn planned(error: &PlanError) -> String {
    format!("{error}{}", fitting(error))
}

/// The flag for a fixed point that fits.
pub fn fitting(error: &PlanError) -> String {
    let fits = match *error {
        PlanError::Precision { fractional_bits: f, comparison_bits, ring_bits, .. } => {
            let most = MAX_COMPARISON_BITS.min(ring_bits.saturating_sub(f));
            (f + 3..comparison_bits).contains(&most).then(|| {
                let bound = f64::from(most - 2 - f).exp2();
                format!(" (--comparison-bits {most} does, and all values must stay below {bound} then)")
            })
        }
        _ => None,
    };
    fits.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_point_without_room_is_refused_with_one_that_has_it() {
        for (ring_bits, fits) in
            [(64, Some("(--comparison-bits 37 does, and all values must stay below 256 then)")), (32, None)]
        {
            let error = PlanError::Precision { fractional_bits: 27, comparison_bits: 43, ring_bits, reason: "" };
            let text = planned(&error);
            assert_eq!(fits, text.contains("--").then(|| &text[text.find('(').unwrap()..]), "{text}");
        }
    }
}
