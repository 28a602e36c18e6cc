//! Policies that take time or memory without end.

use std::time::Duration;

use regorus::Value;

use crate::{
    BuiltinErrors, Config, Document, EngineError, Evaluator, Limits, PolicySet, RegoEngine, Status,
    Surroundings,
};

fn run(text: &str) -> Result<Value, EngineError> {
    let limits = Limits { time: Duration::from_millis(300), built_bytes: 64 << 20, ..Limits::default() };
    let mut engine = RegoEngine::new(limits, BuiltinErrors::Undefined);
    engine.add("policy.rego", text)?;
    engine.seal()?;
    engine.rule("data.a.deny", Value::new_object())
}

/// The body of a rule that applies an expression to its own value, again and again.
fn repeated(first: &str, expression: &str, times: usize) -> String {
    let step = |at: usize| format!("x{at} := {}\n", expression.replace('@', &format!("x{}", at - 1)));
    format!("x0 := {first}\n{}x := x{times}\n", (1..=times).map(step).collect::<Vec<_>>().concat())
}

fn cut_off(body: &str, expected: fn(&EngineError) -> bool) {
    let text = format!("package a\ndeny contains 1 if {{\n{body}\nx != 17\n}}\n");
    let found = run(&text);
    let shown = format!("{found:?}");
    assert!(found.is_err_and(|error| expected(&error)), "{body}: {}", &shown[..shown.len().min(200)]);
}

fn is_too_large(error: &EngineError) -> bool {
    matches!(error, EngineError::TooLarge(_))
}

fn is_cut_off(error: &EngineError) -> bool {
    matches!(error, EngineError::TooLarge(_) | EngineError::TooSlow(_))
}

#[test]
fn texts_that_grow_are_cut_off_at_their_bound() {
    for expression in [
        "concat(\"\", [@, @])",
        "sprintf(\"%s%s\", [@, @])",
        "replace(@, \"0\", \"00\")",
        "base64.encode(@)",
        "base64url.encode(@)",
        "hex.encode(@)",
        "urlquery.encode(concat(\"\", [@, \"%%%%\", @]))",
        "json.marshal([@, @])",
        "upper(concat(\"\", [@, @]))",
    ] {
        cut_off(&repeated("\"0123456789\"", expression, 90), is_cut_off);
    }
}

#[test]
fn lists_that_grow_are_cut_off() {
    let text = repeated("\"0123456789,\"", "concat(\"\", [@, @])", 18).replace("x :=", "t :=");
    for expression in [
        "numbers.range(1, 1000000000)",
        "[numbers.range(1, 999999) | some i in numbers.range(1, 1000)]",
        "[split(t, \"\") | some i in numbers.range(1, 1000)]",
        "[indexof_n(t, \"0\") | some i in numbers.range(1, 1000)]",
        "[substring(t, i, -1) | some i in numbers.range(1, 1000)]",
        "[upper(t) | some i in numbers.range(1, 1000)]",
        "[array.slice(numbers.range(1, 900000), i, 900000) | some i in numbers.range(1, 1000)]",
        "[sort(numbers.range(1, 900000)) | some i in numbers.range(1, 1000)]",
        "[[a, b, c] | some a in numbers.range(1, 900); some b in numbers.range(1, 900); some c in [1, 2, 3]]",
        "{[a, b, c] | some a in numbers.range(1, 900); some b in numbers.range(1, 900); some c in [1, 2, 3]}",
        "graph.reachable_paths({i: [j | some j in numbers.range(1, 30); j > i] | some i in numbers.range(1, 30)}, {1})",
    ] {
        cut_off(&format!("{text}x := {expression}"), is_cut_off);
    }
    cut_off(&repeated("numbers.range(1, 90000)", "array.concat(@, @)", 60), is_too_large);
}

#[test]
fn a_value_that_holds_itself_many_times_is_not_walked() {
    let tree = repeated("1", "[@, @]", 50).replace("x := x50\n", "");
    for call in
        ["walk(x50)", "json.marshal(x50)", "sprintf(\"%v\", [x50])", "object.union({\"a\": x50}, {\"b\": 1})"]
    {
        cut_off(&format!("{tree}x := {call}"), is_too_large);
    }
    let union = repeated("{\"a\": {\"b\": 1}}", "object.union(@, {\"k\": @, \"l\": @})", 60);
    cut_off(&union, is_cut_off);
}

