//! A chat. When the service stops, everybody is told (1001, "going away") and awaited.

use adieu::App;
use adieu::serve::Draining;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::sync::broadcast;

type Room = broadcast::Sender<Utf8Bytes>;

async fn enter(ws: WebSocketUpgrade, State(room): State<Room>, Extension(draining): Extension<Draining>) -> Response {
    // From the upgrade on, the connection belongs to `chat`; the stop waits until it has let go of it.
    ws.on_upgrade(move |socket| async move {
        // An error means that the other side is gone.
        let _gone = chat(socket, room, draining).await;
    })
}

async fn chat(mut socket: WebSocket, room: Room, draining: Draining) -> Result<(), axum::Error> {
    let mut said = room.subscribe();
    let stopping = draining.begun();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => break,
            Ok(text) = said.recv() => socket.send(Message::Text(text)).await?,
            message = socket.recv() => match message.transpose()? {
                // Nobody else is in the room: nothing to do.
                Some(Message::Text(text)) => drop(room.send(text)),
                Some(Message::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
        }
    }
    let farewell = CloseFrame { code: 1001, reason: Utf8Bytes::from_static("going away") };
    socket.send(Message::Close(Some(farewell))).await?;
    // Its answer, and whatever it had said before.
    while let Some(Ok(_)) = socket.recv().await {}
    Ok(())
}

fn main() -> adieu::StopReport {
    let app = App::new("chat");
    let routes = Router::new().route("/chat", get(enter)).with_state(Room::new(64));
    app.serve("api", ([127, 0, 0, 1], 3000), routes);
    app.run()
}
