//! What is sent: requests written out before the load begins.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;

use super::Load;

impl Load {
    /// One claim per pass.
    pub fn claims(address: SocketAddr, coupon: &str, passes: &[String]) -> Self {
        let request = |pass: &String| {
            format!(
                "POST /v1/coupons/{coupon}/claims HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer \
                 {pass}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
            )
            .into_bytes()
        };
        Self {
            address,
            requests: Arc::new(passes.iter().map(request).collect()),
        }
    }

    /// One quote per pass: a cart of three lines, with the best of the wallet.
    pub fn quotes(address: SocketAddr, passes: &[String]) -> Self {
        let line = |id: &str, quantity: u32, price: &str| {
            json!({"id": id, "sku": id, "quantity": quantity, "unit_price": price,
                   "categories": ["shoes"], "brand": "x"})
        };
        let body = json!({
            "cart": {
                "currency": "USD",
                "lines": [line("l1", 2, "30.00"), line("l2", 1, "12.50"), line("l3", 3, "3.33")],
                "shipping": {"price": "5.00"},
            },
            "choose": "best",
        })
        .to_string();
        let request = |pass: &String| {
            format!(
                "POST /v1/quotes HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {pass}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        Self {
            address,
            requests: Arc::new(passes.iter().map(request).collect()),
        }
    }

    /// One look at each coupon's public page.
    pub fn pages(address: SocketAddr, coupons: &[String]) -> Self {
        let request = |coupon: &String| {
            format!("GET /v1/coupons/{coupon} HTTP/1.1\r\nhost: shop\r\n\r\n").into_bytes()
        };
        Self {
            address,
            requests: Arc::new(coupons.iter().map(request).collect()),
        }
    }

    /// The same request many times.
    #[must_use]
    pub fn fixed(address: SocketAddr, count: usize) -> Self {
        let pass = "sp_".to_owned() + &"x".repeat(48);
        Self::claims(address, "0000000", &vec![pass; count])
    }
}
