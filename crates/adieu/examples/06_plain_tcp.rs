//! A protocol of one's own: a line in, the same line in capitals out. A connection that is between two lines when the
//! service stops is ended there, with a farewell; one that waits for an answer gets it before.

use adieu::App;
use adieu::serve::TcpConnection;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

async fn shout(connection: TcpConnection) {
    let mut stream = BufReader::new(connection);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        // Being answered until this is dropped.
        let _request = stream.get_ref().request();
        if stream.get_mut().write_all(line.to_uppercase().as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

fn main() -> adieu::StopReport {
    let app = App::new("shout");
    app.serve_tcp("lines", ([127, 0, 0, 1], 3000), "bye\n", shout);
    app.run()
}
