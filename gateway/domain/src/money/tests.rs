use proptest::prelude::*;

use super::*;

fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

#[test]
fn amounts_follow_the_digits_of_their_currency() {
    for (text, code, amount) in [
        ("5.00", "USD", 500),
        ("5", "USD", 500),
        ("5.0", "USD", 500),
        ("0", "USD", 0),
        ("0.01", "EUR", 1),
        ("007", "EUR", 700),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1_234),
        ("10000000000000.00", "USD", AMOUNT_MAX),
    ] {
        assert_eq!(parse(text, currency(code)), Ok(amount), "{text} {code}");
    }
}

#[test]
fn what_is_refused_says_what_would_be_accepted() {
    for (text, code, message) in [
        (
            "5.001",
            "USD",
            "has 3 digits after the point; USD has 2, as in \"5.00\"",
        ),
        (
            "500.0",
            "JPY",
            "has 1 digits after the point; JPY has 0, as in \"500\"",
        ),
        ("-1", "USD", "is negative; an amount is 0 or more"),
        (
            "10000000000000.01",
            "USD",
            "is too large; at most 10000000000000.00 USD is accepted",
        ),
        (
            "99999999999999999999999999999999",
            "JPY",
            "is too large; at most 1000000000000000 JPY is accepted",
        ),
    ] {
        let error = parse(text, currency(code)).unwrap_err();
        assert_eq!(error.to_string(), message, "{text} {code}");
    }
    for text in [
        "",
        ".",
        "5.",
        ".5",
        "+5",
        "5,00",
        "1e3",
        "1_000",
        " 5",
        "5 ",
        "٥",
        "NaN",
        "--5",
        "-",
        "0x5",
        "5.0.0",
        "000000000000000000000000000000000",
    ] {
        let error = parse(text, currency("USD")).unwrap_err();
        assert!(matches!(error, MoneyError::Syntax { .. }), "{text:?}");
    }
}

#[test]
fn the_list_of_currencies_is_complete_and_without_doubles() {
    let codes: std::collections::BTreeSet<Currency> = Currency::all().collect();
    assert_eq!(codes.len(), Currency::all().count());
    assert_eq!(codes.len(), 155);
    for (code, digits) in [("USD", 2), ("JPY", 0), ("KWD", 3), ("CNY", 2), ("XOF", 0)] {
        assert_eq!(currency(code).digits(), digits, "{code}");
    }
    for code in ["usd", "US", "USDT", "XXX", "XAU", "ABC", ""] {
        assert_eq!(Currency::new(code), Err(CurrencyError), "{code}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn writing_and_reading_an_amount_gives_it_back(
        amount in 0..=AMOUNT_MAX,
        index in 0_usize..155,
    ) {
        let currency = Currency::all().nth(index).unwrap();
        let text = format(amount, currency);
        prop_assert_eq!(parse(&text, currency), Ok(amount));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+0-9._,eE ]{0,40}|\\PC{0,20}") {
        for code in ["USD", "JPY", "KWD"] {
            if let Ok(amount) = parse(&text, currency(code)) {
                prop_assert!((0..=AMOUNT_MAX).contains(&amount));
            }
        }
    }
}
