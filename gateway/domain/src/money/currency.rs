//! ISO 4217: the currencies that are money, and their digits.
//!
//! As of 2026. Funds codes, precious metals and test codes (`XAU`, `CHE`, `XXX` …) are left out: no
//! shop has prices in them.

use crate::terms::Currency;

/// Currencies without minor units.
const NO_DIGITS: &[&[u8; 3]] = &[
    b"BIF", b"CLP", b"DJF", b"GNF", b"ISK", b"JPY", b"KMF", b"KRW", b"PYG", b"RWF", b"UGX", b"VND",
    b"VUV", b"XAF", b"XOF", b"XPF",
];

/// Currencies with a thousand minor units.
const THREE_DIGITS: &[&[u8; 3]] = &[b"BHD", b"IQD", b"JOD", b"KWD", b"LYD", b"OMR", b"TND"];

/// All others: a hundred minor units.
const TWO_DIGITS: &[&[u8; 3]] = &[
    b"AED", b"AFN", b"ALL", b"AMD", b"AOA", b"ARS", b"AUD", b"AWG", b"AZN", b"BAM", b"BBD", b"BDT",
    b"BMD", b"BND", b"BOB", b"BRL", b"BSD", b"BTN", b"BWP", b"BYN", b"BZD", b"CAD", b"CDF", b"CHF",
    b"CNY", b"COP", b"CRC", b"CUP", b"CVE", b"CZK", b"DKK", b"DOP", b"DZD", b"EGP", b"ERN", b"ETB",
    b"EUR", b"FJD", b"FKP", b"GBP", b"GEL", b"GHS", b"GIP", b"GMD", b"GTQ", b"GYD", b"HKD", b"HNL",
    b"HTG", b"HUF", b"IDR", b"ILS", b"INR", b"IRR", b"JMD", b"KES", b"KGS", b"KHR", b"KPW", b"KYD",
    b"KZT", b"LAK", b"LBP", b"LKR", b"LRD", b"LSL", b"MAD", b"MDL", b"MGA", b"MKD", b"MMK", b"MNT",
    b"MOP", b"MRU", b"MUR", b"MVR", b"MWK", b"MXN", b"MYR", b"MZN", b"NAD", b"NGN", b"NIO", b"NOK",
    b"NPR", b"NZD", b"PAB", b"PEN", b"PGK", b"PHP", b"PKR", b"PLN", b"QAR", b"RON", b"RSD", b"RUB",
    b"SAR", b"SBD", b"SCR", b"SDG", b"SEK", b"SGD", b"SHP", b"SLE", b"SOS", b"SRD", b"SSP", b"STN",
    b"SVC", b"SYP", b"SZL", b"THB", b"TJS", b"TMT", b"TOP", b"TRY", b"TTD", b"TWD", b"TZS", b"UAH",
    b"USD", b"UYU", b"UZS", b"VED", b"VES", b"WST", b"XCD", b"XCG", b"YER", b"ZAR", b"ZMW", b"ZWG",
];

/// A text that is no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a currency; use an ISO 4217 code in upper case, as in \"USD\"")]
pub struct CurrencyError;

impl Currency {
    /// The currency with this code.
    ///
    /// # Errors
    /// When it is not the upper-case code of a currency in which things are paid.
    pub fn new(code: &str) -> Result<Self, CurrencyError> {
        let code: &[u8; 3] = code
            .as_bytes()
            .try_into()
            .map_err(|_length| CurrencyError)?;
        [NO_DIGITS, TWO_DIGITS, THREE_DIGITS]
            .iter()
            .any(|list| list.contains(&code))
            .then_some(Self(*code))
            .ok_or(CurrencyError)
    }

    /// Digits after the point: 0, 2 or 3.
    #[must_use]
    pub fn digits(self) -> u32 {
        if NO_DIGITS.contains(&&self.0) {
            0
        } else if THREE_DIGITS.contains(&&self.0) {
            3
        } else {
            2
        }
    }

    /// Every currency that is accepted.
    pub fn all() -> impl Iterator<Item = Self> {
        [NO_DIGITS, TWO_DIGITS, THREE_DIGITS]
            .into_iter()
            .flatten()
            .map(|code| Self(**code))
    }
}