#[test]
fn numbers_that_grow_are_cut_off() {
    cut_off(&repeated("10", "@ * @", 60), is_cut_off);
    cut_off(&repeated("1", "bits.lsh(@, 60000)", 400), is_cut_off);
    cut_off("x := bits.lsh(1, 1000000000000)", is_too_large);
    cut_off("x := product(numbers.range(1, 900000))", is_too_large);
    let digits = repeated("\"9999999999\"", "concat(\"\", [@, @])", 20).replace("x :=", "t :=");
    cut_off(&format!("{digits}x := to_number(t)"), is_too_large);
    cut_off(&format!("{digits}x := json.unmarshal(t)"), is_too_large);
    let large = repeated("10", "@ * @", 19).replace("x :=", "n :=");
    for call in ["format_int(n, 10)", "sprintf(\"%d\", [n])", "json.marshal(n)"] {
        cut_off(&format!("{large}x := {call}"), is_cut_off);
    }
}

#[test]
fn patterns_over_long_texts_are_cut_off() {
    let text = repeated("\"aaaaaaaaaa\"", "concat(\"\", [@, @])", 16).replace("x :=", "t :=");
    for call in [
        "regex.find_n(\"(a*)*b|a\", t, -1)",
        "regex.split(\"(a*)*b|a\", t)",
        "regex.replace(t, \"(a*)*b|a\", \"c\")",
    ] {
        cut_off(&format!("{text}x := {call}"), is_cut_off);
    }
    let lists = "n := [sprintf(\"%d\", [i]) | some i in numbers.range(1, 4000)]\n";
    cut_off(&format!("{lists}x := strings.any_prefix_match(n, n)"), is_too_large);
}

#[test]
fn within_the_bounds_all_of_these_give_what_they_gave() {
    let text = "package a\ndeny contains [
        hex.encode(\"a\"), split(\"a,b\", \",\"), product([2, 3]), to_number(\"7\"), upper(\"a\"),
        graph.reachable_paths({1: [2], 2: []}, {1}), regex.find_n(\"a\", \"aba\", -1), object.union({\"a\": 1}, {\"b\": 2}),
        json.unmarshal(\"[1]\"), sort([2, 1]), array.slice([1, 2, 3], 1, 2), regex.split(\",\", \"a,b\"),
        base64.encode(\"a\"), indexof_n(\"aba\", \"a\"), 3 * 4,
    ] if true\n";
    let found = run(text).expect("evaluated").to_json_str().expect("JSON");
    let expected = r#"[["61",["a","b"],6,7,"A",[[1,2]],["a","a"],{"a":1,"b":2},[1],[1,2],[2],["a","b"],"YQ==",[0,2],12]]"#;
    assert_eq!(found.split_whitespace().collect::<String>(), expected);
}

#[test]
fn a_value_that_is_nested_without_end_does_not_end_the_process() {
    let twice = |at: usize| format!("f{at}(x) := f{0}(f{0}(x))\n", at - 1);
    let functions = (1..=21).map(twice).collect::<Vec<_>>().concat();
    let text = format!("package a\nf0(x) := [x]\n{functions}deny contains 1 if {{ x := f21(1); x != 2 }}\n");
    let set = PolicySet::load([("policy.rego", text.as_str())], Config::default());
    let plan = serde_json::json!({"format_version": "1.2", "resource_changes": []});
    let document = Document::from_value(&plan).expect("a plan");
    let mut evaluator = Evaluator::new(&set);
    let found = evaluator.evaluate(&set, &document, &Surroundings::default(), |_| true);
    assert!(found.verdicts.iter().all(|verdict| verdict.status == Status::Error), "{found:?}");
    assert_eq!(found.verdicts.len(), 1);
}

#[test]
fn literals_that_the_parser_does_not_bear_are_refused_with_their_place() {
    for (open, close) in [("[", "]"), ("{\"a\": ", "}"), ("{", "}")] {
        let text = format!("package a\n\nx := {}1{}\ndeny contains x\n", open.repeat(40), close.repeat(40));
        let error = run(&text).expect_err("nested too deep");
        assert_eq!((error.file(), error.line()), (Some("policy.rego".into()), Some(3)), "{error}");
    }
}
