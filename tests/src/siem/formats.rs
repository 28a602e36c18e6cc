//! CEF, LEEF and syslog against published cases: every line that is written is one that their readers take.

use std::{fs, sync::Arc};

use serde_json::{Value, json};
use siem::{
    Message, cef, leef,
    syslog::{Format, Syslog},
};

use crate::support::corpus::{corpus, files};

fn cases(file: &str) -> Option<Vec<Value>> {
    let set = corpus("cef_leef")?;
    let text = fs::read_to_string(set.path().join("cef_leef").join(file)).expect("the cases");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn cef_escapes_are_the_published_ones() {
    let Some(cases) = cases("cef_escapes.jsonl") else { return };
    assert_eq!(cases.len(), 45);
    for case in cases {
        let (input, output) = (&case["input"], &case["output"]);
        let got = match case["function"].as_str().expect("a function") {
            "header_field" => json!(cef::header_field(&text(input))),
            "extension_key" => json!(cef::extension_key(&text(input))),
            "extension_value" => json!(cef::extension_value(&text(input))),
            // What a severity may be: ours always is.
            "severity_is_valid" => {
                let whole =
                    text(input).parse::<f64>().ok().filter(|n| n.fract() == 0.0 && (0.0..=10.0).contains(n));
                json!(whole.is_some())
            }
            other => panic!("{other}"),
        };
        assert_eq!(&got, output, "{case}");
    }
    assert!((-5..120).all(|severity| cef::severity(severity) <= 10));
}

/// Keys and values.
type Pairs = Vec<(String, String)>;

/// Header fields and extension of a line of CEF, or what keeps it from being one; as strict as a reader can be.
fn read_cef(line: &str) -> Result<(Vec<String>, Pairs), &'static str> {
    let line = line.strip_prefix("CEF:").ok_or("no CEF")?;
    let (mut fields, mut field, mut escaped, mut rest) = (Vec::new(), String::new(), false, None);
    for (at, c) in line.char_indices() {
        match (escaped, c) {
            (true, '\\' | '|') => field.push(c),
            (true, _) => return Err("an escape that the header has not"),
            (false, '\\') => {}
            (false, '|') => fields.push(std::mem::take(&mut field)),
            (false, '\r' | '\n') => return Err("a line break in the header"),
            (false, _) => field.push(c),
        }
        escaped = !escaped && c == '\\';
        if fields.len() == 7 {
            rest = Some(&line[at + 1..]);
            break;
        }
    }
    let rest = rest.ok_or("fewer than seven fields")?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    let (mut key, mut value, mut escaped) = (None::<String>, String::new(), false);
    for c in rest.chars() {
        match (escaped, c) {
            (true, '\\' | '=') => value.push(c),
            (true, 'n' | 'r') => value.push('\n'),
            (true, _) => return Err("an escape that a value has not"),
            (false, '\\') => {}
            (false, '\r' | '\n') => return Err("a line break in the extension"),
            (false, '=') => {
                let (before, next) = value.rsplit_once(' ').unwrap_or(("", &value));
                let next = next.to_owned();
                if next.is_empty() || !next.chars().all(|c| c.is_ascii_alphanumeric()) {
                    return Err("a key of other characters");
                }
                if let Some(key) = key.replace(next) {
                    pairs.push((key, before.to_owned()));
                } else if !before.is_empty() {
                    return Err("text before the first key");
                }
                value.clear();
            }
            (false, _) => value.push(c),
        }
        escaped = !escaped && c == '\\';
    }
    match key {
        Some(key) => pairs.push((key, value)),
        None if value.is_empty() => {}
        None => return Err("text without a key"),
    }
    Ok((fields, pairs))
}

