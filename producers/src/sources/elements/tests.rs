use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// Reads the file one byte at a time, so that every boundary falls between two buffers.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
        (buffer[0], self.0) = (*first, rest);
        Ok(1)
    }
}

/// Each element's text or defect in words; a file's defect comes last.
fn read(file: &[u8]) -> Vec<String> {
    let words = |elements: &mut dyn Iterator<Item = Result<Element, FileDefect>>| -> Vec<String> {
        elements
            .map(|element| match element {
                Ok(Element { text: Ok(text), .. }) => text,
                Ok(Element { text: Err(defect), .. }) => format!("element: {defect}"),
                Err(defect) => format!("file: {defect}"),
            })
            .collect()
    };
    let whole = words(&mut Elements::new(Cursor::new(file)));
    let trickled = words(&mut Elements::new(Trickle(file)));
    assert_eq!(whole, trickled, "where buffers end makes no difference");
    whole
}

fn check(file: &str, expected: &[&str]) {
    assert_eq!(read(file.as_bytes()), expected, "{file}");
}

const CUT: &str = "file: it ends in the middle of a record or list; it was cut";

#[test]
fn all_shapes_of_a_file_give_the_same_records() {
    let records = [r#"{"a":"}]\"{"}"#, r#"{"b":[{"c":{}}, 2]}"#];
    let [a, b] = records;
    for file in [
        format!(r#"{{"Records":[{a},{b}]}}"#),
        format!("\u{feff} {{ \"x\" : [1,{{}}],\n \"records\" : [ {a} ,\n {b} ] , \"y\": {{\"z\":[]}} }}\n"),
        format!("[{a},{b}]"),
        format!(" [\n{a}\n,{b}\n]\n\n"),
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!("{a}{b}"),
        format!(r#"{{"Records":[{a}]}}{{"Records":[{b}]}}"#),
        format!("{{\"Records\":[{a}]}}\n{{\"Records\":[{b}]}}\n"),
        format!(r#"{{"Records":[{a}],"Records":[{b}]}}"#),
    ] {
        check(&file, &records);
    }
}

#[test]
fn empty_files_hold_no_records() {
    for file in ["", " \n", "[]", "{\"Records\":[]}", "\u{feff}"] {
        check(file, &[]);
    }
}

#[test]
fn other_files_are_refused() {
    for file in ["eventTime,eventName\n1,2", "hello", "\"text\"", "42", "<xml/>"] {
        check(file, &["file: it holds neither a list of records, nor an array, nor a record a line"]);
    }
}

#[test]
fn an_element_that_is_no_object_is_named_and_the_rest_kept() {
    let refused = "element: not an object";
    check(
        r#"[1,{"a":1},"x",[{"b":2}],null,{"c":3}]"#,
        &[refused, r#"{"a":1}"#, refused, refused, refused, r#"{"c":3}"#],
    );
    check("{\"a\":1}\njunk\n{\"b\":2}\n", &[r#"{"a":1}"#, refused, r#"{"b":2}"#]);
}

#[test]
fn a_broken_line_does_not_take_the_others_with_it() {
    let broken = "element: not valid JSON";
    check("{\"a\":1}\n{\"b\":\n{\"c\":\"\n{\"d\":4}", &[r#"{"a":1}"#, broken, broken, r#"{"d":4}"#]);
    check("{\"a\":1\n{\"b\":2}\n{\"c\":3}", &[broken, r#"{"b":2}"#, r#"{"c":3}"#]);
    check("{\"a\":{\"x\":1\n{\"b\":2}\n{\"c\":3}", &[broken, r#"{"b":2}"#, r#"{"c":3}"#]);
}

#[test]
fn a_cut_file_keeps_what_came_before() {
    check(r#"{"Records":[{"a":1},{"b":"#, &[r#"{"a":1}"#, CUT]);
    check(r#"[{"a":1},"#, &[r#"{"a":1}"#, CUT]);
    check(r#"{"Records":[{"a":1}]"#, &[r#"{"a":1}"#, CUT]);
    check("{\"a\":1}\n{\"b\":2", &[r#"{"a":1}"#, CUT]);
}

#[test]
fn a_broken_list_says_where() {
    check("[{\"a\":1},{\"b\":2 {\"c\":3}]", &[r#"{"a":1}"#, "file: it is not valid JSON from byte 16 on"]);
}

#[test]
fn an_element_over_the_bound_is_passed_over() {
    let at_bound = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_ELEMENT_BYTES - 8));
    assert_eq!(at_bound.len(), MAX_ELEMENT_BYTES);
    let over = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_ELEMENT_BYTES - 7));
    let too_large = "element: 1000001 bytes long, more than the 1000000 that are taken";
    check(&format!("[{over},{at_bound}]"), &[too_large, &at_bound]);
    check(&format!("{at_bound}\n{over}\n{at_bound}"), &[&at_bound, too_large, &at_bound]);
}

#[test]
fn bytes_that_are_not_utf8_are_named() {
    assert_eq!(read(b"[{\"a\":\"\xff\"},{}]"), ["element: not UTF-8", "{}"]);
}

proptest! {
    #[test]
    fn any_bytes_come_to_an_end(file in prop::collection::vec(prop::sample::select(b"{}[]\",:\\\n a1Records".to_vec()), 0..200)) {
        prop_assert!(read(&file).len() <= file.len() + 1);
    }
}
