//! What strangers wrote, on its way to a terminal, a log or a row.

/// Whether a character steers whoever shows it: control characters (C0, DEL, C1), line and paragraph separators, and
/// those that turn the direction of text around.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most so many characters of the text, each control character a space.
pub fn one_line(text: &str, longest: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(longest).collect()
}
