use super::*;

const HEADER: &str = "provider,region,product,sku,unit,price,currency,as_of";

/// Reads rows below the header.
fn check(rows: &str, expected_prices: usize, expected_problems: &[&str]) {
    let read = read("test", format!("{HEADER}\n{rows}").as_bytes());
    let problems: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
    let found = read.list.as_ref().map_or(0, PriceList::len);
    assert_eq!(found, expected_prices, "{rows}\n{problems:?}");
    assert_eq!(problems.len(), expected_problems.len(), "{rows}\n{problems:?}");
    for (problem, expected) in problems.iter().zip(expected_problems) {
        assert!(problem.contains(expected), "{problem:?} lacks {expected:?}");
    }
}

#[test]
fn the_shipped_list_has_three_clouds_in_two_regions_each() {
    let list = PriceList::examples();
    assert!(list.len() > 500);
    for provider in ["aws", "azure", "gcp"] {
        let mut regions: Vec<&str> = list
            .iter()
            .filter(|(key, _)| key.provider == provider && key.region != EVERYWHERE)
            .map(|(key, _)| key.region.as_str())
            .collect();
        regions.dedup();
        regions.sort_unstable();
        regions.dedup();
        assert_eq!(regions.len(), 2, "{provider}: {regions:?}");
    }
    let again = read(EXAMPLES_NAME, list.to_csv().as_bytes());
    assert_eq!(again.list.as_ref(), Some(&list));
    assert_eq!(again.problems, []);
}

#[test]
fn prices_are_found_by_region_and_everywhere_without_case() {
    let list = PriceList::examples();
    let price = |region, product, sku| {
        list.find("aws", region, product, sku)
            .map(|(found, price)| (found.to_owned(), price.price.to_string()))
    };
    assert_eq!(price("us-east-1", "instance", "m5.large"), Some(("us-east-1".into(), "0.096".into())));
    assert_eq!(price("US-EAST-1", "instance", "M5.Large"), Some(("us-east-1".into(), "0.096".into())));
    assert_eq!(price("af-south-1", "kubernetes_cluster", "standard"), Some(("*".into(), "0.10".into())));
    assert_eq!(price("af-south-1", "instance", "m5.large"), None);
    assert!(list.knows("aws", "instance", "m5.large") && !list.knows("gcp", "instance", "m5.large"));
}

#[test]
fn two_prices_for_one_thing_are_named_and_neither_is_used() {
    let row = |price: &str| format!("aws,us-east-1,instance,x.large,hour,{price},USD,2025-01-01\n");
    let other = "aws,us-east-1,instance,y.large,hour,1,USD,2025-01-01\n";
    check(&format!("{}{other}{}", row("1"), row("2")), 1, &["line 4, column price: a second price for aws"]);
    check(&format!("{}{}", row("1"), row("1.00")), 1, &[]);
    check(
        &format!("{}{}{}", row("1"), row("2"), row("1")),
        0,
        &["line 3, column price", "line 4, column price"],
    );
    let monthly = row("1").replace("hour", "month");
    check(&format!("{}{monthly}", row("1")), 0, &["line 3, column unit: a second unit"]);
    // Case does not tell things apart.
    check(&format!("{}{}", row("1"), row("3").replace("x.large", "X.LARGE")), 0, &["line 3, column price"]);
}

