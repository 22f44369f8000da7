//! Ordered components: what a farewell needs is still up while it is said.
//!
//! An order service keeps in Redis which instance is up where, and its orders in PostgreSQL. It stops from the outside in:
//! nothing new is accepted, orders in flight are finished, the route is taken out of Redis, and only then Redis and PostgreSQL
//! (which have nothing to do with each other, so at the same time) are let go.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1 POSTGRES_URL=postgres://postgres@127.0.0.1 cargo run --example 02_ordered
//! ```
//!
//! A client sends the number of its order and the seconds that it takes, on one line, and is answered when it is done.

use std::sync::Arc;
use std::time::Duration;

use adieu::{App, BoxError, Control, StopReport, TaskContext};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_postgres::{Config, NoTls};

fn main() -> StopReport {
    let grace = std::env::var("GRACE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let app = App::new("orders").grace(Duration::from_secs(grace));

    let redis = app.component("redis").start(|_| connect_redis());
    let postgres = app.component("postgres").start(|_| connect_postgres());

    let listener = app.component("listener").start(|_| TcpListener::bind("127.0.0.1:0"));

    // After redis, so redis is up when this runs; and its cleanup is before redis goes.
    let (in_redis, socket) = (redis.handle(), listener.handle());
    let routes = app.component("routes").after(&redis).after(&listener).start(move |_| async move {
        let route = Route {
            redis: MultiplexedConnection::clone(&*in_redis.get()?),
            at: socket.get()?.local_addr()?.to_string(),
        };
        route.publish().await?;
        println!("serving on {}", route.at);
        Ok::<_, BoxError>(route)
    });
    let routes = routes.cleanup(|route, _| async move { route.remove().await });

    let (socket, database) = (listener.handle(), postgres.handle());
    app.task("api", |context| async move { serve(&context, &*socket.get()?, database.get()?).await })
        .after(&routes)
        .after(&postgres)
        .after(&listener);

    app.run()
}

/// Which instance is up where.
struct Route {
    redis: MultiplexedConnection,
    at: String,
}

impl Route {
    async fn publish(&self) -> Result<(), BoxError> {
        let mut redis = self.redis.clone();
        Ok(redis::cmd("SADD").arg("instances").arg(&self.at).query_async(&mut redis).await?)
    }

    async fn remove(&self) -> Result<(), BoxError> {
        let mut redis = self.redis.clone();
        Ok(redis::cmd("SREM").arg("instances").arg(&self.at).query_async(&mut redis).await?)
    }
}

async fn connect_redis() -> Result<MultiplexedConnection, BoxError> {
    // Not the half a second of the client: how long a start or a farewell may take is for the plan to say.
    let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let client = redis::Client::open(std::env::var("REDIS_URL")?)?;
    Ok(client.get_multiplexed_async_connection_with_config(&patient).await?)
}

/// How to reach PostgreSQL; each order has a connection of its own.
async fn connect_postgres() -> Result<Config, BoxError> {
    let config: Config = std::env::var("POSTGRES_URL")?.parse()?;
    let client = connect(&config).await?;
    let tables = "CREATE TABLE IF NOT EXISTS orders (id bigint); CREATE TABLE IF NOT EXISTS items (order_id bigint)";
    client.batch_execute(tables).await?;
    Ok(config)
}

async fn connect(config: &Config) -> Result<tokio_postgres::Client, BoxError> {
    let (client, connection) = config.connect(NoTls).await?;
    // Ends when the client is dropped.
    tokio::spawn(connection);
    Ok(client)
}

async fn serve(context: &TaskContext, listener: &TcpListener, database: Arc<Config>) -> Result<(), BoxError> {
    // Dropped with this task when the drain is out of time: what is in flight is aborted then, and rolled back.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = context.asked_to_end() => break,
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn(order(stream, Control::clone(context), Arc::clone(&database)));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Both rows or neither.
async fn order(stream: TcpStream, control: Control, database: Arc<Config>) -> Result<(), BoxError> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let (id, seconds) = line.trim().split_once(' ').ok_or("an order is a number and its seconds")?;
    let (id, seconds): (i64, f64) = (id.parse()?, seconds.parse()?);

    // The report names it if the stop waits for it in vain.
    let _in_flight = control.in_flight().guard(format!("order {id}"))?;
    let mut client = connect(&database).await?;
    let transaction = client.transaction().await?;
    transaction.execute("INSERT INTO orders VALUES ($1)", &[&id]).await?;
    transaction.execute("SELECT pg_sleep($1)", &[&seconds]).await?;
    transaction.execute("INSERT INTO items VALUES ($1)", &[&id]).await?;
    transaction.commit().await?;
    stream.write_all(format!("done {id}\n").as_bytes()).await?;
    Ok(())
}
