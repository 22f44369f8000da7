//! axum as its front page shows it: there is no code for a shutdown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, Router::new().route("/", get(hello))).await?;
    Ok(())
}

async fn hello() -> String {
    tokio::time::sleep(Duration::from_millis(up_to_fifty())).await;
    format!("hello from axum {}\n", std::process::id())
}

/// Good enough a dice for a delay.
fn up_to_fifty() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) / 1000 % 50
}