#[test]
fn bad_rows_are_set_aside_with_line_and_column_and_good_rows_are_kept() {
    let good = "aws,us-east-1,instance,a,hour,1,USD,2025-01-01\n";
    for (bad, problem) in [
        (
            "aws,us-east-1,instance,b,fortnight,1,USD,2025-01-01",
            "line 3, column unit: the unit is not one of hour",
        ),
        ("aws,us-east-1,instance,b,hour,NaN,USD,2025-01-01", "line 3, column price: the price is no decimal"),
        ("aws,us-east-1,instance,b,hour,-1,USD,2025-01-01", "column price: the price is negative"),
        ("aws,us-east-1,instance,b,hour,1e40,USD,2025-01-01", "column price"),
        (
            "aws,us-east-1,instance,b,hour,9223372036854775807,USD,2025-01-01",
            "column price: the price is more",
        ),
        ("aws,us-east-1,instance,b,hour,1,US$,2025-01-01", "column currency: the currency is no ISO 4217"),
        ("aws,us-east-1,instance,b,hour,1,EUR,2025-01-01", "column currency: the currency is EUR"),
        ("aws,us-east-1,instance,b,hour,1,USD,01.01.2025", "column as_of: the day is not written"),
        ("aws,,instance,b,hour,1,USD,2025-01-01", "column region: the cell is empty"),
        ("aws,us-east-1,instance,b,hour", "line 3, column -: the row has 5 cells, the header 8"),
    ] {
        check(&format!("{good}{bad}\n"), 1, &[problem]);
    }
}

#[test]
fn bad_rows_are_told_by_their_line_with_every_line_end() {
    let rows =
        format!("{HEADER}\naws,r,instance,a,hour,1,USD,2025-01-01\naws,r,instance,b,day,1,USD,2025-01-01\n");
    for (text, line) in [
        (rows.clone(), 3),
        (rows.replace('\n', "\r\n"), 3),
        (format!("\u{feff}{}", rows.replace('\n', "\r\n")), 3),
        (rows.replace('\n', "\n\n"), 5),
        (rows.replace('\n', "\r\n\r\n"), 5),
        (rows.replace("b,day,", "\"b\nb\",hour,"), 3),
    ] {
        let found = read("t", text.as_bytes());
        assert_eq!(found.problems.len(), 1, "{text:?}: {:?}", found.problems);
        assert_eq!(found.problems[0].line, line, "{text:?}");
    }
    let short = rows.replace("b,day,1,USD,2025-01-01", "b").replace('\n', "\r\n");
    assert_eq!(read("t", short.as_bytes()).problems[0].line, 3);
}

#[test]
fn files_of_other_encodings_and_delimiters_are_read_or_refused_with_a_reason() {
    let text = format!("{HEADER}\naws,r,instance,a,hour,1,USD,2025-01-01\n");
    let with_mark = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
    assert!(read("t", &with_mark).list.is_some());
    for delimiter in [";", "\t"] {
        assert!(read("t", text.replace(',', delimiter).as_bytes()).list.is_some(), "{delimiter:?}");
    }
    let utf16: Vec<u8> =
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert!(read("t", &utf16).problems[0].reason.contains("UTF-16"));
    for (bytes, problem) in [
        (b"".as_slice(), "line 1, column provider: the header lacks"),
        (b"provider,region\n", "line 1, column product: the header lacks"),
        (b"\xff\xff", "line 1, column -: the line is not UTF-8"),
        (HEADER.as_bytes(), "line 1, column -: the list has no prices"),
    ] {
        let read = read("t", bytes);
        assert!(read.list.is_none());
        assert!(read.problems[0].to_string().contains(problem), "{:?}", read.problems);
    }
}

#[test]
fn lists_are_merged_and_the_newer_price_wins() {
    let list = |rows: &str| read("t", format!("{HEADER}\n{rows}").as_bytes()).list.expect("prices");
    let old = list("aws,r,instance,a,hour,1,USD,2025-01-01\naws,r,instance,b,hour,2,USD,2025-01-01\n");
    let new = list("aws,r,instance,a,hour,3,USD,2025-02-01\n");
    let merged = old.merged(&new).expect("one currency");
    assert_eq!(merged.len(), 2);
    assert_eq!(merged.find("aws", "r", "instance", "a").expect("a price").1.price, Decimal::from(3));
    assert_eq!(merged.used().as_of, "2025-02-01");
    let euro = list("aws,r,instance,a,hour,3,EUR,2025-02-01\n");
    assert!(old.merged(&euro).is_err());
}
