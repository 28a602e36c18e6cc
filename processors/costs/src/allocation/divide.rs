//! Exact division of an amount by weights.

use num_bigint::{BigInt, Sign};

use super::Amount;

/// Minimum number of decimal places of a part; an amount with more keeps its own.
const LEAST_SCALE: u32 = 10;

/// Parts of an amount in proportion to weights, in order; their sum is the amount. `None` if all weights are
/// 0, or one is negative.
///
/// Each part is cut to 10 decimal places, or to the amount's own if it has more; the remaining units go one
/// by one to the parts with the largest remainder, ties to the first.
pub fn divide(amount: &Amount, weights: &[Amount]) -> Option<Vec<Amount>> {
    if weights.iter().any(Amount::is_negative) {
        return None;
    }
    let of_weights = weights.iter().map(Amount::scale).max().unwrap_or_default();
    let weights: Vec<BigInt> = weights.iter().map(|weight| weight.units_at(of_weights)).collect();
    let sum: BigInt = weights.iter().sum();
    if sum.sign() == Sign::NoSign {
        return None;
    }
    let amount = amount.clone().normalized();
    let scale = amount.scale().max(LEAST_SCALE);
    let whole = amount.units_at(scale);
    let mut left = whole.clone();
    let (mut parts, mut lost) = (Vec::with_capacity(weights.len()), Vec::with_capacity(weights.len()));
    for (at, weight) in weights.iter().enumerate() {
        let product = &whole * weight;
        let part = &product / &sum;
        lost.push(((&product % &sum).magnitude().clone(), at));
        left -= &part;
        parts.push(part);
    }
    lost.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let unit = BigInt::from(if left.sign() == Sign::Minus { -1_i8 } else { 1 });
    // Each part was cut by less than a unit: fewer units are left than there are parts that were cut.
    for (_, at) in lost {
        if left.sign() == Sign::NoSign {
            break;
        }
        parts[at] += &unit;
        left -= &unit;
    }
    Some(parts.into_iter().map(|units| Amount::of_units(units, scale)).collect())
}
