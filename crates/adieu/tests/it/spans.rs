//! What a subscriber of `tracing` sees of a stop.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::testing::{Fault, paused};
use adieu::{App, Outcome, StopReport};
use tracing::span::{Attributes, Id, Record};

/// A span, from its beginning to its end.
#[derive(Debug, Clone)]
struct Span {
    text: String,
    parent: Option<usize>,
    /// How many hold it.
    held: usize,
}

/// Spans in the order in which they began, by number.
#[derive(Debug, Default, Clone)]
struct Seen(Arc<Mutex<Vec<Span>>>);

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

fn index(id: &Id) -> usize {
    usize::try_from(id.into_u64()).expect("a small number") - 1
}

impl tracing::Subscriber for Seen {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        let mut seen = self.0.lock().expect("spans");
        let parent = span.parent().map(index);
        if let Some(parent) = parent {
            assert!(seen[parent].held > 0, "{} begins in a span that is over: {seen:?}", fields.0);
            seen[parent].held += 1;
        }
        seen.push(Span { text: fields.0, parent, held: 1 });
        Id::from_u64(seen.len().try_into().expect("few"))
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.lock().expect("spans")[index(id)].held += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut seen = self.0.lock().expect("spans");
        let mut next = Some(index(&id));
        // A span holds the one that it is in.
        while let Some(of) = next {
            seen[of].held -= 1;
            next = seen[of].parent.filter(|_| seen[of].held == 0);
        }
        let closed = seen[index(&id)].held == 0;
        drop(seen);
        closed
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Seen {
    /// Each span with those that it is in, the outermost first, and whether it is over.
    fn paths(&self) -> Vec<(String, bool)> {
        let seen = self.0.lock().expect("spans");
        let path = |of: &Span| {
            let mut path = vec![of.text.clone()];
            let mut parent = of.parent;
            while let Some(up) = parent {
                path.push(seen[up].text.clone());
                parent = seen[up].parent;
            }
            path.reverse();
            (path.join(" > "), of.held == 0)
        };
        let mut paths: Vec<_> = seen.iter().map(path).collect();
        paths.sort_unstable();
        paths
    }
}

fn seen(app: App) -> (Seen, StopReport) {
    let seen = Seen::default();
    let report = tracing::subscriber::with_default(seen.clone(), || {
        paused(app, |control| async move {
            control.serving().await;
            control.close();
        })
    });
    (seen, report)
}

#[test]
fn a_stop_is_a_span_with_its_phases_and_their_hooks_in_it() {
    let app = App::new("traced");
    let redis = app.component("redis").start(|_| async { Ok::<_, std::io::Error>(()) }).stop(|_, _| async {});
    app.component("api").after(&redis).drain(|_, _| async {}).stop(|_, _| async {});
    let (seen, report) = seen(app);
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    let stop = "stop app=\"traced\" cause=\"the program asked for it\" grace=30s";
    let phase = |phase: &str| format!("{stop} > phase app=\"traced\" phase={phase}");
    let hook = |component: &str, of: &str| {
        format!("{} > hook app=\"traced\" component=\"{component}\" phase={of} forced=false", phase(of))
    };
    let mut expected: Vec<String> = ["announce", "quiesce", "drain", "cleanup", "close"].map(phase).into();
    expected.extend(["start app=\"traced\" component=\"redis\"".to_owned(), stop.to_owned()]);
    let hooks = [("redis", "close"), ("api", "drain"), ("api", "close"), ("work in flight", "drain")];
    expected.extend(hooks.map(|(component, of)| hook(component, of)));
    expected.sort_unstable();
    let expected: Vec<(String, bool)> = expected.into_iter().map(|path| (path, true)).collect();
    assert_eq!(seen.paths(), expected);
}

#[test]
fn what_does_not_end_does_not_keep_its_span() {
    let app = App::new("traced").grace(Duration::from_secs(10));
    app.component("api").stop(|_, _| Fault::Hangs.happen());
    let (seen, report) = seen(app);
    assert_eq!(report.outcome, Outcome::Forced, "{report}");
    let paths = seen.paths();
    assert!(paths.iter().any(|(path, _)| path.contains("> hook") && path.contains("api")), "{paths:?}");
    assert!(paths.iter().all(|(_, over)| *over), "{paths:?}");
}
