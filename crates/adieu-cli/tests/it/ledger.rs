//! A server that books transfers of two halves in a real PostgreSQL, stopped in the middle of its work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::harness::servers::LEDGER;
use crate::harness::{Load, Port, Postgres, Process, Scene, count, get, the_machine, until, wait_until_it_answers};
use crate::matrix::OPTIONS;

const TABLE: &str = "CREATE TABLE transfer (id uuid, booking text, half text)";

fn halves(postgres: &Postgres, booking: &str) -> usize {
    let of_one = format!("SELECT id FROM transfer WHERE booking = '{booking}' GROUP BY id HAVING count(*) = 1");
    let answer = postgres.query(&format!("SELECT count(*) FROM ({of_one}) AS halved"));
    answer.parse().expect("a count is a number")
}

fn wait_until_all_have_hung_up(postgres: &Postgres) {
    let others =
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    until("PostgreSQL has no clients any more", || postgres.query(others) == "0");
}

/// The control: what a kill in the middle does to the books. Were nothing halved here, a reload that halves nothing
/// would prove nothing.
#[test]
fn a_kill_halves_what_is_not_one_transaction() {
    let _alone = the_machine();
    let postgres = Postgres::start();
    postgres.query(TABLE);
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let port = Port::claim();
    let mut command = LEDGER.command(port.number(), directory.path());
    command.env("DATABASE_URL", postgres.url());
    let mut server = Process::start("ledger", &command, directory.path());
    wait_until_it_answers(&mut server, port.number(), "/transfer");

    let booked = AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in 0..16 {
            let (booked, port) = (&booked, port.number());
            let path = if client % 2 == 0 { "/transfer" } else { "/careless" };
            // Ends when the server is gone.
            scope.spawn(move || {
                while get(port, path).is_ok() {
                    booked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until("something is booked", || booked.load(Ordering::Relaxed) >= 100);
        drop(server);
    });
    wait_until_all_have_hung_up(&postgres);
    assert_eq!(halves(&postgres, "transfer"), 0, "a transaction is whole or it is not there");
    assert!(halves(&postgres, "careless") > 0, "nobody was killed between the halves");
}

/// Neither kind of transfer is halved or refused by reloads: nothing in flight is cut off.
#[test]
fn reloads_halve_nothing() {
    let _alone = the_machine();
    let postgres = Postgres::start();
    postgres.query(TABLE);
    let adieu = Scene::new().run().options(OPTIONS).server(LEDGER).env("DATABASE_URL", &postgres.url());
    let adieu = adieu.serving_at("/transfer");
    for path in ["/transfer", "/careless"] {
        let load = Load { path, reloads: count(3, 20), kept: 16 };
        load.run(&adieu).assert_nothing_lost(&adieu);
    }
    adieu.end();
    wait_until_all_have_hung_up(&postgres);
    assert_eq!(halves(&postgres, "transfer"), 0);
    assert_eq!(halves(&postgres, "careless"), 0);
}
