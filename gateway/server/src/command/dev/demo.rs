//! The demo sale of `sluice dev --demo`: one live coupon, and lines to paste.

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};

use crate::admin_client::{Client, Ready};
use crate::data_dir::DataDir;

/// The demo coupon's name; it is looked for before another is made.
const NAME: &str = "Demo: 5 off from 50";
/// What the wallet's best takes off a cart, for the lines to paste.
const CART: &str = r#"{"cart": {"currency": "USD", "lines": [{"id": "l1", "sku": "A-1", "quantity": 2, "unit_price": "30.00"}]}, "choose": "best"}"#;
/// Tries until the lane serves, with a pause between them.
const PUBLISH_TRIES: u32 = 60;
const PUBLISH_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

/// Makes the sale where there is none and says on standard error how to use it (standard output is
/// for the ready line).
pub(crate) fn present(ready: &Ready, folder: &DataDir) -> anyhow::Result<()> {
    let (Some(data), Some(control)) = (&ready.data, &ready.control) else {
        bail!("the demo needs a process with all roles");
    };
    let client = Client::new(control, ready.admin_key.clone())?;
    let coupon = super::super::small_runtime()?.block_on(sale(&client))?;
    let key = ready.admin_key.as_deref().unwrap_or("");
    let text = format!(
        "\n\
         Sluice is up.\n\
         \n\
         data plane     {data}\n\
         admin API      {control}   (OpenAPI: {control}/openapi.json)\n\
         ops            {ops}/metrics  {ops}/readyz\n\
         admin key      {key}\n\
         data folder    {folder}\n\
         \n\
         A live sale of 1,000 coupons is waiting. Paste these:\n\
         \n\
         curl -s {data}/v1/coupons/{coupon}; echo\n\
         TOKEN=$(\"{program}\" token --data-dir \"{folder}\" --user alice)\n\
         curl -s -X POST {data}/v1/coupons/{coupon}/claims -H \"Authorization: Bearer $TOKEN\"; echo\n\
         curl -s {data}/v1/quotes -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d '{CART}'; echo\n\
         curl -s {control}/admin/v1/coupons/{coupon} -H \"Authorization: Bearer {key}\"; echo\n\
         \n\
         And to be sure that nothing was oversold or lost: \"{program}\" audit --data-dir \"{folder}\"\n",
        ops = ready.ops,
        folder = folder.root().display(),
        program = std::env::current_exe().map_or_else(
            |_unknown| "sluice".to_owned(),
            |path| path.display().to_string()
        ),
    );
    announce(&text);
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "a greeting for the person who typed `make run`"
)]
fn announce(text: &str) {
    eprintln!("{text}");
}

async fn sale(client: &Client) -> anyhow::Result<String> {
    let found = read(
        client,
        Method::GET,
        "/admin/v1/coupons?status=active&q=Demo",
        None,
    )
    .await?;
    if let Some(id) = found["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|coupon| {
            (coupon["name"] == NAME)
                .then(|| coupon["id"].as_str().map(str::to_owned))
                .flatten()
        })
    {
        return Ok(id);
    }
    let coupon = json!({
        "name": NAME,
        "description": "Spend 50, get 5 off. Seven days from the claim.",
        "currency": "USD",
        "benefit": {"type": "threshold", "tiers": [{"spend": "50.00", "off": "5.00"}]},
        "limits": {"total": 1000, "per_user": 1},
        "validity": {"type": "relative", "days": 7, "until": "end_of_day", "zone": "UTC"},
    });
    let made = read(
        client,
        Method::POST,
        "/admin/v1/coupons",
        Some(coupon.to_string()),
    )
    .await?;
    let id = made["id"]
        .as_str()
        .context("the demo coupon has no id")?
        .to_owned();
    for _attempt in 0..PUBLISH_TRIES {
        let path = format!("/admin/v1/coupons/{id}/publish");
        let reply = client.call(Method::POST, &path, None).await?;
        if reply.status.is_success() {
            return Ok(id);
        }
        if reply.status != http::StatusCode::SERVICE_UNAVAILABLE {
            bail!(
                "the demo coupon cannot be published ({}): {}",
                reply.status,
                reply.text
            );
        }
        tokio::time::sleep(PUBLISH_PAUSE).await;
    }
    bail!("the demo coupon could not be published: no lane serves; see the log above")
}

async fn read(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<String>,
) -> anyhow::Result<Value> {
    let reply = client.call(method, path, body).await?;
    if !reply.status.is_success() {
        bail!("{path} answered {}: {}", reply.status, reply.text);
    }
    serde_json::from_str(&reply.text).with_context(|| format!("{path} answered no JSON"))
}
