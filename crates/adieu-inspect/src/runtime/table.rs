//! The rows: the first that fits counts, so the more special ones come first. Add what you know; say where it is from.

use adieu_core::signal::Signal;

use super::Effect::{Dump, DumpAndEnd, Fast, Graceful, Nothing, Reload, WaitsForClients};
use super::Mark::{Caught, Program, Script, Title};
use super::Runtime;

const INTERPRETERS: &[&str] = &["python", "pypy"];

const PLAIN: Runtime = Runtime {
    id: "",
    label: "",
    marks: &[],
    graceful: Signal::TERM,
    main_thread_handles: false,
    event_loop: false,
    shell: false,
    worker: false,
    prefork: false,
    goes_on: "",
    keeps_children: false,
    left_to_its_master: &[],
    effects: &[],
};

/// All that are known.
pub static ALL: &[Runtime] = &[
    // nginx.org/en/docs/control.html
    Runtime {
        id: "nginx-worker",
        label: "nginx worker",
        marks: &[Title("nginx: worker process"), Title("nginx: cache ")],
        graceful: Signal::QUIT,
        worker: true,
        effects: NGINX,
        ..PLAIN
    },
    Runtime {
        id: "nginx",
        label: "nginx",
        marks: &[Title("nginx: master process"), Program(&["nginx", "openresty"])],
        graceful: Signal::QUIT,
        effects: NGINX,
        ..PLAIN
    },
    // postgresql.org/docs/current/server-shutdown.html; backends: src/backend/tcop/postgres.c; those that ignore the stop:
    // src/backend/postmaster/{checkpointer,syslogger}.c, and pgstat.c before version 15
    Runtime {
        id: "postgres-backend",
        label: "PostgreSQL backend",
        marks: &[Title("postgres: ")],
        worker: true,
        left_to_its_master: &[
            (
                "checkpointer",
                "the server ends it by SIGUSR2, when every session is gone: it writes the last checkpoint",
            ),
            ("logger", "it ends when nobody holds its pipe any more, so that no last word is lost"),
            ("stats collector", "the server ends it by SIGQUIT, when every session is gone"),
        ],
        effects: &[
            (Signal::TERM, Fast, "ends this session and rolls its transaction back"),
            (Signal::INT, Nothing, "cancels the query that runs; the session stays"),
            (Signal::QUIT, Fast, "ends at once; all sessions of the server are reset"),
            (Signal::HUP, Reload, "reads the configuration again"),
        ],
        ..PLAIN
    },
    Runtime {
        id: "postgres",
        label: "PostgreSQL",
        marks: &[Program(&["postgres", "postmaster"])],
        graceful: Signal::INT,
        effects: &[
            (
                Signal::TERM,
                WaitsForClients,
                "smart shutdown: takes no new session and waits until every client has left",
            ),
            (Signal::INT, Graceful, "fast shutdown: rolls open transactions back, writes a checkpoint, ends"),
            (Signal::QUIT, Fast, "immediate shutdown: recovery at the next start"),
            (Signal::HUP, Reload, "reads the configuration again"),
        ],
        ..PLAIN
    },
    // Their own manuals: each forwards the signal to its program, or ends what it has started.
    Runtime {
        id: "init",
        label: "init",
        marks: &[
            Program(&["adieu", "tini", "dumb-init", "catatonit", "docker-init", "start_server", "einhorn", "circusd"]),
            Program(&["supervisord", "s6-svscan"]),
            Script(INTERPRETERS, &["supervisord", "circusd"]),
        ],
        keeps_children: true,
        ..PLAIN
    },
    // redis.io/docs/latest/operate/oss_and_stack/reference/signals
    Runtime {
        id: "redis",
        label: "Redis",
        marks: &[
            Program(&["redis-server", "valkey-server", "keydb-server"]),
            Title("redis-server "),
            Title("valkey-server "),
        ],
        effects: &[
            (
                Signal::TERM,
                Graceful,
                "saves the data set where that is configured, and ends; not while it saves in vain",
            ),
            (Signal::INT, Graceful, "as SIGTERM; a second one ends it at once"),
            (Signal::HUP, Nothing, "is ignored"),
        ],
        ..PLAIN
    },
    // docs.gunicorn.org/en/stable/signals.html
    Runtime {
        id: "gunicorn",
        label: "gunicorn",
        marks: &[Title("gunicorn: "), Script(INTERPRETERS, &["gunicorn", "gunicorn3"])],
        main_thread_handles: true,
        prefork: true,
        effects: &[
            (Signal::TERM, Graceful, "waits for its workers' requests, at most --graceful-timeout"),
            (Signal::INT, Fast, "ends without waiting for requests"),
            (Signal::QUIT, Fast, "ends without waiting for requests"),
            (Signal::HUP, Reload, "starts new workers with the configuration read again"),
        ],
        ..PLAIN
    },
    // uvicorn.org/server-behavior, uvicorn/server.py
    Runtime {
        id: "uvicorn",
        label: "uvicorn",
        marks: &[Script(INTERPRETERS, &["uvicorn", "hypercorn", "fastapi"])],
        main_thread_handles: true,
        effects: &[
            (
                Signal::TERM,
                Graceful,
                "waits for open requests, without limit unless --timeout-graceful-shutdown is set",
            ),
            (Signal::INT, Graceful, "as SIGTERM; a second one ends it at once"),
        ],
        ..PLAIN
    },
    // unicorn's SIGNALS: the master and its workers alike
    Runtime {
        id: "unicorn",
        label: "unicorn",
        marks: &[Title("unicorn master"), Title("unicorn worker"), Script(&["ruby"], &["unicorn", "unicorn_rails"])],
        graceful: Signal::QUIT,
        main_thread_handles: true,
        prefork: true,
        effects: &[
            (Signal::TERM, Fast, "ends at once, requests too"),
            (Signal::INT, Fast, "ends at once, requests too"),
            (Signal::QUIT, Graceful, "finishes its requests and ends"),
            (Signal::HUP, Reload, "reads the configuration again and starts new workers"),
        ],
        ..PLAIN
    },
    // metacpan.org/pod/Starman, SIGNALS
    Runtime {
        id: "starman",
        label: "Starman",
        marks: &[Title("starman master"), Title("starman worker")],
        graceful: Signal::QUIT,
        prefork: true,
        effects: &[
            (Signal::TERM, Fast, "ends at once, requests too"),
            (Signal::INT, Fast, "ends at once, requests too"),
            (Signal::QUIT, Graceful, "finishes its requests and ends"),
            (Signal::HUP, Reload, "starts its workers anew"),
        ],
        ..PLAIN
    },
    // docs.celeryq.dev: Workers Guide, "Stopping the worker"
    Runtime {
        id: "celery",
        label: "Celery",
        marks: &[Title("[celeryd: "), Script(INTERPRETERS, &["celery"])],
        main_thread_handles: true,
        prefork: true,
        effects: &[
            (Signal::TERM, Graceful, "finishes the tasks that run, without limit, and ends"),
            (Signal::INT, Graceful, "as SIGTERM; a second one ends it at once"),
            (Signal::QUIT, Fast, "ends at once; the tasks that run are lost or run again"),
        ],
        ..PLAIN
    },
    // uwsgi-docs: Management, "Signals for controlling uWSGI"
    Runtime {
        id: "uwsgi",
        label: "uWSGI",
        marks: &[Program(&["uwsgi", "uwsgi-core"])],
        graceful: Signal::INT,
        prefork: true,
        effects: &[
            (Signal::TERM, Reload, "starts everything again (without --die-on-term)"),
            (Signal::INT, Fast, "ends at once; gracefully it ends by `q` in its --master-fifo only"),
            (Signal::QUIT, Fast, "ends at once"),
            (Signal::HUP, Reload, "finishes its requests and starts new workers"),
        ],
        ..PLAIN
    },
    // github.com/puma/puma/blob/master/docs/signals.md
    Runtime {
        id: "puma",
        label: "Puma",
        marks: &[Title("puma "), Title("puma: "), Script(&["ruby"], &["puma"])],
        main_thread_handles: true,
        prefork: true,
        effects: &[
            (Signal::TERM, Graceful, "finishes its requests and ends"),
            (Signal::INT, Graceful, "finishes its requests and ends"),
            (Signal::HUP, Reload, "reopens its logs, or ends where none are set"),
        ],
        ..PLAIN
    },
    // php-fpm(8)
    Runtime {
        id: "php-fpm",
        label: "PHP-FPM",
        marks: &[Title("php-fpm: ")],
        graceful: Signal::QUIT,
        prefork: true,
        effects: &[
            (Signal::TERM, Fast, "ends at once"),
            (Signal::INT, Fast, "ends at once"),
            (Signal::QUIT, Graceful, "finishes its requests, at most process_control_timeout"),
        ],
        ..PLAIN
    },
    // httpd.apache.org/docs/current/stopping.html
    Runtime {
        id: "apache",
        label: "Apache httpd",
        marks: &[Program(&["apache2", "httpd"])],
        graceful: Signal::WINCH,
        prefork: true,
        effects: &[
            (Signal::TERM, Fast, "ends its children at once"),
            (Signal::WINCH, Graceful, "finishes its requests and ends"),
            (Signal::HUP, Reload, "starts its children anew"),
        ],
        ..PLAIN
    },
    // docs.haproxy.org: management.txt, section 4
    Runtime {
        id: "haproxy",
        label: "HAProxy",
        marks: &[Program(&["haproxy"])],
        graceful: Signal::USR1,
        prefork: true,
        effects: &[
            (Signal::TERM, Fast, "ends at once, connections too"),
            (Signal::USR1, Graceful, "closes its listeners and waits for its connections"),
        ],
        ..PLAIN
    },
    // lighttpd(8), SIGNALS
    Runtime {
        id: "lighttpd",
        label: "lighttpd",
        marks: &[Program(&["lighttpd"])],
        graceful: Signal::INT,
        effects: &[
            (Signal::TERM, Fast, "ends at once, connections too"),
            (Signal::INT, Graceful, "closes its listeners and waits for its connections"),
            (Signal::USR1, Reload, "finishes its requests and reads the configuration again"),
            (Signal::HUP, Reload, "reopens its logs"),
        ],
        ..PLAIN
    },
    // squid(8), -k
    Runtime {
        id: "squid",
        label: "Squid",
        marks: &[Program(&["squid"]), Title("(squid-")],
        prefork: true,
        effects: &[
            (Signal::TERM, Graceful, "takes nothing new and waits for its clients, at most shutdown_lifetime (30 s)"),
            (Signal::INT, Fast, "ends at once, connections too"),
            (Signal::HUP, Reload, "reads the configuration again"),
        ],
        goes_on: "it waits for its clients, at most shutdown_lifetime (30 s): give it that time (--grace), or send INT",
        ..PLAIN
    },
    // sshd(8): each session is a process of its own
    Runtime {
        id: "sshd",
        label: "sshd",
        marks: &[Program(&["sshd", "sshd-session"])],
        effects: &[
            (Signal::TERM, Graceful, "takes no new session; those that are open go on"),
            (Signal::HUP, Reload, "starts itself anew"),
        ],
        ..PLAIN
    },
    // mariadb.com/kb, dev.mysql.com: "Unix Signal Handling in MySQL"
    Runtime {
        id: "mysql",
        label: "MySQL or MariaDB",
        marks: &[Program(&["mysqld", "mariadbd"])],
        effects: &[
            (Signal::TERM, Graceful, "ends all sessions, rolls their transactions back and writes everything down"),
            (Signal::HUP, Reload, "reads its grants again and reopens its logs"),
        ],
        ..PLAIN
    },
    // erlang.org/doc/man/erl_signal_server, kernel_app: erl_signal_handler; erts/emulator/sys/unix/erl_child_setup.c
    Runtime {
        id: "erlang",
        label: "Erlang",
        marks: &[Program(&["beam.smp", "beam"])],
        effects: &[
            (Signal::TERM, Graceful, "stops its applications in order, without limit, and ends (init:stop)"),
            (Signal::QUIT, Fast, "halts at once"),
            (Signal::USR1, DumpAndEnd, "writes a crash dump and ends"),
        ],
        ..PLAIN
    },
    Runtime {
        id: "erlang-child-setup",
        label: "Erlang's starter of programs",
        marks: &[Program(&["erl_child_setup"])],
        left_to_its_master: &[("erl_child_setup", "it ends with the Erlang machine, whose pipe it reads")],
        ..PLAIN
    },
    // docs.oracle.com: Java, Troubleshooting Guide, "Handle Signals and Exceptions"
    Runtime {
        id: "jvm",
        label: "Java",
        marks: &[Program(&["java"])],
        effects: &[
            (Signal::TERM, Graceful, "runs the shutdown hooks, all at once and without limit, then ends"),
            (Signal::INT, Graceful, "runs the shutdown hooks, all at once and without limit, then ends"),
            (Signal::HUP, Graceful, "runs the shutdown hooks, all at once and without limit, then ends"),
            (Signal::QUIT, Dump, "writes all threads with their stacks to its standard output"),
        ],
        goes_on: "an own handler (sun.misc.Signal) or a framework has taken the signal: jstack tells what its threads wait for",
        ..PLAIN
    },
    // nodejs.org/api/process.html#signal-events
    Runtime {
        id: "node",
        label: "Node.js",
        marks: &[Program(&["node", "nodejs"])],
        main_thread_handles: true,
        event_loop: true,
        goes_on: "Node ends by itself only when no timer, socket or server is left: let the handler close them, or call process.exit()",
        ..PLAIN
    },
    Runtime { id: "deno", label: "Deno", marks: &[Program(&["deno"])], main_thread_handles: true, ..PLAIN },
    // docs.python.org/3/library/signal.html: handlers run in the main thread, between two instructions
    Runtime {
        id: "python",
        label: "Python",
        marks: &[Program(INTERPRETERS)],
        main_thread_handles: true,
        effects: &[(
            Signal::INT,
            Graceful,
            "raises KeyboardInterrupt in the main thread, unless it was ignored at the start",
        )],
        goes_on: "Python takes the call that a handler has interrupted up again (PEP 475) and at its end waits for all threads that are no daemons: let the handler raise SystemExit, and tell the threads",
        ..PLAIN
    },
    Runtime { id: "ruby", label: "Ruby", marks: &[Program(&["ruby"])], main_thread_handles: true, ..PLAIN },
    // bash(1) SIGNALS and COMMAND EXECUTION ENVIRONMENT; POSIX 2.11 for what `&` ignores
    Runtime {
        id: "shell",
        label: "shell",
        marks: &[Program(&["bash", "dash", "sh", "ksh", "mksh", "zsh", "ash"]), Script(&["busybox"], &["sh", "ash"])],
        graceful: Signal::TERM,
        shell: true,
        ..PLAIN
    },
    // pkg.go.dev/os/signal: the runtime catches all, and lets those end the program that nobody asked for
    Runtime {
        id: "go",
        label: "Go",
        // SIGURG, SIGPROF, SIGTERM, SIGQUIT, SIGWINCH; never SIGKILL, SIGSTOP, and those that stop a process.
        marks: &[Caught(0x0c40_4004, 0x0038_0000)],
        effects: &[(Signal::QUIT, DumpAndEnd, "writes all goroutines to its standard error and ends with code 2")],
        goes_on: "whoever has asked for the signal (signal.Notify) does not lead main to its end: SIGQUIT prints all goroutines, and `adieu stop --dump` keeps them",
        ..PLAIN
    },
];

const NGINX: &[(Signal, super::Effect, &str)] = &[
    (Signal::TERM, Fast, "ends at once, connections too"),
    (Signal::INT, Fast, "ends at once, connections too"),
    (Signal::QUIT, Graceful, "finishes its requests and ends"),
    (Signal::HUP, Reload, "starts new workers with the configuration read again"),
];
