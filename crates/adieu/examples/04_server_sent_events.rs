//! Server-sent events. Nothing to do: answers of this type end between two events when the service stops, and browsers
//! come again by themselves, to the next instance.

use std::convert::Infallible;
use std::time::Duration;

use adieu::App;
use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use tokio_stream::{Stream, StreamExt};

async fn ticks() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = tokio_stream::iter(0_u64..).map(|tick| Ok(Event::default().data(tick.to_string())));
    Sse::new(ticks.throttle(Duration::from_millis(100)))
}

fn main() -> adieu::StopReport {
    let app = App::new("ticks");
    app.serve("api", ([127, 0, 0, 1], 3000), Router::new().route("/ticks", get(ticks)));
    app.run()
}
