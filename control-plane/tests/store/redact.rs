//! What matches a pattern is written nowhere.

use std::{fs, sync::Arc};

use luthien_control_plane::record::{Query, Recorder, Redaction, Sqlite, Store, Summary, Writer};
use luthien_policy::{ContentEntry, EntryBody, NoteEntry, PartEntry, PolicySet, Session};
use luthien_proto::{
    Event, Step, ToService,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Chunk, Delta, ToolCall, ToolForm},
    json::Extras,
    message::{CallStarted, Header},
    request::{ContentBlock, Dialect, Message, Request},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const KEY: &str = "sk-proj-PlantedPlantedPlanted0123";
const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nUGxhbnRlZA==\nc2VjcmV0\n-----END RSA PRIVATE KEY-----";
/// What no byte that is written may contain.
const SECRETS: [&str; 4] = ["PlantedPlanted", "UGxhbnRlZA", "c2VjcmV0", "E-424242"];

struct Place {
    folder: TempDir,
    store: Arc<Sqlite>,
    recorder: Recorder,
    finish: CancellationToken,
    writing: JoinHandle<()>,
}

impl Place {
    async fn new() -> Self {
        let patterns = [("api_keys", None), ("private_keys", None), ("employee", Some(r"E-\d{6}"))];
        let redaction = Redaction::new(patterns).unwrap();
        let folder = TempDir::new().unwrap();
        let store = Arc::new(Sqlite::open(&folder.path().join("luthien.db")).await.unwrap());
        let (writer, recorder) = Writer::new(Arc::<Sqlite>::clone(&store));
        let finish = CancellationToken::new();
        let writing = tokio::spawn(writer.redacting(&redaction).run(finish.clone(), CancellationToken::new()));
        Self { folder, store, recorder, finish, writing }
    }

    /// Puts these on record, and reads them.
    async fn entries(&self, id: Uuid, summary: Summary, bodies: Vec<EntryBody>) -> Vec<Value> {
        let mut record = self.recorder.call(summary);
        bodies.into_iter().for_each(|body| record.push(luthien_policy::Entry { at_us: 0, body }));
        record.close().await.unwrap();
        let entries = self.store.call(id).await.unwrap().unwrap().entries;
        // Long ones are compressed where they are written.
        entries.iter().for_each(|entry| is_free_of_secrets(entry.body.as_bytes()));
        entries.iter().map(|entry| serde_json::from_str(&entry.body).unwrap()).collect()
    }

