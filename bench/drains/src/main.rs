//! One small server, stopped by SIGTERM in the way that is named: `adieu-bench-drains WAY PORT`.
//!
//! `/` answers at once, `/slow` after 300 ms. The way `default` has no handler: the kernel ends it, which is the floor.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use adieu::App;
use adieu::serve::Serve;
use axum::Router;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let (way, port) = match arguments.get(1..) {
        Some([way, port]) => (way.as_str(), port.parse::<u16>()),
        _ => ("", "".parse()),
    };
    let Ok(port) = port else {
        eprintln!("usage: adieu-bench-drains default|axum|hyper-util|axum-server|adieu PORT");
        return ExitCode::from(2);
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let run = |serve: Result<(), Failure>| match serve {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{way}: {error}");
            ExitCode::FAILURE
        }
    };
    match way {
        "default" => run(with_runtime(|| plain(address))),
        "axum" => run(with_runtime(|| with_axum(address))),
        "hyper-util" => run(with_runtime(|| with_hyper_util(address))),
        "axum-server" => run(with_runtime(|| with_axum_server(address))),
        "adieu" => with_adieu(address),
        _ => run(Err("no such way".into())),
    }
}

fn routes() -> Router {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "done\n"
    };
    Router::new().route("/", get(|| async { "here\n" })).route("/slow", get(slow))
}

fn with_runtime<F: Future<Output = Result<(), Failure>>>(serve: impl FnOnce() -> F) -> Result<(), Failure> {
    Runtime::new()?.block_on(serve())
}

async fn plain(address: SocketAddr) -> Result<(), Failure> {
    Ok(axum::serve(TcpListener::bind(address).await?, routes()).await?)
}

async fn with_axum(address: SocketAddr) -> Result<(), Failure> {
    let mut term = signal(SignalKind::terminate())?;
    let stop = async move {
        term.recv().await;
    };
    Ok(axum::serve(TcpListener::bind(address).await?, routes()).with_graceful_shutdown(stop).await?)
}

async fn with_hyper_util(address: SocketAddr) -> Result<(), Failure> {
    let mut term = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(address).await?;
    let builder = auto::Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let service = TowerToHyperService::new(routes());
                let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                let watched = graceful.watch(connection.into_owned());
                drop(tokio::spawn(async move {
                    // How a connection ends is its client's affair.
                    watched.await.unwrap_or_default();
                }));
            }
            _ = term.recv() => break,
        }
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

async fn with_axum_server(address: SocketAddr) -> Result<(), Failure> {
    let mut term = signal(SignalKind::terminate())?;
    let handle = axum_server::Handle::new();
    let stopping = handle.clone();
    drop(tokio::spawn(async move {
        term.recv().await;
        stopping.graceful_shutdown(Some(Duration::from_secs(30)));
    }));
    Ok(axum_server::bind(address).handle(handle).serve(routes().into_make_service()).await?)
}

fn with_adieu(address: SocketAddr) -> ExitCode {
    let app = App::new("drains");
    // No linger, as none of the others has one.
    app.serve_with("api", address, routes(), Serve::new().linger(Duration::ZERO));
    ExitCode::from(app.run().code())
}