#[test]
fn a_strict_reader_of_cef_agrees_with_the_cases_and_takes_what_is_written() {
    let Some(cases) = cases("cef_cases.jsonl") else { return };
    assert_eq!(cases.len(), 32);
    for case in cases.iter().filter(|case| case["valid"] == false && case.get("line").is_some()) {
        assert!(read_cef(case["line"].as_str().expect("a line")).is_err(), "{case}");
    }
    let strict: Vec<&Value> = cases
        .iter()
        .filter(|case| {
            case["valid"] == true
                && case.get("lenient").is_none()
                && case.get("prefix").is_none_or(Value::is_null)
        })
        .collect();
    for case in &strict {
        let Some(line) = case["line"].as_str() else { continue };
        // A reader may drop what stands before the header.
        let Some((header, _)) = read_cef(line).ok() else { continue };
        assert_eq!(header[1], text(&case["header"]["vendor"]), "{case}");
        assert_eq!(header[5], text(&case["header"]["name"]), "{case}");
    }
    assert!(strict.len() > 5, "{}", strict.len());
    for hostile in HOSTILE {
        let line = cef::line(&message(hostile));
        let (header, pairs) = read_cef(&line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
        assert_eq!((header.len(), header[0].as_str(), header[1].as_str()), (7, "0", "Weir"));
        let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        assert_eq!(value("externalId"), Some("id-1"));
        assert_eq!(value("cn1"), Some("7"), "{line}");
        assert!(
            value("msg").is_some_and(|told| told.split('\n').count() >= hostile.lines().count().max(1)),
            "{line}"
        );
    }
}

/// Texts that would end a field, a line or a message early if they were written as they are.
const HOSTILE: [&str; 6] = [
    "plain",
    "a|b\\c=d",
    "x\r\nCEF:0|a|b|c|d|e|10|msg=forged",
    "tab\there",
    "]\" \\ \u{1b}[0m\u{0}",
    "é\u{202e}ü = =",
];

fn message(text: &str) -> Message {
    let json = json!({
        "activity_name": text, "api": { "operation": text }, "class_name": "API Activity", "class_uid": 6003,
        "message": text, "severity_id": 3, "type_uid": 600_301, "actor": { "user": { "name": text } }, "status": text,
    });
    Message {
        id: "id-1".into(),
        time_ms: 1_764_288_000_123,
        tenant: "acme".into(),
        class_uid: 6003,
        severity_id: 3,
        place: Some(Arc::new(schemas::LogPlace {
            log: "weir.activity.v1/0".into(),
            index: 7,
            leaf: "ab".repeat(32),
            previous: None,
        })),
        json: json.to_string().into_bytes().into(),
    }
}

#[test]
fn lines_of_every_class_say_what_the_event_is_about_and_where_it_came_from() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../processors/src/audit/tests/snapshots");
    let snapshots = files(folder.as_ref(), "snap");
    assert!(snapshots.len() > 100, "{}", snapshots.len());
    for file in snapshots {
        let text = fs::read_to_string(&file).expect("a snapshot");
        let (_, shown) = text.split_once("\n---\n").expect("a head and a body");
        let shown: Value = serde_json::from_str(shown).expect("JSON");
        let (record, columns) = (&shown["record"], &shown["columns"]);
        let record = Message { json: record.to_string().into_bytes().into(), ..message("") };
        let (_, pairs) = read_cef(&cef::line(&record)).expect("a line of CEF");
        let of = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let leef = leef::line(&record);
        let of_leef = |key: &str| {
            leef.split('\t').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key)
        };
        let about = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // An environment is told as the project that it belongs to.
        if let Some(resource) = columns["resource"].as_str()
            && !about.starts_with("environment_")
        {
            assert_eq!(of("cs2"), Some(resource), "{about}");
            assert_eq!(of_leef("resource"), Some(("resource", resource)), "{about}");
        }
        assert!(columns["resource"].is_null() || of("cs2").is_some(), "{about}");
        let ip = columns["actor_ip"].as_str().filter(|ip| ip.parse::<std::net::IpAddr>().is_ok());
        assert_eq!(of("src").or_else(|| of("c6a2")), ip, "{about}");
        assert_eq!(of_leef("src").map(|(_, value)| value), ip, "{about}");
        assert!(of("cs6").is_some_and(|code| code.starts_with("io.weir.")), "{about}");
        assert!(of("externalId").is_some_and(|id| id.len() <= 40), "{about}");
    }
}

