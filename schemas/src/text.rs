//! Untrusted text that goes to a terminal, a log or a row.

/// Whether a character changes how text is displayed: control characters (C0, DEL, C1), line and paragraph
/// separators, and bidirectional controls.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `longest` characters of the text, each control character replaced by a space.
pub fn one_line(text: &str, longest: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(longest).collect()
}