    /// Every byte of the folder.
    async fn written(self) -> Vec<u8> {
        self.finish.cancel();
        self.writing.await.unwrap();
        let files = fs::read_dir(self.folder.path()).unwrap();
        files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

fn is_free_of_secrets(bytes: &[u8]) {
    for secret in SECRETS {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} was written");
    }
}

fn started(id: Uuid, text: &str) -> CallStarted {
    let content = vec![ContentBlock::Text(text.to_owned()).into()];
    let message = Message { role: "user".into(), content, extras: Extras::NONE };
    CallStarted {
        session: format!("session of E-424242 {id}"),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: Vec::new(),
        headers: vec![Header { name: "authorization".into(), value: KEY.into() }],
        call_id: id,
        started_at_us: 1_700_000_000_000_000,
        dialect: Dialect::OpenAiChat,
        upstream_dialect: Dialect::OpenAiChat,
        upstream: "openai".into(),
        route: "*".into(),
        upstream_model: "gpt-5-mini".into(),
        client: "E-424242".into(),
        request: Request { model: KEY.into(), choices: 1, messages: vec![message], ..Request::default() },
    }
}

fn chunk(seq: u64, step: Step) -> Chunk {
    Chunk { seq, arrived_us: seq, event: Event::from(step) }
}

/// A text and a call of a tool, in pieces.
fn response() -> Vec<Chunk> {
    let (text, tool) = (BlockKey(0), BlockKey(1));
    let call = ToolCall {
        id: "call_1".into(),
        name: "run".into(),
        namespace: String::new(),
        form: ToolForm::Function,
        type_: String::new(),
    };
    let piece = |text: &str| Step::BlockDelta(BlockDelta { block: BlockKey(0), delta: Delta::Text(text.into()) });
    let arguments = json!({ "key": format!("\u{8}{KEY}"), "pem": PEM, "E-424242": 1 }).to_string();
    let arguments = BlockDelta { block: tool, delta: Delta::Arguments(arguments.replace("sk-", "\\u0073k-")) };
    let steps = [
        Step::BlockStarted(BlockStarted { block: text, choice: 0, kind: BlockKind::Text }),
        piece("the key is sk-proj-Planted"),
        piece("PlantedPlanted0123, I think"),
        Step::BlockStopped(text),
        Step::BlockStarted(BlockStarted { block: tool, choice: 0, kind: BlockKind::ToolCall(call) }),
        Step::BlockDelta(arguments),
        Step::BlockStopped(tool),
    ];
    (1..).zip(steps).map(|(seq, step)| chunk(seq, step)).collect()
}

/// What a session without policies puts on record of a call.
fn recorded(started: CallStarted) -> Vec<EntryBody> {
    let mut session = Session::begin(Arc::new(PolicySet::of("rev".into(), Vec::new()).unwrap()), started);
    session.handle(ToService::Chunks(response())).unwrap();
    session.lost();
    let outputs = std::iter::from_fn(|| session.poll());
    let entry = |output| match output {
        luthien_policy::Output::Record(entry) => Some(entry.body),
        luthien_policy::Output::Say(_)
        | luthien_policy::Output::Tell { .. }
        | luthien_policy::Output::Leave { .. }
        | luthien_policy::Output::Ended => None,
    };
    outputs.filter_map(entry).collect()
}

#[tokio::test]
async fn no_text_that_matches_is_written_wherever_it_stands() {
    let (place, id) = (Place::new().await, Uuid::now_v7());
    let started = started(id, &format!("use {KEY} and\n{PEM}\nfor E-424242"));
    let summary = Summary::new(&started);
    let mut bodies = recorded(started);
    bodies.push(EntryBody::Note(NoteEntry {
        policy: "p".into(),
        seq: 1,
        severity: "info",
        summary: format!("saw {KEY}"),
        details: Some(json!({ "deep": [{ KEY: [KEY, 5] }] })),
    }));
    let entries = place.entries(id, summary, bodies).await;
    let of = |type_: &str| entries.iter().find(|body| body["type"] == type_).unwrap();
    let text = &of("request")["request"]["messages"][0]["content"][0]["text"];
    assert_eq!(*text, "use [redacted:api_keys] and\n[redacted:private_keys]\nfor [redacted:employee]");
    let block = of("block");
    assert_eq!(block["original"]["text"], "the key is [redacted:api_keys], I think");
    assert_eq!(block["final"], block["original"]);
    // The lengths of its pieces would be those of another text.
    assert_eq!(block.get("deltas"), None);
    let call = entries.iter().find(|body| body["kind"] == "tool_call").unwrap();
    let arguments: Value = serde_json::from_str(call["original"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments["pem"], "[redacted:private_keys]");
    assert_eq!(of("note")["details"], json!({ "deep": [{ "[redacted:api_keys]": ["[redacted:api_keys]", 5] }] }));

    let page = place.store.calls(&Query::default()).await.unwrap();
    assert_eq!(page.calls[0].client.as_deref(), Some("[redacted:employee]"));
    assert_eq!(page.calls[0].model, "[redacted:api_keys]");
    is_free_of_secrets(&place.written().await);
}

#[tokio::test]
async fn a_match_that_comes_in_several_parts_is_written_in_none() {
    let (place, id) = (Place::new().await, Uuid::now_v7());
    let parts = ["the key is s", "k-proj-Planted", "PlantedPlanted0123, ", "and ", "E-42", "4242.", " Bye"];
    let part = |(seq, text): (u64, &&str)| {
        let text = Some((*text).to_owned());
        PartEntry {
            choice: 0,
            block: 0,
            kind: "text",
            first: seq,
            last: seq,
            unchanged: true,
            original: Some(ContentEntry { text, ..ContentEntry::default() }),
            settled: None,
        }
    };
    let bodies = (1..).zip(&parts).map(part).map(|part| EntryBody::Part(part.into())).collect();
    let entries = place.entries(id, Summary::new(&started(id, "")), bodies).await;
    let texts: Vec<&str> = entries.iter().map(|body| body["original"]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["the key is ", "", "[redacted:api_keys], ", "and ", "", "", "[redacted:employee]. Bye"]);
    assert!(entries.iter().all(|body| body["unchanged"] == true && body.get("final").is_none()), "{entries:#?}");
    is_free_of_secrets(&place.written().await);
}