#[test]
fn leef_lines_read_back_as_readers_do() {
    let Some(cases) = cases("leef_lines.jsonl") else { return };
    assert_eq!(cases.len(), 17);
    let read = |line: &str, delimiter: char| -> Vec<(String, String)> {
        let rest = line.splitn(7, '|').nth(6).unwrap_or_default();
        let pairs = rest.split(delimiter).filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    for case in cases.iter().filter(|case| case["leef"] == "2.0" && case["delimiter"] == "^") {
        let line = case["line"].as_str().expect("a line");
        let start = line.find("LEEF:").expect("a header");
        let src = case["attributes"]["src"].as_str().expect("an address");
        assert!(read(&line[start..], '^').contains(&("src".to_owned(), src.to_owned())), "{line}");
    }
    for hostile in HOSTILE {
        let line = leef::line(&message(hostile));
        assert!(!line.contains(['\r', '\n', '\0']), "{line}");
        let header: Vec<&str> = line.splitn(7, '|').collect();
        assert_eq!((header[0], header[1], header[5]), ("LEEF:2.0", "Weir", "x09"), "{line}");
        let pairs = read(&line, '\t');
        assert!(pairs.contains(&("logIndex".to_owned(), "7".to_owned())), "{line}");
        assert_eq!(pairs.len(), line.matches('\t').count() + 1, "{line}");
    }
}

/// Whether a text is a message of RFC 5424, by its grammar; what follows the structured data is not looked at.
fn is_rfc5424(text: &str) -> bool {
    let nil_or = |field: &str, longest: usize| {
        !field.is_empty() && field.len() <= longest && field.chars().all(|c| c.is_ascii_graphic())
    };
    let mut fields = text.splitn(7, ' ');
    let Some((priority, version)) =
        fields.next().and_then(|head| head.strip_prefix('<')).and_then(|head| head.split_once('>'))
    else {
        return false;
    };
    let priority_is_good =
        priority.parse::<u32>().is_ok_and(|number| number <= 191 && number.to_string() == priority);
    let version_is_good = version.parse::<u32>().is_ok_and(|number| (1..1_000).contains(&number));
    let (Some(time), Some(host), Some(app), Some(process), Some(id), Some(rest)) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let time_is_good = time == "-" || chrono::DateTime::parse_from_rfc3339(time).is_ok();
    priority_is_good
        && version_is_good
        && time_is_good
        && nil_or(host, 255)
        && nil_or(app, 48)
        && nil_or(process, 128)
        && nil_or(id, 32)
        && structured(rest)
}

fn structured(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('-') {
        return rest.is_empty() || rest.starts_with(' ');
    }
    let (mut inside, mut quoted, mut escaped) = (false, false, false);
    for (at, c) in text.char_indices() {
        match (inside, quoted, c) {
            (false, _, '[') => inside = true,
            (false, _, ' ') => return at > 0,
            (true, true, _) if escaped => escaped = false,
            (true, true, '\\') => escaped = true,
            (true, true, '"') => quoted = false,
            (true, true, ']') | (false, ..) => return false,
            (true, false, '"') => quoted = true,
            (true, false, ']') => inside = false,
            _ => {}
        }
    }
    !inside
}

#[test]
fn messages_are_those_of_rfc5424_and_frames_count_octets() {
    let Some(cases) = cases("rfc5424_cases.jsonl") else { return };
    assert_eq!(cases.len(), 668);
    let (mut taken, mut valid) = (0, 0);
    for case in cases.iter().filter(|case| case["valid"] == true) {
        let Some(input) = case["input"].as_str() else { continue };
        valid += 1;
        taken += usize::from(is_rfc5424(input));
    }
    assert!(taken * 10 >= valid * 9, "this reader takes {taken} of {valid} published messages");
    for format in [Format::Json, Format::Cef, Format::Leef] {
        for hostile in HOSTILE {
            let origin = format!("host {hostile}");
            let syslog = Syslog { host: "h".into(), port: 6514, tls: true, format, origin };
            let message = Message { tenant: hostile.to_owned(), ..message(hostile) };
            let text = String::from_utf8(syslog.text(&message)).expect("UTF-8");
            assert!(is_rfc5424(&text), "{text}");
            let frame = syslog.frame(&message);
            let space = frame.iter().position(|byte| *byte == b' ').expect("a count");
            let count: usize = String::from_utf8_lossy(&frame[..space]).parse().expect("a number");
            assert_eq!(count, frame.len() - space - 1, "octets, not characters");
        }
    }
}

#[test]
fn frames_of_many_messages_come_apart_as_readers_part_them() {
    let Some(cases) = cases("octet_counting_cases.jsonl") else { return };
    assert_eq!(cases.len(), 15);
    let syslog =
        Syslog { host: "h".into(), port: 514, tls: false, format: Format::Json, origin: "weir".into() };
    let stream: Vec<u8> = HOSTILE.iter().flat_map(|text| syslog.frame(&message(text))).collect();
    let (mut rest, mut parted) = (stream.as_slice(), Vec::new());
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let count: usize = String::from_utf8_lossy(&rest[..space]).parse().expect("a count");
        parted.push(rest[space + 1..space + 1 + count].to_vec());
        rest = &rest[space + 1 + count..];
    }
    let expected: Vec<Vec<u8>> = HOSTILE.iter().map(|text| syslog.text(&message(text))).collect();
    assert_eq!(parted, expected);
}
