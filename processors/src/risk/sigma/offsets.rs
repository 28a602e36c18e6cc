//! `base64offset`: a text's three Base64 forms, without the characters that depend on what stands around it.
//!
//! The engine's own expansion keeps the last of those characters, and so misses a text that anything follows.
//! Here the values are expanded before a rule is compiled, and compared as plain `contains`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rsigma_parser::{Detection, DetectionItem, Modifier, SigmaRule, SigmaString, SigmaValue};

/// Expands every `base64offset` of a rule.
pub(super) fn expand(rule: &mut SigmaRule) {
    rule.detection.named.values_mut().for_each(expand_detection);
}

fn expand_detection(detection: &mut Detection) {
    match detection {
        Detection::AllOf(items) => *items = items.drain(..).flat_map(expand_item).collect(),
        Detection::AnyOf(parts) | Detection::And(parts) => parts.iter_mut().for_each(expand_detection),
        Detection::ArrayMatch { body, .. } => expand_detection(body),
        Detection::Conditional { named, .. } => named.values_mut().for_each(expand_detection),
        Detection::Keywords(_) => {}
    }
}

/// One item becomes one; with `all`, one for each value, for items of a selection must all match anyway.
fn expand_item(mut item: DetectionItem) -> Vec<DetectionItem> {
    if !item.field.has_modifier(Modifier::Base64Offset) {
        return vec![item];
    }
    let all = item.field.has_modifier(Modifier::All);
    let encoded = |value: &SigmaValue| forms(&bytes(value, &item.field.modifiers));
    let forms: Vec<Vec<SigmaValue>> = item.values.iter().map(encoded).collect();
    let spent = [Modifier::Base64Offset, Modifier::All, Modifier::Wide, Modifier::Utf16, Modifier::Utf16be];
    item.field.modifiers.retain(|modifier| !spent.contains(modifier));
    if !item.field.has_modifier(Modifier::Contains) {
        item.field.modifiers.push(Modifier::Contains);
    }
    let groups = if all { forms } else { vec![forms.concat()] };
    groups.into_iter().map(|values| DetectionItem { field: item.field.clone(), values }).collect()
}

/// A value's bytes in the encoding that the modifiers before `base64offset` ask for.
fn bytes(value: &SigmaValue, modifiers: &[Modifier]) -> Vec<u8> {
    let text = match value {
        SigmaValue::String(text) => text.as_plain().unwrap_or_else(|| text.original.clone()),
        SigmaValue::Integer(number) => number.to_string(),
        SigmaValue::Float(number) => number.to_string(),
        SigmaValue::Bool(flag) => flag.to_string(),
        SigmaValue::Null => String::new(),
    };
    let has = |modifier| modifiers.contains(&modifier);
    let little = || text.encode_utf16().flat_map(u16::to_le_bytes);
    if has(Modifier::Wide) {
        little().collect()
    } else if has(Modifier::Utf16) {
        [0xff, 0xfe].into_iter().chain(little()).collect()
    } else if has(Modifier::Utf16be) {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    } else {
        text.into_bytes()
    }
}

/// The Base64 of the bytes when 0, 1 or 2 others stand before them: only what these bytes alone decide.
fn forms(bytes: &[u8]) -> Vec<SigmaValue> {
    let form = |before: usize| {
        let encoded = STANDARD.encode([&[0; 2][..before], bytes].concat());
        // Six bits a character: the first whole one after the others, and the last whole one of ours.
        let (from, to) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
        let own = encoded.get(from..to).filter(|own| !own.is_empty())?;
        Some(SigmaValue::String(SigmaString::new(own)))
    };
    (0..3).filter_map(form).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_found_wherever_the_text_stands() {
        for text in ["https://", "ab", "abc", "curl -s", "ünïcode"] {
            let forms = forms(text.as_bytes());
            for (before, after) in [("", ""), ("x", "y"), ("xy", "yz"), ("xyz", "z"), ("xyzz", "?!")] {
                let encoded = STANDARD.encode(format!("{before}{text}{after}"));
                let found = forms.iter().any(|form| match form {
                    SigmaValue::String(form) => encoded.contains(&form.original),
                    _ => false,
                });
                assert!(found, "{text} between {before:?} and {after:?} in {encoded}");
            }
        }
    }
}
