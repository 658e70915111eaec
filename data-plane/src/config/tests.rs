use expect_test::{Expect, expect};
use luthien_service::config::{Document, File};

use super::*;

fn load(section: &str) -> Result<Config, String> {
    let indented: String = section.lines().map(|line| format!("  {line}\n")).collect();
    let variables = |name: &str| (name == "KEY").then(|| "sk-from-env".to_owned());
    let document = Document::parse("luthien.yaml", &format!("data_plane:\n{indented}"), variables).unwrap();
    let file: File<Section> = document.get().map_err(|error| error.to_string())?;
    let checked = file.data_plane.unwrap_or_default().check(|_| None);
    checked.map_err(|invalid| document.error_at(&invalid.key, invalid.reason).to_string())
}

fn check_error(section: &str, expected: &Expect) {
    expected.assert_eq(&load(section).map(|config| format!("{config:?}")).unwrap_err());
}

const UPSTREAM: &str = "upstreams: { openai: { dialect: openai-chat, base_url: 'https://api.openai.com/v1' } }\n";

fn check_error_beside_an_upstream(rest: &str, expected: &Expect) {
    check_error(&format!("{UPSTREAM}{rest}"), expected);
}

#[test]
fn everything_that_can_be_said() {
    let config = load(
        r#"
listen: 0.0.0.0:80
threads: 3
control_plane: [http://one:1, http://two:2]
on_control_plane_loss: open
upstreams:
  openai: { dialect: openai-chat, base_url: https://api.openai.com/v1/, api_key: "${KEY}" }
  anthropic: { dialect: anthropic-messages, base_url: https://api.anthropic.com, api_key: "${NONE:-}" }
routes:
  - { model: "claude-*", upstream: anthropic }
  - { model: fast, upstream: openai, as: gpt-5-mini }
auth: { mode: keys, keys: ["${KEY}", { name: ci, key: other }] }
limits: { body: 1MiB, sse_event: 2MiB, unsettled: 512KiB, open_calls: 7 }
timeouts: { idle: 5s, hold: 1m30s }
"#,
    )
    .unwrap();
    let routes: Vec<String> = config
        .resolve()
        .unwrap()
        .0
        .0
        .iter()
        .map(|route| format!("{} -> {} {}", route.pattern, route.upstream.base, route.upstream_model("asked")))
        .collect();
    expect![[r#"
        claude-* -> https://api.anthropic.com asked
        fast -> https://api.openai.com/v1 gpt-5-mini"#]]
    .assert_eq(&routes.join("\n"));
    expect![[r#"
        (0.0.0.0:80, 3, [http://one:1/, http://two:2/], Open)
        Keys([ClientKey { name: "", key: Secret }, ClientKey { name: "ci", key: Secret }])
        [None, Some(Secret)]
        (1048576, 2097152, 524288, 7, 3145728)
        (5s, 90s, 600s)"#]]
    .assert_eq(&format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        (config.listen, config.threads, config.control_plane, config.on_control_plane_loss),
        config.auth,
        config.upstreams.iter().map(|upstream| &upstream.api_key).collect::<Vec<_>>(),
        (
            config.limits.body,
            config.limits.sse_event,
            config.limits.unsettled,
            config.limits.open_calls,
            config.limits.message()
        ),
        (config.timeouts.idle, config.timeouts.hold, config.timeouts.first_byte),
    ));
}

#[test]
fn without_a_section_upstreams_come_from_the_environment() {
    let summary = |keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let config = Config::from_env(|name| keys.iter().any(|key| key == name).then(|| "sk-x".to_owned())).unwrap();
        let key = |name: &str| config.upstreams.iter().any(|it| it.name == name && it.api_key.is_some());
        let named = |name: &String| format!("{name}{}", if key(name) { "+key" } else { "" });
        let route = |rule: &RouteRule| {
            format!("{}>{}", rule.model, rule.upstreams.iter().map(named).collect::<Vec<_>>().join("|"))
        };
        config.routes.iter().map(route).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(summary(&[]), "claude-*>anthropic *>openai|openai-responses");
    assert_eq!(
        summary(&["OPENAI_API_KEY", "GEMINI_API_KEY"]),
        "claude-*>anthropic gemini-*>gemini+key *>openai+key|openai-responses+key"
    );
}

#[test]
fn an_unknown_key_is_an_error() {
    check_error(
        "listen: 127.0.0.1:1\nlisten_on: 2",
        &expect![
            "luthien.yaml:3:3: data_plane.listen_on: unknown key; expected one of listen, threads, control_plane, on_control_plane_loss, upstreams, routes, passthrough_paths, auth, consults, limits, timeouts"
        ],
    );
    check_error(
        "timeouts: { idel: 5s }",
        &expect![
            "luthien.yaml:2:15: data_plane.timeouts.idel: unknown key; expected one of connect, connect_control_plane, first_byte, idle, lease, hold, client_stall, keepalive_first, keepalive_every, takeover, close, header_read, request, drain"
        ],
    );
    check_error(
        "auth: { mode: keys, key: x }",
        &expect!["luthien.yaml:2:23: data_plane.auth.key: unknown key; expected one of mode, keys"],
    );
}

#[test]
fn a_wrong_type_is_an_error() {
    check_error(
        "limits: { body: many }",
        &expect![[
            r#"luthien.yaml:2:19: data_plane.limits.body: expected a number of bytes, such as 65536, 64KiB or 16MiB, found "many""#
        ]],
    );
    check_error(
        "timeouts: { idle: 5 }",
        &expect![
            "luthien.yaml:2:21: data_plane.timeouts.idle: expected a duration with its unit, such as 200ms, 5s or 1m30s, found a number"
        ],
    );
    check_error(
        "auth: { mode: keys, keys: [{ name: ci }] }",
        &expect!["luthien.yaml:2:30: data_plane.auth.keys[0]: the key key is missing"],
    );
    check_error(
        "auth: { mode: none }",
        &expect!["luthien.yaml:2:17: data_plane.auth.mode: `none` is not one of passthrough, keys"],
    );
    check_error(
        "control_plane: 7",
        &expect![
            "luthien.yaml:2:18: data_plane.control_plane: expected an address or a list of addresses, found a number"
        ],
    );
}

#[test]
fn a_listen_address_has_a_port() {
    check_error("listen: localhost", &expect!["luthien.yaml:2:11: data_plane.listen: is not an address and a port"]);
}

#[test]
fn control_planes_are_plain_addresses_each_listed_once() {
    check_error("control_plane: []", &expect!["luthien.yaml:2:18: data_plane.control_plane: there is none"]);
    check_error(
        "control_plane: 127.0.0.1:50051",
        &expect!["luthien.yaml:2:18: data_plane.control_plane: does not begin with http://host or https://host"],
    );
    check_error(
        "control_plane: [http://a:1, https://b:1]",
        &expect![
            "luthien.yaml:2:31: data_plane.control_plane[1]: TLS toward the control plane is not built yet: use http://"
        ],
    );
    check_error(
        "control_plane: http://a:1/path",
        &expect!["luthien.yaml:2:18: data_plane.control_plane: has a path; only http://host:port is meant"],
    );
    check_error(
        "control_plane: [http://a:1, http://a:1]",
        &expect!["luthien.yaml:2:31: data_plane.control_plane[1]: is listed twice"],
    );
}

#[test]
fn upstreams_have_a_dialect_and_a_url() {
    let upstream =
        |fields: &str| format!("upstreams:\n  openai: {{ {fields} }}\nroutes: [{{ model: '*', upstream: openai }}]");
    check_error(
        &upstream("dialect: openai, base_url: 'https://a'"),
        &expect![
            "luthien.yaml:3:24: data_plane.upstreams.openai.dialect: is none of openai-chat, anthropic-messages, openai-responses, gemini"
        ],
    );
    check_error(
        &upstream("dialect: openai-chat, base_url: 'api.openai.com/v1'"),
        &expect!["luthien.yaml:3:47: data_plane.upstreams.openai.base_url: is not a URL: invalid format"],
    );
    check_error(
        &upstream("dialect: openai-chat, base_url: 'ftp://a'"),
        &expect![
            "luthien.yaml:3:47: data_plane.upstreams.openai.base_url: does not begin with http://host or https://host"
        ],
    );
    check_error(
        &upstream("dialect: openai-chat, base_url: 'https://key:x@a/v1'"),
        &expect!["luthien.yaml:3:47: data_plane.upstreams.openai.base_url: credentials have no place in a URL"],
    );
    check_error(
        &upstream("dialect: openai-chat, base_url: 'https://a/v1?x=1'"),
        &expect!["luthien.yaml:3:47: data_plane.upstreams.openai.base_url: a query has no place in it"],
    );
    check_error(
        &upstream("dialect: openai-chat"),
        &expect!["luthien.yaml:3:13: data_plane.upstreams.openai: the key base_url is missing"],
    );
    check_error(
        &upstream("dialect: openai-chat, base_url: 'https://a', api_key: '${UNSET}'"),
        &expect![
            "luthien.yaml:3:69: data_plane.upstreams.openai.api_key: the environment variable UNSET is not set; set it, or write ${UNSET:-default} to do without"
        ],
    );
}

#[test]
fn routes_lead_somewhere() {
    check_error_beside_an_upstream(
        "",
        &expect!["luthien.yaml:2:3: data_plane.routes: there are none, so no call could go anywhere"],
    );
    check_error(
        "routes: [{ model: '*', upstream: openai }]",
        &expect!["luthien.yaml:2:3: data_plane.upstreams: there are none"],
    );
    check_error_beside_an_upstream(
        "routes: [{ model: '*', upstream: opnai }]",
        &expect!["luthien.yaml:3:36: data_plane.routes[0].upstream: is no upstream; there is openai"],
    );
    check_error_beside_an_upstream(
        "routes: [{ model: '[a', upstream: openai }]",
        &expect!["luthien.yaml:3:21: data_plane.routes[0].model: unclosed character class; missing ']'"],
    );
    check_error_beside_an_upstream(
        "routes: [{ model: '', upstream: openai }]",
        &expect!["luthien.yaml:3:21: data_plane.routes[0].model: is empty; `*` is any model"],
    );
    check_error_beside_an_upstream(
        "routes: [{ model: 'a', upstream: openai, as: '' }]",
        &expect!["luthien.yaml:3:48: data_plane.routes[0].as: is empty; without it the model keeps its name"],
    );
}

#[test]
fn what_an_upstream_needs_to_know_is_said_where_it_means_something() {
    let upstream = |dialect: &str, fields: &str| {
        format!(
            "upstreams:\n  it: {{ dialect: {dialect}, base_url: 'https://a', {fields} }}\nroutes: [{{ model: '*', upstream: it }}]"
        )
    };
    let options = |dialect, fields| load(&upstream(dialect, fields)).unwrap().upstreams[0].options.clone();
    let compatible = UpstreamOptions { compatible: true, reasoning_echo: true, max_output_tokens: None };
    assert_eq!(options("openai-chat", "compatible: true, reasoning_echo: true"), compatible);
    assert_eq!(options("anthropic-messages", "max_output_tokens: 9").max_output_tokens, Some(9));
    check_error(
        &upstream("gemini", "compatible: true"),
        &expect!["luthien.yaml:3:63: data_plane.upstreams.it.compatible: is only for upstreams that speak openai-chat"],
    );
    check_error(
        &upstream("openai-chat", "max_output_tokens: 9"),
        &expect![
            "luthien.yaml:3:75: data_plane.upstreams.it.max_output_tokens: is only for upstreams that speak anthropic-messages"
        ],
    );
    check_error(
        &upstream("anthropic-messages", "max_output_tokens: 0"),
        &expect!["luthien.yaml:3:82: data_plane.upstreams.it.max_output_tokens: has to be at least 1"],
    );
    check_error(
        &upstream("anthropic-messages", "api_key: a, auth_token: b"),
        &expect!["luthien.yaml:3:87: data_plane.upstreams.it.auth_token: there is an api_key as well"],
    );
}

#[test]
fn paths_to_forward_are_paths_and_lead_somewhere() {
    let routes = "routes: [{ model: '*', upstream: openai }]\n";
    let with = |paths: &str| format!("{routes}passthrough_paths: {paths}");
    assert_eq!(
        load(&format!("{UPSTREAM}{}", with("[/v1/embeddings, { path: '/x/**', upstream: openai }]")))
            .unwrap()
            .passthrough_paths
            .len(),
        2
    );
    check_error_beside_an_upstream(
        &with("[v1/embeddings]"),
        &expect!["luthien.yaml:4:23: data_plane.passthrough_paths[0]: does not begin with /"],
    );
    check_error_beside_an_upstream(
        &with("[/a, { path: /b, upstream: other }]"),
        &expect!["luthien.yaml:4:49: data_plane.passthrough_paths[1].upstream: is no upstream; there is openai"],
    );
    check_error_beside_an_upstream(
        &with("['/a[']"),
        &expect!["luthien.yaml:4:23: data_plane.passthrough_paths[0]: unclosed character class; missing ']'"],
    );
}

#[test]
fn keys_are_some_and_differ() {
    check_error(
        "auth: { mode: keys }",
        &expect!["luthien.yaml:2:9: data_plane.auth.keys: there are none, so nobody could call"],
    );
    check_error(
        "auth: { mode: passthrough, keys: [a] }",
        &expect!["luthien.yaml:2:36: data_plane.auth.keys: need `mode: keys`"],
    );
    check_error(
        "auth: { mode: keys, keys: [same, { name: ci, key: same }] }",
        &expect!["luthien.yaml:2:36: data_plane.auth.keys[1]: is listed twice"],
    );
    check_error(
        "auth: { mode: keys, keys: [{ name: ci, key: a }, { name: ci, key: b }] }",
        &expect!["luthien.yaml:2:60: data_plane.auth.keys[1].name: is another key's already"],
    );
    check_error(
        "auth: { mode: keys, keys: [''] }",
        &expect![
            "luthien.yaml:2:30: data_plane.auth.keys[0]: expected a key or token: a string of visible ASCII characters, not empty, found an empty string"
        ],
    );
}

#[test]
fn limits_and_timeouts_leave_something() {
    check_error(
        "limits: { body: 0 }",
        &expect!["luthien.yaml:2:19: data_plane.limits.body: 0 is not between 1 and 1073741824"],
    );
    check_error(
        "limits: { body: 2GiB }",
        &expect!["luthien.yaml:2:19: data_plane.limits.body: 2147483648 is not between 1 and 1073741824"],
    );
    check_error(
        "timeouts: { hold: 0s }",
        &expect!["luthien.yaml:2:21: data_plane.timeouts.hold: has to be more than nothing"],
    );
    check_error("threads: 0", &expect!["luthien.yaml:2:12: data_plane.threads: has to be at least 1"]);
}
