//! An axum service in ten lines. SIGTERM: answers say `Connection: close`, the listener closes when its queue is empty,
//! every request is answered, and the exit code is 0.

use adieu::App;
use axum::Router;
use axum::routing::get;

fn main() -> adieu::StopReport {
    let app = App::new("hello");
    let routes = Router::new().route("/", get(|| async { "hello" }));
    app.serve("api", ([127, 0, 0, 1], 3000), routes);
    app.run()
}
