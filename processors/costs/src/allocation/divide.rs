//! Exact division of an amount by weights.

use rust_decimal::Decimal;

/// Minimum number of decimal places of a part; an amount with more keeps its own.
const LEAST_SCALE: u32 = 10;

/// A sum or a part exceeds the 96 bits of a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount has more digits than a decimal of 96 bits holds")]
pub struct TooLarge;

/// A sum without rounding; `Decimal` itself rounds silently on overflow.
///
/// # Errors
/// The sum exceeds the 96 bits of a decimal.
pub fn exact_sum(a: Decimal, b: Decimal) -> Result<Decimal, TooLarge> {
    let sum = a.checked_add(b).ok_or(TooLarge)?;
    let wanted = a.normalize().scale().max(b.normalize().scale());
    if sum.scale() < wanted {
        return Err(TooLarge);
    }
    Ok(sum)
}

/// Parts of an amount in proportion to weights, in order; their sum is the amount. `None` if all weights are
/// 0, or one is negative.
///
/// Each part is cut to 10 decimal places, or to the amount's own if it has more; the remaining units go one
/// by one to the parts with the largest remainder, ties to the first.
///
/// # Errors
/// The amount with that many digits overflows.
pub fn divide(amount: Decimal, weights: &[Decimal]) -> Result<Option<Vec<Decimal>>, TooLarge> {
    let mut sum = Decimal::ZERO;
    for weight in weights {
        if weight.is_sign_negative() && !weight.is_zero() {
            return Ok(None);
        }
        sum = sum.checked_add(*weight).ok_or(TooLarge)?;
    }
    if sum.is_zero() {
        return Ok(None);
    }
    let scale = amount.scale().max(LEAST_SCALE);
    let mut whole = amount;
    whole.rescale(scale);
    if whole.scale() != scale {
        return Err(TooLarge);
    }
    let unit = Decimal::new(1, scale);
    let (mut parts, mut lost) = (Vec::with_capacity(weights.len()), Vec::with_capacity(weights.len()));
    let mut left = whole;
    for (at, weight) in weights.iter().enumerate() {
        // The quotient is at most 1, so the product cannot overflow; rounding in it is settled with the rest.
        let ideal = (weight / sum) * whole;
        let part = ideal.trunc_with_scale(scale);
        lost.push(((ideal - part).abs(), at));
        left = exact_sum(left, -part)?;
        parts.push(part);
    }
    lost.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let step = if left.is_sign_negative() { -unit } else { unit };
    let receivers: Vec<usize> =
        lost.into_iter().map(|(_, at)| at).filter(|at| !weights[*at].is_zero()).collect();
    for at in receivers.iter().cycle().take(4 * weights.len()) {
        if left.is_zero() {
            break;
        }
        parts[*at] = exact_sum(parts[*at], step)?;
        left = exact_sum(left, -step)?;
    }
    // Rounding in the quotients of extreme weights: the rest goes to the heaviest.
    if let Some(at) = receivers.first().filter(|_| !left.is_zero()) {
        parts[*at] = exact_sum(parts[*at], left)?;
    }
    Ok(Some(parts))
}
