//! Answers without an end. Server-sent events need nothing: answers of this type end between two events when the service
//! stops, and browsers come again by themselves, to the next instance. Any other endless answer takes `Draining` (an
//! extractor with the feature `axum`) and ends with it.

use std::convert::Infallible;
use std::time::Duration;

use adieu::App;
use adieu::serve::Draining;
use axum::Router;
use axum::body::Body;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use tokio_stream::{Stream, StreamExt};

fn every_100_ms() -> impl Stream<Item = u64> {
    tokio_stream::iter(0..).throttle(Duration::from_millis(100))
}

async fn ticks() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(every_100_ms().map(|tick| Ok(Event::default().data(tick.to_string()))))
}

/// Lines of text as long as somebody reads, up to the last whole one.
async fn lines(draining: Draining) -> Body {
    let lines = every_100_ms().map(|tick| Ok::<_, Infallible>(format!("line {tick}\n")));
    Body::new(draining.until(Body::from_stream(lines)))
}

fn main() -> adieu::StopReport {
    let app = App::new("ticks");
    app.serve("api", ([127, 0, 0, 1], 3000), Router::new().route("/ticks", get(ticks)).route("/lines", get(lines)));
    app.run()
}
