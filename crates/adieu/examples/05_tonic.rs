//! A tonic service, as it is. Clients get the two GOAWAYs of HTTP/2: none of their calls is lost. Calls that never end by
//! themselves are to be ended by whoever answers them: `Draining` is among the extensions of a tonic request, and the
//! health service ends its `Watch` calls when the status goes away.

use adieu::App;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

fn main() -> adieu::StopReport {
    let app = App::new("grpc");
    let (health, service) = tonic_health::server::health_reporter();
    let api = app.serve("api", ([127, 0, 0, 1], 3000), Routes::new(service).into_axum_router());
    app.component("health")
        .after(&api)
        .start(|_| async move {
            health.set_service_status("", ServingStatus::Serving).await;
            Ok::<_, std::convert::Infallible>(health)
        })
        .announce(|health, _| async move { health.set_service_status("", ServingStatus::NotServing).await })
        .quiesce(|health, _| async move { HealthReporter::clone(&health).clear_service_status("").await });
    app.run()
}
